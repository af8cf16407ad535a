package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestServe_LeastConnectionsGoesWhereLeastIsUnderWay(t *testing.T) {
	s := start(t, Config{})
	entered, finish := make(chan string, 8), make(chan struct{})
	slow := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				entered <- name
				<-finish
			}
			says(name)(w, r)
		}
	}
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Balance: LeastConnections},
		Backends: []Backend{app(t, "1", slow("1")), app(t, "2", slow("2")), app(t, "3", slow("3"))}}
	set(t, s, rt)
	c, done := s.client(t), make(chan error, 2)
	busy := map[string]bool{}
	for range 2 {
		go func() {
			res, err := c.Get("https://shop.localhost/slow")
			if err == nil {
				res.Body.Close()
			}
			done <- err
		}()
		busy[<-entered] = true
	}
	if len(busy) != 2 {
		t.Fatalf("two requests went to %v, want two backends", busy)
	}
	// Options change under way: what is known of the backends stays.
	rt.Options.Rate = 1000
	set(t, s, rt)
	for range 6 {
		if _, name := get(t, c, "https://shop.localhost/"); busy[name] {
			t.Errorf("backend %s got a request, which has one already; another has none", name)
		}
	}
	close(finish)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	seen := map[string]int{}
	for range 9 {
		_, name := get(t, c, "https://shop.localhost/")
		seen[name]++
	}
	if len(seen) != 3 {
		t.Errorf("of equals only %v took turns", seen)
	}
}

func TestServe_StickyCookieLeadsToTheSameBackend(t *testing.T) {
	s := start(t, Config{})
	var mu sync.Mutex // guards what follows
	var conns []net.Conn
	down := false
	fickle := func(id string) Backend {
		b := app(t, id, says(id))
		return Backend{ID: b.ID, Dial: func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return nil, errors.New("down")
			}
			c, err := b.Dial(ctx)
			conns = append(conns, c)
			return c, err
		}}
	}
	first := []Backend{fickle("container-1"), app(t, "container-2", says("container-2")), app(t, "container-3", says("container-3"))}
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: first, Options: Options{Balance: Sticky}}
	set(t, s, rt)
	set(t, s, Route{Name: "blog", Paths: []Path{{Host: "shop.localhost", Prefix: "/blog"}}, Options: Options{Balance: Sticky},
		Backends: []Backend{app(t, "b1", says("b1")), app(t, "b2", says("b2"))}})
	visitor := func() *http.Client {
		c := s.client(t)
		c.Jar, _ = cookiejar.New(nil)
		return c
	}
	stays := func(c *http.Client, url, want string) {
		t.Helper()
		for range 5 {
			if res, got := get(t, c, url); got != want || res.Header.Get("Set-Cookie") != "" {
				t.Errorf("came to %s with cookie %q, was at %s before", got, res.Header.Get("Set-Cookie"), want)
			}
		}
	}
	var atFirst *http.Client // who is at the fickle one
	for range 3 {
		c := visitor()
		res, name := get(t, c, "https://shop.localhost/")
		cookie := res.Header.Get("Set-Cookie")
		if strings.Contains(cookie, "container") || !strings.Contains(cookie, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
			t.Errorf("the cookie is %q", cookie)
		}
		stays(c, "https://shop.localhost/", name)
		if name == "container-1" {
			atFirst = c
		}
		_, post := get(t, c, "https://shop.localhost/blog") // another app's cookie of the same name
		stays(c, "https://shop.localhost/blog", post)
		stays(c, "https://shop.localhost/", name)
	}
	if atFirst == nil {
		t.Fatal("of three new visitors none came to the first of three backends")
	}
	// The backend is down: the visitor belongs elsewhere from now on.
	mu.Lock()
	down = true
	for _, c := range conns {
		c.Close()
	}
	mu.Unlock()
	res, name := get(t, atFirst, "https://shop.localhost/")
	if name == "container-1" || res.Header.Get("Set-Cookie") == "" {
		t.Errorf("a visitor of a backend that is down came to %s, cookie %q", name, res.Header.Get("Set-Cookie"))
	}
	stays(atFirst, "https://shop.localhost/", name)
	// Gone for good: the same.
	rt.Backends = []Backend{app(t, "container-4", says("container-4"))}
	set(t, s, rt).Wait(t.Context(), time.Second, time.Second)
	if _, name := get(t, atFirst, "https://shop.localhost/"); name != "container-4" {
		t.Errorf("came to %s", name)
	}
	stays(atFirst, "https://shop.localhost/", "container-4")
}

func TestPick_AsksOneThatRestsWhenAllOthersHaveBeen(t *testing.T) {
	s := start(t, Config{UpstreamIdle: time.Minute})
	remotes := make(chan string, 1)
	one := app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		select {
		case remotes <- r.RemoteAddr:
		default:
		}
		says("1")(w, r)
	})
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{one, app(t, "2", says("2"))}}
	set(t, s, rt)
	c := s.client(t)
	want := func(names ...string) {
		t.Helper()
		seen := map[string]bool{}
		for range 8 {
			_, name := get(t, c, "https://shop.localhost/")
			seen[name] = true
		}
		if len(seen) != len(names) || !seen[names[0]] {
			t.Errorf("%v answer, want %v", seen, names)
		}
	}
	want("1", "2")
	before := <-remotes
	rt.Backends[0].Resting = true
	set(t, s, rt)
	want("2")
	rt.Backends[1].Resting = true
	set(t, s, rt)
	want("1", "2") // better than nobody
	rt.Backends[1].Resting, rt.Backends[0].Resting = true, false
	set(t, s, rt)
	want("1")
	if after := <-remotes; after != before {
		t.Errorf("one that rested was asked over %s, want its connection %s kept", after, before)
	}
}
