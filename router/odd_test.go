package router

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// rawApp is an app that speaks on each connection as it is told, until that
// returns.
func rawApp(t testing.TB, speak func(in *bufio.Reader, out net.Conn)) Backend {
	t.Helper()
	return backendAt("raw", connections(t, func(c *net.TCPConn) { speak(bufio.NewReader(c), c) }))
}

// saying answers every request with the same bytes.
func saying(text string) func(*bufio.Reader, net.Conn) {
	return func(in *bufio.Reader, out net.Conn) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(out, text)
		}
	}
}

// What apps send that is rare or wrong, and what of it a client gets. A second
// request shows that nothing was left over for it.
func TestOdd_ResponsesOfApps(t *testing.T) {
	for _, tt := range []struct {
		name, method, raw string
		status            int
		body              string
		length            int64
	}{
		{"204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", 0},
		{"304 with a body", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", 304, "", -1},
		{"304 with the length of what it has not", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", -1},
		{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", 200, "", 12345},
		{"HEAD with chunks that do not come", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", -1},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5},
		{"hints before it", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5},
		{"a 100 that nobody asked for", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", 5},
		{"OPTIONS", "OPTIONS", "HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n", 204, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
				s := start(t, Config{})
				s.swap(t, "shop", []string{"shop.localhost"}, rawApp(t, saying(tt.raw)))
				c := client(s, t)
				for range 2 {
					var hints []string
					ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
						Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
							hints = append(hints, fmt.Sprint(code, h.Get("Link")))
							return nil
						},
					})
					req, _ := http.NewRequestWithContext(ctx, tt.method, "https://shop.localhost/", nil)
					res, err := c.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(res.Body)
					res.Body.Close()
					if res.StatusCode != tt.status || string(body) != tt.body || err != nil {
						t.Errorf("got %d %q, %v", res.StatusCode, body, err)
					}
					if tt.length > 0 && res.ContentLength != tt.length {
						t.Errorf("the length is %d, want %d", res.ContentLength, tt.length)
					}
					want := ""
					if strings.Contains(tt.raw, " 103 ") {
						want = "103</a> 103</b>"
					}
					if got := strings.Join(hints, " "); got != want {
						t.Errorf("informational responses: got %q, want %q", got, want)
					}
				}
			})
		})
	}
}

func TestOdd_RequestsOfClients(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	}))
	for _, tt := range []struct{ name, raw, status, body string }{
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", ""}, // the server is asked, and no app,
		{"HTTP/1.0", "GET /old HTTP/1.0\r\nHost: shop.localhost\r\n\r\n", "HTTP/1.", "GET /old "},
		{"HTTP/1.0 with a body", "POST /old HTTP/1.0\r\nHost: shop.localhost\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.", "POST /old hi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dialTLS(t, s, "shop.localhost")
			c.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(c, tt.raw)
			all, err := io.ReadAll(c) // the connection ends by itself
			head, body, _ := strings.Cut(string(all), "\r\n\r\n")
			if err != nil || !strings.HasPrefix(head, tt.status) || !strings.Contains(head, " 200 ") || body != tt.body || strings.Contains(head, "chunked") {
				t.Errorf("got %q, %v, want %q", all, err, tt.body)
			}
		})
	}
}

// 100-continue: the client's body waits for the app's word. In HTTP/2 net/http
// gives it, and the app never hears that it was asked.
func TestOdd_ExpectContinue(t *testing.T) {
	const late = 2 * continueTimeout
	for _, tt := range []struct {
		name   string
		speak  func(in *bufio.Reader, out net.Conn, req *http.Request)
		status int
		sent   bool // the body has to have come
	}{
		{"asked for at once", func(_ *bufio.Reader, out net.Conn, req *http.Request) {
			io.WriteString(out, "HTTP/1.1 100 Continue\r\n\r\n")
			io.Copy(io.Discard, req.Body)
			io.WriteString(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}, 200, true},
		{"never asked for", func(_ *bufio.Reader, out net.Conn, req *http.Request) {
			io.Copy(io.Discard, req.Body)
			io.WriteString(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}, 200, true},
		{"asked for when it is there already", func(_ *bufio.Reader, out net.Conn, req *http.Request) {
			time.Sleep(late) // the app's slowness is what this is about
			io.WriteString(out, "HTTP/1.1 100 Continue\r\n\r\n")
			io.Copy(io.Discard, req.Body)
			io.WriteString(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}, 200, true},
		{"refused", func(_ *bufio.Reader, out net.Conn, _ *http.Request) {
			io.WriteString(out, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}, 403, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, client := range ways {
				s := start(t, Config{})
				s.swap(t, "shop", []string{"shop.localhost"}, rawApp(t, func(in *bufio.Reader, out net.Conn) {
					for {
						req, err := http.ReadRequest(in)
						if err != nil {
							return
						}
						if got := req.Header.Get("Expect"); (got != "") != (name == "HTTP/1.1") {
							t.Errorf("%s: the app saw Expect %q", name, got)
						}
						tt.speak(in, out, req)
						if !tt.sent {
							return
						}
					}
				}))
				c := client(s, t)
				c.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute // waits for the word
				body := make(chan struct{}, 1)
				req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://shop.localhost/", &tattler{strings.NewReader("body"), body})
				req.ContentLength = 4
				req.Header.Set("Expect", "100-continue")
				res, err := c.Do(req)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				res.Body.Close()
				if sent := len(body) > 0; res.StatusCode != tt.status || sent != tt.sent && name == "HTTP/1.1" {
					t.Errorf("%s: got %d, body sent %v; want %d, %v", name, res.StatusCode, sent, tt.status, tt.sent)
				}
			}
		})
	}
}

// tattler tells when it is read.
type tattler struct {
	io.Reader
	read chan<- struct{}
}

func (r *tattler) Read(p []byte) (int, error) {
	select {
	case r.read <- struct{}{}:
	default:
	}
	return r.Reader.Read(p)
}

// A browser that finds HTTP/2 opens a second connection for its WebSocket, as
// long as the server does not say that HTTP/2 has them, too (RFC 8441).
func TestOdd_HTTP2DoesNotPromiseWebSockets(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("hello")))
	c, err := tls.Dial("tcp", s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	frame, err := f.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok || settings.NumSettings() == 0 {
		t.Fatalf("the server begins with %v", frame)
	}
	if _, said := settings.Value(http2.SettingEnableConnectProtocol); said {
		t.Error("the server promises extended CONNECT, which it does not have")
	}
}
