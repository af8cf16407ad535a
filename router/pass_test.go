package router

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// raw is a backend that answers the first request of each connection with a
// text, byte for byte, and leaves the connection open. It counts them.
func raw(t testing.TB, answer string) (Backend, *atomic.Int32) {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	conns := new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					io.WriteString(c, answer)
					if strings.HasSuffix(answer, "END") {
						return
					}
				}
			}()
		}
	}()
	return backendAt("raw", l.Addr().String()), conns
}

func TestPass_ResponsesOfApps(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		for _, tt := range []struct {
			name, method, answer string
			status               int
			body                 string
			conns                int32 // for two requests
		}{
			{"kept", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", 1},
			{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", 1},
			{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nhiEND", 200, "hiEND", 2},
			{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", 2},
			{"more than it says", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, "hi", 2},
			{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 200, "", 1},
			{"304", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\n\r\n", 304, "", 1},
			{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", 1},
			{"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", 502, "", 2},
			{"length and chunks", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502, "", 2},
			{"an upgrade that nobody asked for", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 502, "", 2},
			{"early hints", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", 1},
			{"100 that nobody asked for", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", 1},
			{"head without end", "GET", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 2<<20) + "\r\n\r\n", 502, "", 2},
			{"not HTTP", "GET", "hello\r\n\r\n", 502, "", 2},
		} {
			t.Run(tt.name, func(t *testing.T) {
				s := start(t, Config{UpstreamIdle: time.Minute, ResponseTimeout: 5 * time.Second})
				b, conns := raw(t, tt.answer)
				s.swap(t, "shop", []string{"shop.localhost"}, b)
				c := client(s, t)
				for range 2 {
					req, _ := http.NewRequestWithContext(t.Context(), tt.method, "https://shop.localhost/", nil)
					res, err := c.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(res.Body)
					res.Body.Close()
					if res.StatusCode != tt.status || err != nil || tt.status != 502 && string(body) != tt.body {
						t.Errorf("got %d %q, %v, want %d %q", res.StatusCode, body, err, tt.status, tt.body)
					}
				}
				if n := conns.Load(); n != tt.conns {
					t.Errorf("two requests took %d connections, want %d", n, tt.conns)
				}
			})
		}
	})
}

func TestPass_ResponseCutShortIsNotWhole(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nEND",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nEND",
	} {
		s := start(t, Config{})
		b, _ := raw(t, answer)
		s.swap(t, "shop", []string{"shop.localhost"}, b)
		c := dialTLS(t, s, "shop.localhost")
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			continue // nothing of it had been sent
		}
		if body, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%q: the client took %q for the whole", answer, body)
		}
	}
}

// An app that answers before it has read the request: the client gets the
// answer, and the connection is not used for another.
func TestPass_EarlyAnswerToALongBody(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		at := connections(t, func(c *net.TCPConn) {
			in := bufio.NewReader(c)
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
			io.Copy(io.Discard, in) // no reset that overtakes the answer
		})
		s.swap(t, "shop", []string{"shop.localhost"}, backendAt("1", at))
		c := client(s, t)
		for range 3 {
			body, send := io.Pipe()
			go io.WriteString(send, "the rest never comes")
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://shop.localhost/", body)
			req.ContentLength = 1_000_000
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(res.Body); string(got) != "early" {
				t.Errorf("got %q, want the early answer", got)
			}
			res.Body.Close()
			send.Close()
		}
	})
}

func TestPass_BothDirectionsAtOnce(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		http.NewResponseController(w).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	}))
	body, send := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://shop.localhost/", body)
	res, err := s.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 5)
	for range 3 {
		io.WriteString(send, "hello")
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != "hello" {
			t.Fatalf("got %q, %v", buf, err)
		}
	}
	send.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

func TestPass_ClientThatLeavesFreesTheApp(t *testing.T) {
	lines := make(chan Access, 1)
	s := start(t, Config{AccessLog: func(a Access) { lines <- a }})
	entered, gone := make(chan struct{}), make(chan struct{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(gone)
	}))
	c := dialTLS(t, s, "shop.localhost")
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-entered
	c.Close()
	<-gone
	if a := <-lines; a.Status != statusClientGone {
		t.Errorf("logged %d, want %d", a.Status, statusClientGone)
	}
}

func TestPool_ExpiresAndClosesConnections(t *testing.T) {
	end := func(p *pool) (far net.Conn) {
		near, far := net.Pipe()
		p.put(newUpstream(&upstreamConn{Conn: near}))
		return far
	}
	closed := func(c net.Conn) bool {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Read(make([]byte, 1))
		return err == io.EOF
	}
	p := &pool{limit: 20 * time.Millisecond}
	if c := end(p); !closed(c) {
		t.Error("an idle connection outlives its limit")
	}
	p = &pool{limit: time.Minute}
	c := end(p)
	if p.get(time.Now().Add(2*time.Minute)) != nil || !closed(c) {
		t.Error("an old connection is used")
	}
	c = end(p)
	if p.get(time.Now()) == nil {
		t.Error("a fresh connection is not used")
	}
	c = end(p)
	if p.close(); !closed(c) {
		t.Error("a closed pool keeps a connection")
	}
	if c = end(p); !closed(c) {
		t.Error("a closed pool takes a connection")
	}
}

// Many clients at once, with bodies of all lengths in both framings, and some
// that leave early: everybody who stays gets back what he sent.
func TestPass_ExchangesDoNotMix(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if r.URL.Path == "/sized" {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			w.Write(body)
		}))
		var clients sync.WaitGroup
		for n := range 8 {
			c, random := client(s, t), rand.New(rand.NewPCG(1, uint64(n)))
			clients.Go(func() {
				for range 30 {
					sent := strings.Repeat(string(rune('a'+n)), random.IntN(1<<random.IntN(18)))
					var body io.Reader = strings.NewReader(sent)
					if random.IntN(2) == 0 {
						body = io.NopCloser(body) // chunks
					}
					ctx, leave := context.WithCancel(t.Context())
					leaves := random.IntN(5) == 0
					if leaves {
						time.AfterFunc(time.Duration(random.IntN(1000))*time.Microsecond, leave)
					}
					path := []string{"", "sized"}[random.IntN(2)]
					req, _ := http.NewRequestWithContext(ctx, "POST", "https://shop.localhost/"+path, body)
					res, err := c.Do(req)
					var got []byte
					if err == nil {
						got, err = io.ReadAll(res.Body)
						res.Body.Close()
					}
					leave()
					if err == nil && (res.StatusCode != 200 || string(got) != sent) || err != nil && !leaves {
						t.Errorf("sent %d bytes, got %d, %v", len(sent), len(got), err)
						return
					}
				}
			})
		}
		clients.Wait()
	})
}
