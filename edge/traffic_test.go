package edge

import (
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/router"
)

func TestTraffic_IsOfTheLastMinutes(t *testing.T) {
	var tr traffic
	now := time.Unix(1_795_457_572, 0)
	if got := tr.of("shop", router.Stats{}, now); len(got.History) != 0 || got.Requests != 0 {
		t.Errorf("before the first step: got %+v", got)
	}
	// Half of the requests fail, and take a second.
	stats := router.Stats{}
	step := func(n uint64) {
		stats = stats.Plus(router.Stats{Requests: n, BytesOut: 10 * n, Status: [6]uint64{2: n / 2, 5: n / 2}, Latency: [12]uint64{0: n / 2, 7: n / 2}})
		now = now.Add(trafficStep)
	}
	tr.step(map[string]router.Stats{"shop": stats, "idle": {Requests: 7}}, now)
	step(100)
	tr.step(map[string]router.Stats{"shop": stats, "idle": {Requests: 7}}, now)
	step(20)
	stats.InFlight = 3
	got := tr.of("shop", stats, now)
	if got.Requests != 6 || got.Errors != .5 || got.InFlight != 3 || got.BytesOut != 60 || got.Seconds != 20 || got.Responses != 120 {
		t.Errorf("got %+v, want 120 requests in 20 s, half of them errors", got)
	}
	if got.P50 < 4 || got.P50 > 5 || got.P99 < 900 || got.P99 > 1000 {
		t.Errorf("got a p50 of %v and a p99 of %v", got.P50, got.P99)
	}
	if !slices.Equal(got.History, []float64{10, 2}) {
		t.Errorf("got the history %v", got.History)
	}
	if tr.courses["idle"] != nil {
		t.Error("an app that nobody asks takes memory")
	}

	for range 2 * trafficSteps {
		now = now.Add(trafficStep)
		tr.step(map[string]router.Stats{"shop": stats}, now)
	}
	got = tr.of("shop", stats, now)
	if got.Requests != 0 || got.Errors != 0 || len(got.History) != trafficSteps+1 || got.Seconds != (trafficSteps*trafficStep).Seconds() {
		t.Errorf("long after: got %+v", got)
	}
	if len(tr.courses) != 0 {
		t.Error("what was long ago takes memory")
	}

	// Removed, and back under the same name.
	tr.step(map[string]router.Stats{"shop": {Requests: 5}}, now.Add(trafficStep))
	if got := tr.of("shop", router.Stats{Requests: 6}, now.Add(trafficStep)); got.History[trafficSteps-1] != .5 || got.History[trafficSteps] != 1 {
		t.Errorf("of an app that is another: got %v", got.History)
	}
}
