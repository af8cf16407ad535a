package router

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// A record is made when its request is over, which the client may know sooner.
func recorded(t *testing.T, records chan Access) Access {
	t.Helper()
	select {
	case a := <-records:
		return a
	case <-time.After(10 * time.Second):
		t.Fatal("no record of the request")
		panic("unreachable")
	}
}

func TestAccess_TellsWhoAnsweredAndWhoAsked(t *testing.T) {
	records := make(chan Access, 16)
	s := start(t, Config{AccessLog: func(a Access) { records <- a }})
	b := app(t, "c1", says("hello"))
	b.Name, b.Release = "web.1", 18
	route := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{b}}
	for _, row := range []struct {
		log          Logged
		uri, referer string // as logged
		quiet        bool
	}{
		{"", "/a?key=1", "https://elsewhere.example/?q=2", false},
		{LogAll, "/a?key=1", "https://elsewhere.example/?q=2", false},
		{LogPaths, "/a", "https://elsewhere.example/", false},
		{log: LogNothing, quiet: true},
	} {
		route.Options.Log = row.log
		if _, err := s.Swap(route); err != nil {
			t.Fatal(err)
		}
		get(t, s.client(t), "https://shop.localhost/a?key=1", "User-Agent", "test/1", "Referer", "https://elsewhere.example/?q=2")
		if row.quiet {
			get(t, s.client(t), "http://nobody.localhost/b?secret=1") // whose record comes next
			if a := recorded(t, records); a.Route != "" || a.URI != "/b" || a.Status != 404 {
				t.Errorf("after a request that is not logged: got %+v, want the one of no route, without its query", a)
			}
			continue
		}
		a := recorded(t, records)
		if a.Route != "shop" || a.Backend != "c1" || a.Instance != "web.1" || a.Release != 18 || a.Status != 200 || a.BytesOut != 5 {
			t.Errorf("log %q: got %+v, want it answered by web.1 of v18", row.log, a)
		}
		if a.URI != row.uri || a.Referer != row.referer || a.UserAgent != "test/1" {
			t.Errorf("log %q: got %q from %q by %q, want %q from %q by test/1", row.log, a.URI, a.Referer, a.UserAgent, row.uri, row.referer)
		}
		if a.FirstByte <= 0 || a.FirstByte > a.Duration {
			t.Errorf("log %q: the first byte came after %v of %v", row.log, a.FirstByte, a.Duration)
		}
	}
	route.Options.Log = "some"
	if _, err := s.Swap(route); err == nil {
		t.Error("a log that there is not was taken")
	}
}

func TestStats_CountLatencyRefusalsAndRetries(t *testing.T) {
	s := start(t, Config{})
	slow := app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			time.Sleep(30 * time.Millisecond) // what is measured
		}
		io.WriteString(w, "hello")
	})
	route := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{slow}}
	if _, err := s.Swap(route); err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	get(t, c, "https://shop.localhost/slow")
	got := counted(t, s, func(s Stats) bool { return s.InFlight == 0 && s.Requests == 1 })
	n := uint64(0)
	for _, count := range got.Latency[3:] { // above 25 ms
		n += count
	}
	if n != 1 || got.LatencySum < 30*time.Millisecond {
		t.Errorf("after a request of 30 ms: got %v, %v in all", got.Latency, got.LatencySum)
	}

	route.Backends = []Backend{backendAt("dead", "127.0.0.1:1"), slow}
	if _, err := s.Swap(route); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one of them is offered to the dead one first
		get(t, c, "https://shop.localhost/")
	}
	if got = counted(t, s, func(s Stats) bool { return s.InFlight == 0 && s.Requests == 3 }); got.Retries < 1 || got.Retries > 2 {
		t.Errorf("got %d retries, want one, or two when the dead one had its rest in between", got.Retries)
	}

	route.Options.Maintenance = true
	if _, err := s.Swap(route); err != nil {
		t.Fatal(err)
	}
	get(t, c, "https://shop.localhost/")
	if got = counted(t, s, func(s Stats) bool { return s.Refused > 0 }); got.Refused != 1 || got.Requests != 3 {
		t.Errorf("after one that maintenance answered: got %d refused of %d more, want 1 and 0", got.Refused, got.Requests-3)
	}
}

func TestStats_AnEventStreamIsAsSlowAsItsBeginning(t *testing.T) {
	s := start(t, Config{})
	let := make(chan struct{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-let
	}))
	asked := time.Now()
	res, err := s.client(t).Get("https://shop.localhost/")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Since(asked)
	close(let)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if got := counted(t, s, func(s Stats) bool { return s.InFlight == 0 }); got.LatencySum > began || got.LatencySum == 0 {
		t.Errorf("got %v, want no more than the %v until it began", got.LatencySum, began)
	}
}

// counted returns the route's counters once they are as the test wants them.
func counted(t *testing.T, s *service, ok func(Stats) bool) (got Stats) {
	t.Helper()
	eventually(t, "the counters", func() bool { got, _ = s.Stats("shop"); return ok(got) })
	return got
}

func TestStats_QuantilesAndDifferences(t *testing.T) {
	var before, now Stats
	before.Requests, before.Latency[0], before.LatencySum, before.Status[2] = 10, 10, time.Second, 10
	now = before.Plus(Stats{Requests: 100, Status: [6]uint64{2: 99, 5: 1}, LatencySum: time.Second, Latency: [12]uint64{2: 98, 8: 2}})
	now.InFlight = 3
	got := now.Since(before)
	if got.Requests != 100 || got.Status != [6]uint64{2: 99, 5: 1} || got.LatencySum != time.Second || got.Finished() != 100 || got.InFlight != 3 {
		t.Errorf("got %+v since", got)
	}
	for _, row := range []struct {
		part float64
		want time.Duration
	}{{.49, 17500 * time.Microsecond}, {.98, 25 * time.Millisecond}, {.99, 1750 * time.Millisecond}, {1, 2500 * time.Millisecond}} {
		if q := got.Quantile(row.part); (q - row.want).Abs() > time.Microsecond {
			t.Errorf("quantile %v: got %v, want %v", row.part, q, row.want)
		}
	}
	if q := (Stats{}).Quantile(.5); q != 0 {
		t.Errorf("of none: got %v", q)
	}
	if q := (Stats{Latency: [12]uint64{11: 1}}).Quantile(.5); q != 10*time.Second {
		t.Errorf("of one above all bounds: got %v", q)
	}
	if got := before.Since(now); got != before {
		t.Errorf("of a route that is back: got %+v, want %+v", got, before)
	}
}
