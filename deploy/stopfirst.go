package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

const (
	// heldRequests bounds how many requests wait while an app is stopped: each
	// is a connection and a few buffers.
	heldRequests = 1000

	// heldFor is the longest that one waits: the drain of the old instances,
	// and the time that the new ones have to become healthy.
	heldFor = drainRequests + healthTimeout
)

// SetRollout says in which order an app's releases follow one another; "" is
// the usual one.
func (d *Deployer) SetRollout(_ context.Context, app string, rollout store.Rollout, by store.User) error {
	orders := []store.Rollout{store.StartFirst, store.StopFirst}
	if rollout != "" && !slices.Contains(orders, rollout) {
		return fault.New(fault.Usage, "E188", "a rollout cannot be %.60q", rollout).Hint("it is start-first or stop-first")
	}
	text := "unset rollout"
	if rollout != "" {
		text = "set rollout to " + string(rollout)
	}
	err := d.db.Update(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		record.Rollout = rollout
		return errors.Join(tx.PutApp(record), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "ps", Text: text}))
	})
	if err != nil {
		return d.full(err)
	}
	d.changes.publish(app)
	return nil
}

// leave notes that instances are on their way out until gone is called.
func (a *app) leave() (gone func()) {
	ended := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = append(a.leaving, ended)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.leaving = slices.DeleteFunc(a.leaving, func(c chan struct{}) bool { return c == ended })
		close(ended)
	}
}

// alone waits until everything that was replaced, scaled down or given up has
// gone. The caller holds the app's line, so nothing more leaves meanwhile.
func (a *app) alone(ctx context.Context) error {
	for {
		a.mu.Lock()
		if len(a.leaving) == 0 {
			a.mu.Unlock()
			return nil
		}
		next := a.leaving[0]
		a.mu.Unlock()
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// serves tells whether requests go to the instance.
func serves(i *instance) bool {
	_, is := i.backend()
	return is
}

// outgoing lists the instances that live and are not in the set.
func (a *app) outgoing(set []*instance) []*instance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.live), func(i *instance) bool { return slices.Contains(set, i) })
}

// stopFirst is the rest of converge for an app whose old and new instances may
// not run at once. Whatever can be made ready is; then requests are held, the
// old ones finish theirs and stop, the new ones start, and requests go on. When
// the new ones do not come up, the old release starts again.
//
// WebSockets and event streams are cut at once: while they lasted, everybody
// else would wait.
func (d *Deployer) stopFirst(ctx context.Context, a *app, c change, set, missing, old []*instance) error {
	if err := d.prepare(ctx, c, missing); err != nil {
		d.discard(a, missing)
		return err
	}
	before := a.set()
	kept := slices.DeleteFunc(slices.Clone(set), func(i *instance) bool { return slices.Contains(missing, i) })
	began := time.Now()
	held := slices.ContainsFunc(old, serves) && !slices.ContainsFunc(kept, serves)
	if held {
		err := d.table.Pause(c.record.ID(), router.Pause{Requests: heldRequests, For: heldFor})
		d.warn("requests cannot be held", err, "app", c.record.Name)
		defer d.table.Resume(c.record.ID())
		defer c.report.held(began)
	}

	// From here on whoever cancels waits: half of this is an app that is down.
	_, drain := d.swap(a, kept)
	d.quit(d.life, old, drain, 0, func(c *runtime.Container) { d.discardContainer(c) })
	if err := d.life.Err(); err != nil {
		d.discard(a, missing)
		return err // boot starts the old release again
	}
	err := d.start(ctx, a, c, missing)
	if err == nil {
		err = d.commit(c)
	}
	if err != nil {
		if worse := d.bringBack(a, c, before, old, missing); worse != nil {
			return errors.Join(err, worse)
		}
		return err
	}
	a.onTrial(c)
	d.swap(a, set)
	for _, i := range missing {
		d.supervise(i)
	}
	d.changes.publish(c.record.Name)
	return nil
}

// set returns the instances that live.
func (a *app) set() []*instance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.live)
}

// prepare makes the containers of instances, all but the word to start.
func (d *Deployer) prepare(ctx context.Context, c change, instances []*instance) error {
	if err := c.wait(); err != nil {
		return err
	}
	errs := make([]error, len(instances))
	slots := make(chan struct{}, startsAtOnce)
	var all sync.WaitGroup
	for n, i := range instances {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			container, err := d.container(ctx, c, i)
			i.mu.Lock()
			i.container = container
			i.mu.Unlock()
			errs[n] = err
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// bringBack stops the instances that did not come up and starts those that they
// were to replace again, in new containers. One that does not come up is left
// to its supervisor.
func (d *Deployer) bringBack(a *app, c change, before, old, failed []*instance) error {
	ctx := d.life
	var all sync.WaitGroup
	for _, i := range failed {
		container, _, _ := i.running()
		if container == nil {
			continue
		}
		all.Go(func() {
			d.warn("an instance that did not come up did not stop", stop(ctx, container), "instance", i.name())
			d.discardContainer(container)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil // boot does it
	}
	var again []*instance
	for n, i := range before {
		if slices.Contains(old, i) {
			before[n] = &instance{app: a, release: i.release, process: i.process, number: i.number}
			again = append(again, before[n])
		}
	}
	back := change{record: c.record, release: again[0].release, patient: true}
	err := d.start(ctx, a, back, again)
	d.swap(a, before)
	for _, i := range again {
		d.supervise(i)
	}
	if err != nil {
		return fmt.Errorf("start v%d again: %w", back.release.Number, err)
	}
	var down []string
	for _, i := range again {
		if _, state, _ := i.running(); state != InstanceUp {
			down = append(down, i.name())
		}
	}
	switch {
	case len(down) > 0:
		return fmt.Errorf("v%d was started again, and %s did not come up yet", back.release.Number, strings.Join(down, ", "))
	case c.report != nil:
		c.report.Step("Back", "v%d was started again", back.release.Number)
	}
	return nil
}

// discardContainer removes a container that has stopped, and keeps nobody waiting.
func (d *Deployer) discardContainer(c *runtime.Container) {
	d.background(func(context.Context) { d.remove(c) })
}

// held says how long requests were held.
func (r *report) held(began time.Time) {
	if r != nil {
		r.Step("Hold", "requests were held for %d ms", time.Since(began).Milliseconds())
	}
}

// stopLeftOvers ends what still runs of apps that are not to run twice: a
// rollout that berth's end broke off may have started it.
func (d *Deployer) stopLeftOvers(ctx context.Context, records []store.App, left []*runtime.Container) {
	names := map[string]string{}
	for _, record := range records {
		if record.Rollout == store.StopFirst {
			names[fmt.Sprint(record.UID)] = record.Name
		}
	}
	var all sync.WaitGroup
	for _, c := range left {
		app := names[c.Labels[labelApp]]
		if app == "" || c.Labels[labelKind] != kindInstance || !c.Launched() || ended(c) {
			continue
		}
		all.Go(func() {
			d.warn("what is left of a rollout did not stop", stop(ctx, c), "app", app, "container", c.ID)
		})
	}
	all.Wait()
}
