package edge

import (
	"context"
	"sync"
	"time"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
)

const (
	// trafficStep is how often the router's counters are read, and trafficSteps
	// how many readings are kept: five minutes show whether it gets better.
	trafficStep  = 10 * time.Second
	trafficSteps = 30
)

// Traffic is what an app was asked in the last minutes.
type Traffic struct {
	App     string  `json:"app"`
	Seconds float64 `json:"seconds"` // that it is about

	Requests  float64 `json:"requests_per_second"`
	Errors    float64 `json:"error_share"` // of the answers, those of 500 and above; 0 to 1
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	InFlight  int64   `json:"in_flight"`
	BytesIn   float64 `json:"bytes_in_per_second"`
	BytesOut  float64 `json:"bytes_out_per_second"`
	Refused   uint64  `json:"refused"` // by limits, maintenance and passwords
	Retries   uint64  `json:"retries"`
	Responses uint64  `json:"responses"`

	// History is the requests a second in each step of StepSeconds, oldest
	// first; the last one is not over yet.
	History     []float64 `json:"history"`
	StepSeconds float64   `json:"step_seconds"`
}

// Traffic tells what an app was asked in the last minutes.
func (r *Requests) Traffic(_ context.Context, app string) (Traffic, error) {
	id, err := r.id(app)
	if err != nil {
		return Traffic{}, err
	}
	now, _ := r.table.Stats(id)
	t := r.traffic.of(id, now, time.Now())
	t.App = app
	return t, nil
}

// Counters are what the router has counted, by the names of the apps.
func (r *Requests) Counters() map[string]router.Stats {
	counters, of := map[string]router.Stats{}, r.table.AllStats()
	err := r.db.View(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		for _, app := range apps {
			if stats, routed := of[app.ID()]; routed {
				counters[app.Name] = stats
			}
		}
		return err
	})
	if err != nil {
		return nil
	}
	return counters
}

// LostRequestLines is how many lines of access logs could not be written.
func (r *Requests) LostRequestLines() uint64 { return r.log.Dropped() }

// RefusedConnections is the number of connections that the router refused
// because their address had too many.
func (r *Requests) RefusedConnections() uint64 { return r.table.ConnectionsRefused() }

// Run reads the counters at every step until ctx ends.
func (r *Requests) Run(ctx context.Context) error {
	tick := time.NewTicker(trafficStep)
	defer tick.Stop()
	r.traffic.step(r.table.AllStats(), time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			r.traffic.step(r.table.AllStats(), now)
		}
	}
}

// traffic remembers the steps of the last minutes, of the apps that were asked
// anything in them. Of the others it knows where their counters stand.
type traffic struct {
	mu      sync.Mutex // guards what follows
	began   time.Time  // of the first step that is kept
	ended   []time.Time
	before  map[string]router.Stats // as they stood at the last step's end, by the ids of the apps
	courses map[string]*course
}

// course is what an app was asked in each step that is kept, oldest first.
type course struct {
	steps [trafficSteps]router.Stats
	quiet int // steps since the last that had something
}

// step ends a step.
func (t *traffic) step(all map[string]router.Stats, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before == nil {
		t.began, t.before, t.courses = now, all, map[string]*course{}
		return
	}
	if t.ended = append(t.ended, now); len(t.ended) > trafficSteps {
		t.began, t.ended = t.ended[0], t.ended[1:]
	}
	for id := range t.courses {
		if _, there := all[id]; !there {
			delete(t.courses, id)
		}
	}
	for app, stats := range all {
		counted := stats.Since(t.before[app])
		counted.InFlight, counted.Open = 0, 0
		c := t.courses[app]
		if c == nil {
			if counted == (router.Stats{}) {
				continue
			}
			c = &course{}
			t.courses[app] = c
		}
		copy(c.steps[:], c.steps[1:])
		c.steps[trafficSteps-1] = counted
		if c.quiet++; counted != (router.Stats{}) {
			c.quiet = 0
		}
		if c.quiet > trafficSteps {
			delete(t.courses, app)
		}
	}
	t.before = all
}

// of tells of the app with an id, whose counters stand at stats now.
func (t *traffic) of(id string, stats router.Stats, now time.Time) Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := Traffic{InFlight: stats.InFlight, StepSeconds: trafficStep.Seconds(), History: []float64{}}
	if t.before == nil {
		return out // berth has just begun
	}
	last := stats.Since(t.before[id])
	sum, from := last, t.began
	for i, end := range t.ended {
		var counted router.Stats
		if c := t.courses[id]; c != nil {
			counted = c.steps[trafficSteps-len(t.ended)+i]
		}
		out.History = append(out.History, perSecond(counted.Requests, end.Sub(from)))
		sum, from = sum.Plus(counted), end
	}
	out.History = append(out.History, perSecond(last.Requests, max(now.Sub(from), time.Second)))

	whole := max(now.Sub(t.began), time.Second)
	out.Seconds = whole.Seconds()
	out.Requests = perSecond(sum.Requests, whole)
	out.BytesIn, out.BytesOut = perSecond(sum.BytesIn, whole), perSecond(sum.BytesOut, whole)
	out.P50, out.P99 = millis(sum.Quantile(.5)), millis(sum.Quantile(.99))
	out.Refused, out.Retries, out.Responses = sum.Refused, sum.Retries, sum.Finished()
	if out.Responses > 0 {
		out.Errors = float64(sum.Status[5]) / float64(out.Responses)
	}
	return out
}

func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
