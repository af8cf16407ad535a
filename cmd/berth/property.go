package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/verbs"
)

// setCommand makes the command of a verb that sets properties: X:set APP
// PROPERTY [VALUE], and with --global for all apps.
func (c *cli) setCommand(v verbs.Verb) command {
	l := v.Properties
	global := false
	form := "APP|--global PROPERTY [VALUE]"
	switch {
	case !l.Global():
		form = "APP PROPERTY [VALUE]"
	case !l.Own():
		form = "--global PROPERTY [VALUE]"
	}
	return command{
		use: v.Name + " " + form, maybeApp: true, max: -1,
		flags: func(cmd *cobra.Command) {
			if l.Global() {
				cmd.Flags().BoolVar(&global, "global", false, "for all apps, in place of APP")
			}
		},
		run: func(ctx context.Context, app string, words []string) error {
			if global && c.app == "" {
				words = append(nonEmpty(app), words...) // the first word is no app
				app = ""
			}
			if err := checkSet(c, v, global, app, words); err != nil {
				return err
			}
			value, err := c.propertyValue(v, words[0], words[1:])
			if err != nil {
				return err
			}
			args := map[string]any{"app": app, "property": words[0], "value": value}
			var raw json.RawMessage
			if err := c.ask(ctx, v.Name, args, &raw); err != nil {
				return err
			}
			if app == "" {
				args["app"] = "all apps"
			}
			if print := shows()[v.Name]; print != nil {
				return print(c, app, raw)
			}
			c.say("%s", fillIn(v.Done, args, raw))
			return nil
		},
	}
}

func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(word string) bool { return word == "" })
}

// checkSet looks for the words that are missing or out of place.
func checkSet(c *cli, v verbs.Verb, global bool, app string, words []string) error {
	l := v.Properties
	there := strings.Join(l.NamesOf(app), ", ")
	if global {
		there = strings.Join(l.NamesOf(""), ", ")
	}
	_, notFirst := l.Find(app)
	second := notFirst
	if len(words) > 0 {
		_, second = l.Find(words[0])
	}
	switch {
	case global && app != "":
		return usage("%s --global needs a property and no app", v.Name).Hint("the properties are %s", there)
	case !global && app == "" && !l.Own(), !global && app != "" && notFirst == nil && !l.Own():
		return usage("%s is for all apps at once", v.Name).Hint("%s", strings.TrimSpace("berth "+v.Name+" --global "+strings.Join(nonEmpty(append([]string{app}, words...)...), " ")))
	case !global && app != "" && notFirst == nil && second != nil && l.Global():
		return usage("%s needs the name of an app before the property, or --global", v.Name).
			Hint("for all apps: berth %s --global %s", v.Name, strings.Join(append([]string{app}, words...), " "))
	case !global && app == "" && l.Global():
		return usage("%s needs the name of an app", v.Name).Hint("--global instead of the name sets it for all apps")
	case !global && app == "":
		return usage("%s needs the name of an app", v.Name).Hint("usage: berth %s APP PROPERTY [VALUE]", v.Name)
	case len(words) == 0:
		return usage("%s needs a property", v.Name).Hint("the properties are %s", there)
	}
	return nil
}

// propertyValue returns the value that the words give a property. Long texts and
// secrets come from a file or from standard input, where no list of processes
// shows them.
func (c *cli) propertyValue(v verbs.Verb, name string, words []string) (string, error) {
	value := strings.Join(words, " ")
	p, err := v.Properties.Find(name)
	switch {
	case err != nil:
		return value, nil // the one who answers says so
	case len(words) > 1 && !p.Words:
		return "", usage("%s does not take %q", v.Name, words[1]).Hint("a value of several words is not for %s", name)
	}
	file, named := strings.CutPrefix(value, "@")
	switch {
	case value == "" || !p.File && !p.Secret:
		return value, nil
	case p.Secret && !named && value != "-":
		return value, nil
	}
	text, err := c.readFile(file)
	if p.Secret {
		text = strings.TrimRight(text, "\r\n")
	}
	return text, err
}

// printRows shows the properties of a report.
func printRows(t *table, rows []property.Row) {
	for _, p := range rows {
		if p.Set || p.Value == "" {
			t.row(p.Name, p.Value)
		} else {
			t.row(p.Name, p.Value, "("+p.Whose()+")")
		}
	}
}
