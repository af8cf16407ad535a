package deploy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/store"
)

func processes(types ...string) (made *plan.Plan, release store.Release) {
	made = &plan.Plan{}
	for _, kind := range types {
		made.Processes = append(made.Processes, plan.Process{Type: kind, Command: "true"})
		release.Processes = append(release.Processes, store.Process{Type: kind, Command: "true"})
	}
	return made, release
}

func TestSettle_AProcessThatIsTheOnlyOneIsStarted(t *testing.T) {
	for _, tt := range []struct {
		types     []string
		manifest  map[string]int
		formation map[string]int
		want      string // instances of "worker"
	}{
		{types: []string{"worker"}, want: "1"},
		{types: []string{"release", "worker", "console"}, want: "1"},
		{types: []string{"worker"}, formation: map[string]int{"worker": 0}, want: "0"}, // somebody has scaled it
		{types: []string{"worker"}, manifest: map[string]int{"worker": 0}, want: "0"},
		{types: []string{"worker"}, manifest: map[string]int{"worker": 3}, want: "3"},
		{types: []string{"web", "worker"}, want: "0"},
		{types: []string{"worker", "clock"}, want: "0"},
		{types: []string{"release"}, want: "0"},
	} {
		made, _ := processes(tt.types...)
		made.Manifest = appjson.Manifest{Formation: tt.manifest}
		app := store.App{Formation: tt.formation}
		settle(&app, app, made)
		if got := fmt.Sprint(app.Instances("worker")); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt, got, tt.want)
		}
	}
}

func TestRoll_SaysWhatDoesNotRunAndHowToStartIt(t *testing.T) {
	for _, tt := range []struct {
		types     []string
		formation map[string]int
		stopped   bool
		want      []string
		not       string
	}{
		{types: []string{"worker", "clock"}, want: []string{"warning: v1 is released, but nothing runs: worker, clock scaled to 0", "ps:scale shop worker=1 clock=1"}, not: "success"},
		{types: []string{"web"}, formation: map[string]int{"web": 0}, want: []string{"nothing runs: web scaled to 0", "ps:scale shop web=1"}, not: "https://"},
		{types: []string{"release"}, want: []string{"nothing runs: it has no process", "Procfile"}, not: "success"},
		{types: []string{"web"}, stopped: true, want: []string{"shop stays stopped", "ps:start shop"}, not: "live"},
	} {
		d := newDeployer(t)
		record, a := shop(t, d)
		_, release := processes(tt.types...)
		release.App, release.Number, release.CreatedAt = "shop", 1, time.Now()
		record.Formation, record.Stopped = tt.formation, tt.stopped
		if err := d.db.Update(func(tx *store.Tx) error { return tx.PutApp(record) }); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		out := progress.New(&said)
		with := rollout{} // a release command is another test's
		if err := d.rollTo(t.Context(), a, record, release, out, with); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%v: got %s, want %q", tt.types, said.String(), want)
			}
		}
		if strings.Contains(said.String(), tt.not) {
			t.Errorf("%v: got %s, without %q", tt.types, said.String(), tt.not)
		}
	}
}
