package router

import (
	"sync/atomic"
	"time"
)

// LatencyBounds are the upper bounds of the buckets that latencies are counted
// in, but the last, which has none: those that Prometheus' clients have by
// default, so that its users' dashboards fit.
var LatencyBounds = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Stats are a route's counters since the router started. They survive Swap and
// end with Remove.
type Stats struct {
	Requests uint64    // begun: those that were to go to a backend
	InFlight int64     // of them, those that are under way, upgraded connections included
	Status   [6]uint64 // finished, by class: Status[2] counts 200 to 299; Status[1] the upgraded
	Refused  uint64    // not among them: limits, maintenance and passwords have answered
	Retries  uint64    // tries after the first, on another backend or a fresh connection
	BytesIn  uint64    // of bodies, upgraded connections and connections of ports
	BytesOut uint64

	// Latency counts what has finished by how long it took, a bucket for each of
	// LatencyBounds and one above. Of WebSockets and event streams it is how
	// long they took to begin. LatencySum is all of it together.
	Latency    [len(LatencyBounds) + 1]uint64
	LatencySum time.Duration

	Connections uint64 // of ports, begun
	Open        int64  // of them, those that are under way
}

// Stats returns the counters of a route.
func (r *Router) Stats(route string) (Stats, bool) {
	rt := r.table.Load().routes.get(route)
	if rt == nil {
		return Stats{}, false
	}
	return rt.read(), true
}

// AllStats returns the counters of every route by its name.
func (r *Router) AllStats() map[string]Stats {
	t := r.table.Load()
	all := map[string]Stats{}
	for name, rt := range t.routes.all() {
		all[name] = rt.read()
	}
	return all
}

type counters struct {
	requests, in, out atomic.Uint64
	refused, retries  atomic.Uint64
	inFlight          atomic.Int64
	status            [6]atomic.Uint64
	latency           [len(LatencyBounds) + 1]atomic.Uint64
	latencySum        atomic.Int64 // nanoseconds
}

func (l *lasting) read() Stats {
	s := l.counters.read()
	s.Connections, s.Open = l.streams.begun.Load(), l.streams.open.Load()
	return s
}

func (c *counters) read() Stats {
	s := Stats{
		Requests: c.requests.Load(), InFlight: c.inFlight.Load(), BytesIn: c.in.Load(), BytesOut: c.out.Load(),
		Refused: c.refused.Load(), Retries: c.retries.Load(), LatencySum: time.Duration(c.latencySum.Load()),
	}
	for i := range c.status {
		s.Status[i] = c.status[i].Load()
	}
	for i := range c.latency {
		s.Latency[i] = c.latency[i].Load()
	}
	return s
}

func (c *counters) begin() {
	c.requests.Add(1)
	c.inFlight.Add(1)
}

func (c *counters) end(status int, latency time.Duration) {
	c.inFlight.Add(-1)
	if class := status / 100; class < len(c.status) {
		c.status[class].Add(1)
	}
	i := 0
	for i < len(LatencyBounds) && latency > LatencyBounds[i] {
		i++
	}
	c.latency[i].Add(1)
	c.latencySum.Add(int64(latency))
}

// count counts the exchange when it is over.
func (x *exchange) count() {
	latency := time.Since(x.start)
	if x.stream.Load() {
		latency = x.firstByte
	}
	x.route.counters.end(x.w.status, latency)
}

// Since returns what was counted after an earlier reading. A route that was
// removed meanwhile, and is back, has counted from zero. InFlight and Open stay.
func (s Stats) Since(before Stats) Stats {
	if s.Requests < before.Requests || s.Refused < before.Refused {
		return s
	}
	return s.each(before, func(a, b uint64) uint64 { return a - min(a, b) }, s.LatencySum-before.LatencySum)
}

// Plus adds the counts of another time.
func (s Stats) Plus(other Stats) Stats {
	return s.each(other, func(a, b uint64) uint64 { return a + b }, s.LatencySum+other.LatencySum)
}

func (s Stats) each(other Stats, of func(a, b uint64) uint64, sum time.Duration) Stats {
	s.Requests, s.Refused, s.Retries = of(s.Requests, other.Requests), of(s.Refused, other.Refused), of(s.Retries, other.Retries)
	s.Connections = of(s.Connections, other.Connections)
	s.BytesIn, s.BytesOut, s.LatencySum = of(s.BytesIn, other.BytesIn), of(s.BytesOut, other.BytesOut), sum
	for i := range s.Status {
		s.Status[i] = of(s.Status[i], other.Status[i])
	}
	for i := range s.Latency {
		s.Latency[i] = of(s.Latency[i], other.Latency[i])
	}
	return s
}

// Finished is how many requests have ended.
func (s Stats) Finished() (n uint64) {
	for _, count := range s.Latency {
		n += count
	}
	return n
}

// Quantile estimates what that part of the requests took at most, as
// Prometheus' histogram_quantile does: within a bucket it takes them to be
// spread evenly. It is 0 when there were none. Above the last bound it can tell
// no more than the bound.
func (s Stats) Quantile(part float64) time.Duration {
	rank := part * float64(s.Finished())
	if rank == 0 {
		return 0
	}
	below := time.Duration(0)
	for i, bound := range LatencyBounds {
		n := float64(s.Latency[i])
		if n > 0 && rank <= n {
			return below + time.Duration(float64(bound-below)*rank/n)
		}
		rank, below = rank-n, bound
	}
	return below
}
