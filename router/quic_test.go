package router

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/berthd/berth/router/peer"
)

func listenPacket(t testing.TB) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listenBoth listens on a port by TCP and UDP.
func listenBoth(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for {
		l := listen(t)
		c, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, c
		}
		l.Close() // the port is taken by UDP
	}
}

// quicClient speaks HTTP/3 to the router, whatever the host.
func (s *service) quicClient(t testing.TB) *http.Client {
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots()},
		Dial: func(ctx context.Context, _ string, tlsConfig *tls.Config, config *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, s.secure, tlsConfig, config)
		},
	}
	t.Cleanup(func() { transport.Close() })
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func TestQUIC_RoutesAndForwards(t *testing.T) {
	logged := make(chan Access, 1)
	s := start(t, Config{HTTPSPort: 8443, AccessLog: func(a Access) { logged <- a }})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "keep-alive")
		w.Header().Set("Alt-Svc", `h3="elsewhere:443"`)
		fmt.Fprintf(w, "%s %s length=%d chunked=%q for=%s proto=%s port=%s", r.Method, r.Host, r.ContentLength,
			r.TransferEncoding, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Port"))
	}))
	s.swap(t, "blog", []string{"blog.localhost"}, app(t, "1", says("blog")))
	c := s.quicClient(t)
	for _, tt := range []struct {
		method, host string // over a connection for shop.localhost
		status       int
		body         string
	}{
		{"GET", "shop.localhost", 200, "GET shop.localhost length=0 chunked=[] for=127.0.0.1 proto=https port=8443"},
		{"DELETE", "SHOP.localhost:443", 200, "DELETE SHOP.localhost:443 length=0 chunked=[] for=127.0.0.1 proto=https port=8443"},
		{"POST", "shop.localhost", 200, "POST shop.localhost length=0 chunked=[] for=127.0.0.1 proto=https port=8443"},
		{"HEAD", "shop.localhost", 200, ""},
		{"GET", "blog.localhost", 421, ""},
		{"GET", "nobody.test", 421, ""},
		{"CONNECT", "shop.localhost", 405, ""},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), tt.method, "https://shop.localhost/", nil)
		req.Host = tt.host
		req.Header.Set("X-Forwarded-For", "6.6.6.6")
		res, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", tt.method, tt.host, err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tt.status || tt.body != "" && string(body) != tt.body || res.ProtoMajor != 3 {
			t.Errorf("%s %s: got %d %q over %s, %v; want %d %q", tt.method, tt.host, res.StatusCode, body, res.Proto, err, tt.status, tt.body)
		}
		if res.Header.Get("Connection") != "" || res.Header.Get("Alt-Svc") != "" {
			t.Errorf("%s %s: got the header %v", tt.method, tt.host, res.Header)
		}
		if a := <-logged; a.Proto != "HTTP/3.0" || a.Status != tt.status || !a.TLS || a.Client != "127.0.0.1" {
			t.Errorf("logged %+v", a)
		}
	}
}

func TestQUIC_HTTPSTellsOfIt(t *testing.T) {
	s := start(t, Config{HTTPSPort: 8443})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Alt-Svc", `h3="elsewhere:443"`)
	}))
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		c := client(s, t)
		for url, want := range map[string]string{
			"https://shop.localhost/": `h3=":8443"; ma=86400`,
			"http://shop.localhost/":  "",
		} {
			if res, _ := get(t, c, url); res.Header.Get("Alt-Svc") != want {
				t.Errorf("%s says %q, want %q", url, res.Header.Get("Alt-Svc"), want)
			}
		}
	})
}

func TestQUIC_BodiesBothWays(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		tee := io.TeeReader(r.Body, sum)
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum, X-Got")
		io.Copy(w, tee)
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sum.Sum(nil)))
		w.Header().Set("X-Got", r.Trailer.Get("X-Sent"))
	}))
	sent := make([]byte, 8<<20)
	rand.Read(sent)
	for name, length := range map[string]int64{"known length": int64(len(sent)), "streamed": -1} {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://shop.localhost/", bytes.NewReader(sent))
		if req.ContentLength = length; length < 0 {
			req.Body = io.NopCloser(io.MultiReader(bytes.NewReader(sent)))
		}
		req.Trailer = http.Header{"X-Sent": {"whole"}}
		res, err := s.quicClient(t).Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: got %d bytes, %v; want the %d that were sent", name, len(got), err, len(sent))
		}
		sum, trailed := fmt.Sprintf("%x", sha256.Sum256(sent)), "whole"
		if length >= 0 {
			trailed = "" // HTTP/1.1, which the app speaks, has trailers in chunked bodies alone
		}
		if res.Trailer.Get("X-Sum") != sum || res.Trailer.Get("X-Got") != trailed {
			t.Errorf("%s: got the trailers %v, want %s and %q", name, res.Trailer, sum, trailed)
		}
	}
}

func TestQUIC_LimitsHold(t *testing.T) {
	s := start(t, Config{BodyGrace: 200 * time.Millisecond, MaxHeaderBytes: 8 << 10})
	backend := app(t, "1", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{backend}, Options: Options{MaxBody: 1000, MinBodyRate: 1 << 20}}
	if _, err := s.Swap(rt); err != nil {
		t.Fatal(err)
	}
	slow, end := io.Pipe()
	defer end.Close()
	go end.Write([]byte("x"))
	for name, tt := range map[string]struct {
		body   io.Reader
		header string
		want   int
	}{
		"announced too long": {strings.NewReader(strings.Repeat("x", 2000)), "", 413},
		"turns out too long": {io.MultiReader(strings.NewReader(strings.Repeat("x", 2000))), "", 413},
		"too slow":           {slow, "", 408},
		"header too large":   {nil, strings.Repeat("x", 9<<10), 431},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://shop.localhost/", tt.body)
			if tt.header != "" {
				req.Header.Set("X-Large", tt.header)
			}
			res, err := s.quicClient(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != tt.want {
				t.Errorf("got %d, want %d", res.StatusCode, tt.want)
			}
		})
	}
}

func TestQUIC_ClientGoneCancelsTheBackend(t *testing.T) {
	s := start(t, Config{})
	entered, left := make(chan struct{}), make(chan struct{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://shop.localhost/", nil)
	go func() { <-entered; cancel() }()
	if _, err := s.quicClient(t).Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	<-left
}

func TestQUIC_SwapDrainsAndCutsStreams(t *testing.T) {
	s := start(t, Config{})
	entered, finish := make(chan struct{}), make(chan struct{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: 1\n\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		close(entered)
		<-finish
		io.WriteString(w, "old")
	}))
	c := s.quicClient(t)
	events := openStream(t, c, "https://shop.localhost/events")
	slow := answerOf(c, "https://shop.localhost/")
	<-entered
	d := s.swap(t, "shop", []string{"shop.localhost"}, app(t, "2", says("new")))
	if _, body := get(t, c, "https://shop.localhost/"); body != "new" {
		t.Errorf("after the swap: got %q, want new", body)
	}
	close(finish)
	if got := <-slow; got != "old" {
		t.Errorf("the request in flight got %q, want old", got)
	}
	if cut := d.Wait(t.Context(), 10*time.Second, time.Millisecond); cut != 1 {
		t.Errorf("cut %d, want the stream alone", cut)
	}
	if _, err := io.ReadAll(events); err == nil {
		t.Error("the event stream ended as if it were whole")
	}
}

// answerOf gets a page in the background.
func answerOf(c *http.Client, url string) <-chan string {
	answer := make(chan string, 1)
	go func() {
		res, err := c.Get(url)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		answer <- string(body)
	}()
	return answer
}

func TestQUIC_EndLetsRequestsFinishAndWaitsForNoIdleClient(t *testing.T) {
	s := start(t, Config{Drain: time.Minute})
	entered, finish := make(chan struct{}), make(chan struct{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		close(entered)
		<-finish
		io.WriteString(w, strings.Repeat("x", 1<<20))
	}))
	// One that stays whatever it is told: it has shaken hands and reads nothing.
	idle, err := quic.DialAddr(t.Context(), s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost", NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.CloseWithError(0, "")
	slow := answerOf(s.quicClient(t), "https://shop.localhost/slow")
	<-entered
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	<-idle.Context().Done()
	select {
	case <-stopped:
		t.Fatal("Serve returned while a request was in flight")
	default:
	}
	close(finish)
	if got := <-slow; got != strings.Repeat("x", 1<<20) {
		t.Errorf("the request in flight got %.100q, want its answer", got)
	}
	select {
	case <-stopped:
	case <-time.After(30 * time.Second):
		t.Fatal("Serve waits for nobody")
	}
	if c, err := net.ListenPacket("udp", s.secure); err != nil {
		t.Errorf("the socket is still open: %v", err)
	} else {
		c.Close()
	}
}

func TestQUIC_TheNextBerthDisownsTheConnectionsOfADeadOne(t *testing.T) {
	dead, next := start(t, Config{}), start(t, Config{})
	dead.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	// What the client sends to goes to one berth, then, as after kill -9, to the next.
	wire := newWire(t, dead.secure)
	conn, err := quic.DialAddr(t.Context(), wire.addr(), &tls.Config{RootCAs: dead.roots(), ServerName: "shop.localhost", NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	client := &http.Client{Transport: new(http3.Transport).NewClientConn(conn)}
	if _, body := get(t, client, "https://shop.localhost/"); body != "shop" { // the handshake is over and done
		t.Fatalf("got %q", body)
	}
	wire.lead(next.secure)
	stream, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.Write(make([]byte, 500))
	<-conn.Context().Done()
	if err := context.Cause(conn.Context()); !errors.As(err, new(*quic.StatelessResetError)) {
		t.Errorf("the connection ended with %v, want a stateless reset", err)
	}
}

func TestQUIC_HeadersThatTrickleHoldNoConnection(t *testing.T) {
	s := start(t, Config{IdleTimeout: 500 * time.Millisecond})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	conn, err := quic.DialAddr(t.Context(), s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost", NextProtos: []string{"h3"}},
		&quic.Config{KeepAlivePeriod: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	stream, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.Write([]byte{0x01, 0x40, 0x80, 0x00}) // HEADERS of 128 bytes, of which one comes
	select {
	case <-conn.Context().Done():
	case <-time.After(30 * time.Second):
		t.Error("the connection is still there")
	}
}

func TestQUIC_ManyHandshakesHaveToShowTheirAddress(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	server, err := s.newQUICServer(t.Context(), &door{})
	if err != nil {
		t.Fatal(err)
	}
	verify := server.transport(nil).VerifySourceAddress
	for n := range freeHandshakes {
		if verify(nil) {
			t.Fatalf("handshake %d of a quiet second has to show its address", n)
		}
	}
	// The limiter lets a few more through while this runs.
	asked := false
	for range 10 * freeHandshakes {
		asked = asked || verify(nil)
	}
	if !asked {
		t.Error("no handshake has to show its address, however many there are")
	}
}

func TestQUIC_ConnectionsOfAnAddressAreCounted(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	s.SetPeers(peer.Policy{MaxConnections: 1})
	first := s.quicClient(t)
	if _, body := get(t, first, "https://shop.localhost/"); body != "shop" {
		t.Fatalf("got %q", body)
	}
	if res, err := s.quicClient(t).Get("https://shop.localhost/"); err == nil {
		t.Errorf("the second connection of an address got %s", res.Status)
	}
	if s.ConnectionsRefused() == 0 {
		t.Error("none was counted as refused")
	}
	first.Transport.(*http3.Transport).Close()
	for { // the server learns of the end in its own time
		res, err := s.quicClient(t).Get("https://shop.localhost/")
		if err == nil {
			res.Body.Close()
			return
		}
	}
}

func TestQUIC_AnswerThatBreaksOffDoesNotLookWhole(t *testing.T) {
	s := start(t, Config{})
	s.route(t, Options{Protocol: H2C}, h2cApp(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	res, err := s.quicClient(t).Get("https://shop.localhost/")
	if err != nil {
		return // broken off before the client had its head
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("got %q, and as if that were all", body)
	}
}

func TestQUIC_RequestMayBeSilentForLongerThanAConnectionIdles(t *testing.T) {
	s := start(t, Config{IdleTimeout: 500 * time.Millisecond})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(1500 * time.Millisecond) // an app that thinks, by the clock
		io.WriteString(w, "done")
	}))
	if _, body := get(t, s.quicClient(t), "https://shop.localhost/"); body != "done" {
		t.Errorf("got %q", body)
	}
}

func TestQUIC_ProxyThatGreetsIsNotBelievedWithoutGreeting(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Real-Ip"))
	}))
	for header, want := range map[peer.Header]string{peer.HeaderNone: "203.0.113.9", peer.HeaderRequired: "127.0.0.1"} {
		s.SetPeers(peer.Policy{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: header})
		if _, body := get(t, s.quicClient(t), "https://shop.localhost/", "X-Forwarded-For", "203.0.113.9"); body != want {
			t.Errorf("%q: the app was told of %q, want %q", header, body, want)
		}
	}
}
