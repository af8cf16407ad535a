package router

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
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
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			r := tableOf(b, n)
			host := fmt.Sprintf("app%d.example.com:443", n/2)
			for b.Loop() {
				if _, ok := r.certified(canonicalHost(host)); !ok {
					b.Fatal("not found")
				}
			}
		})
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
				front := s.server(b.Context(), d)
				pl := listen(b)
				go front.Serve(pl)
				defer front.Close()
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
