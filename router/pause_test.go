package router

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// held waits until so many requests of a route are held.
func held(t testing.TB, s *service, route string, n int64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for s.table.Load().routes.get(route).held.Load().requests.Load() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are held, want %d", s.table.Load().routes.get(route).held.Load().requests.Load(), n)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPause_OneWriterIsReplacedAndNoRequestFails(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("old")))
	c := s.client(t)
	if err := s.Pause("shop", Pause{Requests: 100, For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 20)
	for n := range 20 {
		go func() {
			res, err := c.Post("https://shop.localhost/", "text/plain", strings.NewReader(strings.Repeat("x", n*1000)))
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			body := make([]byte, 10)
			n, _ := res.Body.Read(body)
			answers <- string(body[:n])
		}()
	}
	held(t, s, "shop", 20)
	s.swap(t, "shop", []string{"shop.localhost"}).Wait(t.Context(), time.Second, time.Second) // the old one is gone
	if err := s.Pause("shop", Pause{Requests: 1, For: time.Millisecond}); err != nil {        // paused already
		t.Fatal(err)
	}
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "2", says("new")))
	select {
	case got := <-answers:
		t.Fatalf("a held request was answered before Resume: %q", got)
	default:
	}
	s.Resume("shop")
	s.Resume("shop")
	for range 20 {
		if got := <-answers; got != "new" {
			t.Errorf("a held request got %q, want the new backend", got)
		}
	}
}

func TestPause_HoldsNoMoreAndNoLongerThanItMay(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	c := s.client(t)
	for _, p := range []Pause{{0, time.Second}, {1, 0}} {
		if err := s.Pause("shop", p); err == nil {
			t.Errorf("%+v was taken for a pause", p)
		}
	}
	if err := s.Pause("blog", Pause{1, time.Second}); err == nil {
		t.Error("a route that is not there was paused")
	}
	if err := s.Pause("shop", Pause{Requests: 2, For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	statuses := make(chan int, 2)
	for range 2 {
		go func() {
			res, err := c.Get("https://shop.localhost/")
			if err != nil {
				statuses <- 0
				return
			}
			res.Body.Close()
			statuses <- res.StatusCode
		}()
	}
	held(t, s, "shop", 2)
	if res, _ := get(t, c, "https://shop.localhost/"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a third request gets %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	// A route that goes takes its pause along.
	s.Remove("shop")
	for range 2 {
		if got := <-statuses; got != http.StatusServiceUnavailable {
			t.Errorf("a held request of a route that went got %d, want 503", got)
		}
	}
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	if err := s.Pause("shop", Pause{Requests: 2, For: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, c, "https://shop.localhost/"); res.StatusCode != 503 {
		t.Errorf("after the longest wait: got %d, want 503", res.StatusCode)
	}
	s.Resume("shop")
	if res, _ := get(t, c, "https://shop.localhost/"); res.StatusCode != 200 {
		t.Errorf("after Resume: got %d", res.StatusCode)
	}
}

func TestServe_MaintenanceShowsThePageOfTheApp(t *testing.T) {
	s := start(t, Config{})
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{app(t, "1", func(http.ResponseWriter, *http.Request) {
		t.Error("the app was asked")
	})}, Options: Options{Maintenance: true}}
	set(t, s, rt)
	c := s.client(t)
	if res, body := get(t, c, "https://shop.localhost/", "Accept", "text/html"); res.StatusCode != 503 || res.Header.Get("Retry-After") != "60" || !strings.Contains(body, "Under maintenance") {
		t.Errorf("got %d, Retry-After %q: %s", res.StatusCode, res.Header.Get("Retry-After"), body)
	}
	rt.Options.MaintenancePage = []byte("<h1>Back at noon</h1>")
	set(t, s, rt)
	for _, accept := range []string{"text/html", "*/*"} {
		res, body := get(t, c, "https://shop.localhost/", "Accept", accept)
		if res.StatusCode != 503 || body != "<h1>Back at noon</h1>" || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Content-Security-Policy") != "" {
			t.Errorf("Accept %s: got %d %v %q, want the app's page", accept, res.StatusCode, res.Header, body)
		}
	}
	if res, body := get(t, c, "https://shop.localhost/", "Accept", "application/json"); !strings.Contains(body, `"maintenance"`) {
		t.Errorf("who reads JSON gets %q as %s", body, res.Header.Get("Content-Type"))
	}
}

func TestServe_ErrorPageOfTheAppIsForWhatItDidNotAnswer(t *testing.T) {
	s := start(t, Config{})
	options := Options{ErrorPage: []byte("<h1>Sorry</h1>")}
	set(t, s, Route{Name: "down", Hosts: []string{"down.localhost"}, Options: options})
	set(t, s, Route{Name: "own", Hosts: []string{"own.localhost"}, Options: options, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drop" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(502)
		w.Write([]byte("my own"))
	})}})
	c := s.client(t)
	for url, want := range map[string]string{"https://down.localhost/": "503 <h1>Sorry</h1>", "https://own.localhost/drop": "502 <h1>Sorry</h1>", "https://own.localhost/": "502 my own"} {
		if res, body := get(t, c, url); res.Status[:3]+" "+body != want {
			t.Errorf("%s: got %s %q, want %q", url, res.Status, body, want)
		}
	}
}
