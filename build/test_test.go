package build

import (
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/store"
)

func TestTestCount_KnowsTheUsualPrograms(t *testing.T) {
	for output, want := range map[string]string{
		"===== 14 passed, 1 skipped in 0.02s =====":                                "14 passed",
		"Test Suites: 2 passed, 2 total\nTests:       14 passed, 14 total":         "14 passed",
		"\x1b[32m  14 passing\x1b[0m (12ms)":                                       "14 passed",
		"Ran 1 test in 0.000s\n\nOK":                                               "1 passed",
		"[INFO] Tests run: 3, Failures: 0\n[INFO] Tests run: 14, Failures: 0":      "14 passed",
		"14 examples, 0 failures":                                                  "14 passed",
		"14 runs, 20 assertions, 0 failures":                                       "14 passed",
		"test result: ok. 9 passed; 0 failed\ntest result: ok. 5 passed; 0 failed": "14 passed",
		"# tests 14\n# pass 14\n# fail 0":                                          "14 passed",
		"ok  \texample.com/shop\t0.003s":                                           "passed",
		"99999999999999999999 passed, " + strings.Repeat("and so on ", 10_000):     "passed",
		"": "passed",
	} {
		var c testCount
		for line := range strings.Lines(output) {
			c.Write([]byte(line))
		}
		if got := c.text(); got != want {
			t.Errorf("%.60q: got %q, want %q", output, got, want)
		}
	}
}

func TestTestEnv_HoldsNothingOfTheAppsConfig(t *testing.T) {
	made := &plan.Plan{
		Env:  map[string]string{"PATH": "/app/bin", "MODE": "run"},
		Test: &plan.Test{Command: "pytest", Env: map[string]string{"MODE": "test", "LEVEL": "language"}},
		Manifest: appjson.Manifest{
			Env:  map[string]string{"COLOR": "blue"},
			Test: appjson.Test{Env: map[string]string{"LEVEL": "app.json", "CI": "no"}, Secrets: []string{"KEY"}},
		},
	}
	env := testEnv(made)
	i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "KEY=") })
	if i < 0 || len(env[i]) != len("KEY=")+64 {
		t.Fatalf("got %q, want a secret among it", env)
	}
	env = slices.Delete(env, i, i+1)
	if want := []string{"CI=true", "LEVEL=app.json", "MODE=test", "PATH=/app/bin", "PORT=5000"}; !slices.Equal(env, want) {
		t.Errorf("got %q, want %q", env, want)
	}
	made.Manifest.Test = appjson.Test{}
	if env := testEnv(made); !slices.Contains(env, "COLOR=blue") {
		t.Errorf("got %q, want what the whole of app.json says", env)
	}
}

func TestTestSpec_StandsOnTheLayerOfTheTests(t *testing.T) {
	layers := []plan.Layer{{Key: "run"}, {Key: "dev", Build: true}}
	for name, c := range map[string]struct {
		made         plan.Plan
		parent, tree string
		commands     int
	}{
		"the image":              {plan.Plan{Layers: layers, Test: &plan.Test{Command: "x"}}, "run", "/tree", 1},
		"a layer of development": {plan.Plan{Layers: layers, Test: &plan.Test{Command: "x", Setup: "y", Layer: "dev"}}, "dev", "/tree", 2},
		"one with the source":    {plan.Plan{Layers: layers, Test: &plan.Test{Command: "x", Layer: "dev", Whole: true}}, "dev", "", 1},
		"a sealed image":         {plan.Plan{Layers: layers, Sealed: true, Test: &plan.Test{Command: "x"}}, "run", "", 1},
		"beside a sealed image":  {plan.Plan{Layers: layers, Sealed: true, Test: &plan.Test{Command: "x", Layer: "dev"}}, "dev", "/tree", 1},
	} {
		spec := testSpec(store.App{UID: 70001}, &c.made, Image{Base: c.made.Base()}, &source{path: "/tree"})
		if spec.Parent != c.parent || spec.Source != c.tree || len(spec.Commands) != c.commands || spec.UID != 70001 || spec.Limits.Memory == 0 {
			t.Errorf("%s: got %+v", name, spec)
		}
	}
}

func TestRightAligned_KeepsApartWhatDoesNotFit(t *testing.T) {
	if got := progress.RightAligned("ab", "1s", 10); got != "ab      1s" {
		t.Errorf("got %q", got)
	}
	if got := progress.RightAligned("abcdefgh", "1.0s", 10); got != "abcdefgh  1.0s" {
		t.Errorf("got %q", got)
	}
}
