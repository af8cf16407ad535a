package router

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

func TestCanonicalHost(t *testing.T) {
	for authority, want := range map[string]string{
		"shop.example.com": "shop.example.com", "Shop.Example.COM:8443": "shop.example.com", "shop.example.com.": "shop.example.com",
		"shop.example.com.:80": "shop.example.com", "127.0.0.1:80": "127.0.0.1", "[::1]:80": "::1", "[2001:DB8::1]": "2001:db8::1",
		"::1": "::1", "": "", "[": "", ":80": "",
	} {
		if got := canonicalHost(authority); got != want {
			t.Errorf("canonicalHost(%q) is %q, want %q", authority, got, want)
		}
	}
}

func TestWellFormed(t *testing.T) {
	for _, authority := range []string{"", "app", "App.example.com", "app.example.com.", "app:80", "app:65535", "app:080", "a_b.test", "127.0.0.1:80", "[::1]", "[::1]:443", "[2001:DB8::1]"} {
		if !wellFormed(authority) {
			t.Errorf("%q is refused", authority)
		}
	}
	for _, authority := range []string{
		"app:abc", "app:", "app:0", "app:65536", "app:99999999999999999999", "app:-1", "app:+80", "app: 80", "app:8080x", "app:80:80", "app:80a",
		":80", ":", "::1", "a:b:80", "[", "[]", "[::1", "[::1]x", "[::1]80", "[::1]:", "[::1]:x", "[app]x", "]", "a b", "a/b", `a"b`, "a@b", "a%41", "bücher.test", "a\x00b", "a,b",
	} {
		if wellFormed(authority) {
			t.Errorf("%q is taken", authority)
		}
	}
	if n := testing.AllocsPerRun(100, func() { wellFormed("shop.example.com:8443") }); n > 0 {
		t.Errorf("it allocates %v times", n)
	}
}

func TestServe_AHostWithoutARealPortIsMalformed(t *testing.T) {
	s := start(t, Config{})
	var asked atomic.Int64
	s.swap(t, "shop", []string{"shop.localhost", "*.shop.localhost"}, app(t, "1", func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	for host, want := range map[string]int{
		"shop.localhost:abc": 400, "shop.localhost:0": 400, "shop.localhost:99999": 400, "x.shop.localhost:": 400, `a(b.shop.localhost`: 400,
		"shop.localhost:80": 308, "x.shop.localhost": 308,
	} {
		for _, more := range []string{"", "Trailer: X-Sum\r\n"} { // the short way, and net/http
			c, err := net.Dial("tcp", s.plain)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n", host, more)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != want {
				t.Errorf("Host: %s %q: got %v, %v, want %d", host, more, res, err, want)
			}
			c.Close()
		}
	}
	if got := askHTTP2(t, s, []field{{":authority", "shop.localhost:abc"}}, ""); got != "400" {
		t.Errorf("HTTP/2: got %s, want 400", got)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the app was asked %d times", n)
	}
}
