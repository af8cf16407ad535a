package fleet_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/fleet"
)

func TestRouteSurvivors_LeadsToWhatRunsAndStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 2), false, nil)
		made := len(w.machine.Every())
		w.crash()
		w.begin()
		r := w.record()
		containers, err := w.life.Host().Containers(w.life.Context)
		if err != nil {
			t.Fatal(err)
		}
		w.fleet.RouteSurvivors(w.life.Context, []fleet.Wanted{{App: w.app, Release: &r}}, containers)
		if got := len(w.router.Backends("shop")); got != 2 {
			t.Errorf("requests go to %d instances, want 2", got)
		}
		dead := w.web()
		dead.End(fleet.Exit{Code: 1})
		w.rest()
		if got := w.router.Backends("shop"); len(got) != 1 || slices.Contains(got, dead.Spec.ID) {
			t.Errorf("requests go to %q, and %s has ended", got, dead.Spec.ID)
		}
		if got := len(w.machine.Every()); got != made || len(w.machine.Boxes()) != made {
			t.Errorf("%d containers were made and %d are left, want %d", got, len(w.machine.Boxes()), made)
		}
		w.crash()
		w.machine.Reboot()
	})
}
