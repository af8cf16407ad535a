package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/store"
)

func contextFor(w *world, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(w.life.Context, d)
}

// web returns a container of a web instance.
func (w *world) web() *fleettest.Box {
	boxes := w.machine.Boxes()
	return boxes[slices.IndexFunc(boxes, func(b *fleettest.Box) bool { return strings.HasPrefix(b.Name(), "web.") })]
}

// launches returns the pauses between the end of each container of a slot and
// the launch of the next.
func launches(w *world, slot string, runs time.Duration) (pauses []time.Duration) {
	var last time.Time
	for _, b := range w.machine.Every() {
		if at := b.Launched(); strings.HasPrefix(b.Name(), slot+" ") && !at.IsZero() {
			if !last.IsZero() {
				pauses = append(pauses, at.Sub(last)-runs)
			}
			last = at
		}
	}
	return pauses
}

func TestSupervise_PausesGrowInACrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs = 3 * time.Second // it is up for two of them
		w := newWorld(release(1, 1), false)
		w.machine.SetProgram(func(spec fleet.Spec, _ fleet.Command) fleettest.Program {
			if spec.Labels[fleet.LabelProcess] == "worker" {
				return fleettest.Program{Listens: -1, Ends: runs, Exit: fleet.Exit{Code: 3}}
			}
			return fleettest.Program{}
		})
		w.begin()
		if err := w.boot(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		pauses := launches(w, "worker.1", runs)
		if len(pauses) < 12 {
			t.Fatalf("restarted %d times in an hour: %v", len(pauses), pauses)
		}
		for n, pause := range pauses {
			want := 5 * time.Minute
			if n < 10 {
				want = []time.Duration{0, 1, 2, 4, 8, 16, 32, 64, 128, 256}[n] * time.Second
			}
			if pause < want || pause > want+200*time.Millisecond {
				t.Errorf("the pause before restart %d is %v, want %v", n+1, pause, want)
			}
		}
		if got := len(w.machine.Boxes()); got > 3 {
			t.Errorf("%d containers are left of a crash loop", got)
		}
		if got := w.journal.Events("fell"); len(got) > 0 {
			t.Errorf("a release that was there at the start fell over: %q", got)
		}
		w.crash()
		w.machine.Reboot()
	})
}

func TestSupervise_CrashesAreForgottenAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 1), false, func(fleet.Spec, fleet.Command) fleettest.Program {
			return fleettest.Program{Ends: 11 * time.Minute, Exit: fleet.Exit{Code: 1}}
		})
		time.Sleep(2 * time.Hour)
		for _, i := range w.app.Instances(t.Context()) {
			if i.Restarts > 1 {
				t.Errorf("%s counts %d crashes in a row", i.Name, i.Restarts)
			}
		}
		if n := len(w.journal.Events("heal")); n < 18 {
			t.Errorf("healed %d times in two hours", n)
		}
		w.crash()
		w.machine.Reboot()
	})
}

func TestTrial_AReleaseThatFallsOverGivesWayToTheOneBefore(t *testing.T) {
	for _, stopFirst := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := begun(t, release(1, 2), stopFirst, of("2", fleettest.Program{Ends: 5 * time.Second, Exit: fleet.Exit{Code: 3}}))
			fell := 0
			w.journal.Fell = func(a *fleet.App, trial fleet.Trial, _ string) {
				if fell++; trial.Release != 2 || trial.Before != 1 {
					t.Errorf("v%d fell over, and v%d was there before", trial.Release, trial.Before)
				}
				if err := a.Converge(w.life.Context, w.change(release(3, 2))); err != nil {
					t.Error(err)
				}
			}
			c := w.change(release(2, 2))
			c.Trial = &fleet.Trial{Release: 2, Before: 1}
			if err := w.app.Converge(w.life.Context, c); err != nil {
				t.Fatal(err)
			}
			w.rest()
			if fell != 1 {
				t.Errorf("it fell over %d times", fell)
			}
			if n := w.record().Number; n != 3 {
				t.Errorf("v%d is live", n)
			}
			w.ends(t)
		})
	}
}

func TestTrial_IsOverAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 1), false, of("2", fleettest.Program{Ends: 61 * time.Second, Exit: fleet.Exit{Code: 3}}))
		c := w.change(release(2, 1))
		c.Trial = &fleet.Trial{Release: 2, Before: 1}
		if err := w.app.Converge(w.life.Context, c); err != nil {
			t.Fatal(err)
		}
		w.rest()
		if got := w.journal.Events("fell"); len(got) > 0 {
			t.Errorf("it fell over: %q", got)
		}
		w.crash()
		w.machine.Reboot()
	})
}

func TestAttend_ACheckTakesAnInstanceOutOfTurnAndLivenessReplacesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := release(1, 2)
		r.Processes[0].Checks = []store.HealthCheck{
			{Process: "web", Type: "readiness", Path: "/ready", Wait: 1},
			{Process: "web", Type: "liveness", Path: "/live", Wait: 10, Attempts: 2},
		}
		w := begun(t, r, false, nil)
		w.serves.Store(true)
		sick := w.web()
		slot := strings.Fields(sick.Name())[0]
		sick.Behave(fleettest.Program{Status: 503})
		time.Sleep(3 * time.Second)
		if got := w.router.Resting("shop"); !slices.Equal(got, []string{slot}) {
			t.Errorf("out of turn are %q, want %s", got, slot)
		}
		sick.Behave(fleettest.Program{})
		time.Sleep(3 * time.Second)
		if got := w.router.Resting("shop"); len(got) > 0 {
			t.Errorf("out of turn are %q, and all are ready", got)
		}
		sick.Behave(fleettest.Program{Status: 503})
		w.rest()
		if sick.Runs() {
			t.Error("an instance whose liveness fails goes on")
		}
		if got := fmt.Sprint(w.journal.Events("heal")); got != "["+slot+" is up again]" {
			t.Errorf("got %s", got)
		}
		w.ends(t)
	})
}

func TestAdopt_APowerCutIsNoCrashOfTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 2), false, nil)
		w.crash()
		w.machine.Reboot()
		w.begin()
		if err := w.boot(); err != nil {
			t.Fatal(err)
		}
		w.rest()
		if got := w.journal.Events("crash"); len(got) > 0 {
			t.Errorf("got %q", got)
		}
		w.ends(t)
	})
}

func TestSupervise_HealsWhenTheEngineIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 2), false, nil)
		back := time.Now().Add(time.Minute)
		w.life.Away = func() bool { return time.Now().Before(back) }
		w.serves.Store(true)
		w.web().End(fleet.Exit{Code: 137, Signal: 9, Lost: true})
		time.Sleep(30 * time.Second)
		if got := len(w.router.Backends("shop")); got != 1 {
			t.Errorf("requests go to %d instances, of which one has died", got)
		}
		w.ends(t)
	})
}
