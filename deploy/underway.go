package deploy

import (
	"context"
	"errors"
	"sync"

	"github.com/berthd/berth/store/fault"
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
