package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// underway is the build that an app is at.
type underway struct {
	number int
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when its record is closed

	mu      sync.Mutex // guards what follows
	sealed  bool       // its release is being named as the live one: too late
	stopped string     // who stopped the app meanwhile, and did not start it again
}

// CancelBuild ends a build, whether it waits for its turn, builds or starts the
// release that came of it, and returns its record; 0 is the one under way, or
// else the push that waits for the app. What runs stays as it is.
func (d *Deployer) CancelBuild(ctx context.Context, name string, number int, by store.User) (build store.Build, err error) {
	_, a, err := d.find(name)
	if err != nil {
		return build, err
	}
	u := a.building(number)
	if u == nil {
		return build, d.cancelWaiting(name, a, number, by)
	}
	what := fmt.Sprintf("build %d", u.number)
	if !u.stop(errCancelled(what, by)) {
		return build, fault.New(fault.Conflict, code.BuildPastCancel, "%s of %s cannot be cancelled any more: its release goes live", what, name).
			Hint("berth rollback %s goes back to the one before", name)
	}
	d.happened(store.Event{App: name, By: by.Name, Kind: "build", Text: what + " cancelled"})
	select {
	case <-u.ended:
	case <-ctx.Done():
		return build, ctx.Err()
	}
	err = d.db.View(func(tx *store.Tx) error {
		build, err = tx.Builds.Get(a.called(), u.number)
		return err
	})
	return build, err
}

// cancelWaiting sends away a push that has no build yet, because another build
// of its app goes on.
func (d *Deployer) cancelWaiting(name string, a *app, number int, by store.User) error {
	if number == 0 && a.builds.dismiss(errCancelled("the push", by)) {
		d.happened(store.Event{App: name, By: by.Name, Kind: "build", Text: "a push that waited was cancelled"})
		return nil
	}
	if number == 0 {
		return fault.New(fault.Conflict, code.BuildNotRunning, "nothing is being built for %s", name)
	}
	return d.db.View(func(tx *store.Tx) error {
		build, err := tx.Builds.Get(name, number)
		if err != nil {
			return err
		}
		return fault.New(fault.Conflict, code.BuildNotRunning, "build %d of %s has ended: it %s", number, name, endedAs(build.Status))
	})
}

func endedAs(s store.BuildStatus) string {
	if s == store.BuildCancelled {
		return "was cancelled"
	}
	return string(s)
}

func errCancelled(what string, by store.User) *fault.Error {
	return fault.New(fault.Failed, code.PushCancelled, "%s was cancelled by %s", what, by.Name).Hint("push again to have it built")
}

// begin notes that the app is at a build, until end is called. The context ends
// when the build is cancelled.
func (a *app) begin(ctx context.Context, number int) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	u := &underway{number: number, cancel: cancel, ended: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.build = u
	return ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.build = nil
		close(u.ended)
		cancel(nil)
	}
}

// building returns the build of that number if the app is at it; 0 is any.
func (a *app) building(number int) *underway {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.build != nil && (number == 0 || a.build.number == number) {
		return a.build
	}
	return nil
}

// stop cancels the build, unless it is sealed.
func (u *underway) stop(why *fault.Error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.sealed {
		u.cancel(why)
	}
	return !u.sealed
}

// seal is asked when the release that comes of a build is about to be named as
// the live one. It returns why the build was cancelled, or sees to it that it
// cannot be cancelled any more. A release that was not built has a nil build.
func (u *underway) seal(ctx context.Context) error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if why := cancelled(ctx); why != nil {
		return why
	}
	u.sealed = true
	return nil
}

// unseal is for what follows once the release is live, and can be cancelled again.
func (u *underway) unseal() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sealed = false
}

// stopper returns who has stopped the app since the build began; "" is nobody.
func (u *underway) stopper() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stopped
}

// noteStop notes that the app was stopped by somebody, or, by "", started again.
func (u *underway) noteStop(by string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = by
}

// cancelled returns why a build was cancelled, if it was.
func cancelled(ctx context.Context) error {
	if why, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
		return why
	}
	return nil
}

// unbegun keeps a record of a push that was sent away before its build began.
func (d *Deployer) unbegun(p Push, commit git.Commit, why error) {
	err := d.db.Update(func(tx *store.Tx) error {
		_, build, err := build.Begin(tx, p.App, p.Branch, p.By.Name, commit)
		if err != nil {
			return err
		}
		build.Status, build.Error, build.FinishedAt = store.BuildCancelled, why.Error(), time.Now().UTC()
		return tx.Builds.Put(build)
	})
	d.changes.publish(p.App)
	d.warn("a push that was sent away was not recorded", err, "app", p.App)
}
