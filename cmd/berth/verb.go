package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/verbs"
)

// printer prints the result of a verb. app is the app that the verb was about.
type printer func(c *cli, app string, raw json.RawMessage) error

// asTable prints a result as a table.
func asTable[R any](table func(*table, R)) printer {
	return func(c *cli, _ string, raw json.RawMessage) error {
		var result R
		if err := json.Unmarshal(raw, &result); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		t := c.newTable()
		table(t, result)
		return t.flush()
	}
}

// asText prints the result as messages, where the texts of the entry are not enough.
func asText[R any](say func(c *cli, app string, result R)) printer {
	return func(c *cli, app string, raw json.RawMessage) error {
		var result R
		if err := json.Unmarshal(raw, &result); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		say(c, app, result)
		return nil
	}
}

// shows returns the printers of verbs whose results are not printed in the usual way.
func shows() map[string]printer {
	all := map[string]printer{}
	for _, of := range []map[string]printer{
		appShows, processShows, runShows, resourceShows, releaseShows, builderShows, gitShows, registryShows, cronShows, domainShows,
		certsShows, letsencryptShows, routerShows, storageShows, requestShows, portShows, keyShows, networkShows,
	} {
		maps.Copy(all, of)
	}
	return all
}

// parameter is a field of a verb's arguments, as the command line has it.
type parameter struct {
	name           string // of the field in JSON
	kind           reflect.Kind
	word           string // "NAME", when it is a word
	maybe, rest    bool   // it may be missing; it takes all words that follow
	app            bool   // -a gives it too
	flag, letter   string
	usual, meaning string
	file, stdin    string // prompts: the word names a file; a missing word is read from standard input
}

func parameters(args reflect.Type) (all []parameter) {
	for _, f := range reflect.VisibleFields(args) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		p := parameter{name: name, kind: f.Type.Kind(), usual: f.Tag.Get("default"), meaning: f.Tag.Get("help"), file: f.Tag.Get("file"), stdin: f.Tag.Get("stdin")}
		p.flag, p.letter, _ = strings.Cut(f.Tag.Get("flag"), ",")
		word := f.Tag.Get("cli")
		if inner, ok := strings.CutPrefix(word, "["); ok {
			p.maybe, word = true, strings.TrimSuffix(inner, "]")
		}
		p.word, p.rest = strings.CutSuffix(word, " ...")
		p.app = name == "app" || strings.HasPrefix(p.word, "APP")
		all = append(all, p)
	}
	return all
}

// form is how the word stands in the usage.
func (p parameter) form() string {
	form := p.word
	if p.rest {
		form += " ..."
	}
	if p.maybe {
		form = "[" + form + "]"
	}
	return form
}

// value returns the value of an argument. Secrets and long texts come from a file
// or from standard input, where no list of processes shows them.
func (c *cli) value(p parameter, words []string) (any, error) {
	switch {
	case p.kind == reflect.Slice:
		return words, nil
	case p.kind == reflect.Int:
		return parseNumber(words[0])
	case p.file == "" && p.stdin == "" || p.stdin != "" && len(words) > 0:
		return words[0], nil
	}
	name := "-"
	if len(words) > 0 {
		name = words[0]
	}
	if name == "-" && c.term != nil {
		c.say("%s, then press Ctrl-D on a line of its own", cmp.Or(p.file, p.stdin))
	}
	text, err := c.readFile(name)
	return strings.TrimRight(text, "\r\n"), err
}

// fromVerb makes the command of an entry. Its usage and flags come from the
// arguments. Its result is printed as a table, unless shows has a printer for it.
func (c *cli) fromVerb(v verbs.Verb) command {
	all := parameters(v.Args)
	made := command{use: v.Name, noApp: true, reads: v.Reads || v.Prints != ""}
	var words []parameter
	flags := map[string]func() any{}
	for _, p := range all {
		switch {
		case p.app && p.word != "":
			made.noApp, made.maybeApp = false, p.maybe
			made.use += " " + p.form()
		case p.word != "":
			words = append(words, p)
			made.use += " " + p.form()
			made.max++
			if !p.maybe {
				made.min++
			}
			if p.rest {
				made.max = -1
			}
		}
	}
	made.use = cmp.Or(v.Usage, made.use)
	made.flags = func(cmd *cobra.Command) {
		for _, p := range all {
			switch {
			case p.flag == "":
			case p.kind == reflect.Bool:
				at := cmd.Flags().BoolP(p.flag, p.letter, false, p.meaning)
				flags[p.name] = func() any { return *at }
			case p.kind == reflect.Int:
				usual, _ := strconv.Atoi(p.usual)
				at := cmd.Flags().IntP(p.flag, p.letter, usual, p.meaning)
				flags[p.name] = func() any { return *at }
			case p.kind == reflect.Slice:
				at := cmd.Flags().StringSliceP(p.flag, p.letter, nil, p.meaning)
				flags[p.name] = func() any { return *at }
			default:
				at := cmd.Flags().StringP(p.flag, p.letter, p.usual, p.meaning)
				flags[p.name] = func() any { return *at }
			}
		}
	}
	made.run = func(ctx context.Context, app string, given []string) error {
		args := map[string]any{}
		for _, p := range all {
			if p.app && app != "" {
				args[p.name] = app
			}
		}
		for i, p := range words {
			take := given[min(i, len(given)):min(i+1, len(given))]
			if p.rest {
				take = given[min(i, len(given)):]
			}
			if len(take) == 0 && p.file == "" && p.stdin == "" {
				continue
			}
			var err error
			if args[p.name], err = c.value(p, take); err != nil {
				return err
			}
		}
		for name, value := range flags {
			args[name] = value()
		}
		return c.do(ctx, v, app, args)
	}
	return made
}

// do calls a verb and prints its result.
func (c *cli) do(ctx context.Context, v verbs.Verb, app string, args map[string]any) error {
	if v.Attached {
		return c.attach(ctx, v.Name, args)
	}
	if v.Streams {
		return client.Follow(ctx, c.client, v.Name, args, func(item json.RawMessage) error {
			line := string(item)
			var text string
			if c.format != "json" && json.Unmarshal(item, &text) == nil {
				line = text
			}
			_, err := fmt.Fprintln(c.out, line)
			return err
		})
	}
	var raw json.RawMessage
	if err := c.ask(ctx, v.Name, args, &raw); err != nil {
		return err
	}
	if c.format == "json" {
		return c.printJSON(raw)
	}
	if v.Done != "" {
		c.say("%s", fillIn(v.Done, args, raw))
	}
	if v.Prints != "" {
		_, err := io.WriteString(c.out, strings.TrimSuffix(fillIn(v.Prints, args, raw), "\n")+"\n")
		return err
	}
	if print := shows()[v.Name]; print != nil {
		return print(c, app, raw)
	}
	if v.Done != "" {
		return nil
	}
	return asTable(printAny(v.Result))(c, app, raw)
}

var gap = regexp.MustCompile(`\{(result\.)?([a-z_]+)\}`)

// fillIn replaces {name} by an argument and {result.name} by a field of the result.
func fillIn(text string, args map[string]any, raw json.RawMessage) string {
	var result map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	decoder.Decode(&result) // fails for a result that is not an object: it has no fields
	return gap.ReplaceAllStringFunc(text, func(name string) string {
		parts := gap.FindStringSubmatch(name)
		from := args
		if parts[1] != "" {
			from = result
		}
		if value := from[parts[2]]; value != nil {
			return fmt.Sprint(value)
		}
		return ""
	})
}

// printAny prints any result as a table: a row for each element of a list, or for
// each field.
func printAny(of reflect.Type) func(*table, json.RawMessage) {
	return func(t *table, raw json.RawMessage) {
		into := reflect.New(of)
		if json.Unmarshal(raw, into.Interface()) != nil {
			t.line("%s", raw)
			return
		}
		v := into.Elem()
		switch {
		case v.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
			fields := plainFields(of.Elem())
			header := make([]any, len(fields))
			for i, f := range fields {
				header[i] = strings.ToUpper(fieldName(f))
			}
			t.header(header...)
			for i := range v.Len() {
				cells := make([]any, len(fields))
				for n, f := range fields {
					cells[n] = cell(v.Index(i).FieldByIndex(f.Index))
				}
				t.row(cells...)
			}
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				t.row(cell(v.Index(i)))
			}
		case v.Kind() == reflect.Map:
			keys := v.MapKeys()
			slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			for _, key := range keys {
				t.row(key, cell(v.MapIndex(key)))
			}
		case v.Kind() == reflect.Struct:
			for _, f := range plainFields(of) {
				t.row(fieldName(f), cell(v.FieldByIndex(f.Index)))
			}
		default:
			t.row(cell(v))
		}
	}
}

// plainFields returns the fields that fit into a cell.
func plainFields(of reflect.Type) (fields []reflect.StructField) {
	for _, f := range reflect.VisibleFields(of) {
		plain := f.Type == reflect.TypeFor[time.Time]()
		switch f.Type.Kind() {
		case reflect.Struct, reflect.Map, reflect.Pointer, reflect.Interface, reflect.Func, reflect.Chan:
		case reflect.Slice:
			plain = f.Type.Elem().Kind() == reflect.String
		default:
			plain = true
		}
		if plain && f.IsExported() && f.Tag.Get("json") != "-" && !f.Anonymous {
			fields = append(fields, f)
		}
	}
	return fields
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return strings.ReplaceAll(cmp.Or(name, strings.ToLower(f.Name)), "_", " ")
}

func cell(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Time:
		return ago(value)
	case bool:
		return onOff(value)
	case []string:
		return strings.Join(value, ", ")
	default:
		return value
	}
}
