package router

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestServe_OnlyUsersEnterAndTheAppDoesNotSeeTheirPassword(t *testing.T) {
	var logged []Access
	lines := make(chan Access, 16)
	s := start(t, Config{AccessLog: func(a Access) { lines <- a }})
	hash, err := bcrypt.GenerateFromPassword([]byte("hunter2 ü"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan http.Header, 16)
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Users: []User{{"alice", hash}}},
		Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) { seen <- r.Header })}})
	c := s.client(t)
	for _, row := range []struct {
		name, password string
		want           int
	}{
		{"", "", 401}, {"alice", "", 401}, {"alice", "hunter3", 401}, {"bob", "hunter2 ü", 401}, {"alice", "hunter2 ü", 200},
		{"alice", "hunter3", 401}, {"alice", "hunter2 ü", 200}, // known by now
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://shop.localhost/", nil)
		if row.name != "" {
			req.SetBasicAuth(row.name, row.password)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != row.want || (row.want == 401) != strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic realm=") {
			t.Errorf("%s:%s: got %d %q, want %d", row.name, row.password, res.StatusCode, res.Header.Get("WWW-Authenticate"), row.want)
		}
		logged = append(logged, <-lines)
		if row.want == 200 {
			if h := <-seen; h.Get("Authorization") != "" {
				t.Errorf("the app was told %q", h.Get("Authorization"))
			}
		}
	}
	if len(seen) != 0 {
		t.Error("the app saw who may not enter")
	}
	for _, a := range logged {
		if strings.Contains(a.URI+a.Host+a.Client, "hunter2") {
			t.Errorf("logged %+v", a)
		}
	}
}

func TestServe_HeadersOfTheRouteReplaceTheApps(t *testing.T) {
	s := start(t, Config{})
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{
		Plain: true, HSTS: "max-age=60; includeSubDomains", Headers: []Header{{"x-frame-options", "DENY"}, {"Cache-Control", "no-store"}},
	}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		w.Header().Set("Strict-Transport-Security", "max-age=1")
	})}}
	set(t, s, rt)
	c := s.client(t)
	res, _ := get(t, c, "https://shop.localhost/")
	if h := res.Header; strings.Join(h["X-Frame-Options"], ",") != "DENY" || h.Get("Cache-Control") != "no-store" || strings.Join(h["Strict-Transport-Security"], "|") != "max-age=60; includeSubDomains" {
		t.Errorf("over TLS: got %v", h)
	}
	if res, _ := get(t, c, "http://shop.localhost/"); res.Header.Get("Strict-Transport-Security") != "max-age=1" {
		t.Errorf("over plain HTTP: got %q, want the app's own", res.Header["Strict-Transport-Security"])
	}
	for _, o := range []Options{
		{Headers: []Header{{"Content-Length", "1"}}}, {Headers: []Header{{"transfer-encoding", "chunked"}}}, {Headers: []Header{{"Set-Cookie", "a=b"}}},
		{Headers: []Header{{"X A", "b"}}}, {Headers: []Header{{"X-A", "b\r\nX-C: d"}}}, {Headers: []Header{{"", "b"}}}, {HSTS: "a\nb"},
		{Users: []User{{"alice", []byte("plain")}}}, {Users: []User{{"", nil}}}, {Balance: "odd"}, {Rate: -1}, {InFlight: -1},
	} {
		if _, err := s.Swap(Route{Name: "odd", Options: o}); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
