package router

import "sync/atomic"

// Stats are a route's counters since the router started. They survive Swap and
// end with Remove.
type Stats struct {
	Requests uint64    // begun
	InFlight int64     // of them, those that are under way, upgraded connections included
	Status   [6]uint64 // finished, by class: Status[2] counts 200 to 299; Status[1] the upgraded
	BytesIn  uint64    // of bodies, upgraded connections and connections of ports
	BytesOut uint64

	Connections uint64 // of ports, begun
	Open        int64  // of them, those that are under way
}

// Stats returns the counters of a route.
func (r *Router) Stats(route string) (Stats, bool) {
	rt := r.table.Load().routes[route]
	if rt == nil {
		return Stats{}, false
	}
	return rt.read(), true
}

// AllStats returns the counters of every route by its name.
func (r *Router) AllStats() map[string]Stats {
	t := r.table.Load()
	all := make(map[string]Stats, len(t.routes))
	for name, rt := range t.routes {
		all[name] = rt.read()
	}
	return all
}

type counters struct {
	requests, in, out atomic.Uint64
	inFlight          atomic.Int64
	status            [6]atomic.Uint64
}

func (l *lasting) read() Stats {
	s := l.counters.read()
	s.Connections, s.Open = l.streams.begun.Load(), l.streams.open.Load()
	return s
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
