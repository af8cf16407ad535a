package fleet_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
)

// Whoever cancels gets what was before, or is too late.
func TestConverge_CanBeCancelledAtEveryMoment(t *testing.T) {
	for _, s := range stories() {
		if s.boots || s.fails {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			starts := slices.ContainsFunc(s.told(t), func(step string) bool { return strings.HasPrefix(step, "launch ") })
			cancelled := 0
			for at := time.Duration(0); at < 2*time.Second; at += 25 * time.Millisecond {
				if s.cancel(t, at) {
					cancelled++
				}
			}
			if starts && cancelled == 0 {
				t.Error("no moment was early enough")
			}
		})
	}
}

func (s story) cancel(t *testing.T, at time.Duration) (cancelled bool) {
	synctest.Test(t, func(t *testing.T) {
		s.within = func(w *world) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(w.life.Context, at, errCancelled)
		}
		w, err := s.play(t, fleettest.Trap{})
		cancelled = err != nil
		if committed := slices.Contains(w.life.Steps(), "commit"); committed == cancelled || cancelled && !errors.Is(err, errCancelled) {
			t.Errorf("cancelled after %v: committed %t, and Converge returned %v", at, committed, err)
		}
		w.rest()
		if wrong := w.check(); len(wrong) > 0 {
			t.Errorf("cancelled after %v:\n%s", at, strings.Join(wrong, "\n"))
		}
		w.serves = false
		w.app.End()(w.life.Context)
		w.rest()
		if left := w.machine.Boxes(); len(left) > 0 {
			t.Errorf("cancelled after %v, and destroyed: %d containers are left", at, len(left))
		}
		w.crash()
		w.machine.Reboot()
	})
	return cancelled
}

var errCancelled = errors.New("somebody cancelled it")

// An instance may be at any point of its restart when another takes its slot.
func TestConverge_ReplacesAnInstanceThatIsBeingHealed(t *testing.T) {
	for _, stopFirst := range []bool{false, true} {
		for at := time.Duration(0); at < 4*time.Second; at += 40 * time.Millisecond {
			synctest.Test(t, func(t *testing.T) {
				w := begun(t, release(1, 1), stopFirst, nil)
				w.machine.Program = of("1", fleettest.Program{Listens: 500 * time.Millisecond, Ends: time.Second, Exit: fleet.Exit{Code: 1}})
				w.web().End(fleet.Exit{Code: 1})
				time.Sleep(at)
				if err := w.app.Converge(w.life.Context, w.change(release(2, 1))); err != nil {
					t.Errorf("after %v: %v", at, err)
				}
				w.rest()
				if wrong := w.check(); len(wrong) > 0 {
					t.Errorf("after %v:\n%s", at, strings.Join(wrong, "\n"))
				}
				w.crash()
				w.machine.Reboot()
			})
		}
	}
}
