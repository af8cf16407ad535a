package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

const (
	// heldRequests bounds how many requests wait while an app is stopped: each
	// is a connection and a few buffers.
	heldRequests = 1000

	// heldFor is the longest that one waits: the drain of the old instances,
	// and the time that the new ones have to become healthy.
	heldFor = DrainRequests + healthTimeout
)

// stopFirst is the rest of Converge for an app whose old and new instances may
// not run at once. Whatever can be made ready is; then requests are held, the
// old ones finish theirs and stop, the new ones start, and requests go on. When
// the new ones do not come up, the old ones start again.
//
// WebSockets and event streams are cut at once: while they lasted, everybody
// else would wait.
func (a *App) stopFirst(ctx context.Context, c Change, set, missing, old []*instance) error {
	f := a.fleet
	if err := a.prepare(ctx, c, missing); err != nil {
		a.discard(missing)
		return err
	}
	before := a.set()
	kept := slices.DeleteFunc(slices.Clone(set), func(i *instance) bool { return slices.Contains(missing, i) })
	began := time.Now()
	if slices.ContainsFunc(old, serves) && !slices.ContainsFunc(kept, serves) {
		app := a.ref()
		f.warn("requests cannot be held", f.cfg.Router.Hold(app, heldRequests, heldFor), "app", app.Name)
		defer f.cfg.Router.Resume(app)
		defer func() { c.Progress.Held(time.Since(began)) }()
	}

	_, drain, late := a.swap(kept)
	if late != nil { // nothing has stopped yet
		a.swap(before)
		a.discard(missing)
		return fmt.Errorf("take the old instances out of the routing: %w", late.why)
	}

	// From here on the end of ctx is not obeyed at once: halfway, the app is down.
	a.quit(f.life, old, drain, 0, func(c Container) {
		if Ended(c) {
			f.removeLater(c)
		}
	})
	if err := f.life.Err(); err != nil {
		a.discard(missing)
		return err // the next start of berth brings the old ones back
	}
	err := stuck(old)
	if err == nil {
		err = a.start(ctx, c, missing)
	}
	if err == nil {
		err = c.commit()
	}
	if err != nil {
		c.unlimit() // what comes back has the limits of before
		if worse := a.bringBack(c, before, old, missing); worse != nil {
			return errors.Join(err, worse)
		}
		return err
	}
	a.onTrial(c)
	a.swapAndWait(set)
	supervise(missing)
	f.cfg.Journal.Changed(a.Name())
	return nil
}

// swapAndWait is swap while requests are held: until the router has taken the set.
func (a *App) swapAndWait(set []*instance) {
	if _, _, late := a.swap(set); late != nil {
		late.wait(a.fleet.life, routePatience)
	}
}

// routePatience is how long requests stay held for a router that does not take
// the new instances.
const routePatience = 10 * time.Second

// stuck returns a fault (E503) when a program of instances that were stopped
// still runs.
func stuck(instances []*instance) error {
	var names []string
	for _, i := range instances {
		if c, _, _ := i.running(); c != nil && c.Launched() && !Ended(c) {
			names = append(names, i.name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return errStuck(strings.Join(names, ", "), instances[0].release.Number)
}

// isStuck tells whether an error is errStuck's.
func isStuck(err error) bool {
	f := fault.From(err)
	return f != nil && f.Code == code.InstanceStuck
}

func errStuck(names string, release int) error {
	return fault.New(fault.Failed, code.InstanceStuck, "%s of v%d did not end after SIGKILL, and no other instance may run beside it", names, release).
		Hint("its process waits in the kernel, for example for a disk or a network filesystem; it ends when that is fixed")
}

// prepare makes the containers of instances, but does not launch them.
func (a *App) prepare(ctx context.Context, c Change, instances []*instance) error {
	if err := c.layer(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sideBySide(instances, func(_ int, i *instance) {
		container, err := i.readied(ctx, c)
		if err != nil {
			cancel(err) // the first failure is the reason, as in start
			return
		}
		i.fill(container)
	})
	return context.Cause(ctx)
}

// bringBack stops the instances that did not come up and starts those that they
// were to replace again, in new containers. One that could not be stopped goes
// on as it is. One that does not come up is left to its supervisor.
func (a *App) bringBack(c Change, before, old, failed []*instance) error {
	f := a.fleet
	var all sync.WaitGroup
	for _, i := range failed {
		container, _, _ := i.running()
		if container == nil {
			continue
		}
		all.Go(func() {
			f.warn("an instance that did not come up did not stop", i.stop(f.life, container), "instance", i.name())
			a.removeLater(container)
		})
	}
	all.Wait()
	if f.life.Err() != nil {
		return nil // the next start of berth does it
	}
	var again, back []*instance
	for n, i := range before {
		if !slices.Contains(old, i) {
			continue
		}
		if stuck([]*instance{i}) != nil {
			i.set(Up, i.lastDetail())
		} else {
			before[n] = i.again()
			again = append(again, before[n])
		}
		back = append(back, before[n])
	}
	release := old[0].release.Number
	err := a.start(f.life, Change{Patient: true, Progress: quiet{}}, again)
	a.swapAndWait(before)
	supervise(back)
	if err != nil {
		return fmt.Errorf("start v%d again: %w", release, err)
	}
	var down []string
	for _, i := range again {
		if _, state, _ := i.running(); state != Up {
			down = append(down, i.name())
		}
	}
	if len(down) > 0 {
		return fmt.Errorf("v%d was started again, and %s did not come up yet", release, strings.Join(down, ", "))
	}
	if len(again) > 0 {
		c.Progress.Back(release)
	}
	return nil
}
