package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// awkward is config whose values are hard to write down.
var awkward = map[string]string{
	"A": "it's", "B": `"quoted"`, "C": "two\nlines\n", "D": `back\slash\n`, "E": "$HOME `id` $(id) !x", "F": "", "G": "'",
	"H": "a\r\nb\r", "I": " padded ", "J": "#not a comment", "K": "ü 🚢", "L": `\!`, "M": "tab\there", "N": "''\\''", "O": "export X=1",
	"P": "\x1b[31m", "Q": `ends in \`, "R": "\ufeffmark", "S": "{", "T": "=", "U": "abc!def",
}

func TestExport_ComesBackByteForByte(t *testing.T) {
	for _, form := range []string{"shell", "exports", "env", "envfile", "json", "json-list"} {
		var out bytes.Buffer
		if err := exports[form](&out, awkward); err != nil {
			t.Fatal(err)
		}
		for _, named := range []string{"", form} {
			got, err := parseForm(named, out.String())
			if err != nil || !maps.Equal(got, awkward) {
				t.Errorf("%s: got %q, %v\nof %s", form, got, err, out.String())
			}
		}
	}
}

// dokkus write config as Dokku does: envfile as godotenv's Marshal, the others by
// their single quotes.
var dokkus = map[string]func(config map[string]string) string{
	"envfile": func(config map[string]string) string {
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(config)) {
			value := config[name]
			if n, err := strconv.Atoi(value); err == nil && strconv.Itoa(n) == value {
				lines = append(lines, name+"="+value)
				continue
			}
			for _, c := range []string{"\\", "\n", "\r", `"`, "!", "$", "`"} {
				to := `\` + c
				switch c {
				case "\n":
					to = `\n`
				case "\r":
					to = `\r`
				}
				value = strings.ReplaceAll(value, c, to)
			}
			lines = append(lines, name+`="`+value+`"`)
		}
		return strings.Join(lines, "\n") + "\n"
	},
	"exports": func(config map[string]string) string { return dokkuWords(config, "export ", "\n") + "\n" },
	"shell":   func(config map[string]string) string { return dokkuWords(config, "", " ") + " " },
}

func dokkuWords(config map[string]string, prefix, between string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(config)) {
		words = append(words, prefix+name+"='"+strings.ReplaceAll(config[name], "'", `'\''`)+"'")
	}
	return strings.Join(words, between)
}

// Whatever the values are made of, what berth writes and what Dokku writes are read
// back byte for byte.
func TestExport_AnyValueComesBack(t *testing.T) {
	pieces := []string{
		"'", `"`, "\n", "\r", "\r\n", "$", "${A}", "$(id)", "`", "!", `\!`, `\`, `\\`, `\n`, `'\''`, "#", " #", " ", "\t", "=", "A=", " B='x'", "export ",
		"ü", "🚢", "\ufeff", "\x1b", "{", "[", "}", "]", ",", "5", "-1", "x", "", "\u2028", ";", "&&", "--env=", "%s",
	}
	random := rand.New(rand.NewPCG(11, 5))
	config := map[string]string{"HUGE": strings.Repeat(`it's "100 kB" of \! $x`+"\n", 4400), "EMPTY": ""}
	for n := range 400 {
		var value strings.Builder
		for range random.IntN(9) {
			value.WriteString(pieces[random.IntN(len(pieces))])
		}
		config[fmt.Sprintf("V%d", n)] = value.String()
	}
	back := func(who string, written, form string, want map[string]string) {
		t.Helper()
		for _, named := range []string{"", form} {
			got, err := parseForm(named, written)
			if err != nil {
				t.Errorf("%s, %s: %v", who, form, err)
			}
			for name, value := range want {
				if got[name] != value && err == nil {
					t.Errorf("%s, %s: %s came back as %.200q, want %.200q", who, form, name, got[name], value)
				}
			}
			if err == nil && len(got) != len(want) {
				t.Errorf("%s, %s: %d variables came back, want %d", who, form, len(got), len(want))
			}
		}
	}
	for _, form := range []string{"shell", "exports", "envfile", "json", "json-list"} {
		var out bytes.Buffer
		if err := exports[form](&out, config); err != nil {
			t.Fatal(err)
		}
		back("berth", out.String(), form, config)
	}
	for form, write := range dokkus {
		back("Dokku", write(config), form, config)
	}
	for name, value := range config { // each alone, too: an end of lines may be the value's
		one := map[string]string{name: value}
		for _, form := range []string{"shell", "exports", "envfile", "json", "json-list"} {
			var out bytes.Buffer
			if err := exports[form](&out, one); err != nil {
				t.Fatal(err)
			}
			back("berth", out.String(), form, one)
		}
		for _, form := range []string{"envfile", "exports"} {
			back("Dokku", dokkus[form](one), form, one)
		}
	}
}

func TestParseForm_Refuses(t *testing.T) {
	for _, c := range []struct{ form, text, want string }{
		{"toml", "A=1", "no format"},
		{"json", "A=1", "begins as JSON"},
		{"json-list", `{"A":"1"}`, "where it must not"},
		{"json-list", `[{"name":"A","value":5}]`, "where it must not"},
		{"json-list", `[{"name":"A"}]`, "no name or no value"},
		{"", `[{"name":"A","value":"1"},{"name":"A","value":"2"}]`, "second time"},
		{"shell", "A='x'B='y'", "goes on after"},
		{"shell", "A='x' A='y'", "second time"},
		{"shell", "A='x' 9='y'", "goes on after"},
	} {
		if got, err := parseForm(c.form, c.text); fault.From(err) == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %q, %v, want %q", c.form, c.text, got, err, c.want)
		}
	}
}

func TestBundle_HasAFileForEachVariable(t *testing.T) {
	var out bytes.Buffer
	if err := bundle(&out, awkward); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	in := tar.NewReader(&out)
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(in)
		if err != nil || h.Mode != 0o600 {
			t.Errorf("%s: mode %o, %v", h.Name, h.Mode, err)
		}
		got[h.Name] = string(raw)
	}
	if !maps.Equal(got, awkward) {
		t.Errorf("got %q", got)
	}
}

func TestConfigCommands_AreDokkus(t *testing.T) {
	s := newSite(t)
	s.berth(t, "apps:create", "shop")
	for _, c := range []struct {
		words, in string
		code      int
		out, err  string
	}{
		{"config:set --encoded shop --no-restart COLOR=Ymx1ZQ== EMPTY=", "", 0, "", "set for the next release or restart of shop"},
		{"config:get shop COLOR", "", 0, "blue\n", ""},
		{"config:set shop --encoded COLOR=%%%", "", 2, "", "[E219]"},
		{"config:set shop --encoded COLOR=/w==", "", 2, "", "[E219]"},
		{"config:set --global TZ=UTC COLOR=red", "", 0, "", "ps:restart --all"},
		{"config:set TZ=CET --global", "", 0, "", "for all apps"},
		{"config:get --global TZ", "", 0, "CET\n", ""},
		{"config:get TZ --global --quoted", "", 0, "'CET'\n", ""},
		{"config:get shop TZ", "", 3, "", "[E154]"},
		{"config:get shop TZ --merged", "", 0, "CET\n", ""},
		{"config:get --global NONE", "", 3, "", "config:show --global"},
		{"config:show shop --merged", "", 0, "COLOR  blue\nEMPTY  -\nTZ     CET\n", ""},
		{"config:show --global", "", 0, "COLOR  red\nTZ     CET\n", ""},
		{"config:keys shop --merged", "", 0, "COLOR\nEMPTY\nTZ\n", ""},
		{"config:keys --global", "", 0, "COLOR\nTZ\n", ""},
		{"--app shop config:keys shop", "", 0, "COLOR\nEMPTY\n", ""},
		{"--app shop config:keys --global", "", 2, "", "not both"},
		{"config:show", "", 2, "", "or --global"},
		{"config:get shop", "", 2, "", "missing an argument"},
		{"config:export shop --format shell", "", 0, "COLOR='blue' EMPTY=''\n", ""},
		{"config:export --global --format exports", "", 0, "export COLOR='red'\nexport TZ='CET'\n", ""},
		{"config:export shop --merged --format pack-keys", "", 0, "--env COLOR --env EMPTY --env TZ\n", ""},
		{"config:export shop --format pretty", "", 0, "COLOR:  blue\nEMPTY:  -\n", ""},
		{"config:export shop --format toml", "", 2, "", "pack-keys"},
		{"config:import shop --no-restart", "A='it'\\''s'\n", 0, "", "next release or restart"},
		{"config:get shop A", "", 0, "it's\n", ""},
		{"config:import shop - --replace --format json", `{"B":"2"}`, 0, "", ""},
		{"config:keys shop", "", 0, "B\n", ""},
		{"config:import shop --replace", "# nothing\n", 2, "", "[E220]"},
		{"config:keys shop", "", 0, "B\n", ""},
		{"config:clear shop", "", 0, "", ""},
		{"config:keys shop", "", 0, "", ""},
		{"config:unset --global COLOR", "", 0, "", ""},
		{"config:clear --global --no-restart", "", 0, "", ""},
		{"config:keys --global", "", 0, "", ""},
	} {
		got := s.as(t, store.Root, c.in, strings.Fields(c.words)...)
		if got.code != c.code || got.out != c.out || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: got %+v, want %d %q %q", c.words, got, c.code, c.out, c.err)
		}
	}
}

func TestExport_ShellsReadIt(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		for form, prefix := range map[string]string{"shell": "", "exports": "", "docker-args": "set -- "} {
			var out bytes.Buffer
			if err := exports[form](&out, awkward); err != nil {
				t.Fatal(err)
			}
			for name, value := range awkward {
				print := "\nprintf %s \"$" + name + "\""
				if form == "docker-args" {
					print = "\nfor a; do case $a in --env=" + name + "=*) printf %s \"${a#--env=" + name + "=}\";; esac; done"
				}
				got, err := exec.Command(shell, "-c", prefix+out.String()+print).CombinedOutput()
				if err != nil || string(got) != value {
					t.Errorf("%s, %s: %s is %q, %v; want %q", shell, form, name, got, err, value)
				}
			}
		}
	}
}

func TestParseSettings_WhatDokkuWrites(t *testing.T) {
	got, err := parseSettings("export Q='it'\\''s'\nA=\"abc\\!def\"\nB='a'\"'\"'b' # shlex\nC=\"x\"'y'\\z\n")
	if want := map[string]string{"Q": "it's", "A": "abc!def", "B": "a'b", "C": "xyz"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for text, want := range map[string]string{
		`{"A": 5}`:         "has to be a string",
		`{"A": "1"`:        "begins as JSON",
		"A='x'\\":          "goes on after",
		"A='x'\\\nB=1":     "goes on after",
		"A='x'\"y":         "never closed",
		`{"A": {"b":"c"}}`: "has to be a string",
	} {
		if _, err := parseSettings(text); fault.From(err) == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// pieces counts the writes that it gets.
type pieces struct {
	bytes.Buffer
	writes int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.writes++
	return p.Buffer.Write(b)
}

func TestTable_IsWrittenAtOnceWithALineForEachRow(t *testing.T) {
	var out pieces
	table := newTable(&out)
	for n := range 50 {
		table.row(n, "two\nlines", "l1\r\nl2", "\x1b[31mred")
	}
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); out.writes != 1 || lines != 50 || !strings.Contains(out.String(), `two\nlines  l1\nl2`) || strings.Contains(out.String(), "\x1b") {
		t.Errorf("got %d writes, %d lines: %.200q", out.writes, lines, out.String())
	}
}

func TestConfigShow_AValueHasALine(t *testing.T) {
	for value, want := range map[string]string{
		"plain": "plain", "it's": "it's", "l1\nl2": `"l1\nl2"`, `"l1\nl2"`: `"\"l1\\nl2\""`, "\x1b[2J": `"\x1b[2J"`, `C:\new`: `C:\new`,
	} {
		if got := oneLineValue(value); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

func TestReleases_AListIsShort(t *testing.T) {
	names := make([]string, 2700)
	for n := range names {
		names[n] = fmt.Sprintf("NAME_%d", n)
	}
	if got := brief("Set " + strings.Join(names, ", ")); len([]rune(got)) > 100 {
		t.Errorf("got %d letters: %s", len([]rune(got)), got)
	}
}

func TestUnknown_ACommandThatThereIsNotIsNamedWhateverItsFlags(t *testing.T) {
	for line, want := range map[string]string{
		"nosuch --force":       `no command "nosuch"`,
		"--force nosuch":       `no command "nosuch"`,
		"-a shop nosuch -x":    `no command "nosuch"`,
		"ps:scal shop --x":     `did you mean "ps:scale"`,
		"config:shw shop -n 3": `did you mean "config:show"`,
		"apps:list --colour":   "unknown flag: --colour",
		"--colour":             "unknown flag: --colour",
	} {
		var said bytes.Buffer
		c := &cli{out: &said, err: &said, in: strings.NewReader("")}
		code := c.run(t.Context(), strings.Fields(line))
		if code != int(fault.Usage) || !strings.Contains(said.String(), want) || strings.Contains(said.String(), "berth berth") {
			t.Errorf("%s: got exit %d: %s; want %q", line, code, said.String(), want)
		}
	}
}
