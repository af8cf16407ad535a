package plan

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/source"
)

func TestKeys_EveryFieldOfALayerCounts(t *testing.T) {
	c := &Chain{Request: Request{FS: fstest.MapFS{"a": {Data: []byte("1")}, "b": {Data: []byte("1")}}, Digest: "tree", Owner: "me"}, config: "config"}
	base := Layer{Name: "n", Parent: "p", Builder: "q", Inputs: []string{"a"}, Commands: []Command{{Args: []string{"x", "y"}, Dir: "/"}}, Env: []string{"A=1"}, Caches: []Cache{{"c", "/c"}}}
	seen := map[string]string{}
	for name, change := range map[string]func(*Layer){
		"base":    func(*Layer) {},
		"name":    func(l *Layer) { l.Name = "m" },
		"parent":  func(l *Layer) { l.Parent = "o" },
		"builder": func(l *Layer) { l.Builder = "r" },
		"root":    func(l *Layer) { l.Root = true },
		"build":   func(l *Layer) { l.Build = true },
		"input":   func(l *Layer) { l.Inputs = []string{"b"} }, // same content, another path
		"tree":    func(l *Layer) { l.Inputs = []string{"."} },
		"joined":  func(l *Layer) { l.Commands = []Command{{Args: []string{"x y"}, Dir: "/"}} },
		"two": func(l *Layer) {
			l.Commands = []Command{{Args: []string{"x"}, Dir: "/"}, {Args: []string{"y"}, Dir: "/"}}
		},
		"dir":      func(l *Layer) { l.Commands = []Command{{Args: []string{"x", "y"}, Dir: "/app"}} },
		"env":      func(l *Layer) { l.Env = []string{"A=2"} },
		"cache":    func(l *Layer) { l.Caches = []Cache{{"d", "/c"}} },
		"target":   func(l *Layer) { l.Caches = []Cache{{"c", "/d"}} },
		"source":   func(l *Layer) { l.Source = true },
		"keep":     func(l *Layer) { l.Keep = []string{"dist"} },
		"offline":  func(l *Layer) { l.Offline = true },
		"passes":   func(l *Layer) { l.Config = ConfigPasses },
		"bakes":    func(l *Layer) { l.Config = ConfigBakes },
		"no cache": func(l *Layer) { l.Caches = nil },
	} {
		l := base
		change(&l)
		key, err := c.key(l)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[key] = name
	}
	told := base
	told.Passes, told.Failure = []string{"HTTP_PROXY"}, &source.Problem{}
	if key, _ := c.key(told); seen[key] != "base" {
		t.Error("what does not decide of the content changed the key")
	}
}

func TestOverview_FitsTheWidth(t *testing.T) {
	plan := &Plan{Processes: []Process{{Type: "web", Command: "gunicorn web:app", Inferred: true}}}
	plan.Manifest.Cron = make([]appjson.CronEntry, 2)
	if got, want := plan.Overview(65), []string{"web: gunicorn web:app (inferred)   cron: 2 jobs (app.json)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	plan.Processes = append(plan.Processes, Process{Type: "worker", Command: strings.Repeat("x", 100)})
	for _, line := range plan.Overview(65) {
		if len(line) > 65 {
			t.Errorf("%q is %d wide", line, len(line))
		}
	}
}

func TestPlan_WithoutLayersStandsOnTheStack(t *testing.T) {
	if got := (&Plan{stack: "stack"}).Base(); got != "stack" {
		t.Errorf("a plan without layers stands on %q, want the stack", got)
	}
}

func TestTest_AppJSONHasTheLastWordAndTheLanguageTheLayer(t *testing.T) {
	const named = `{"environments": {"test": {"scripts": {"test": "make check", "test-setup": "make db"}}}}`
	for name, c := range map[string]struct {
		manifest string
		asked    bool
		language *Test // what the language sets when it is asked to
		want     *Test
		notes    int
	}{
		"nobody wants tests":               {`{}`, false, &Test{Command: "pytest"}, nil, 0},
		"the operator does":                {`{}`, true, &Test{Command: "pytest", Layer: "l"}, &Test{Command: "pytest", Layer: "l"}, 0},
		"the operator does, none is known": {`{}`, true, nil, nil, 2},
		"app.json names them":              {named, false, nil, &Test{Command: "make check", Setup: "make db"}, 0},
		"both":                             {named, true, &Test{Command: "pytest", Layer: "l"}, &Test{Command: "make check", Setup: "make db", Layer: "l"}, 0},
	} {
		p, chain, err := Begin(Request{FS: fstest.MapFS{"app.json": {Data: []byte(c.manifest)}}, Test: c.asked})
		if err != nil {
			t.Fatal(err)
		}
		if chain.WantsTest() {
			p.Test = c.language
		}
		p.End(chain)
		if !reflect.DeepEqual(p.Test, c.want) || len(p.Notes) != c.notes {
			t.Errorf("%s: got %+v with notes %q, want %+v and %d notes", name, p.Test, p.Notes, c.want, c.notes)
		}
	}
}

func TestPlan_IsTheSameAfterJSON(t *testing.T) {
	before := Plan{Language: "x", Layers: []Layer{{Name: "a", Key: "k", Root: true, Config: ConfigBakes, Commands: []Command{Run("ls")}, Caches: []Cache{{"c", "/c"}}}},
		Processes: []Process{{Type: "web", Command: "y", Inferred: true}}, Test: &Test{Command: "t"}}
	raw, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	var after Plan
	if err := json.Unmarshal(raw, &after); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("got %+v, %v\nwant %+v\nfrom %s", after, err, before, raw)
	}
}
