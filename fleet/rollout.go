package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// startsAtOnce bounds how many containers of an app start side by side: more
// would only slow each other down.
const startsAtOnce = 4

// Change is a new state for an app to run in.
type Change struct {
	Release Release

	// StopFirst is for an app of which the old and the new instances may not
	// run at once.
	StopFirst bool

	// Fresh replaces instances that run this release already; Process limits it
	// to one type or one instance ("web", "web.1").
	Fresh   bool
	Process string

	// Patient is for the start of berth, when there is no old set to fall back
	// to: an instance that does not come up keeps its slot, and its supervisor
	// goes on trying, while the others serve.
	Patient bool

	Standby *Standby     // containers readied for this change; may be nil
	Layered func() error // waits for the release's root filesystem; nil when it is there

	// Trial is set when the release is one that may yet fall over.
	Trial *Trial

	// Commit records what is to run. An error from it is a failure before the
	// swap. It may be nil.
	Commit func() error

	Progress Progress // may be nil

	unlimit func() // takes back the limits that were changed at once
}

// Progress receives what a change is at. Its methods may be called concurrently.
type Progress interface {
	// Up says that all that was to be started is healthy, and how long each
	// took; asked is set when GET / was how that was found out.
	Up(names []string, took []time.Duration, asked bool)

	// Note is a line for after the step that is under way.
	Note(line string)

	// Held says how long requests were held.
	Held(time.Duration)

	// Back says that the instances of before were started again.
	Back(release int)
}

// quiet is the progress of a change without an audience.
type quiet struct{}

func (quiet) Up([]string, []time.Duration, bool) {}
func (quiet) Note(string)                        {}
func (quiet) Held(time.Duration)                 {}
func (quiet) Back(int)                           {}

// layer waits for the release's root filesystem.
func (c Change) layer() error {
	if c.Layered == nil {
		return nil
	}
	return c.Layered()
}

func (c Change) commit() error {
	if c.Commit == nil {
		return nil
	}
	return c.Commit()
}

// replaces tells whether an instance that runs the release already is to be
// replaced all the same.
func (c Change) replaces(s Slot) bool {
	return c.Fresh && (c.Process == "" || c.Process == s.Process.Type || c.Process == s.String())
}

// Converge makes an app run what the change says: it starts what is missing
// beside what runs, waits until all of it is healthy, commits, swaps, and
// retires what is left over. What goes on gets its limits at once, where the host
// can do that. A failure leaves everything as it was. One call at a time for each
// app.
func (a *App) Converge(ctx context.Context, c Change) error {
	if c.Progress == nil {
		c.Progress = quiet{}
	}
	c.unlimit = a.relimit(ctx, c)
	err := a.converge(ctx, c)
	if err != nil {
		c.unlimit()
	}
	return err
}

func (a *App) converge(ctx context.Context, c Change) error {
	set, missing := a.compare(c)
	a.mu.Lock()
	a.alone = c.StopFirst
	a.mu.Unlock()
	if c.StopFirst && len(missing) > 0 {
		if err := a.waitForLeaving(ctx); err != nil {
			return err
		}
		if err := a.blocked(); err != nil && !c.Patient {
			return err
		}
		if old := a.outgoing(set); len(old) > 0 {
			return a.stopFirst(ctx, c, set, missing, old)
		}
	}
	err := a.start(ctx, c, missing)
	if err == nil {
		err = c.layer()
	}
	if err == nil {
		err = c.commit()
	}
	if err != nil {
		a.discard(missing)
		return err
	}
	a.onTrial(c)
	left, drain, late := a.swap(set)
	supervise(missing)
	gone := a.leave()
	a.fleet.background(func(ctx context.Context) {
		defer gone()
		if late != nil {
			select {
			case <-late.done:
				drain = late.drain
			case <-ctx.Done():
				return
			}
		}
		a.retire(ctx, left, drain)
	})
	a.fleet.cfg.Journal.Changed(a.Name())
	return nil
}

// compare lists the instances that a change asks for, in the order of the
// formation: those that live already, and the missing ones, also by themselves.
func (a *App) compare(c Change) (set, missing []*instance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	byName := map[string]*instance{}
	for _, i := range a.live {
		byName[i.name()] = i
	}
	for _, s := range c.Release.Slots() {
		i := byName[s.String()]
		if i == nil || i.release.Number != c.Release.Number || !c.Patient && i.outgrown() || c.replaces(s) {
			i = a.instance(c.Release, s)
			missing = append(missing, i)
		}
		set = append(set, i)
	}
	return set, missing
}

// outgoing lists the instances that live and are not in the set.
func (a *App) outgoing(set []*instance) []*instance {
	return slices.DeleteFunc(a.set(), func(i *instance) bool { return slices.Contains(set, i) })
}

// sideBySide does something with every instance, with a few at once, and
// returns when it is done with all.
func sideBySide(instances []*instance, do func(n int, i *instance)) {
	turns := make(chan struct{}, startsAtOnce)
	var all sync.WaitGroup
	for n, i := range instances {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			do(n, i)
		})
	}
	all.Wait()
}

// start brings the instances up. When one does not come up it gives up on all,
// and the caller removes their containers.
func (a *App) start(ctx context.Context, c Change, instances []*instance) error {
	if len(instances) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, len(instances))
	sideBySide(instances, func(n int, i *instance) {
		began := time.Now()
		err := i.bringUp(ctx, c)
		switch {
		case err == nil:
		case c.Patient && ctx.Err() == nil:
			i.postpone(err)
		default:
			cancel(err) // the first failure is the reason; the others follow from it
		}
		took[n] = time.Since(began)
	})
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var names []string
	for _, i := range instances {
		names = append(names, i.name())
	}
	asked := slices.ContainsFunc(instances, func(i *instance) bool { return i.process.Type == "web" && len(i.checks()) == 0 })
	c.Progress.Up(names, took, asked)
	return nil
}

// postpone leaves an instance that did not come up to its supervisor.
func (i *instance) postpone(why error) {
	app, f := i.app.Name(), i.fleet()
	i.mu.Lock()
	i.restarts = 2 // not at once again
	i.mu.Unlock()
	i.set(Crashed, why.Error())
	f.cfg.Log.Warn("an instance could not be started", "app", app, "instance", i.name(), "err", why)
	i.notice("could not be started: %v; %s", why, startsAgain(2))
	i.recordEvent("crash", "%s of v%d could not be started: %v", i.name(), i.release.Number, why)
}

// bringUp fills an instance's slot with a container and waits until it is healthy.
func (i *instance) bringUp(ctx context.Context, c Change) error {
	container, err := i.readied(ctx, c)
	if err != nil {
		return err
	}
	i.fill(container)
	i.set(Starting, "")
	if err := i.app.blocked(); err != nil {
		return err
	}
	if err := i.launch(ctx); err != nil {
		return fault.New(fault.Failed, code.InstanceNotStarted, "%s could not be started: %w", i.name(), err).Hint("its command: %s", i.process.Command)
	}
	if err := i.awaitHealthy(ctx, c.Patient, c.Progress.Note); err != nil {
		return err
	}
	i.set(Up, i.lastDetail())
	if address, odd := i.oddAddress(); odd {
		c.Progress.Note(fmt.Sprintf("%s listens on %s; apps should listen on 0.0.0.0:$PORT", i.name(), address))
	}
	return nil
}

// readied returns the container that was readied for the instance, or makes one.
func (i *instance) readied(ctx context.Context, c Change) (Container, error) {
	if prepared, _, _ := i.running(); prepared != nil {
		return prepared, nil
	}
	if ready := c.Standby.take(i.name()); ready != nil {
		return ready, nil
	}
	if err := c.layer(); err != nil {
		return nil, err
	}
	container, err := i.create(ctx)
	if err != nil {
		return nil, fmt.Errorf("create the container of %s: %w", i.name(), err)
	}
	return container, nil
}

// discard removes the containers of instances that never served.
func (a *App) discard(instances []*instance) {
	for _, i := range instances {
		if c, _, _ := i.running(); c != nil {
			gone := a.leave()
			a.fleet.background(func(context.Context) {
				defer gone()
				a.remove(c)
			})
		}
	}
}

// swap puts the new set in the place of the old one and leads requests to it.
// It returns the instances that are left over and the drain of their requests.
// When the router does not take the new set yet, late has the drain later.
func (a *App) swap(set []*instance) (left []*instance, drain Drain, late *overdue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range a.live {
		if !slices.Contains(set, i) {
			left = append(left, i)
		}
	}
	a.live = set
	if drain, err := a.route(); err == nil {
		return left, drain, nil
	}
	return left, nil, a.overdue
}

// happened records an event of the instance.
func (i *instance) recordEvent(kind, format string, args ...any) {
	i.fleet().cfg.Journal.RecordEvent(store.Event{App: i.app.Name(), By: "berth", Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// notice writes a line of berth's own to the instance's log.
func (i *instance) notice(format string, args ...any) {
	i.fleet().cfg.Logs.Note(i.app, i.release.Number, i.name(), fmt.Sprintf(format, args...))
}
