package router

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func dialTLS(t testing.TB, s *service, serverName string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", s.secure, &tls.Config{RootCAs: s.roots(), ServerName: serverName, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The requests that smuggle, split or confuse. What passes must reach the app
// in one reading only: want is the status, and seen what the app may see.
var hostile = []struct {
	name, raw string
	want      int // 0 is any refusal
	body      string
}{
	{"two lengths that differ", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 0, ""},
	{"two lengths in one", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 3, 4\r\n\r\nabcd", 0, ""},
	{"length with a plus", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: +3\r\n\r\nabc", 0, ""},
	{"length in hex", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 0x3\r\n\r\nabc", 0, ""},
	{"negative length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: -1\r\n\r\n", 0, ""},
	{"huge length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 99999999999999999999\r\n\r\n", 0, ""},
	{"length and chunks: chunks win", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello"},
	{"odd coding", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, ""},
	{"two codings", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 0, ""},
	{"coding said twice", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, ""},
	{"coding before a tab", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 0, ""},
	{"space before the colon", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length : 3\r\n\r\nabc", 0, ""},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: H\r\nX-A: b\rX-C: d\r\n\r\n", 0, ""},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: H\r\nX-A: b\x00c\r\n\r\n", 0, ""},
	{"NUL in the path", "GET /\x00 HTTP/1.1\r\nHost: H\r\n\r\n", 0, ""},
	{"two hosts", "GET / HTTP/1.1\r\nHost: H\r\nHost: blog.localhost\r\n\r\n", 0, ""},
	{"no host", "GET / HTTP/1.1\r\n\r\n", 0, ""},
	{"host with a path", "GET / HTTP/1.1\r\nHost: H/x\r\n\r\n", 0, ""},
	{"host with a user", "GET / HTTP/1.1\r\nHost: blog@H\r\n\r\n", 0, ""},
	{"a name that is none", "GET / HTTP/1.1\r\nHost: H\r\nX A: b\r\n\r\n", 0, ""},
	{"a chunk too long to count", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 0, ""},
	{"chunk length with a sign", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 0, ""},
	{"chunk that is longer than it says", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", 0, ""},
	{"chunk extension is not passed on", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 200, "abc"},
	{"tunnel", "CONNECT H:443 HTTP/1.1\r\nHost: H:443\r\n\r\n", 405, ""},
	{"upgrade to HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, ""},
	{"an unknown version", "GET / HTTP/3.9\r\nHost: H\r\n\r\n", 0, ""},
	{"a header of 100 KB", "GET / HTTP/1.1\r\nHost: H\r\nX-A: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", 431, ""},
	{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 0, ""},
}

// refused tells whether the server itself declined: it closed the connection
// (0), blamed the client, or knows no such coding or version.
func refused(status int) bool {
	return status == 0 || status/100 == 4 || status == http.StatusNotImplemented || status == http.StatusHTTPVersionNotSupported
}

func TestHostile_RequestsAreRefusedOrReadInOneWay(t *testing.T) {
	s := start(t, Config{})
	type request struct{ host, body string }
	seen := make(chan request, 8)
	h := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the app knows that it has not got the whole
		}
		seen <- request{r.Host, string(body)}
	}
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", h))
	s.swap(t, "blog", []string{"blog.localhost"}, app(t, "1", h))
	for _, tt := range hostile {
		raw := strings.ReplaceAll(tt.raw, "Host: H", "Host: shop.localhost")
		raw = strings.ReplaceAll(raw, "@H", "@shop.localhost")
		raw = strings.ReplaceAll(raw, "CONNECT H", "CONNECT shop.localhost")
		// A second request shows whether something of the first was left over for it.
		raw += "GET /second HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n"
		t.Run(tt.name, func(t *testing.T) {
			status := func(c net.Conn) (int, string) {
				c.SetDeadline(time.Now().Add(10 * time.Second))
				go io.WriteString(c, raw)
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if isTimeout(err) {
					t.Errorf("no answer in 10s")
				}
				if err != nil {
					return 0, ""
				}
				return res.StatusCode, res.Header.Get("Location")
			}
			got, _ := status(dialTLS(t, s, "shop.localhost"))
			if tt.want == 0 && !refused(got) || tt.want != 0 && got != tt.want {
				t.Errorf("TLS: got %d, want %d (0 is a refusal)", got, tt.want)
			}
			if tt.want == 200 {
				if r := <-seen; r != (request{"shop.localhost", tt.body}) {
					t.Errorf("TLS: the app saw %+v, want body %q", r, tt.body)
				}
			}
			select {
			case r := <-seen:
				t.Errorf("TLS: the app saw %+v", r)
			default:
			}
			c, err := net.Dial("tcp", s.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got, to := status(c); got != 308 && !refused(got) || to != "" && !strings.HasPrefix(to, "https://shop.localhost") {
				t.Errorf("plain: got %d to %q, want a refusal or the redirect", got, to)
			}
		})
	}
}

func TestHostile_AbsoluteAddressDecidesTheHost(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Host+" "+r.Header.Get("X-Forwarded-Host"))
	}))
	s.swap(t, "blog", []string{"blog.localhost"}, app(t, "1", says("blog")))
	for raw, want := range map[string]string{
		"GET https://shop.localhost/ HTTP/1.1\r\nHost: blog.localhost\r\n\r\n": "200 shop.localhost shop.localhost",
		"GET https://blog.localhost/ HTTP/1.1\r\nHost: shop.localhost\r\n\r\n": "421 ",
	} {
		c := dialTLS(t, s, "shop.localhost")
		io.WriteString(c, raw)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if got := res.Status[:4] + string(body); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}
