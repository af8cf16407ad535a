package fleet_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
)

func TestDisk_WhoWritesTooMuchIsStoppedAndBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := release(1, 2)
		for n := range r.Processes {
			r.Processes[n].Limits = fleet.Limits{Disk: 1 << 30}
		}
		w := begun(t, r, false, nil)
		boxes := w.machine.Boxes()
		slices.SortFunc(boxes, func(a, b *fleettest.Box) int { return strings.Compare(a.Name(), b.Name()) })
		for _, b := range boxes {
			b.Writes(1 << 30)
		}
		time.Sleep(time.Minute)
		if got := w.journal.Events("crash"); len(got) > 0 {
			t.Fatalf("within the limit it is stopped: %q", got)
		}
		boxes[0].Writes(3 << 30)
		w.rest()
		events := strings.Join(w.journal.Events("crash"), "\n")
		if !strings.Contains(events, "web.1 of v1 is stopped: it wrote 3 GiB outside of volumes, and may write 1 GiB [E629]") || strings.Contains(events, "web.2") {
			t.Errorf("the events are %q", events)
		}
		if boxes[0].Runs() || !boxes[1].Runs() {
			t.Error("the wrong one was stopped")
		}
		// Another limit counts at once, without a restart.
		for n := range r.Processes {
			r.Processes[n].Limits = fleet.Limits{Disk: 1 << 20}
		}
		if err := w.converge(w.change(r)); err != nil {
			t.Fatal(err)
		}
		w.rest()
		if boxes[1].Runs() {
			t.Error("a lower limit did not count")
		}
		w.crash()
		w.machine.Reboot()
	})
}
