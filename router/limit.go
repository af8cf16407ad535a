package router

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

// maxVisitors bounds how many addresses of a route are remembered, twice (see
// paces). It is some megabytes when a botnet comes, and nothing otherwise.
const maxVisitors = 1 << 15

// address is a client as limits count it: an IPv4 address, or the /64 of an
// IPv6 address, which one machine has all of.
type address netip.Addr

func (x *exchange) from() address {
	addr, err := netip.ParseAddr(x.client())
	if err != nil {
		return address{}
	}
	return addressOf(addr)
}

func addressOf(addr netip.Addr) address {
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		if net, err := addr.Prefix(64); err == nil {
			addr = net.Addr()
		}
	}
	return address(addr)
}

// withinLimits counts the request in. If its address has too many, it is
// answered.
func (x *exchange) withinLimits(o *options) bool {
	if o.pace.interval == 0 && o.InFlight == 0 {
		return true
	}
	x.address = x.from()
	if wait := x.route.visitors.paces.take(x.address, o.pace, time.Now()); wait > 0 {
		p := tooMany
		p.retryAfter = seconds(wait)
		x.page(p)
		return false
	}
	if o.InFlight > 0 {
		if x.inside = x.route.visitors.enter(x.address, o.InFlight); !x.inside {
			x.page(tooManyAtOnce)
			return false
		}
	}
	return true
}

// visitors are the addresses that a route has lately heard from.
type visitors struct {
	paces paces

	mu     sync.Mutex // guards inside
	inside map[address]int
}

// enter counts a request in, unless as many are under way already.
func (v *visitors) enter(a address, most int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.inside[a] >= most {
		return false
	}
	if v.inside == nil {
		v.inside = map[address]int{}
	}
	v.inside[a]++
	return true
}

func (v *visitors) leave(a address) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.inside[a]--; v.inside[a] <= 0 {
		delete(v.inside, a)
	}
}

// pace is how fast requests may come: a token bucket, told in time. Each
// request pushes its address's empty-time an interval ahead; one that would be
// more than the slack ahead of now has to wait.
type pace struct {
	interval time.Duration // between two requests in the long run; 0 is any
	slack    time.Duration // how far they may run ahead
}

func newPace(rate float64, burst int) pace {
	if rate <= 0 {
		return pace{}
	}
	if burst == 0 {
		burst = max(1, int(math.Ceil(rate)))
	}
	interval := max(1, time.Duration(float64(time.Second)/rate))
	return pace{interval, time.Duration(burst-1) * interval}
}

// paces remember until when each address has used its pace up. What is no
// longer ahead of now needs no memory: two generations are kept, and when the
// younger is as old as an address can be ahead, or full, the older one goes.
// So a flood of addresses costs the memory of two full maps, and the worst
// that it does is to forget what others have used up.
type paces struct {
	mu         sync.Mutex // guards what follows
	of         pace       // what has been used up is told in it
	young, old map[address]time.Time
	born       time.Time // of the younger one
}

// take counts a request, or returns how long it would have to wait.
func (p *paces) take(a address, pc pace, now time.Time) (wait time.Duration) {
	if pc.interval == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of != pc {
		p.of, p.young, p.old = pc, nil, nil // or an hour's limit would outlive its change to seconds
	}
	if p.young == nil || len(p.young) >= maxVisitors || now.Sub(p.born) > pc.slack+pc.interval {
		p.young, p.old, p.born = map[address]time.Time{}, p.young, now
	}
	until, known := p.young[a]
	if !known {
		until = p.old[a]
	}
	if until.Before(now) {
		until = now
	}
	if ahead := until.Sub(now); ahead > pc.slack {
		p.young[a] = until
		return ahead - pc.slack
	}
	p.young[a] = until.Add(pc.interval)
	return 0
}
