package fleet_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/fleet"
)

// While the engine is away, what runs of the live release serves, what ends
// leaves its route, and nothing is started or stopped.
func TestRouteSurvivors_ServesWhatRunsAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(release(1, 2), false)
		w.begin()
		if err := w.boot(); err != nil {
			t.Fatal(err)
		}
		w.rest()
		w.crash()

		w.begin()
		r := w.record()
		containers, err := w.life.Host().Containers(w.life.Context)
		if err != nil {
			t.Fatal(err)
		}
		before := len(w.machine.Every())
		other := w.fleet.NewApp(70001, "empty") // nothing of it runs
		w.fleet.RouteSurvivors(w.life.Context, []fleet.Wanted{{App: w.app, Release: &r}, {App: other, Release: &r}}, containers)
		if got := w.router.Backends("shop"); len(got) != 2 {
			t.Fatalf("shop is led to %v, want both instances", got)
		}
		if apps := w.router.Apps(); slices.Contains(apps, "empty") {
			t.Errorf("%v have routes; of empty nothing runs", apps)
		}
		for _, b := range w.machine.Boxes() {
			if b.Name() == "web.1 v1" {
				b.End(fleet.Exit{Code: 1})
			}
		}
		w.rest()
		if got := w.router.Backends("shop"); len(got) != 1 {
			t.Errorf("after an end shop is led to %v, want one instance", got)
		}
		if after := len(w.machine.Every()); after != before {
			t.Errorf("%d containers were made while the engine was away", after-before)
		}
		w.crash()
	})
}
