package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault/code"
)

// explain has no client: to ask a daemon would panic.
func explain(t *testing.T, words ...string) answer {
	t.Helper()
	var out, err bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &out, err: &err, local: true}
	return answer{c.run(t.Context(), append([]string{"explain"}, words...)), out.String(), err.String()}
}

func TestExplain_NeedsNoDaemonAndTakesACodeAsPeopleWriteIt(t *testing.T) {
	want := explain(t, "E301")
	if want.code != 0 || !strings.HasPrefix(want.out, "E301: An instance did not become healthy in time.\n\n") || want.err != "" {
		t.Fatalf("got %+v", want)
	}
	if n := strings.Count(want.out, "\n"); n < 4 {
		t.Errorf("got %d lines, want the help too:\n%s", n, want.out)
	}
	for _, word := range []string{"e301", "301", "[E301]"} {
		if got := explain(t, word); got != want {
			t.Errorf("%s: got %+v, want %+v", word, got, want)
		}
	}
	if got := explain(t, "E507"); !strings.Contains(got.out, "\ninstall.sh prints this code too.\n") {
		t.Errorf("a code of a script: got %s", got.out)
	}
}

func TestExplain_WithoutACodeListsAll(t *testing.T) {
	got := explain(t)
	lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
	all := code.All()
	if got.code != 0 || len(lines) != len(all) {
		t.Fatalf("got %d and %d lines, want 0 and %d", got.code, len(lines), len(all))
	}
	for i, e := range all {
		if lines[i] != e.Code+"  "+e.Sentence {
			t.Errorf("got %q, want %s and its sentence", lines[i], e.Code)
		}
	}
}

func TestExplain_AnUnknownCodeIsAFault(t *testing.T) {
	for _, word := range []string{"E999", "shop", "", "E301\x1b[2J"} {
		if got := explain(t, word); got.code != 2 || got.out != "" || !strings.Contains(got.err, "[E151]") ||
			!strings.Contains(got.err, "\nhint: ") || strings.Contains(got.err, "\x1b") {
			t.Errorf("%q: got %+v", word, got)
		}
	}
	if got := explain(t, "E301", "E302"); got.code != 2 || !strings.Contains(got.err, "E302") {
		t.Errorf("two codes: got %+v", got)
	}
}

func TestExplain_FormatJSON(t *testing.T) {
	var one code.Entry
	if got := explain(t, "E302", "--format", "json"); json.Unmarshal([]byte(got.out), &one) != nil || one.Code != "E302" || one.Help == "" {
		t.Errorf("one: got %+v", got)
	}
	var all []code.Entry
	if got := explain(t, "--format", "json"); json.Unmarshal([]byte(got.out), &all) != nil || !slices.Equal(all, code.All()) {
		t.Errorf("all: got %.200s", got.out)
	}
}

func TestExplain_IsThereOverSSHForWhoMayOnlyRead(t *testing.T) {
	s := newSite(t)
	reader := store.User{Name: "eve", Role: store.RoleRead, Apps: []string{"shop"}}
	if got, want := s.as(t, reader, "", "explain", "301"), explain(t, "301"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := s.as(t, reader, "", "help"); !strings.Contains(got.out, "  explain [CODE]") {
		t.Errorf("help does not list it:\n%s", got.out)
	}
}

// A renamed command would leave help that sends people astray.
func TestExplain_NamesOnlyCommandsAndFlagsThatThereAre(t *testing.T) {
	c := &cli{local: true}
	root := c.tree()
	quoted, seen := regexp.MustCompile("`(?:sudo |ssh berth@HOST \"?|berth )([a-z][a-z:-]*)([^`]*)`"), 0
	for _, e := range code.All() {
		for _, m := range quoted.FindAllStringSubmatch(e.Help, -1) {
			if m[1] == "berth" || m[1] == "ssh" { // sudo berth serve
				continue
			}
			if m[1] == "help" { // cobra's, of the command that follows
				if m[1] = strings.TrimSpace(m[2]); m[1] == "" || m[1] == "COMMAND" {
					continue
				}
			}
			seen++
			cmd, _, err := root.Find([]string{m[1]})
			if err != nil || cmd == root {
				t.Errorf("%s: berth has no command %s (%s)", e.Code, m[1], m[0])
				continue
			}
			cmd.InitDefaultHelpFlag()
			for _, flag := range regexp.MustCompile(`--([a-z][a-z-]*)`).FindAllStringSubmatch(m[2], -1) {
				// The keys of a report are flags, too; only the report knows them.
				if cmd.Flag(flag[1]) == nil && !strings.HasSuffix(m[1], ":report") {
					t.Errorf("%s: berth %s has no flag --%s (%s)", e.Code, m[1], flag[1], m[0])
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("found %d commands: does this test read the help?", seen)
	}
}

func TestParagraph_KeepsCommandsWhole(t *testing.T) {
	got := paragraph("Run it again with `berth apps:list --format json` and see.", 30)
	want := []string{"Run it again with", "`berth apps:list --format json`", "and see."}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, e := range code.All() {
		if text := strings.Join(paragraph(e.Help, 78), " "); text != e.Help {
			t.Errorf("%s: got  %q\nwant %q", e.Code, text, e.Help)
		}
	}
}
