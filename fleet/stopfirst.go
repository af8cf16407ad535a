package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
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
		app := a.Name()
		f.warn("requests cannot be held", f.cfg.Router.Hold(app, heldRequests, heldFor), "app", app)
		defer f.cfg.Router.Resume(app)
		defer func() { c.Progress.Held(time.Since(began)) }()
	}

	// From here on the end of ctx is not obeyed at once: halfway, the app is down.
	_, drain := a.swap(kept)
	a.quit(f.life, old, drain, 0, f.removeLater)
	if err := f.life.Err(); err != nil {
		a.discard(missing)
		return err // the next start of berth brings the old ones back
	}
	err := a.start(ctx, c, missing)
	if err == nil {
		err = c.commit()
	}
	if err != nil {
		if worse := a.bringBack(c, before, old, missing); worse != nil {
			return errors.Join(err, worse)
		}
		return err
	}
	a.onTrial(c)
	a.swap(set)
	supervise(missing)
	f.cfg.Journal.Changed(a.Name())
	return nil
}

// prepare makes the containers of instances, but does not launch them.
func (a *App) prepare(ctx context.Context, c Change, instances []*instance) error {
	if err := c.layer(); err != nil {
		return err
	}
	errs := make([]error, len(instances))
	sideBySide(instances, func(n int, i *instance) {
		container, err := i.readied(ctx, c)
		if err == nil {
			i.fill(container)
		}
		errs[n] = err
	})
	return errors.Join(errs...)
}

// bringBack stops the instances that did not come up and starts those that they
// were to replace again, in new containers. One that does not come up is left
// to its supervisor.
func (a *App) bringBack(c Change, before, old, failed []*instance) error {
	f := a.fleet
	var all sync.WaitGroup
	for _, i := range failed {
		container, _, _ := i.running()
		if container == nil {
			continue
		}
		all.Go(func() {
			f.warn("an instance that did not come up did not stop", stop(f.life, container), "instance", i.name())
			f.removeLater(container)
		})
	}
	all.Wait()
	if f.life.Err() != nil {
		return nil // the next start of berth does it
	}
	var again []*instance
	for n, i := range before {
		if slices.Contains(old, i) {
			before[n] = i.again()
			again = append(again, before[n])
		}
	}
	release := again[0].release.Number
	err := a.start(f.life, Change{Patient: true, Progress: quiet{}}, again)
	a.swap(before)
	supervise(again)
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
	c.Progress.Back(release)
	return nil
}
