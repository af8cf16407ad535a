package router

import "sync/atomic"

// Stats are a route's counters since the router started. They survive Swap and
// end with Remove.
type Stats struct {
	Requests uint64    // begun
	InFlight int64     // of them, those that are under way, upgraded connections included
	Status   [6]uint64 // finished, by class: Status[2] counts 200 to 299; Status[1] the upgraded
	BytesIn  uint64    // of bodies and upgraded connections
	BytesOut uint64
}

// Stats returns the counters of a route.
func (r *Router) Stats(route string) (Stats, bool) {
	rt := r.table.Load().routes.get(route)
	if rt == nil {
		return Stats{}, false
	}
	return rt.counters.read(), true
}

// AllStats returns the counters of every route by its name.
func (r *Router) AllStats() map[string]Stats {
	t := r.table.Load()
	all := map[string]Stats{}
	for name, rt := range t.routes.all() {
		all[name] = rt.counters.read()
	}
	return all
}

type counters struct {
	requests, in, out atomic.Uint64
	inFlight          atomic.Int64
	status            [6]atomic.Uint64
}

func (c *counters) read() Stats {
	s := Stats{Requests: c.requests.Load(), InFlight: c.inFlight.Load(), BytesIn: c.in.Load(), BytesOut: c.out.Load()}
	for i := range c.status {
		s.Status[i] = c.status[i].Load()
	}
	return s
}

func (c *counters) begin() {
	c.requests.Add(1)
	c.inFlight.Add(1)
}

func (c *counters) end(status int) {
	c.inFlight.Add(-1)
	if class := status / 100; class < len(c.status) {
		c.status[class].Add(1)
	}
}
