package main

import (
	"archive/tar"
	"context"
	"encoding/base64"
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
	"github.com/spf13/pflag"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
	"github.com/berthd/berth/verbs"
)

// maxStdin is more than an app's environment can hold.
const maxStdin = 1 << 20

// configs are the commands of config.
type configs struct{ *cli }

// configWords are what a command of config takes.
type configWords struct {
	verbs.ConfigArgs
	noRestart, stdin, encoded, quoted, replace bool
	form                                       string
}

// command is a command on the config of an app or, with --global, of all
// apps. use says what it takes after the app; min and max how many words these are.
func (c configs) command(name, use string, min, max int, flags func(*pflag.FlagSet, *configWords), run func(context.Context, *configWords, []string) error) command {
	var given configWords
	return command{
		use: strings.TrimSpace(name + " APP|--global " + use), maybeApp: true, max: -1,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&given.Global, "global", false, "the config of all apps, in place of APP")
			if flags != nil {
				flags(cmd.Flags(), &given)
			}
		},
		run: func(ctx context.Context, app string, words []string) error {
			if given.Global && c.app == "" {
				words, app = append(nonEmpty(app), words...), "" // the first word is no app
			}
			if max >= 0 && len(words) == max+1 && c.app != "" && words[0] == c.app {
				words = words[1:] // Dokku's client names the app twice
			}
			var err *fault.Error
			switch {
			case given.Global && app != "":
				err = usage("%s takes an app or --global, and not both", name)
			case !given.Global && app == "":
				err = usage("%s needs the name of an app, or --global", name)
			case len(words) < min:
				err = usage("%s is missing an argument", name)
			case max >= 0 && len(words) > max:
				err = usage("%s does not take %q", name, words[max])
			default:
				given.App = app
				return run(ctx, &given, words)
			}
			return err.Hint("usage: berth %s APP|--global %s", name, use)
		},
	}
}

func flagMerged(set *pflag.FlagSet, w *configWords) {
	set.BoolVar(&w.Merged, "merged", false, "with the config of all apps")
}

func flagNoRestart(set *pflag.FlagSet, w *configWords) {
	set.BoolVar(&w.noRestart, "no-restart", false, "do not restart; apply it with the next release or restart")
}

// configForms are the forms that config:export writes, as its help names them.
const configForms = "exports, envfile, shell, json, json-list, docker-args, docker-args-keys, pack-keys or pretty"

func (c *cli) configCommands() []command { return configs{c}.commands() }

func (c configs) commands() []command {
	reads := func(cmd command) command {
		cmd.reads = true
		return cmd
	}
	return []command{
		reads(c.command("config:show", "", 0, 0, flagMerged, func(ctx context.Context, w *configWords, _ []string) error {
			return read(ctx, c.cli, "config:show", w.ConfigArgs, func(t *table, config map[string]string) {
				for _, name := range slices.Sorted(maps.Keys(config)) {
					t.row(name, oneLineValue(config[name]))
				}
			})
		})),
		reads(c.command("config:keys", "", 0, 0, flagMerged, func(ctx context.Context, w *configWords, _ []string) error {
			return read(ctx, c.cli, "config:keys", w.ConfigArgs, func(t *table, names []string) {
				for _, name := range names {
					t.row(name)
				}
			})
		})),
		reads(c.command("config:get", "NAME", 1, 1, func(set *pflag.FlagSet, w *configWords) {
			flagMerged(set, w)
			set.BoolVar(&w.quoted, "quoted", false, "as one word of a shell")
		}, c.get)),
		c.command("config:set", "NAME=VALUE ...", 0, -1, func(set *pflag.FlagSet, w *configWords) {
			flagNoRestart(set, w)
			set.BoolVar(&w.encoded, "encoded", false, "the values are base64")
			set.BoolVar(&w.stdin, "stdin", false, "read NAME=VALUE lines from standard input")
		}, c.set),
		c.command("config:import", "[FILE]", 0, 1, func(set *pflag.FlagSet, w *configWords) {
			flagNoRestart(set, w)
			set.StringVar(&w.form, "format", "", "envfile, exports, shell, json or json-list; without it the text tells")
			set.BoolVar(&w.replace, "replace", false, "unset what the file does not have")
		}, c.importAll),
		c.command("config:unset", "NAME ...", 1, -1, flagNoRestart, func(ctx context.Context, w *configWords, words []string) error {
			args := verbs.ConfigUnsetArgs{ConfigOf: w.ConfigOf, Names: words, NoRestart: w.noRestart}
			return c.change(ctx, "config:unset", w, args)
		}),
		c.command("config:clear", "", 0, 0, flagNoRestart, func(ctx context.Context, w *configWords, _ []string) error {
			return c.change(ctx, "config:clear", w, verbs.ConfigClearArgs{ConfigOf: w.ConfigOf, NoRestart: w.noRestart})
		}),
		c.export(),
		c.bundle(),
	}
}

func (c configs) get(ctx context.Context, w *configWords, words []string) error {
	var variable verbs.Variable
	if err := c.ask(ctx, "config:get", verbs.ConfigGetArgs{ConfigArgs: w.ConfigArgs, Name: words[0]}, &variable); err != nil {
		return err
	}
	if c.format == "json" {
		return encodeJSON(c.out, variable)
	}
	if w.quoted {
		variable.Value = shellQuote(variable.Value)
	}
	_, err := io.WriteString(c.out, strings.TrimSuffix(variable.Value, "\n")+"\n")
	return err
}

func (c configs) set(ctx context.Context, w *configWords, words []string) error {
	set, err := parseConfig(words)
	if err != nil {
		return err
	}
	if w.stdin {
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
	if w.encoded {
		if err := decodeValues(set); err != nil {
			return err
		}
	}
	return c.change(ctx, "config:set", w, verbs.ConfigSetArgs{ConfigOf: w.ConfigOf, Set: set, NoRestart: w.noRestart})
}

// decodeValues decodes all values from base64. What a value is, is never part of
// an error.
func decodeValues(set map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value, err := base64.StdEncoding.DecodeString(set[name])
		switch {
		case err != nil:
			return notEncoded("the value of %.60q is not base64", name).Hint("printf %%s VALUE | base64 -w0 encodes it")
		case !utf8.Valid(value):
			return notEncoded("the decoded value of %.60q is not UTF-8", name).
				Hint("set it as it is, without --encoded, and decode it in the app")
		}
		set[name] = string(value)
	}
	return nil
}

// notEncoded is the fault (E219) of a value that --encoded cannot take.
func notEncoded(format string, name string) *fault.Error {
	return fault.New(fault.Usage, code.ConfigNotEncoded, format, name)
}

func (c configs) importAll(ctx context.Context, w *configWords, words []string) error {
	file := "-"
	if len(words) > 0 {
		file = words[0]
	}
	text, err := c.readFile(file)
	if err != nil {
		return err
	}
	set, err := parseForm(w.form, text)
	if err != nil {
		return err
	}
	if len(set) == 0 { // of a command that failed: nobody means to unset everything by it
		return fault.New(fault.Usage, code.ConfigImportEmpty, "there is no variable in what was read").
			Hint("berth config:clear unsets all variables")
	}
	args := verbs.ConfigImportArgs{
		ConfigSetArgs: verbs.ConfigSetArgs{ConfigOf: w.ConfigOf, Set: set, NoRestart: w.noRestart}, Replace: w.replace,
	}
	return c.change(ctx, "config:import", w, args)
}

// change calls a verb that changes config, and says from when on it counts.
func (c configs) change(ctx context.Context, verb string, w *configWords, args any) error {
	var release store.Release
	if err := c.ask(ctx, verb, args, &release); err != nil {
		return err
	}
	switch {
	case w.Global:
		c.say("set for all apps, each from its next release or restart; berth ps:restart --all restarts them")
	case w.noRestart || release.Number == 0:
		c.say("set for the next release or restart of %s", w.App)
	default:
		c.say("set in %s of %s", releaseName(release.Number), w.App) // an app that is stopped runs nothing
	}
	return nil
}

func (c configs) export() command {
	cmd := c.command("config:export", "", 0, 0, func(set *pflag.FlagSet, w *configWords) {
		flagMerged(set, w)
		set.StringVar(&w.form, "format", "exports", configForms)
	}, func(ctx context.Context, w *configWords, _ []string) error {
		write, ok := exports[w.form]
		if !ok {
			return usage("there is no format %q", w.form).Hint("the formats are %s", configForms)
		}
		var config map[string]string
		if err := c.ask(ctx, "config:show", w.ConfigArgs, &config); err != nil {
			return err
		}
		return write(c.out, config)
	})
	cmd.after, cmd.short = "config:clear", "print the config for a shell or a file"
	cmd.example = "config:export shop --format envfile >.env"
	return cmd
}

func (c configs) bundle() command {
	cmd := c.command("config:bundle", "", 0, 0, flagMerged, func(ctx context.Context, w *configWords, _ []string) error {
		if c.term != nil {
			return usage("config:bundle writes a tar archive, which a terminal cannot show").Hint("send it to a file: ... >config.tar")
		}
		var config map[string]string
		if err := c.ask(ctx, "config:show", w.ConfigArgs, &config); err != nil {
			return err
		}
		return bundle(c.out, config)
	})
	cmd.after, cmd.short = "config:export", "print the config as a tar of files"
	cmd.example = "config:bundle shop >config.tar"
	return cmd
}

// bundle writes a tar with a file for each variable, which only its owner can read.
func bundle(w io.Writer, config map[string]string) error {
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(config[name]))}); err != nil {
			return err
		}
		if _, err := io.WriteString(out, config[name]); err != nil {
			return err
		}
	}
	return out.Close()
}

// exports are the forms of config:export; the second names are Dokku's.
var exports = map[string]func(io.Writer, map[string]string) error{
	"exports": exportShell, "shell": exportWords(func(name, value string) string { return name + "=" + shellQuote(value) }),
	"env": exportDotenv, "envfile": exportDotenv, "dotenv": exportDotenv,
	"json": exportJSON, "json-list": exportList,
	"docker-args":      exportWords(func(name, value string) string { return "--env=" + name + "=" + shellQuote(value) }),
	"docker-args-keys": exportWords(func(name, _ string) string { return "--env=" + name }),
	"pack-keys":        exportWords(func(name, _ string) string { return "--env " + name }),
	"pretty":           exportPretty,
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

// exportPretty writes columns for people.
func exportPretty(w io.Writer, config map[string]string) error {
	t := newTable(w)
	for _, name := range slices.Sorted(maps.Keys(config)) {
		t.row(name+":", oneLineValue(config[name]))
	}
	return t.flush()
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
