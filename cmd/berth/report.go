package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/verbs"
)

// isReport tells whether a verb is a report on an app: X:report [APP] [--KEY],
// of all apps without one.
func isReport(v verbs.Verb) bool {
	named := func(name string) bool { return strings.HasSuffix(name, ":report") }
	return (named(v.Name) || slices.ContainsFunc(v.Aliases, named)) &&
		slices.ContainsFunc(parameters(v.Args), func(p parameter) bool { return p.app && p.word != "" })
}

// reportCommand makes the command of a report. Dokku's scripts read reports so.
func (c *cli) reportCommand(v verbs.Verb) command {
	r := report{cli: c, verb: v}
	for _, p := range parameters(v.Args) {
		if p.app && p.word != "" {
			r.argument, r.maybe = p.name, p.maybe
			r.word = strings.TrimSuffix(p.word, "]")
		}
	}
	if r.hasGlobal() {
		r.word += "|--global"
	}
	made := command{
		use: v.Name + " [" + r.word + "] [--KEY]", maybeApp: true, max: 0, reads: true,
		keys: r.names,
		flags: func(cmd *cobra.Command) {
			if r.hasGlobal() {
				cmd.Flags().BoolVar(&r.global, "global", false, "of what is set for all apps, in place of APP")
			}
			r.cmd = cmd
		},
	}
	made.run = func(ctx context.Context, app string, _ []string) error { return r.run(ctx, app) }
	return made
}

// report is one that was asked for.
type report struct {
	*cli
	verb     verbs.Verb
	argument string // that names the app, and how the usage calls it
	word     string
	maybe    bool // it may be missing
	global   bool
	cmd      *cobra.Command
}

// hasGlobal tells whether the report is there of all apps' settings.
func (r *report) hasGlobal() bool {
	if l := r.verb.Properties; l != nil {
		return l.Global()
	}
	return r.maybe && !r.verb.Whole
}

func (r *report) run(ctx context.Context, app string) error {
	key, err := r.key()
	switch {
	case err != nil:
		return err
	case r.global && app != "":
		return usage("%s takes the name of an app, or --global", r.verb.Name).Hint("usage: berth %s", r.cmd.Use)
	case app != "" || r.global || r.verb.Whole && key == "":
		return r.one(ctx, app, key)
	}
	return r.all(ctx, key)
}

// key returns the value that is asked for, "" for the whole report.
func (r *report) key() (key string, err error) {
	r.cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Annotations[keyFlag] == nil {
			return
		}
		if key != "" {
			err = usage("%s prints one value, and not both --%s and --%s", r.verb.Name, key, f.Name).Hint("without either it prints all of them")
		}
		key = f.Name
	})
	return key, err
}

// ask asks for the report on an app.
func (r *report) ask(ctx context.Context, app string) (raw json.RawMessage, err error) {
	args := map[string]any{}
	if app != "" {
		args[r.argument] = app
	}
	err = r.cli.ask(ctx, r.verb.Name, args, &raw)
	return raw, err
}

// one prints the report on an app, or one value of it.
func (r *report) one(ctx context.Context, app, key string) error {
	raw, err := r.ask(ctx, app)
	if err != nil {
		return err
	}
	if key != "" {
		value, err := r.value(raw, key)
		if err != nil {
			return err
		}
		if r.format == "json" {
			return r.json(value)
		}
		_, err = fmt.Fprintln(r.out, fault.Printable(value))
		return err
	}
	if r.format == "json" {
		whole, err := r.whole(raw)
		if err != nil {
			return err
		}
		return r.printJSON(whole)
	}
	return r.print(app, raw)
}

// all prints the reports on all apps that the asker may see. One that is
// destroyed meanwhile is left out.
func (r *report) all(ctx context.Context, key string) error {
	var apps []struct {
		Name string `json:"name"`
	}
	if err := r.cli.ask(ctx, "apps:list", nil, &apps); err != nil {
		return err
	}
	reports := []json.RawMessage{}
	values := map[string]string{}
	for _, app := range apps {
		raw, err := r.ask(ctx, app.Name)
		if fault.CodeOf(err) == code.AppUnknown {
			continue
		}
		if err != nil {
			return err
		}
		switch {
		case key != "":
			value, err := r.value(raw, key)
			if err != nil {
				return err
			}
			values[app.Name] = value
			if r.format != "json" {
				fmt.Fprintln(r.out, fault.Printable(value))
			}
		case r.format == "json":
			whole, err := r.whole(raw)
			if err != nil {
				return err
			}
			reports = append(reports, whole)
		default:
			fmt.Fprintf(r.out, "=====> %s %s information\n", app.Name, r.noun())
			if err := r.print(app.Name, raw); err != nil {
				return err
			}
		}
	}
	switch {
	case r.format == "json" && key != "":
		return r.json(values)
	case r.format == "json":
		return r.json(reports)
	case len(apps) == 0:
		r.say("there are no apps")
	}
	return nil
}

func (r *report) noun() string {
	noun, _, _ := strings.Cut(r.verb.Name, ":")
	return noun
}

func (r *report) json(value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return r.printJSON(raw)
}

func (r *report) print(app string, raw json.RawMessage) error {
	if print := shows()[r.verb.Name]; print != nil {
		return print(r.cli, app, raw)
	}
	return asTable(printAny(r.verb.Result))(r.cli, app, raw)
}

// whole is a report with the keys that Dokku's have, beside its own fields.
func (r *report) whole(raw json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if r.verb.Keys == nil || json.Unmarshal(raw, &fields) != nil || fields == nil {
		return raw, nil
	}
	keys, err := r.verb.Keys(raw)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if _, there := fields[key.Name]; there {
			continue
		}
		if fields[key.Name], err = json.Marshal(key.Value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

// value returns one value of a report. Its key is Dokku's or the name of a
// field, with the noun before it or without.
func (r *report) value(raw json.RawMessage, key string) (string, error) {
	values, err := r.values(raw)
	if err != nil {
		return "", err
	}
	for _, name := range []string{key, strings.TrimPrefix(key, r.noun()+"-"), r.noun() + "-" + key} {
		if value, ok := values[name]; ok {
			return value, nil
		}
	}
	names := r.names()
	f := fault.New(fault.Usage, code.ReportKeyUnknown, "%s has no value --%.60s", r.verb.Name, key)
	if near := fault.Nearest(key, names); near != "" {
		f.Hint("did you mean --%s?", near)
	}
	return "", f.Hint("it has --%s", strings.Join(names, ", --"))
}

// values are all that a report can print alone, by key: first what its entry
// names, then the properties, then its plain fields.
func (r *report) values(raw json.RawMessage) (map[string]string, error) {
	values := map[string]string{}
	add := func(name, value string) {
		if _, there := values[name]; !there {
			values[name] = value
		}
	}
	if r.verb.Keys != nil {
		keys, err := r.verb.Keys(raw)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			add(key.Name, key.Value)
		}
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return values, nil // a list has the keys of its entry
	}
	var rows []property.Row
	if json.Unmarshal(fields["properties"], &rows) == nil {
		for _, row := range rows {
			add(row.Name, row.Raw)
			add("computed-"+row.Name, row.Value)
			if r.global {
				add("global-"+row.Name, row.Value)
			} else if row.Global != "" || r.both(row.Name) {
				add("global-"+row.Name, row.Global)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if text, plain := plainText(fields[name]); plain {
			add(strings.ReplaceAll(name, "_", "-"), text)
		}
	}
	for _, name := range r.fields() { // those that are left out when they are empty
		add(name, "")
	}
	return values, nil
}

func (r *report) both(name string) bool {
	if r.verb.Properties == nil {
		return false
	}
	p, err := r.verb.Properties.Find(name)
	return err == nil && p.Scope == property.Both
}

// plainText is a value of a report as scripts read it.
func plainText(raw json.RawMessage) (text string, plain bool) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // bytes of memory are no 1.07e+09
	if decoder.Decode(&value) != nil {
		return "", false
	}
	switch value := value.(type) {
	case nil:
		return "", true
	case string:
		return value, true
	case bool:
		return strconv.FormatBool(value), true
	case json.Number:
		return value.String(), true
	case []any:
		words := make([]string, 0, len(value))
		for _, one := range value {
			word, ok := one.(string)
			if !ok {
				return "", false
			}
			words = append(words, word)
		}
		return strings.Join(words, " "), true
	case map[string]any:
		words := make([]string, 0, len(value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			switch value[name].(type) {
			case string, json.Number, bool:
				words = append(words, fmt.Sprintf("%s=%v", name, value[name]))
			default:
				return "", false
			}
		}
		return strings.Join(words, " "), true
	}
	return "", false
}

// names are the keys that are there whatever an app is like.
func (r *report) names() (names []string) {
	if r.verb.Keys != nil {
		keys, _ := r.verb.Keys(nil)
		for _, key := range keys {
			names = append(names, key.Name)
		}
	}
	if l := r.verb.Properties; l != nil {
		for _, p := range l.Properties {
			if p.Family != nil {
				continue
			}
			names = append(names, p.Name, "computed-"+p.Name)
			if p.Scope == property.Both {
				names = append(names, "global-"+p.Name)
			}
		}
	}
	names = append(names, r.fields()...)
	slices.Sort(names)
	return slices.Compact(names)
}

// fields are the plain fields of the result.
func (r *report) fields() (names []string) {
	of := r.verb.Result
	if of.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range plainFields(of) {
		names = append(names, strings.ReplaceAll(fieldName(f), " ", "-"))
	}
	return names
}

// keyFlag marks the flags that ask for one value.
const keyFlag = "berth_key"

// addKeys makes flags of the keys that the command line has. They cannot be
// listed: some name what is found of an app, as --status-web-1 does.
func (c *cli) addKeys(root, cmd *cobra.Command, names func() []string) {
	words := c.words
	completes := len(words) > 0 && strings.HasPrefix(words[0], "__complete")
	if completes {
		for _, name := range names() {
			words = append(words, "--"+name)
		}
	}
	for _, word := range words {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if !isFlag || name == "" || name == "help" || cmd.Flags().Lookup(name) != nil || root.PersistentFlags().Lookup(name) != nil {
			continue
		}
		cmd.Flags().Bool(name, false, "print this value alone")
		f := cmd.Flags().Lookup(name)
		f.Annotations, f.Hidden = map[string][]string{keyFlag: {}}, !completes
	}
}
