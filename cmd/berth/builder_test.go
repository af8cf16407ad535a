package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks/plan"
)

func TestPrintPlan_TellsOfEveryLayerWhatItNeeds(t *testing.T) {
	chain := []build.PlannedLayer{
		{Layer: plan.Layer{Name: "Python toolchain", Key: strings.Repeat("a", 64), Parent: "stack", Root: true, Commands: plan.AptInstall("python3")}, Present: true},
		{Layer: plan.Layer{Name: "Python build tools", Key: strings.Repeat("b", 64), Parent: strings.Repeat("a", 64), Root: true, Build: true}, Present: true},
		{Layer: plan.Layer{
			Name: "dependencies", Key: strings.Repeat("c", 64), Parent: strings.Repeat("a", 64), Builder: strings.Repeat("b", 64),
			Inputs: []string{"requirements.txt", "a b\x1b[2J"}, Commands: []plan.Command{plan.Run("uv", "pip", "install", "it's")},
			Caches: []plan.Cache{{Name: "uv", Target: "/cache/uv"}}, Config: plan.ConfigPasses, Offline: true, Keep: []string{"dist"},
		}},
	}
	p := build.Planned{App: "shop", Commit: "4f1c9abdef", Subject: "Fix cart", Layers: chain, Plan: &plan.Plan{
		Language: "python", Summary: "Python 3.13", Versions: map[string]string{"python": "3.13"},
		Processes: []plan.Process{{Type: "web", Command: "gunicorn web:app", Inferred: true}}, Test: &plan.Test{Command: "pytest"},
	}}
	const want = `app        shop
commit     4f1c9ab Fix cart
builder    python
summary    Python 3.13
versions   python 3.13
processes  web: gunicorn web:app (inferred)
test       pytest

Python toolchain  aaaaaaaaaaaa  root, run  there
  runs     apt-get -q update
  runs     apt-get -q install -y --no-install-recommends -- python3
  runs     apt-get -q clean
  runs     find /var/lib/apt/lists /var/log -type f -delete

Python build tools  bbbbbbbbbbbb  root, build  there
  on       Python toolchain aaaaaaaaaaaa

dependencies  cccccccccccc  run  not there yet
  on       Python toolchain aaaaaaaaaaaa
  with     Python build tools bbbbbbbbbbbb
  reads    requirements.txt, a b
  runs     uv pip install 'it'\''s'
  keeps    dist
  cache    uv at /cache/uv
  config   is seen by the commands; a change of it rebuilds nothing
  network  none

source  run
  the repository, on top of the last layer that runs
`
	var out bytes.Buffer
	table := newTable(&out)
	printPlan(table, p)
	if err := table.flush(); err != nil || out.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, &out, want)
	}
}
