package router

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// Backend is one place that answers requests.
type Backend struct {
	ID   string
	Dial func(ctx context.Context) (net.Conn, error) // a fresh connection; safe for concurrent use
}

// Route leads hosts to backends. With no backends its hosts get the page of an
// app that is down (503).
type Route struct {
	Name     string
	Hosts    []string // exact, lower case
	Backends []Backend
}

func (rt Route) validate() error {
	if rt.Name == "" {
		return fmt.Errorf("a route needs a name")
	}
	for _, host := range rt.Hosts {
		if err := checkHost(host); err != nil {
			return err
		}
	}
	for i, b := range rt.Backends {
		if b.ID == "" || b.Dial == nil {
			return fmt.Errorf("backend %d has no ID or no Dial", i)
		}
		if slices.ContainsFunc(rt.Backends[:i], func(o Backend) bool { return o.ID == b.ID }) {
			return fmt.Errorf("two backends have the ID %q", b.ID)
		}
	}
	return nil
}

// route is a Route as the table holds it. It is immutable; what lives longer
// than one snapshot is behind pointers.
type route struct {
	name     string
	hosts    []string
	backends []*backend
	turn     *atomic.Uint64 // of the round-robin
	counters *counters
}

// pick returns the backend whose turn it is, among those not tried yet. One
// that lately refused connections is asked only when all others have been:
// passive health is a hint, never a reason not to try.
func (rt *route) pick(tried []*backend, now time.Time) *backend {
	n := uint64(len(rt.backends))
	if n == 0 {
		return nil
	}
	turn := rt.turn.Add(1)
	var last *backend
	for i := range n {
		b := rt.backends[(turn+i)%n]
		if slices.Contains(tried, b) {
			continue
		}
		if b.health.ok(now) {
			return b
		}
		if last == nil {
			last = b
		}
	}
	return last
}
