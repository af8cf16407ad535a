package router

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestSwap_UnderLoadFailsNoRequest(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		// Every backend says whether it was told to be gone when the request came.
		// It is swapped out once it is well under load.
		const load = 40
		backend := func(n int) (_ Backend, gone *atomic.Bool, busy chan struct{}) {
			gone, busy = new(atomic.Bool), make(chan struct{})
			var requests atomic.Int64
			return app(t, strconv.Itoa(n), func(w http.ResponseWriter, r *http.Request) {
				if gone.Load() {
					t.Error("a drained backend got a request")
				}
				if requests.Add(1) == load {
					close(busy)
				}
				io.WriteString(w, "ok")
			}), gone, busy
		}
		b, gone, busy := backend(0)
		s.swap(t, "shop", []string{"shop.localhost"}, b)

		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		var requests atomic.Int64
		for range 8 {
			c := client(s, t)
			clients.Go(func() {
				for ctx.Err() == nil {
					res, err := c.Post("https://shop.localhost/", "text/plain", http.NoBody)
					if err != nil {
						t.Errorf("request: %v", err)
						return
					}
					body, err := io.ReadAll(res.Body)
					res.Body.Close()
					if err != nil || res.StatusCode != 200 || string(body) != "ok" {
						t.Errorf("got %d %q, %v", res.StatusCode, body, err)
						return
					}
					requests.Add(1)
				}
			})
		}
		for n := 1; n <= 50; n++ {
			<-busy
			next, nextGone, nextBusy := backend(n)
			d := s.swap(t, "shop", []string{"shop.localhost"}, next)
			if cut := d.Wait(t.Context(), 10*time.Second, time.Second); cut != 0 {
				t.Errorf("swap %d cut %d requests", n, cut)
			}
			gone.Store(true)
			gone, busy = nextGone, nextBusy
		}
		cancel()
		clients.Wait()
		if n := requests.Load(); n < 50*load {
			t.Errorf("only %d requests were made", n)
		}
	})
}

func TestSwap_DrainingBackendGetsNoNewRequest(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		entered, finish := make(chan struct{}), make(chan struct{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "old", func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-finish
			io.WriteString(w, "old")
		}))
		c := client(s, t)
		slow := make(chan string)
		go func() { _, body := get(t, c, "https://shop.localhost/"); slow <- body }()
		<-entered
		d := s.swap(t, "shop", []string{"shop.localhost"}, app(t, "new", says("new")))
		if _, body := get(t, c, "https://shop.localhost/"); body != "new" {
			t.Errorf("after the swap %q answers, want new", body)
		}
		waited := make(chan int)
		go func() { waited <- d.Wait(t.Context(), time.Minute, time.Minute) }()
		select {
		case <-waited:
			t.Fatal("the drain did not wait for the request in flight")
		case <-time.After(20 * time.Millisecond):
		}
		close(finish)
		if body := <-slow; body != "old" {
			t.Errorf("the request in flight got %q, want old", body)
		}
		if cut := <-waited; cut != 0 {
			t.Errorf("%d requests were cut, want none", cut)
		}
	})
}

func TestSwap_BackendThatStaysKeepsItsConnections(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{UpstreamIdle: time.Minute})
		remotes := make(chan string, 2)
		b := app(t, "1", func(w http.ResponseWriter, r *http.Request) { remotes <- r.RemoteAddr })
		c := client(s, t)
		s.swap(t, "shop", []string{"shop.localhost"}, b)
		get(t, c, "https://shop.localhost/")
		d := s.swap(t, "shop", []string{"shop.localhost", "www.shop.localhost"}, app(t, "2", says("")), b)
		if len(d.backends) != 0 {
			t.Errorf("%d backends are drained, want none", len(d.backends))
		}
		for len(remotes) < 2 {
			get(t, c, "https://shop.localhost/")
		}
		if first, second := <-remotes, <-remotes; first != second {
			t.Errorf("connections %s and %s, want the same", first, second)
		}
	})
}

func TestDrain_CutsRequestsAfterTheirTime(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		entered, gone := make(chan struct{}), make(chan struct{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			close(gone)
		}))
		c := client(s, t)
		status := make(chan int)
		go func() { res, _ := get(t, c, "https://shop.localhost/"); status <- res.StatusCode }()
		<-entered
		if cut := s.Remove("shop").Wait(t.Context(), 20*time.Millisecond, time.Minute); cut != 1 {
			t.Errorf("%d requests were cut, want 1", cut)
		}
		<-gone
		if got := <-status; got != 503 {
			t.Errorf("the cut request got %d, want 503", got)
		}
		if again := s.Remove("shop").Wait(t.Context(), 0, 0); again != 0 {
			t.Errorf("removing twice cut %d", again)
		}
	})
}

func TestDrain_CutsAClientThatReadsNothing(t *testing.T) {
	s := start(t, Config{})
	entered := make(chan struct{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	c := dialTLS(t, s, "shop.localhost")
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-entered
	if cut := s.Remove("shop").Wait(t.Context(), 20*time.Millisecond, time.Minute); cut != 1 {
		t.Errorf("%d requests were cut, want 1", cut)
	}
	s.exchanges.Wait() // hangs if the handler is still stuck in its write
}

func TestDrain_StreamsLastUntilTheirGrace(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "old", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: 1\n\n")
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			echo(t)(w, r)
		}))
		ws := dialWebSocket(t, s, "shop.localhost")
		if err := echoes(t, ws, "before"); err != nil {
			t.Fatal(err)
		}
		events := openStream(t, client(s, t), "https://shop.localhost/events")
		d := s.swap(t, "shop", []string{"shop.localhost"}, app(t, "new", says("new")))

		// The time of plain requests is over at once; these two are not plain.
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if cut := d.Wait(short, 0, time.Minute); cut != 0 {
			t.Errorf("%d were cut before their grace", cut)
		}
		if err := echoes(t, ws, "after the swap"); err != nil {
			t.Errorf("the socket did not survive the swap: %v", err)
		}
		if cut := d.Wait(t.Context(), 0, 20*time.Millisecond); cut != 2 {
			t.Errorf("%d were cut after their grace, want 2", cut)
		}
		if err := echoes(t, ws, "after the grace"); err == nil {
			t.Error("the socket is still open after its grace")
		}
		if _, err := io.ReadAll(events); err == nil {
			t.Error("the event stream ended as if it were whole")
		}
	})
}

func TestDrain_OfNothingReturnsAtOnce(t *testing.T) {
	s := start(t, Config{})
	if cut := s.swap(t, "shop", nil, app(t, "1", says(""))).Wait(t.Context(), time.Hour, time.Hour); cut != 0 {
		t.Errorf("cut %d", cut)
	}
	d := s.swap(t, "shop", nil)
	if cut := d.Wait(t.Context(), time.Hour, time.Hour); cut != 0 {
		t.Errorf("cut %d", cut)
	}
}
