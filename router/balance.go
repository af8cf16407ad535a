package router

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"time"
)

// Balance is a way to choose the backend of a request.
type Balance string

// The ways there are.
const (
	RoundRobin       Balance = "round-robin"
	LeastConnections Balance = "least-connections" // fewest requests under way
	Sticky           Balance = "sticky"            // where the client was before, by a cookie
)

// stickyCookie names the backend that a client belongs to.
const stickyCookie = "berth_backend"

// pick returns the backend whose turn it is, among those not tried yet. One
// that lately refused connections, or is said to rest, is asked only when all
// others have been: health is a hint, never a reason not to try.
func (rt *route) pick(x *exchange, now time.Time) *backend {
	if len(rt.backends) == 0 {
		return nil
	}
	if rt.options.Balance == Sticky {
		if b := rt.stuck(x.in); b != nil && !slices.Contains(x.tried, b) && b.health.ok(now) {
			return b
		}
	}
	return rt.next(x.tried, 0, now)
}

// next returns the backend whose turn it is, but for the sticky ones, as far as
// its port is healthy; 0 is the one that requests go to.
func (rt *route) next(tried []*backend, port int, now time.Time) *backend {
	n := uint64(len(rt.backends))
	turn := rt.turn.Add(1)
	var best, last *backend
	least := 0
	for i := range n {
		b := rt.backends[(turn+i)%n]
		if slices.Contains(tried, b) {
			continue
		}
		if b.health.resting.Load() || !b.healthOf(port).ok(now) {
			if last == nil {
				last = b
			}
			continue
		}
		if rt.options.Balance != LeastConnections {
			return b
		}
		if load := b.load(); best == nil || load < least { // equals take turns
			best, least = b, load
		}
	}
	if best == nil {
		return last
	}
	return best
}

// load is how many requests and connections are with the backend.
func (b *backend) load() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.guests)
}

// stuck returns the backend that a request's cookie names. Several apps of one
// host set the same cookie for paths of their own; only our tokens count.
func (rt *route) stuck(req *http.Request) *backend {
	for _, cookie := range req.CookiesNamed(stickyCookie) {
		if i := slices.Index(rt.tokens, cookie.Value); i >= 0 {
			return rt.backends[i]
		}
	}
	return nil
}

// token is what stands for a backend in a cookie. It tells nothing of it.
func token(route, backend string) string {
	sum := sha256.Sum256([]byte(route + "\x00" + backend))
	return hex.EncodeToString(sum[:12])
}

// stick makes the client's next requests come to the same backend.
func (x *exchange) stick(h http.Header) {
	if x.backend == nil || x.route.options.Balance != Sticky {
		return
	}
	value := token(x.route.name, x.backend.id)
	if slices.ContainsFunc(x.in.CookiesNamed(stickyCookie), func(c *http.Cookie) bool { return c.Value == value }) {
		return
	}
	cookie := http.Cookie{
		Name: stickyCookie, Value: value, Path: x.place, HttpOnly: true, Secure: x.secure(), SameSite: http.SameSiteLaxMode,
	}
	if cookie.Path == "" {
		cookie.Path = "/"
	}
	h.Add("Set-Cookie", cookie.String())
}
