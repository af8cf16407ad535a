package fleet_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/store/fault"
)

// of returns the behaviour of one release; the others answer soon and end when
// they are asked to.
func of(release string, p fleettest.Program) func(fleet.Spec, fleet.Command) fleettest.Program {
	return func(spec fleet.Spec, _ fleet.Command) fleettest.Program {
		if spec.Labels[fleet.LabelRelease] == release {
			return p
		}
		return fleettest.Program{Listens: 50 * time.Millisecond}
	}
}

// begun is a world at rest.
func begun(t *testing.T, r fleet.Release, stopFirst bool, program func(fleet.Spec, fleet.Command) fleettest.Program) *world {
	t.Helper()
	w := newWorld(r, stopFirst)
	w.machine.Program = program
	w.begin()
	if err := w.boot(); err != nil {
		t.Fatal(err)
	}
	w.rest()
	return w
}

// ends ends a world, which is as its record has it.
func (w *world) ends(t *testing.T) {
	t.Helper()
	w.rest()
	if wrong := w.check(); len(wrong) > 0 {
		t.Errorf("in the end:\n%s", strings.Join(wrong, "\n"))
	}
	if wrong := w.end(); len(wrong) > 0 {
		t.Errorf("after another start:\n%s", strings.Join(wrong, "\n"))
	}
}

func TestStopFirst_NothingStartsBesideAnInstanceThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 1), true, of("1", fleettest.Program{Unkillable: true, Stops: -1}))
		err := w.app.Converge(w.life.Context, w.change(release(2, 1)))
		if f := fault.From(err); f == nil || f.Code != "E503" {
			t.Fatalf("got %v, want E503", err)
		}
		for _, b := range w.machine.Every() {
			if !b.Launched().IsZero() && strings.HasSuffix(b.Name(), "v2") {
				t.Errorf("%s was launched beside what runs", b.Name())
			}
		}
		w.rest()
		if wrong := w.check(); len(wrong) > 0 {
			t.Errorf("the old instances do not go on as they were:\n%s", strings.Join(wrong, "\n"))
		}
		// They were killed, and end at last.
		for _, b := range w.machine.Boxes() {
			b.Behave(fleettest.Program{})
			b.End(fleet.Exit{Code: 137, Signal: 9})
		}
		w.machine.Program = nil
		w.ends(t)
	})
}

func TestStopFirst_TheOldOnesWaitForNewOnesThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 1), true, of("2", fleettest.Program{Listens: -1, Stops: -1, Unkillable: true}))
		if err := w.app.Converge(w.life.Context, w.change(release(2, 1))); err == nil {
			t.Fatal("what never listens was taken")
		}
		w.rest()
		if w.blamed != "" {
			t.Error(w.blamed)
		}
		for _, i := range w.app.Instances(t.Context()) {
			if i.Release != 1 || i.State != fleet.Crashed {
				t.Errorf("%s of v%d is %s, while v2 has not ended", i.Name, i.Release, i.State)
			}
		}
		for _, b := range w.machine.Boxes() {
			if b.Runs() {
				b.Behave(fleettest.Program{})
				b.End(fleet.Exit{Code: 137, Signal: 9})
			}
		}
		w.rest()
		for _, i := range w.app.Instances(t.Context()) {
			if i.Release != 1 || i.State != fleet.Up {
				t.Errorf("%s of v%d is %s, after v2 has ended", i.Name, i.Release, i.State)
			}
		}
		if wrong := w.end(); len(wrong) > 0 {
			t.Errorf("after another start:\n%s", strings.Join(wrong, "\n"))
		}
	})
}

// Waiting for another program's end is no crash: the pause does not grow, and the
// release is not given up for it.
func TestStopFirst_WaitingForAnotherProgramIsNoCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 1), true, of("2", fleettest.Program{Listens: -1, Stops: -1, Unkillable: true}))
		if err := w.app.Converge(w.life.Context, w.change(release(2, 1))); err == nil {
			t.Fatal("what never listens was taken")
		}
		time.Sleep(time.Hour)
		for _, b := range w.machine.Boxes() {
			if b.Runs() {
				b.Behave(fleettest.Program{})
				b.End(fleet.Exit{Code: 137, Signal: 9})
			}
		}
		time.Sleep(5 * time.Second)
		for _, i := range w.app.Instances(t.Context()) {
			if i.State != fleet.Up || i.Restarts > 2 {
				t.Errorf("%s is %s after %d restarts, 5 s after the end of what was in the way", i.Name, i.State, i.Restarts)
			}
		}
		if wrong := w.end(); len(wrong) > 0 {
			t.Errorf("after another start:\n%s", strings.Join(wrong, "\n"))
		}
	})
}

// What was scaled down may take a while to end.
func TestStopFirst_WaitsForWhatIsLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 1), true, func(fleet.Spec, fleet.Command) fleettest.Program { return fleettest.Program{Stops: 5 * time.Second} })
		for _, web := range []int{0, 1} {
			if err := w.app.Converge(w.life.Context, w.change(release(1, web))); err != nil {
				t.Fatal(err)
			}
		}
		w.ends(t)
	})
}

// A start finds what a crash in the middle of a change left running.
func TestStopFirst_AStartWaitsForALeftOverThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 1), true, of("2", fleettest.Program{Stops: -1, Unkillable: true}))
		w.life.EndAtStep("commit")
		w.app.Converge(w.life.Context, w.change(release(2, 1)))
		w.crash()
		w.begin()
		if err := w.boot(); err != nil {
			t.Fatal(err)
		}
		w.rest()
		for _, b := range w.machine.Boxes() {
			if b.Runs() && !strings.HasSuffix(b.Name(), "v2") {
				t.Errorf("%s runs beside what did not end", b.Name())
			}
		}
		for _, b := range w.machine.Boxes() {
			if b.Runs() {
				b.Behave(fleettest.Program{})
				b.End(fleet.Exit{Code: 137, Signal: 9})
			}
		}
		w.rest()
		if wrong := w.end(); len(wrong) > 0 {
			t.Errorf("after another start:\n%s", strings.Join(wrong, "\n"))
		}
	})
}

func TestConverge_AnInstanceThatHangsInStopHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 2), false, of("1", fleettest.Program{Unkillable: true, Stops: -1}))
		began := time.Now()
		for n := 2; n <= 3; n++ {
			if err := w.app.Converge(w.life.Context, w.change(release(n, 2))); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("two changes took %v", took)
		}
		w.rest()
		for _, b := range w.machine.Boxes() {
			b.Behave(fleettest.Program{})
			if strings.HasSuffix(b.Name(), "v1") {
				b.End(fleet.Exit{Code: 137, Signal: 9})
			}
		}
		if wrong := w.end(); len(wrong) > 0 {
			t.Errorf("after another start:\n%s", strings.Join(wrong, "\n"))
		}
	})
}

func TestConverge_WaitsForAnEngineThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 2), false, nil)
		back := time.Now().Add(20 * time.Second)
		w.life.Away = func() bool { return time.Now().Before(back) }
		w.serves = true
		if err := w.app.Converge(w.life.Context, w.change(release(2, 2))); err != nil {
			t.Fatal(err)
		}
		if time.Now().Before(back) {
			t.Error("containers were made without an engine")
		}
		w.ends(t)
	})
}

func TestConverge_GivesUpOnAnEngineThatIsAwayWhenItIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begun(t, release(1, 2), false, nil)
		w.life.Away = func() bool { return true }
		ctx, cancel := contextFor(w, 30*time.Second)
		defer cancel()
		if err := w.app.Converge(ctx, w.change(release(2, 2))); err == nil {
			t.Error("containers were made without an engine")
		}
		w.life.Away = nil
		w.ends(t)
	})
}
