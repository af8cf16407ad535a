package fleet_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
)

// settles is how long everything that was begun may take to end: drains, health,
// restarts with their pauses.
const settles = 5 * time.Minute

// world is a machine with one app, and what berth keeps of it in its store.
type world struct {
	machine  *fleettest.Machine
	serves   atomic.Bool // from now on, somebody has to
	survives bool        // what served before a start of berth serves after it

	mu        sync.Mutex // guards what follows
	blamed    string     // what watch has seen
	current   *fleettest.Life
	committed fleet.Release
	stopFirst bool

	life    *fleettest.Life
	router  *fleettest.Router
	journal *fleettest.Journal
	fleet   *fleet.Fleet
	app     *fleet.App
	within  func(w *world) (context.Context, context.CancelFunc) // bounds changes; may be nil
}

// converge makes a change.
func (w *world) converge(c fleet.Change) error {
	if w.within == nil {
		return w.app.Converge(w.life.Context, c)
	}
	ctx, cancel := w.within(w)
	defer cancel()
	return w.app.Converge(ctx, c)
}

// release is one of an app with so many web instances and one worker.
func release(number, web int) fleet.Release {
	return fleet.Release{
		Number: number, UID: 70000, Layer: fmt.Sprintf("layer %d", number), Base: "base", Port: 5000,
		Processes: []fleet.Process{{Type: "web", Count: web}, {Type: "worker", Count: 1}},
	}
}

// limited is a release with another limit of memory for each of its processes.
func limited(r fleet.Release, memory int64) fleet.Release {
	r.Processes = slices.Clone(r.Processes)
	for n := range r.Processes {
		r.Processes[n].Limits.Memory = memory
	}
	return r
}

func newWorld(r fleet.Release, stopFirst bool) *world {
	return &world{machine: new(fleettest.Machine), committed: r, stopFirst: stopFirst}
}

// begin begins a life, but for its boot.
func (w *world) begin() {
	l := fleettest.NewLife(w.machine)
	router := fleettest.NewRouter(l)
	l.Watch = func(l *fleettest.Life, step string) { w.watch(l, router, step) }
	w.mu.Lock()
	w.current = l
	w.mu.Unlock()
	w.life, w.router, w.journal = l, router, new(fleettest.Journal)
	w.fleet = fleet.New(l.Context, fleet.Config{
		Host: l.Host(), Router: w.router, Journal: w.journal, Logs: fleettest.Logs{},
		SSHCommand: func() string { return "ssh berth@example.com" }, Log: slog.New(slog.DiscardHandler),
	})
	w.app = w.fleet.NewApp(70000, "shop")
}

// boot is what deploy does at its start.
func (w *world) boot() error {
	r := w.record()
	wanted := []fleet.Wanted{{App: w.app, Release: &r, StopFirst: w.stopFirst}}
	containers, err := w.life.Host().Containers(w.life.Context)
	if err != nil {
		return err
	}
	left := w.fleet.Adopt(wanted, containers)
	if w.survives && !w.life.Over() {
		w.serves.Store(true)
	}
	resume := w.app.HoldUnserved(r)
	w.fleet.StopLeftOvers(w.life.Context, wanted, left)
	err = w.app.Converge(w.life.Context, fleet.Change{Release: r, StopFirst: w.stopFirst, Patient: true})
	if resume != nil {
		resume()
	}
	for _, c := range left {
		w.fleet.Remove(c)
	}
	return err
}

func (w *world) record() fleet.Release {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.committed
}

// change is one to a release, which is recorded when it commits.
func (w *world) change(r fleet.Release) fleet.Change {
	return fleet.Change{Release: r, StopFirst: w.stopFirst, Commit: func() error {
		return w.life.Step("commit", func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.committed = r
			return nil
		})
	}}
}

// rest lets everything come to its end.
func (w *world) rest() {
	time.Sleep(settles)
	synctest.Wait()
}

// crash ends the life, and waits for what it had under way to see that.
func (w *world) crash() {
	w.life.End()
	w.fleet.Rest()
}

// check says what is not as the record has it: every slot has one running
// container of its release, and no other; those of web serve, and nobody waits.
func (w *world) check() (wrong []string) {
	r := w.record()
	var want, got, web []string
	for _, s := range r.Slots() {
		want = append(want, fmt.Sprintf("%s v%d", s, r.Number))
	}
	for _, b := range w.machine.Boxes() {
		name := b.Name()
		if !b.Runs() {
			name += " (does not run)"
		}
		for _, p := range r.Processes {
			if p.Type == b.Spec.Labels[fleet.LabelProcess] && b.Limits() != p.Limits {
				name += " (has other limits)"
			}
		}
		got = append(got, name)
	}
	for _, i := range w.app.Instances(context.Background()) {
		if i.Process == "web" {
			web = append(web, i.Container)
		}
		if i.State != fleet.Up || i.Release != r.Number {
			wrong = append(wrong, fmt.Sprintf("%s of v%d is %s: %s", i.Name, i.Release, i.State, i.Detail))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	slices.Sort(web)
	if !slices.Equal(got, want) {
		wrong = append(wrong, fmt.Sprintf("the containers are %q, want %q", got, want))
	}
	routed := w.router.Backends("shop")
	slices.Sort(routed)
	if !slices.Equal(routed, web) {
		wrong = append(wrong, fmt.Sprintf("requests go to %d containers, %q, want %q", len(routed), routed, web))
	}
	if blamed := w.wrong(); blamed != "" {
		wrong = append(wrong, blamed)
	}
	if w.router.Held("shop") {
		wrong = append(wrong, "requests are held")
	}
	return wrong
}

// watch looks at the world before and after each step: somebody serves, or the
// requests are held; of an app that stops first, no slot is filled twice.
func (w *world) watch(l *fleettest.Life, router *fleettest.Router, step string) {
	boxes := w.machine.Boxes()
	if w.stopFirst {
		slots := map[string]int{}
		for _, b := range boxes {
			if b.Runs() {
				slots[strings.Fields(b.Name())[0]]++
			}
		}
		for slot, n := range slots {
			if n > 1 {
				w.blame("at %q %d programs run as %s", step, n, slot)
			}
		}
	}
	if !w.serves.Load() || !w.isCurrent(l) || l.Over() || router.Held("shop") {
		return
	}
	routed := router.Backends("shop")
	if !slices.ContainsFunc(boxes, func(b *fleettest.Box) bool { return slices.Contains(routed, b.Spec.ID) && b.Answers() }) {
		w.blame("at %q nobody answers", step)
	}
}

// blame notes what is wrong, once: all that follows would be the same.
func (w *world) blame(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blamed == "" {
		w.blamed = fmt.Sprintf(format, args...)
	}
}

// wrong returns what was blamed since it was asked last.
func (w *world) wrong() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	wrong := w.blamed
	w.blamed = ""
	return wrong
}

func (w *world) isCurrent(l *fleettest.Life) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current == l
}
