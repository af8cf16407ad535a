package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/units"
	"github.com/berthd/berth/verbs"
)

var configShows = map[string]printer{
	"config:show": asTable(func(t *table, config map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(config)) {
			t.row(name, oneLineValue(config[name]))
		}
	}),
}

// maxStdin is more than an app's environment can hold.
const maxStdin = 1 << 20

func (c *cli) configCommands() []command {
	noRestart, fromStdin := false, false
	form := ""
	restarts := func(cmd *cobra.Command) {
		cmd.Flags().BoolVar(&noRestart, "no-restart", false, "do not restart; apply it with the next release")
	}
	return []command{

		{
			use: "config:set APP NAME=VALUE ...",

			max: -1,
			flags: func(cmd *cobra.Command) {
				restarts(cmd)
				cmd.Flags().BoolVar(&fromStdin, "stdin", false, "read NAME=VALUE lines from standard input")
			},
			run: func(ctx context.Context, app string, words []string) error {
				set, err := parseConfig(words)
				if err != nil {
					return err
				}
				if fromStdin {
					text, err := readAtMost(c.in, maxStdin)
					if err != nil {
						return err
					}
					more, err := parseSettings(text)
					if err != nil {
						return err
					}
					maps.Copy(set, more)
				}
				if len(set) == 0 {
					return usage("config:set needs at least one NAME=VALUE").Hint("usage: berth config:set APP NAME=VALUE ...")
				}
				var release store.Release
				args := verbs.ConfigSetArgs{AppArgs: verbs.AppArgs{App: app}, Set: set, NoRestart: noRestart}
				if err := c.ask(ctx, "config:set", args, &release); err != nil {
					return err
				}
				c.sayConfigured(app, release, noRestart)
				return nil
			},
		},
		{
			use: "config:unset APP NAME ...",
			min: 1, max: -1, flags: restarts,
			run: func(ctx context.Context, app string, words []string) error {
				var release store.Release
				args := verbs.ConfigUnsetArgs{AppArgs: verbs.AppArgs{App: app}, Names: words, NoRestart: noRestart}
				if err := c.ask(ctx, "config:unset", args, &release); err != nil {
					return err
				}
				c.sayConfigured(app, release, noRestart)
				return nil
			},
		},
		{
			after: "config:unset", use: "config:export APP", short: "print the config for a shell or a file",
			example: "config:export shop --format env >.env",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().StringVar(&form, "format", "shell", "shell, env (an .env file), json, json-list, docker-args or docker-args-keys")
			},
			run: func(ctx context.Context, app string, _ []string) error {
				write, ok := exports[form]
				if !ok {
					return usage("there is no format %q", form).Hint("the formats are shell, env, json, json-list, docker-args and docker-args-keys")
				}
				var config map[string]string
				if err := c.ask(ctx, "config:show", verbs.AppArgs{App: app}, &config); err != nil {
					return err
				}
				return write(c.out, config)
			},
		},
	}
}

// exports are the forms of config:export; the second names are Dokku's.
var exports = map[string]func(io.Writer, map[string]string) error{
	"shell": exportShell, "exports": exportShell,
	"env": exportDotenv, "envfile": exportDotenv, "dotenv": exportDotenv,
	"json": exportJSON, "json-list": exportList,
	"docker-args":      exportWords(func(name, value string) string { return "--env=" + name + "=" + shellQuote(value) }),
	"docker-args-keys": exportWords(func(name, _ string) string { return "--env=" + name }),
}

// exportWords writes a word for each variable, all in one line.
func exportWords(word func(name, value string) string) func(io.Writer, map[string]string) error {
	return func(w io.Writer, config map[string]string) error {
		var words []string
		for _, name := range slices.Sorted(maps.Keys(config)) {
			words = append(words, word(name, config[name]))
		}
		_, err := fmt.Fprintln(w, strings.Join(words, " "))
		return err
	}
}

func exportList(w io.Writer, config map[string]string) error {
	type variable struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	list := []variable{}
	for _, name := range slices.Sorted(maps.Keys(config)) {
		list = append(list, variable{name, config[name]})
	}
	return encodeJSON(w, list)
}

// oneLineValue shows a value in a line of its own: one that would not stand in
// a line, or be taken for a quoted one, is quoted as in C.
func oneLineValue(value string) string {
	if strings.HasPrefix(value, `"`) || strings.ContainsFunc(value, unicode.IsControl) {
		return strconv.Quote(value)
	}
	return value
}

func exportShell(w io.Writer, config map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if _, err := fmt.Fprintf(w, "export %s=%s\n", name, shellQuote(config[name])); err != nil {
			return err
		}
	}
	return nil
}

func exportDotenv(w io.Writer, config map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if _, err := fmt.Fprintf(w, "%s=%s\n", name, dotenvQuote(config[name])); err != nil {
			return err
		}
	}
	return nil
}

func exportJSON(w io.Writer, config map[string]string) error { return encodeJSON(w, config) }

func encodeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

func (c *cli) sayConfigured(app string, release store.Release, noRestart bool) {
	if noRestart || release.Number == 0 {
		c.say("set for the next release of %s", app)
		return
	}
	c.say("set in %s of %s", releaseName(release.Number), app) // an app that is stopped runs nothing
}

// readAtMost reads text to its end, and refuses more than limit bytes.
func readAtMost(r io.Reader, limit int64) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read standard input: %w", err)
	case int64(len(raw)) > limit:
		return "", usage("standard input holds more than %s", units.Bytes(limit))
	case !utf8.Valid(raw):
		return "", usage("standard input holds text that is not UTF-8").Hint("encode binary values, for example as base64")
	}
	return string(raw), nil
}
