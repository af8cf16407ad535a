package runtime

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// In these tests 127.0.0.2 is the world, and 127.0.0.1 what must not be reached.
func onlyWorld(addr netip.Addr) bool { return addr == netip.MustParseAddr("127.0.0.2") }

func serveAt(t *testing.T, address string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestGuardedClient_IsLedNowhere(t *testing.T) {
	var asked atomic.Int32
	inner := serveAt(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { asked.Add(1) })
	_, port, _ := net.SplitHostPort(inner.Listener.Addr().String())
	world := serveAt(t, "127.0.0.2", func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	})
	client := GuardedClient(onlyWorld)
	if _, err := client.Get(world.URL); err != nil {
		t.Errorf("the world is not reached: %v", err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "localhost.", "x.localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
		at := "http://" + host + ":" + port + "/"
		for _, place := range []string{at, world.URL + "?to=" + at} {
			if _, err := client.Get(place); err == nil {
				t.Errorf("%s is reached", place)
			}
		}
	}
	// A proxy would connect for us.
	t.Setenv("http_proxy", world.URL)
	proxyAt, err := url.Parse(world.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxied := &http.Client{Transport: guardedTransport{&http.Transport{Proxy: http.ProxyURL(proxyAt)}, onlyWorld}}
	if _, err := proxied.Get(inner.URL); err == nil || !strings.Contains(err.Error(), "on this machine") {
		t.Errorf("the proxy was asked for 127.0.0.1: %v", err)
	}
	if !isProxy(world.Listener.Addr().String()) || isProxy(inner.Listener.Addr().String()) {
		t.Error("the host's proxy is not recognised")
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the inner server was asked %d times", n)
	}
}
