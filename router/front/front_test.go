package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// serve answers on loopback by h, with our server and with net/http's own.
func serve(t testing.TB, h http.HandlerFunc) (ours, theirs string, s *Server) {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	reference := &http.Server{Handler: h, ErrorLog: quiet}
	s = &Server{Next: &http.Server{Handler: h, ErrorLog: quiet, ReadHeaderTimeout: 10 * time.Second}}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b := listen(), listen()
	go s.Serve(a, false)
	go reference.Serve(b)
	t.Cleanup(func() { s.Close(); reference.Close() })
	return a.Addr().String(), b.Addr().String(), s
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

// answers returns what comes back for raw text until the connection ends, one
// line for each response.
func answers(t testing.TB, addr, raw string, methods ...string) (all []string) {
	t.Helper()
	c := dial(t, addr)
	go io.WriteString(c, raw)
	in := bufio.NewReader(c)
	for i := 0; ; {
		method := "GET"
		if i < len(methods) {
			method = methods[i]
		}
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && len(all) > 0 || errors.Is(err, io.EOF) {
				return append(all, "end")
			}
			return append(all, fmt.Sprint("end ", err))
		}
		body, err := io.ReadAll(res.Body)
		if res.Header.Get("Date") == "" && res.StatusCode >= 200 && res.StatusCode != 400 {
			t.Errorf("no Date on %s", res.Status)
		}
		res.Header.Del("Date")
		all = append(all, fmt.Sprint(res.Status, res.Header, res.ContentLength, res.TransferEncoding, res.Trailer, res.Close, len(body), err))
		if res.StatusCode >= 200 {
			i++
		}
	}
}

// TestServer_AnswersAsNetHTTPDoes is the claim that there are two ways in and
// one story: raw requests, and what comes back.
func TestServer_AnswersAsNetHTTPDoes(t *testing.T) {
	long := strings.Repeat("hello ", 10_000)
	ours, theirs, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		switch r.URL.Path {
		case "/short":
			io.WriteString(w, "hi")
		case "/html":
			io.WriteString(w, "<html><body>")
		case "/long":
			io.WriteString(w, long)
		case "/pieces":
			for range 1000 {
				io.WriteString(w, "0123456789")
			}
		case "/sized":
			w.Header().Set("Content-Length", "60000")
			io.WriteString(w, long)
		case "/toolong":
			w.Header().Set("Content-Length", "2")
			_, err := io.WriteString(w, "hello")
			if !errors.Is(err, http.ErrContentLength) {
				t.Errorf("more than said: %v", err)
			}
			io.WriteString(w, "hi")
		case "/flush":
			io.WriteString(w, "a")
			control.Flush()
			io.WriteString(w, "b")
		case "/none":
			w.Header().Set("X-A", "b")
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("a body of 204: %v", err)
			}
		case "/same":
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(304)
		case "/empty":
		case "/hints":
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			clear(w.Header())
			io.WriteString(w, "hi")
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum, Content-Type")
			io.WriteString(w, "hi")
			control.Flush()
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-More", "1")
		case "/close":
			w.Header().Set("Connection", "close")
			io.WriteString(w, "bye")
		case "/echo":
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(w, r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, r.TransferEncoding, string(body), err)
		case "/ignore":
			io.WriteString(w, "not read")
		case "/panic":
			panic(http.ErrAbortHandler)
		default:
			http.NotFound(w, r)
		}
	})
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }
	end := "GET /close HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, tt := range []struct {
		raw     string
		methods []string
	}{
		{get("/short") + get("/long") + get("/pieces") + get("/sized") + get("/html") + end, nil},
		{get("/toolong") + end, nil},
		{get("/flush") + get("/none") + get("/same") + get("/empty") + get("/nothing") + end, nil},
		{get("/hints") + get("/trailer") + end, nil},
		{"HEAD /short HTTP/1.1\r\nHost: h\r\n\r\nHEAD /sized HTTP/1.1\r\nHost: h\r\n\r\n" + end, []string{"HEAD", "HEAD"}},
		{"POST /echo?a=b;c HTTP/1.1\r\nHost: h:80\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello" + end, nil},
		{"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nConnection: close\r\n\r\nlong body", nil},
		{"POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + end, nil},
		{get("/short") + "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get("/short") + end, nil},
		{get("/short") + "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi" + end, nil},
		{"GET /short HTTP/1.0\r\n\r\n", nil},
		{"GET http://other/echo HTTP/1.1\r\nHost: h\r\n\r\n" + end, nil},
		{get("/short") + "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n" + end, nil},
		{get("/short") + "nonsense\r\n\r\n", nil},
		{"GET /echo HTTP/1.1\r\nHost: h\r\nCookie: " + strings.Repeat("c", 9000) + "\r\n\r\n" + end, nil},
		{"GET /echo HTTP/1.1\r\nHost: h\r\nPragma: no-cache\r\n\r\n" + end, nil},
		{get("/short") + get("/panic") + get("/short"), nil},
	} {
		got, want := answers(t, ours, tt.raw, tt.methods...), answers(t, theirs, tt.raw, tt.methods...)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%.200q:\ngot  %s\nwant %s", tt.raw, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

func TestServer_ClientThatLeavesEndsTheContext(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	addr, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		entered <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	for _, raw := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"} {
		c := dial(t, addr)
		io.WriteString(c, raw)
		<-entered
		c.Close()
		<-gone
	}
	// While the body is on its way, reading it tells.
	addr, _, _ = serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.Body.Read(make([]byte, 10))
		entered <- struct{}{}
		if _, err := io.ReadAll(r.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a body cut short reads as %v", err)
		}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	c := dial(t, addr)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhi")
	<-entered
	c.Close()
	<-gone
}

// A request that is watched for its client's leaving goes on to a next one.
func TestServer_WatchedExchangeLosesNothing(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	addr, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-finish
		}
		fmt.Fprint(w, r.URL.Path, string(body), r.Context().Err())
	})
	c := dial(t, addr)
	in := bufio.NewReader(c)
	for range 3 {
		io.WriteString(c, "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
		<-entered
		time.Sleep(2 * watchAfter) // the watch is on: that is the point
		io.WriteString(c, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
		finish <- struct{}{}
		for _, want := range []string{"/slowhi<nil>", "/next<nil>"} {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, _ := io.ReadAll(res.Body); string(body) != want {
				t.Errorf("got %q, want %q", body, want)
			}
		}
	}
}

func TestServer_EarlyAnswerArrivesAndEndsTheConnection(t *testing.T) {
	addr, _, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		go io.Copy(io.Discard, r.Body) // as a proxy that goes on sending
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	c := dial(t, addr)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nthe rest never comes")
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 413 || !res.Close {
		t.Fatalf("got %+v, %v, want 413 and the end", res, err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after it: %v", err)
	}
}

func TestShutdown_ClosesIdleAndFinishesActive(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	addr, _, s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-finish
		}
		io.WriteString(w, "done")
	})
	idle, active := dial(t, addr), dial(t, addr)
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	in := bufio.NewReader(idle)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	io.WriteString(active, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	close(finish)
	res, err = http.ReadResponse(bufio.NewReader(active), nil)
	if err != nil || !res.Close {
		t.Fatalf("the request under way: %+v, %v, want its answer and the end", res, err)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the listener is still open")
	}
}

func TestShutdown_EndsWithItsContextAndCloseCuts(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	addr, _, s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(gone)
	})
	c := dial(t, addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	s.Close()
	<-gone
}

func TestServer_SlowHeadsAndIdleConnectionsEnd(t *testing.T) {
	s := &Server{Next: &http.Server{
		Handler: http.NotFoundHandler(), ReadHeaderTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond,
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l, false)
	t.Cleanup(func() { s.Close() })
	for _, raw := range []string{"", "GET / HTTP", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /"} {
		c := dial(t, l.Addr().String())
		io.WriteString(c, raw)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("after %q: %v, want the end", raw, err)
		}
	}
}

// Both versions over TLS, and requests that are left to net/http in the middle
// of a connection, know that they are secure.
func TestServer_TLS(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.TLS != nil && r.TLS.ServerName == "example.com")
	})
	certified := httptest.NewTLSServer(h)
	defer certified.Close()
	config := certified.TLS.Clone()
	config.NextProtos = []string{"h2", "http/1.1", "acme-tls/1"}
	s := &Server{Next: &http.Server{Handler: h, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l, true)
	t.Cleanup(func() { s.Close() })
	for _, two := range []bool{true, false} {
		for _, method := range []string{"GET", "POST"} {
			c := certified.Client()
			tr := c.Transport.(*http.Transport)
			tr.ForceAttemptHTTP2 = two
			tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			}
			if !two {
				tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
				tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
				tr.CloseIdleConnections()
			}
			for range 2 {
				var body io.Reader
				if method == "POST" {
					body = io.NopCloser(strings.NewReader("chunked"))
				}
				req, _ := http.NewRequestWithContext(t.Context(), method, "https://example.com/", body)
				res, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if want := res.Proto + " true"; string(text) != want || (res.ProtoMajor == 2) != two {
					t.Errorf("%s over HTTP/2 %v: got %q", method, two, text)
				}
			}
		}
	}
	c := dial(t, l.Addr().String())
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	if text, _ := io.ReadAll(c); !strings.HasPrefix(string(text), "HTTP/1.0 400 ") {
		t.Errorf("plain HTTP to TLS: got %q", text)
	}
	tc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	if _, err := io.ReadAll(tc); err != nil {
		t.Errorf("a challenge's connection: %v, want its end", err)
	}
}

// Whoever sends a request on a kept connection while the server stops is
// answered, and told that the connection ends; over HTTP/2 it is told unasked.
func TestShutdown_AnswersOneMoreOnKeptConnections(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	certified := httptest.NewTLSServer(h)
	defer certified.Close()
	config := certified.TLS.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	s := &Server{patience: time.Minute, Next: &http.Server{Handler: h, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}}
	plain, secure := listen(t), listen(t)
	go s.Serve(plain, false)
	go s.Serve(secure, true)
	t.Cleanup(func() { s.Close() })

	const short = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	const chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" // net/http's
	kept := map[string]net.Conn{}
	for _, request := range []string{short, chunked} {
		c := dial(t, plain.Addr().String())
		io.WriteString(c, request)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.Close {
			t.Fatalf("the first answer: %v, %v", res, err)
		}
		kept[request] = c
	}
	two, err := tls.Dial("tcp", secure.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	io.WriteString(two, http2.ClientPreface)
	framer := http2.NewFramer(two, two)
	framer.WriteSettings()

	stopped := make(chan error, 1)
	for frame := http2.Frame(nil); ; {
		if frame, err = framer.ReadFrame(); err != nil {
			t.Fatalf("the connection of HTTP/2 ended without GOAWAY: %v", err)
		}
		if settings, ok := frame.(*http2.SettingsFrame); ok && settings.IsAck() {
			go func() { stopped <- s.Shutdown(t.Context()) }()
		}
		if away, ok := frame.(*http2.GoAwayFrame); ok {
			if away.ErrCode != http2.ErrCodeNo {
				t.Errorf("got %v", away)
			}
			break
		}
	}
	for request, c := range kept {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("the request after the stop is not answered: %v\n%s", err, request)
		}
		if res.StatusCode != 200 || !res.Close {
			t.Errorf("got %s, last %v; want 200 and the last\n%s", res.Status, res.Close, request)
		}
		if _, err := io.ReadAll(in); err != nil {
			t.Errorf("after it: %v", err)
		}
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdown_WaitsAMomentForIdleConnections(t *testing.T) {
	addr, _, s := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := dial(t, addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("got %v, want the end", err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestServer_StoppedBeforeItServesDoesNotServe(t *testing.T) {
	for name, stop := range map[string]func(*Server) error{
		"Shutdown": func(s *Server) error { return s.Shutdown(t.Context()) },
		"Close":    (*Server).Close,
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &Server{Next: &http.Server{}}
			if err := stop(s); err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(l, false) }()
			select {
			case err := <-served:
				if err != http.ErrServerClosed {
					t.Errorf("got %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("it serves")
				l.Close()
			}
		})
	}
}
