package router

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

func TestOptions_ResponseTimeoutIsTheAppsOwn(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		for _, protocol := range []Protocol{HTTP, H2C} {
			backend := app
			if protocol == H2C {
				backend = func(t testing.TB, _ string, h http.HandlerFunc) Backend { return h2cApp(t, h) }
			}
			s := start(t, Config{ResponseTimeout: 50 * time.Millisecond})
			release := make(chan bool)
			slow := backend(t, "1", func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-release:
				case <-r.Context().Done():
				}
			})
			for n, header := range [][]string{{}, {"Connection", "Upgrade", "Upgrade", "none"}} {
				c := client(s, t)
				if n > 0 {
					c = s.oldClient(t) // HTTP/2 has no upgrades
				}
				s.route(t, Options{Protocol: protocol}, slow)
				if res, _ := get(t, c, "https://shop.localhost/", header...); res.StatusCode != 504 {
					t.Errorf("%s %q: by the usual time: got %d, want 504", protocol, header, res.StatusCode)
				}
				// The same backend, whose connections are kept.
				s.route(t, Options{Protocol: protocol, ResponseTimeout: time.Minute}, slow)
				later := time.AfterFunc(200*time.Millisecond, func() { release <- true })
				if res, _ := get(t, c, "https://shop.localhost/", header...); res.StatusCode != 200 {
					t.Errorf("%s %q: with more time: got %d, want 200", protocol, header, res.StatusCode)
				}
				later.Stop()
				s.route(t, Options{Protocol: protocol, ResponseTimeout: 20 * time.Millisecond}, slow)
				if res, _ := get(t, c, "https://shop.localhost/", header...); res.StatusCode != 504 {
					t.Errorf("%s %q: with less time: got %d, want 504", protocol, header, res.StatusCode)
				}
			}
		}
	})
}

func TestOffer_ASlowAnswerIsNotAskedForTwice(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{ResponseTimeout: 100 * time.Millisecond})
		var asked atomic.Int32
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				asked.Add(1)
				<-r.Context().Done()
			}
		}))
		c := client(s, t)
		for range 2 { // there is a kept connection now
			get(t, c, "https://shop.localhost/")
		}
		if res, _ := get(t, c, "https://shop.localhost/slow"); res.StatusCode != 504 || asked.Load() != 1 {
			t.Errorf("got %d after the app was asked %d times, want 504 after one", res.StatusCode, asked.Load())
		}
	})
}
