package router

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Pause bounds how requests are held.
type Pause struct {
	Requests int           // how many at most; those beyond get a 503 at once
	For      time.Duration // each at most; then it gets a 503
}

var errPaused = errors.New("the route is paused, and this request waited long enough")

// Pause holds a route's requests until Resume, in place of offering them to
// backends. Those that have a backend go on. Between the two, backends may be
// swapped for none: that is how an app is replaced of which two must not run
// at once. A route that is paused already stays so, by the first limits.
func (r *Router) Pause(route string, p Pause) error {
	if p.Requests <= 0 || p.For <= 0 {
		return fmt.Errorf("pause route %q: %d requests for %v is no pause", route, p.Requests, p.For)
	}
	r.write.Lock()
	defer r.write.Unlock()
	rt := r.table.Load().routes.get(route)
	if rt == nil {
		return fmt.Errorf("pause route %q: there is none", route)
	}
	rt.held.CompareAndSwap(nil, &hold{Pause: p, over: make(chan struct{})})
	return nil
}

// Resume releases the held requests of a route. Resuming a route that is not
// paused does nothing.
func (r *Router) Resume(route string) {
	r.write.Lock()
	defer r.write.Unlock()
	if rt := r.table.Load().routes.get(route); rt != nil {
		rt.resume()
	}
}

func (rt *route) resume() {
	if h := rt.held.Swap(nil); h != nil {
		close(h.over)
	}
}

// hold is a pause under way.
type hold struct {
	Pause
	over              chan struct{}
	requests, streams atomic.Int64 // that wait; of ports nobody sees a client leave meanwhile
}

// pass returns when the route is not paused.
func (rt *route) pass(ctx context.Context, waiting func(*hold) *atomic.Int64) error {
	h := rt.held.Load()
	if h == nil {
		return nil
	}
	n := waiting(h)
	defer n.Add(-1)
	if n.Add(1) > int64(h.Requests) {
		return errPaused
	}
	enough := time.NewTimer(h.For)
	defer enough.Stop()
	select {
	case <-h.over:
		return nil
	case <-enough.C:
		return errPaused
	case <-ctx.Done():
		return ctx.Err()
	}
}
