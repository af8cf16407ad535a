package router

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"

	"github.com/berthd/berth/router/front"
)

func tableOf(b *testing.B, n int) *Router {
	r := New(Config{}, slog.New(slog.DiscardHandler))
	for i := range n {
		name := fmt.Sprintf("app%d", i)
		if _, err := r.Swap(Route{Name: name, Hosts: []string{name + ".example.com"}}); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 100, 5000} {
		r := tableOf(b, n)
		if _, err := r.Swap(Route{Name: "wild", Hosts: []string{"*.wild.example.com"}}); err != nil {
			b.Fatal(err)
		}
		paths := Route{Name: "paths"}
		for i := range n {
			paths.Paths = append(paths.Paths, Path{Host: "paths.example.com", Prefix: fmt.Sprintf("/v1/api%d", i)})
		}
		if _, err := r.Swap(paths); err != nil {
			b.Fatal(err)
		}
		for _, row := range []struct{ name, host, path string }{
			{"exact", fmt.Sprintf("app%d.example.com:443", n/2), "/"},
			{"wildcard", "customer.wild.example.com", "/"},
			{"path", "paths.example.com", fmt.Sprintf("/v1/api%d/some/thing/below", n/2)},
		} {
			b.Run(fmt.Sprintf("%s/hosts=%d", row.name, n), func(b *testing.B) {
				u := &url.URL{Path: row.path}
				for b.Loop() {
					if _, ok := r.table.Load().find(canonicalHost(row.host), u); !ok {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}

func BenchmarkSwap(b *testing.B) {
	for _, n := range []int{1, 100, 5000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			r := tableOf(b, n)
			for b.Loop() {
				r.Swap(Route{Name: "app0", Hosts: []string{"app0.example.com"}})
			}
		})
	}
}

// BenchmarkAddHost adds a route with a host beside n others, and takes it away.
func BenchmarkAddHost(b *testing.B) {
	for _, n := range []int{10, 5000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			r := tableOf(b, n)
			for b.Loop() {
				r.Swap(Route{Name: "new", Hosts: []string{"new.example.com"}})
				r.Remove("new")
			}
		})
	}
}

func BenchmarkClaim(b *testing.B) {
	be := newBackend(backendAt("1", ""), Config{}.withDefaults())
	b.RunParallel(func(pb *testing.PB) {
		x := new(exchange)
		for pb.Next() {
			be.claim(x)
			be.release(x)
		}
	})
}

func BenchmarkProxy(b *testing.B) {
	l := listen(b)
	srv := &http.Server{Handler: says("Hello world!")}
	go srv.Serve(l)
	defer srv.Close()
	for _, mode := range []string{"direct", "plain", "TLS"} {
		b.Run(mode, func(b *testing.B) {
			s := start(b, Config{})
			s.swap(b, "shop", []string{"shop.localhost"}, backendAt("1", l.Addr().String()))
			c, url := s.client(b), "https://shop.localhost/"
			switch mode {
			case "direct":
				c, url = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, "http://"+l.Addr().String()
			case "plain":
				// The plain door without redirect, as it is where no TLS listener is.
				d := &door{stopping: b.Context()}
				plain := &front.Server{Next: s.server(b.Context(), d)}
				pl := listen(b)
				go plain.Serve(pl, false)
				defer plain.Close()
				s.plain = pl.Addr().String()
				url = "http://shop.localhost/"
			case "TLS":
				c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					res, err := c.Get(url)
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		})
	}
}
