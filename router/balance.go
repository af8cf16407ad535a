package router

import (
	"slices"
	"time"
)

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
