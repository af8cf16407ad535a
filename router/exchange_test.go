package router

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestProxy_ClientsOwnForwardingHeadersAreNotTrusted(t *testing.T) {
	s := start(t, Config{HTTPSPort: 8443})
	var got http.Header
	var host, uri string
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		got, host, uri = r.Header, r.Host, r.RequestURI
	}))
	c := s.client(t)
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false // HTTP/2 refuses some of them by itself
	get(t, c, "https://shop.localhost:8443/a%2Fb//c?x=1;y=%zz",
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil.test",
		"X-Forwarded-Port", "1", "X-Forwarded-Prefix", "/evil", "X-Forwarded-Ssl", "off",
		"Forwarded", "for=6.6.6.6", "X-Real-IP", "6.6.6.6", "X_Real_IP", "6.6.6.6", "X_Remote_User", "root", "Remote_user", "root",
		"X-Request-ID", "mine", "X-Request-Start", "t=1", "Proxy", "http://6.6.6.6",
		"Connection", "X-Real-IP, X-Dropped", "X-Dropped", "1", "Keep-Alive", "1", "X-Kept", "1")
	want := map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.localhost:8443",
		"X-Forwarded-Port": "8443", "X-Real-Ip": "127.0.0.1", "X-Kept": "1",
		"Forwarded": `for=127.0.0.1;host="shop.localhost:8443";proto=https`,
	}
	for name, value := range want {
		if strings.Join(got[name], ",") != value {
			t.Errorf("%s: got %q, want %q", name, got[name], value)
		}
	}
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Ssl", "X_real_ip", "X_remote_user", "Remote_user", "Proxy", "X-Dropped", "Keep-Alive"} {
		if got[name] != nil {
			t.Errorf("%s: %q passed", name, got[name])
		}
	}
	if id := got.Get("X-Request-Id"); id == "mine" || len(id) < 20 {
		t.Errorf("X-Request-Id: got %q, want one of ours", id)
	}
	var sec int64
	if _, err := fmt.Sscanf(got.Get("X-Request-Start"), "t=%d.", &sec); err != nil || time.Since(time.Unix(sec, 0)) > time.Minute {
		t.Errorf("X-Request-Start: got %q", got.Get("X-Request-Start"))
	}
	if host != "shop.localhost:8443" || uri != "/a%2Fb//c?x=1;y=%zz" {
		t.Errorf("the app saw %s at %s, want both unchanged", uri, host)
	}
}

func TestForwardedPair(t *testing.T) {
	for _, tt := range []struct{ client, host, proto, want string }{
		{"192.0.2.7", "shop.com", "http", `for=192.0.2.7;host="shop.com";proto=http`},
		{"2001:db8::7", "shop.com:8443", "https", `for="[2001:db8::7]";host="shop.com:8443";proto=https`},
		{"192.0.2.7", `a";for=6.6.6.6;\`, "http", `for=192.0.2.7;host="a\";for=6.6.6.6;\\";proto=http`},
	} {
		if got := forwardedPair(tt.client, tt.host, tt.proto); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestProxy_EventStreamIsNotBuffered(t *testing.T) {
	s := start(t, Config{})
	next := make(chan struct{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for n := 1; n <= 3; n++ {
			fmt.Fprintf(w, "data: %d\n", n)
			http.NewResponseController(w).Flush()
			<-next
		}
	}))
	for _, proto := range []string{"HTTP/2", "HTTP/1.1"} {
		c := s.client(t)
		if proto == "HTTP/1.1" {
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		}
		res, err := c.Get("https://shop.localhost/")
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		for n := 1; n <= 3; n++ {
			// The app goes on only after this line has been read.
			if line, err := lines.ReadString('\n'); line != fmt.Sprintf("data: %d\n", n) {
				t.Fatalf("%s: line %d is %q, %v", proto, n, line, err)
			}
			next <- struct{}{}
		}
		res.Body.Close()
	}
}

func echo(t testing.TB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer c.CloseNow()
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if c.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	}
}

func dialWebSocket(t testing.TB, s *service, host string) *websocket.Conn {
	t.Helper()
	c := s.client(t)
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	ws, _, err := websocket.Dial(t.Context(), "wss://"+host+"/", &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	return ws
}

// echoes sends a message and wants it back.
func echoes(t testing.TB, ws *websocket.Conn, msg string) error {
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(msg)); err != nil {
		return err
	}
	_, got, err := ws.Read(t.Context())
	if err == nil && string(got) != msg {
		return fmt.Errorf("echo of %q is %q", msg, got)
	}
	return err
}

func TestProxy_WebSocketThroughTLS(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", echo(t)))
	ws := dialWebSocket(t, s, "shop.localhost")
	for _, msg := range []string{"one", "two", strings.Repeat("x", 20_000)} {
		if err := echoes(t, ws, msg); err != nil {
			t.Fatal(err)
		}
	}
	// What has been written is counted once the write returns, which the client's
	// reading may overtake.
	eventually(t, "what went through the open socket is counted", func() bool {
		st, _ := s.Stats("shop")
		return st.InFlight == 1 && st.BytesIn >= 20_000 && st.BytesOut >= 20_000
	})
	ws.Close(websocket.StatusNormalClosure, "")
	s.stop()
	if st, _ := s.Stats("shop"); st.InFlight != 0 || st.Status[1] != 1 {
		t.Errorf("after it was closed: %+v", st)
	}
}

func TestProxy_TrailersAndEarlyHints(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		trailer := make(chan http.Header, 1)
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			io.Copy(io.Discard, r.Body)
			trailer <- r.Trailer
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
		}))
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, h.Get("Link")))
				return nil
			},
		})
		req, _ := http.NewRequestWithContext(ctx, "POST", "https://shop.localhost/", io.NopCloser(strings.NewReader("up")))
		req.Trailer = http.Header{"X-Check": {"7"}, "X-Real-Ip": {"6.6.6.6"}}
		res, err := client(s, t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if got := res.Trailer.Get("X-Sum"); got != "42" {
			t.Errorf("response trailer: got %q, want 42", got)
		}
		if got := <-trailer; got.Get("X-Check") != "7" || got["X-Real-Ip"] != nil {
			t.Errorf("request trailers: got %v, want X-Check alone", got)
		}
		if len(hints) != 1 || !strings.HasPrefix(hints[0], "103") {
			t.Errorf("informational responses: got %q, want one 103", hints)
		}
	})
}

func TestProxy_ExpectContinueReachesTheApp(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		io.Copy(w, r.Body)
	}))
	c := s.client(t)
	tr := c.Transport.(*http.Transport)
	tr.ForceAttemptHTTP2, tr.ExpectContinueTimeout = false, 10*time.Second
	for path, want := range map[string]int{"/": 200, "/refuse": 413} {
		var read atomic.Int64
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://shop.localhost"+path, countingReader{strings.NewReader("body"), &read})
		req.ContentLength = 4
		req.Header.Set("Expect", "100-continue")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want || (want == 413) != (read.Load() == 0) {
			t.Errorf("%s: got %d with %d bytes of body sent, want %d", path, res.StatusCode, read.Load(), want)
		}
	}
}

type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

func refusing(id string, dials *atomic.Int32) Backend {
	return Backend{ID: id, Dial: func(context.Context) (net.Conn, error) {
		dials.Add(1)
		return nil, syscall.ECONNREFUSED
	}}
}

func TestProxy_RefusedDialGoesToNextBackendAndRests(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		var dials atomic.Int32
		s.swap(t, "shop", []string{"shop.localhost"}, refusing("dead", &dials), app(t, "live", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
		}))
		c := client(s, t)
		for range 10 {
			res, err := c.Post("https://shop.localhost/", "text/plain", io.NopCloser(strings.NewReader("order")))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != 200 || string(body) != "order" {
				t.Fatalf("got %d %q, want the body back from the live backend", res.StatusCode, body)
			}
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("the dead backend was dialled %d times in a second, want once", n)
		}
	})
}

func TestProxy_OwnPages(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{ResponseTimeout: 50 * time.Millisecond})
		var dials atomic.Int32
		s.swap(t, "down", []string{"down.localhost"})
		s.swap(t, "dead", []string{"dead.localhost"}, refusing("1", &dials))
		s.swap(t, "slow", []string{"slow.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		s.swap(t, "rude", []string{"rude.localhost"}, app(t, "1", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		c := insecure(client(s, t))
		for host, want := range map[string]int{
			"nobody.localhost": 404, "down.localhost": 503, "dead.localhost": 502, "slow.localhost": 504, "rude.localhost": 502,
		} {
			res, body := get(t, c, "https://"+host+"/", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
			id := res.Header.Get("X-Request-Id")
			if res.StatusCode != want || id == "" || !strings.Contains(body, id) {
				t.Errorf("%s: got %d with request id %q, want %d with the id on the page", host, res.StatusCode, id, want)
			}
			if strings.Contains(body, strings.TrimSuffix(host, ".localhost")) && want == 404 {
				t.Errorf("%s: the page names the host", host)
			}
			_, style, _ := strings.Cut(body, "<style>")
			style, _, _ = strings.Cut(style, "</style>")
			sum := sha256.Sum256([]byte(style))
			allowed := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
			if csp := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, allowed) {
				t.Errorf("%s: policy %q does not allow the page's own style and nothing else", host, csp)
			}
			if (res.Header.Get("Retry-After") != "") != (want == 503) {
				t.Errorf("%s: Retry-After is %q", host, res.Header.Get("Retry-After"))
			}
		}
		for accept, kind := range map[string]string{"": "text/plain", "*/*": "text/plain", "application/json": "application/json", "text/plain": "text/plain"} {
			res, body := get(t, c, "https://down.localhost/", "Accept", accept)
			if !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || !strings.Contains(body, res.Header.Get("X-Request-Id")) {
				t.Errorf("Accept %q: got %s", accept, res.Header.Get("Content-Type"))
			}
		}
	})
}

// flaky is a server that answers the first request on each connection and
// treats the second one as it is told.
func flaky(t testing.TB, second func(c *net.TCPConn)) (b Backend, served *atomic.Int32) {
	t.Helper()
	served = new(atomic.Int32)
	return backendAt("flaky", connections(t, func(c *net.TCPConn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		served.Add(1)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		second(c)
	})), served
}

func TestProxy_StaleConnectionIsNoBadGateway(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		// The app closes when the next request is there but not read: the kernel
		// answers with a reset, as it does when the close comes first.
		unread := func(c *net.TCPConn) {
			one := make([]byte, 1)
			c.Read(one)
		}
		// The app takes the whole request and closes: it may have acted on it.
		read := func(c *net.TCPConn) {
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				io.Copy(io.Discard, req.Body)
			}
		}
		for _, tt := range []struct {
			name   string
			second func(*net.TCPConn)
			method string
			body   string
			want   int
		}{
			{"GET unread", unread, "GET", "", 200},
			{"GET read", read, "GET", "", 200},
			{"PUT read", read, "PUT", "body", 200},
			{"POST unread", unread, "POST", "body", 200},
			{"POST without body unread", unread, "POST", "", 200},
			{"large POST unread", unread, "POST", strings.Repeat("x", 40_000), 200},
			{"POST read is not done twice", read, "POST", "body", 502},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := start(t, Config{UpstreamIdle: time.Minute})
				b, served := flaky(t, tt.second)
				s.swap(t, "shop", []string{"shop.localhost"}, b)
				c := client(s, t)
				get(t, c, "https://shop.localhost/")
				var body io.Reader
				if tt.body != "" {
					body = io.NopCloser(strings.NewReader(tt.body))
				}
				req, _ := http.NewRequestWithContext(t.Context(), tt.method, "https://shop.localhost/", body)
				res, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != tt.want {
					t.Errorf("got %d, want %d", res.StatusCode, tt.want)
				}
				if n := served.Load(); tt.want == 200 && n != 2 {
					t.Errorf("%d fresh connections were used, want 2", n)
				}
			})
		}
	})
}

// dying is a backend that reads each request on its connection and treats it as
// it is told, which is not to answer.
func dying(t testing.TB, id string, asked *atomic.Int32, then func(c *net.TCPConn)) Backend {
	t.Helper()
	return backendAt(id, connections(t, func(c *net.TCPConn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		asked.Add(1)
		then(c)
	}))
}

// An instance that is killed takes the requests with it that it has begun. What
// changes nothing may be asked of another one, though nobody knows how far it got.
func TestProxy_SafeRequestOfAKilledInstanceGoesToAnother(t *testing.T) {
	closed := func(*net.TCPConn) {}
	reset := func(c *net.TCPConn) { c.SetLinger(0) }
	begun := func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 2") }
	early := func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n") }
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		for _, tt := range []struct {
			name   string
			then   func(*net.TCPConn)
			method string
			body   string
			header []string
			want   int
		}{
			{"GET closed", closed, "GET", "", nil, 200},
			{"GET reset", reset, "GET", "", nil, 200},
			{"HEAD closed", closed, "HEAD", "", nil, 200},
			{"OPTIONS closed", closed, "OPTIONS", "", nil, 200},
			{"GET by net/http closed", closed, "GET", "", []string{"Expect", "100-continue"}, 200},
			{"GET with a body", closed, "GET", "query", nil, 502},
			{"GET with half an answer", begun, "GET", "", nil, 502},
			{"GET with an early hint", early, "GET", "", nil, 502},
			{"POST", closed, "POST", "", nil, 502},
			{"PUT", closed, "PUT", "body", nil, 502},
			{"DELETE", closed, "DELETE", "", nil, 502},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := start(t, Config{})
				var dead, live atomic.Int32
				s.swap(t, "shop", []string{"shop.localhost"}, dying(t, "dead", &dead, tt.then),
					app(t, "live", func(http.ResponseWriter, *http.Request) { live.Add(1) }))
				c := client(s, t)
				const requests = 4
				failed := int32(0)
				for range requests {
					var body io.Reader
					if tt.body != "" {
						body = strings.NewReader(tt.body)
					}
					req, _ := http.NewRequestWithContext(t.Context(), tt.method, "https://shop.localhost/", body)
					for i := 0; i < len(tt.header); i += 2 {
						req.Header.Set(tt.header[i], tt.header[i+1])
					}
					res, err := c.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					res.Body.Close()
					if res.StatusCode != 200 {
						failed++
					}
					if res.StatusCode != 200 && res.StatusCode != tt.want {
						t.Errorf("got %d, want %d", res.StatusCode, tt.want)
					}
				}
				switch {
				case dead.Load() == 0:
					t.Error("the dying instance was not asked")
				case tt.want == 200 && (failed != 0 || live.Load() != requests):
					t.Errorf("%d of %d failed, the other instance was asked %d times; want none, and each once", failed, requests, live.Load())
				case tt.want != 200 && (failed != dead.Load() || live.Load() != requests-failed):
					t.Errorf("%d failed, the dying instance was asked %d times and the other one %d times; want no request sent twice", failed, dead.Load(), live.Load())
				}
			})
		}
	})
}

// A request that kills whoever reads it takes two instances and no more, and
// one that an instance is busy with goes to no other.
func TestProxy_SafeRequestIsSentTwiceAtMost(t *testing.T) {
	for _, tt := range []struct {
		name       string
		instances  int
		then       func(*net.TCPConn)
		want, sent int
	}{
		{"deadly", 4, func(*net.TCPConn) {}, 502, 2},
		{"deadly to the only one", 1, func(*net.TCPConn) {}, 502, 1},
		{"slow", 2, func(c *net.TCPConn) { c.Read(make([]byte, 1)) }, 504, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
				s := start(t, Config{ResponseTimeout: 100 * time.Millisecond})
				var asked atomic.Int32
				var backends []Backend
				for n := range tt.instances {
					backends = append(backends, dying(t, fmt.Sprint(n), &asked, tt.then))
				}
				s.swap(t, "shop", []string{"shop.localhost"}, backends...)
				res, _ := get(t, client(s, t), "https://shop.localhost/")
				if res.StatusCode != tt.want || int(asked.Load()) != tt.sent {
					t.Errorf("got %d after %d tries, want %d after %d", res.StatusCode, asked.Load(), tt.want, tt.sent)
				}
			})
		})
	}
}

func TestProxy_AppThatClosesIdleConnectionsFailsNoPost(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		srv := &http.Server{IdleTimeout: 2 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
		})}
		l := listen(t)
		go srv.Serve(l)
		t.Cleanup(func() { srv.Close() })
		s := start(t, Config{UpstreamIdle: time.Minute})
		s.swap(t, "shop", []string{"shop.localhost"}, backendAt("1", l.Addr().String()))
		c := client(s, t)
		for i := range 150 {
			res, err := c.Post("https://shop.localhost/", "text/plain", strings.NewReader("order"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Fatalf("request %d got %d", i, res.StatusCode)
			}
			time.Sleep(time.Duration(1500+i*8) * time.Microsecond) // around the app's idle timeout: that is the point
		}
	})
}

func TestProxy_BodyCutShortIsTheClientsFault(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the app took half a body for a whole one")
		}
	}))
	c := dialTLS(t, s, "shop.localhost")
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 400 || !res.Close {
		t.Errorf("got %d, close %v, want 400 and the connection closed", res.StatusCode, res.Close)
	}
}

func TestHealth_BacksOffAndRecovers(t *testing.T) {
	var h health
	now := time.Unix(1_000_000, 0)
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		h.failed(now)
		rest := want * time.Second
		if h.ok(now.Add(rest-1)) || !h.ok(now.Add(rest)) {
			t.Errorf("after %d refusals the rest is not %v", h.fails.Load(), rest)
		}
	}
	h.recovered()
	if !h.ok(now) {
		t.Error("not ok after a connection was made")
	}
}

func TestBody_SecondReaderSeesAllOfAShortBody(t *testing.T) {
	b := &body{src: strings.NewReader("hello world"), count: func(int) {}}
	first := b.reader()
	io.ReadFull(first, make([]byte, 5))
	first.Close()
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a closed reader reads: %v", err)
	}
	if got, err := io.ReadAll(b.reader()); err != nil || string(got) != "hello world" {
		t.Errorf("got %q, %v", got, err)
	}
	long := &body{src: strings.NewReader(strings.Repeat("x", maxReplay+1)), count: func(int) {}}
	if n, err := io.Copy(io.Discard, long.reader()); n != maxReplay+1 || err != nil {
		t.Fatalf("copied %d, %v", n, err)
	}
	if long.replayable() {
		t.Error("a long body is said to be replayable")
	}
	if _, err := long.reader().Read(make([]byte, 1)); !errors.Is(err, errBodyGone) {
		t.Errorf("reading a long body again: got %v", err)
	}
}
