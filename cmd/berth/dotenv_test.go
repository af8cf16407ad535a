package main

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"

	"github.com/berthd/berth/store/fault"
)

// awkward is config whose values are hard to write down.
var awkward = map[string]string{
	"A": "it's", "B": `"quoted"`, "C": "two\nlines\n", "D": `back\slash\n`, "E": "$HOME `id` $(id) !x", "F": "", "G": "'",
	"H": "a\r\nb\r", "I": " padded ", "J": "#not a comment", "K": "ü 🚢", "L": `\!`, "M": "tab\there", "N": "''\\''", "O": "export X=1",
	"P": "\x1b[31m", "Q": `ends in \`, "R": "\ufeffmark", "S": "{", "T": "=", "U": "abc!def",
}

func TestExport_ComesBackByteForByte(t *testing.T) {
	for _, form := range []string{"shell", "exports", "env", "envfile", "json"} {
		var out bytes.Buffer
		if err := exports[form](&out, awkward); err != nil {
			t.Fatal(err)
		}
		got, err := parseSettings(out.String())
		if err != nil || !maps.Equal(got, awkward) {
			t.Errorf("%s: got %q, %v\nof %s", form, got, err, out.String())
		}
	}
}

func TestExport_ShellsReadIt(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		for form, prefix := range map[string]string{"shell": "", "docker-args": "set -- "} {
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
