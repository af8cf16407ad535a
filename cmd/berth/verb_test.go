package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
	"github.com/berthd/berth/verbs/verbstest"
)

// clones counts what was cloned.
type clones struct {
	puppet
	made *[]string
}

func (c clones) CloneApp(ctx context.Context, from, to string, deploy, storage bool, by store.User, out io.Writer) error {
	*c.made = append(*c.made, fmt.Sprintf("%s to %s, deployed: %v", from, to, deploy))
	_, err := c.CreateApp(ctx, to, by)
	return err
}

func TestAppsClone_IsACommandByItsEntry(t *testing.T) {
	var made []string
	s := newSiteOf(t, func(db *store.Store) verbstest.Everything { return clones{puppet{db: db}, &made} })
	s.berth(t, "apps:create", "shop")
	for _, c := range []struct {
		words string
		code  int
		err   string
	}{
		{"apps:clone shop", 2, "usage: berth apps:clone OLD NEW"},
		{"apps:clone shop next", 0, "git remote add next berth@example.com:next"},
		{"apps:clone --skip-deploy --ignore-existing shop review", 0, "git remote add review berth@example.com:review"},
		{"apps:clone --skip-deploy --ignore-existing shop review", 0, "git remote add review berth@example.com:review"},
		{"apps:clone shop next", 5, "[E102]"},
		{"apps:clone --ignore-existing none next", 3, "[E101]"},
	} {
		if got := s.berth(t, strings.Fields(c.words)...); got.code != c.code || got.out != "" || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: got %+v, want %d %s", c.words, got, c.code, c.err)
		}
	}
	if want := []string{"shop to next, deployed: true", "shop to review, deployed: false", "shop to next, deployed: true"}; !slices.Equal(made, want) {
		t.Errorf("got %q, want %q", made, want)
	}
	ofShop := store.User{Name: "sam", Role: store.RoleDeploy, Apps: []string{"shop"}}
	if got := s.as(t, ofShop, "", "apps:clone", "shop", "mine"); got.code != 4 {
		t.Errorf("by a key of one app: got %+v, want exit code 4", got)
	}
}

// A verb without a line in this package is a command: its words, usage, flags
// and the form of its result come from its entry.
func TestCommands_OfAVerbAlone(t *testing.T) {
	s := newSite(t)
	s.berth(t, "apps:create", "shop")
	s.berth(t, "config:set", "shop", "COLOR=blue", "SIZE=xl")
	for words, want := range map[string]string{
		"config:keys shop":               "COLOR\nSIZE\n",
		"config:keys -a shop":            "COLOR\nSIZE\n",
		"config:keys shop --format json": "[\n  \"COLOR\",\n  \"SIZE\"\n]\n",
	} {
		if got := s.berth(t, strings.Fields(words)...); got.code != 0 || got.out != want {
			t.Errorf("%s: got %+v, want %q", words, got, want)
		}
	}
	if got := s.berth(t, "config:keys"); got.code != 2 {
		t.Errorf("without an app: got %+v, want exit code 2", got)
	}
}

func TestFromVerb_ReadsUsageFromTheArguments(t *testing.T) {
	type args struct {
		App   string   `json:"app" cli:"OLD"`
		To    string   `json:"to" cli:"NEW"`
		Sizes []string `json:"sizes" cli:"[SIZE ...]"`
		Limit int      `json:"limit" flag:"num,n" default:"15" help:"how many"`
		Deep  bool     `json:"deep" flag:"deep"`
		Quiet string   `json:"quiet"`
	}
	cmd := (&cli{}).fromVerb(verbs.Verb{Name: "apps:copy", Args: reflect.TypeFor[args]()})
	if cmd.use != "apps:copy OLD NEW [SIZE ...]" || cmd.min != 1 || cmd.max != -1 || cmd.noApp || cmd.maybeApp {
		t.Errorf("got %q, %d to %d words, app %v %v", cmd.use, cmd.min, cmd.max, !cmd.noApp, cmd.maybeApp)
	}
}

func TestPrintAny_ShowsListsAndRecords(t *testing.T) {
	type record struct {
		Name   string            `json:"name"`
		At     time.Time         `json:"made_at"`
		Hosts  []string          `json:"hosts"`
		Nested struct{ X int }   `json:"nested"`
		Map    map[string]string `json:"map"`
		On     bool              `json:"on"`
	}
	one := record{Name: "shop\x1b[2J", At: time.Now().Add(-3 * time.Minute), Hosts: []string{"a", "b"}, On: true}
	for _, c := range []struct {
		result any
		want   string
	}{
		{one, "name     shop\nmade at  3m ago\nhosts    a, b\non       on\n"},
		{[]record{one}, "NAME  MADE AT  HOSTS  ON\nshop  3m ago   a, b   on\n"},
		{[]string{"x", "y"}, "x\ny\n"},
		{map[string]int{"b": 2, "a": 1}, "a  1\nb  2\n"},
	} {
		raw, err := json.Marshal(c.result)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		table := newTable(&out)
		printAny(reflect.TypeOf(c.result))(table, raw)
		if table.flush(); out.String() != c.want {
			t.Errorf("got\n%swant\n%s", &out, c.want)
		}
	}
}

// A secret comes from a file or from standard input, and its line has no end.
func TestFromVerb_ReadsSecretsFromStdin(t *testing.T) {
	s := newSite(t)
	public, err := exec.Command("sh", "-c", "d=$(mktemp -d) && ssh-keygen -q -t ed25519 -N '' -C ada@laptop -f $d/k && cat $d/k.pub; rm -r $d").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.as(t, store.Root, string(public), "ssh-keys:add"); got.code != 0 || !strings.Contains(got.err, "with the role admin") {
		t.Errorf("a key without a name: %+v", got)
	}
	s.berth(t, "apps:create", "shop")
	if got := s.as(t, store.Root, string(public), "ssh-keys:add", "ada@laptop", "--role", "deploy", "-a", "shop", "--app", "blog"); got.code == 0 || !strings.Contains(got.err, "[E") {
		t.Errorf("an app that is not there: %+v", got)
	}
	var err2 bytes.Buffer
	c := &cli{client: s.server.Client(store.Root), in: strings.NewReader(string(public)), out: io.Discard, err: &err2, term: &terminal{}}
	if code := c.run(t.Context(), []string{"ssh-keys:add"}); code != 0 || !strings.Contains(err2.String(), "paste the public key, then press Ctrl-D") || !strings.Contains(err2.String(), "updated the key") {
		t.Errorf("at a terminal: %d %s", code, &err2)
	}
}

func TestTopics_HaveEveryCommandOnce(t *testing.T) {
	c := &cli{local: true}
	count := map[string]int{}
	for _, topic := range c.topics() {
		for _, cmd := range topic.commands {
			count[cmd.name()]++
		}
	}
	for _, cmd := range c.written() {
		count[cmd.name()] += 0
	}
	for _, v := range verbs.All() {
		if !v.Hidden {
			count[v.Name] += 0
		}
	}
	for name, n := range count {
		if n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	}
}
