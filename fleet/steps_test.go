package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
)

// story is a change of what runs, from its beginning in a world that is at rest.
type story struct {
	name      string
	stopFirst bool
	from      fleet.Release
	do        func(w *world) error

	// boots is set when the story is a start of berth.
	boots bool

	// down is set when nothing serves before, or is to serve after.
	down bool

	// fails is set when the change fails by itself.
	fails bool

	program func(spec fleet.Spec, cmd fleet.Command) fleettest.Program

	// within bounds the change; nil is the life.
	within func(w *world) (context.Context, context.CancelFunc)
}

func (s story) String() string { return s.name }

// stories are all kinds of changes there are.
func stories() []story {
	broken := func(p fleettest.Program) func(fleet.Spec, fleet.Command) fleettest.Program {
		return func(spec fleet.Spec, _ fleet.Command) fleettest.Program {
			if spec.Labels[fleet.LabelRelease] == "2" {
				return p
			}
			return fleettest.Program{Listens: 30 * 1e6}
		}
	}
	push := func(w *world) error {
		return w.converge(w.change(release(2, 2)))
	}
	readied := func(w *world) error {
		next := release(2, 2)
		next.Layer = next.Base
		defer w.app.Expect(next)()
		ready := w.app.Claim("base")
		defer ready.Dismiss()
		ready.Fill(w.life.Context, "/tree", "/app")
		c := w.change(release(2, 2))
		c.Standby = ready
		layered := false
		c.Layered = func() error { return w.life.Step("layer", func() error { layered = true; return nil }) }
		commit := c.Commit
		c.Commit = func() error {
			if !layered {
				w.blame("a release is committed before its root filesystem is there")
			}
			return commit()
		}
		return w.converge(c)
	}
	restart := func(w *world) error {
		c := w.change(release(1, 2))
		c.Fresh = true
		return w.converge(c)
	}
	scale := func(web int) func(w *world) error {
		return func(w *world) error { return w.converge(w.change(release(1, web))) }
	}
	limits := func(w *world) error {
		return w.converge(w.change(limited(release(1, 2), 1<<30)))
	}
	tighter := func(w *world) error {
		for _, b := range w.machine.Boxes() {
			b.Uses(1 << 20)
		}
		return w.converge(w.change(limited(release(1, 2), 1<<10)))
	}
	cut := func(w *world) error { w.machine.Reboot(); return nil }
	brokenOff := func(step string) func(w *world) error { // a push that an earlier crash ended
		return func(w *world) error {
			w.begin()
			if err := w.boot(); err != nil {
				return err
			}
			w.rest()
			w.life.EndAtStep(step)
			w.app.Converge(w.life.Context, w.change(release(2, 2)))
			w.rest()
			w.crash()
			return nil
		}
	}
	list := []story{
		{name: "start of berth", from: release(1, 2), do: func(*world) error { return nil }, boots: true},
		{name: "start after a power cut", from: release(1, 2), do: cut, boots: true},
		{name: "start after a push that broke off", from: release(1, 2), do: brokenOff("commit"), boots: true},
		{name: "start after a push that broke off late", from: release(1, 2), do: brokenOff("route shop"), boots: true},
		{name: "push", from: release(1, 2), do: push},
		{name: "push with readied containers", from: release(1, 2), do: readied},
		{name: "first push", from: fleet.Release{UID: 70000}, do: push, down: true},
		{name: "restart", from: release(1, 2), do: restart},
		{name: "limits", from: release(1, 2), do: limits},
		{name: "limits below what is in use", from: release(1, 2), do: tighter},
		{name: "scale up", from: release(1, 1), do: scale(3)},
		{name: "scale down", from: release(1, 3), do: scale(1)},
		{name: "stop", from: release(1, 2), do: scale(0), down: true},
		{name: "push of what crashes", from: release(1, 2), do: push, fails: true, program: broken(fleettest.Program{Listens: -1, Ends: 5e7, Exit: fleet.Exit{Code: 1}})},
		{name: "push of what never listens", from: release(1, 2), do: push, fails: true, program: broken(fleettest.Program{Listens: -1})},
		{name: "push of what answers 500", from: release(1, 2), do: push, fails: true, program: broken(fleettest.Program{Status: 500})},
	}
	for _, s := range list {
		s.name, s.stopFirst = "stop-first "+s.name, true
		list = append(list, s)
	}
	return list
}

// play tells a story in a world that is at rest, with a trap in the life that
// tells it.
func (s story) play(t *testing.T, trap fleettest.Trap) (*world, error) {
	w := newWorld(s.from, s.stopFirst)
	w.machine.SetProgram(s.program)
	w.begin()
	if err := w.boot(); err != nil {
		t.Fatalf("berth did not start: %v", err)
	}
	w.rest()
	if wrong := w.check(); len(wrong) > 0 {
		t.Fatalf("before anything was done:\n%s", strings.Join(wrong, "\n"))
	}
	w.serves.Store(!s.down && !s.boots)
	w.survives = w.serves.Load() && !s.stopFirst
	if s.boots {
		w.crash()
		s.do(w)
		w.begin()
		w.life.Set(trap)
		return w, w.boot()
	}
	w.life.Set(trap)
	w.within = s.within
	return w, s.do(w)
}

// end ends a world in another life, in which nothing goes wrong: what is left by
// then is what the record has.
func (w *world) end() (wrong []string) {
	w.serves.Store(false)
	w.crash()
	w.begin()
	if err := w.boot(); err != nil {
		wrong = append(wrong, fmt.Sprintf("berth did not start: %v", err))
	}
	w.rest()
	wrong = append(wrong, w.check()...)
	w.crash()
	w.machine.Reboot()
	return wrong
}

// told returns the steps of a story in which nothing goes wrong.
func (s story) told(t *testing.T) (steps []string) {
	synctest.Test(t, func(t *testing.T) {
		w, err := s.play(t, fleettest.Trap{})
		if (err != nil) != s.fails {
			t.Errorf("got %v", err)
		}
		w.rest()
		if wrong := w.check(); len(wrong) > 0 {
			t.Errorf("%s", strings.Join(wrong, "\n"))
		}
		steps = w.life.Steps()
		if wrong := w.end(); len(wrong) > 0 {
			t.Errorf("after another start:\n%s", strings.Join(wrong, "\n"))
		}
	})
	return steps
}

// telling returns the numbers of the steps to try. Of the looks at one container
// there may be hundreds, which are alike: the first three and the last one.
func telling(steps []string) (numbers []int) {
	seen := map[string]int{}
	for n, step := range steps {
		seen[step]++
		if seen[step] <= 3 || !slices.Contains(steps[n+1:], step) {
			numbers = append(numbers, n+1)
		}
	}
	return numbers
}

func TestConverge_EveryStepCanFail(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			steps := s.told(t)
			tried := telling(steps)
			for _, n := range tried {
				s.fail(t, n)
			}
			t.Logf("%d of %d steps failed", len(tried), len(steps))
		})
	}
}

// fail tells a story of which one step fails.
func (s story) fail(t *testing.T, n int) {
	synctest.Test(t, func(t *testing.T) {
		w, err := s.play(t, fleettest.Trap{Fail: n})
		w.rest()
		failed := w.life.Sprung()
		if s.boots && err != nil { // berth ends, and is started again
			w.wrong()
			if wrong := w.end(); len(wrong) > 0 {
				t.Errorf("step %d, %s, failed, and after another start:\n%s", n, failed, strings.Join(wrong, "\n"))
			}
			return
		}
		if committed := slices.Contains(w.life.Steps(), "commit") && failed != "commit"; !s.boots && committed != (err == nil) {
			t.Errorf("step %d, %s: committed %t, and Converge returned %v", n, failed, committed, err)
		}
		if strings.HasPrefix(failed, "hold ") { // the change goes on without
			w.wrong()
		}
		wrong := w.check()
		if strings.HasPrefix(failed, "remove ") { // its container stays until the next start
			wrong = slices.DeleteFunc(wrong, func(what string) bool { return strings.HasPrefix(what, "the containers are") })
		}
		if len(wrong) > 0 {
			t.Errorf("step %d, %s, failed:\n%s", n, failed, strings.Join(wrong, "\n"))
		}
		if wrong := w.end(); len(wrong) > 0 {
			t.Errorf("step %d, %s, failed, and after another start:\n%s", n, failed, strings.Join(wrong, "\n"))
		}
	})
}

func TestConverge_EveryMomentCanBeTheCrash(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			steps := s.told(t)
			tried := telling(steps)
			for _, n := range tried {
				for _, after := range []bool{false, true} {
					s.crash(t, n, after)
				}
			}
			t.Logf("crashes before and after %d of %d steps", len(tried), len(steps))
		})
	}
}

// crash tells a story that ends at a step.
func (s story) crash(t *testing.T, n int, after bool) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := s.play(t, fleettest.Trap{End: n, After: after})
		if !after { // else berth is there again at once, while programs still start
			w.rest()
		}
		ended := w.life.Sprung()
		if wrong := w.end(); len(wrong) > 0 {
			t.Errorf("the crash at step %d, %s (after it: %t), and after another start:\n%s", n, ended, after, strings.Join(wrong, "\n"))
		}
	})
}
