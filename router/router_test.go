package router

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/berthd/berth/router/certificates"
)

// service is a router that serves on loopback, and ways to speak to it.
type service struct {
	*Router
	certs         *certificates.Keeper
	plain, secure string // addresses, the second by TCP and UDP
	stop          func() // ends Serve and waits for it
}

func start(t testing.TB, cfg Config) *service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	certs, err := certificates.New(t.Context(), certificates.Config{
		Storage:   &certmagic.FileStorage{Path: t.TempDir()},
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Certificates = certs
	if cfg.QUICSecret == nil {
		cfg.QUICSecret = []byte("secret of the tests")
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &service{Router: New(cfg, log), certs: certs}
	plain := listen(t)
	secure, packets := listenBoth(t)
	s.plain, s.secure = plain.Addr().String(), secure.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(ctx, Listeners{[]net.Listener{plain}, []net.Listener{secure}, []net.PacketConn{packets}})
	}()
	s.stop = func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		served <- nil
	}
	t.Cleanup(func() { s.stop(); certs.Close() })
	return s
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// client speaks HTTPS to the router, whatever the host, and follows nothing.
func (s *service) client(t testing.TB) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to := s.secure
			if strings.HasSuffix(addr, ":80") {
				to = s.plain
			}
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		},
		TLSClientConfig:     &tls.Config{RootCAs: s.roots()},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// The ways in: HTTP/2 comes by net/http's server, HTTP/1.1 by the front.
var ways = map[string]func(*service, testing.TB) *http.Client{"HTTP/2": (*service).client, "HTTP/1.1": (*service).oldClient}

// bothWays runs a test once for each way in.
func bothWays(t *testing.T, test func(t *testing.T, client func(*service, testing.TB) *http.Client)) {
	for name, client := range ways {
		t.Run(name, func(t *testing.T) { test(t, client) })
	}
}

// oldClient is a client that speaks HTTP/1.1.
func (s *service) oldClient(t testing.TB) *http.Client {
	c := s.client(t)
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	return c
}

func (s *service) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	root, err := s.certs.Root(certificates.Trust{Domain: "localhost", Names: []string{"test", "example.com"}})
	if err != nil {
		panic(err)
	}
	pool.AppendCertsFromPEM(root)
	return pool
}

func (s *service) swap(t testing.TB, name string, hosts []string, backends ...Backend) *Drain {
	t.Helper()
	d, err := s.Swap(Route{Name: name, Hosts: hosts, Backends: backends})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// backendAt is a backend that is dialled at an address.
func backendAt(id, addr string) Backend {
	return Backend{ID: id, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
}

// connections has each connection to an address treated by serve.
func connections(t testing.TB, serve func(*net.TCPConn)) (address string) {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c.(*net.TCPConn)) }()
		}
	}()
	return l.Addr().String()
}

// app starts a backend in the process.
func app(t testing.TB, id string, h http.HandlerFunc) Backend {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return backendAt(id, srv.Listener.Addr().String())
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

func get(t testing.TB, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return res, string(body)
}

func TestServe_RoutesByHostOverHTTP2(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost", "shop.test"}, app(t, "1", says("shop")))
	s.swap(t, "blog", []string{"blog.localhost"}, app(t, "1", says("blog")))
	c := s.client(t)
	for host, want := range map[string]string{"shop.localhost": "shop", "shop.test": "shop", "blog.localhost": "blog", "BLOG.localhost": "blog"} {
		res, got := get(t, c, "https://"+host+"/")
		if got != want || res.ProtoMajor != 2 {
			t.Errorf("%s answers %q over %s, want %q over HTTP/2", host, got, res.Proto, want)
		}
	}
}

func TestServe_RoundRobinIsEven(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("1")), app(t, "2", says("2")), app(t, "3", says("3")))
		c, seen := client(s, t), map[string]int{}
		for range 30 {
			_, body := get(t, c, "https://shop.localhost/")
			seen[body]++
		}
		for _, id := range []string{"1", "2", "3"} {
			if seen[id] != 10 {
				t.Errorf("backend %s got %d of 30 requests, want 10", id, seen[id])
			}
		}
	})
}

func TestServe_RedirectsPlainToHTTPS(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{HTTPSPort: 8443})
		s.swap(t, "shop", []string{"shop.localhost", "::1"}, app(t, "1", says("shop")))
		c := client(s, t)
		res, _ := get(t, c, "http://shop.localhost//cart/a%2Fb?x=1;y=2")
		if got, want := res.Header.Get("Location"), "https://shop.localhost:8443//cart/a%2Fb?x=1;y=2"; res.StatusCode != 308 || got != want {
			t.Errorf("got %d to %q, want 308 to %q", res.StatusCode, got, want)
		}
		if res, _ := get(t, c, "http://[::1]/"); res.Header.Get("Location") != "https://[::1]:8443/" {
			t.Errorf("an IPv6 host is sent to %q", res.Header.Get("Location"))
		}
		if res, body := get(t, c, "http://shop.localhost/.well-known/acme-challenge/x"); res.StatusCode != 200 || body != "shop" {
			t.Errorf("a challenge of the app's own gets %d %q, want the app", res.StatusCode, body)
		}
		if res, _ := get(t, c, "http://nobody.localhost/"); res.StatusCode != 404 {
			t.Errorf("an unknown host gets %d, want 404 and no redirect", res.StatusCode)
		}
	})
}

func TestServe_OtherHostThanServerNameIsMisdirected(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
		s.swap(t, "blog", []string{"blog.localhost"}, app(t, "1", says("blog")))
		c := client(s, t)
		for host, want := range map[string]int{"shop.localhost": 200, "SHOP.localhost.:443": 200, "blog.localhost": 421, "nobody.test": 421} {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://shop.localhost/", nil)
			req.Host = host
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("Host %s over a connection for shop.localhost: got %d, want %d", host, res.StatusCode, want)
			}
		}
	})
}

func TestServe_UnreadyServesWhatLeadsSomewhere(t *testing.T) {
	s := start(t, Config{Unready: true})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "a", func(http.ResponseWriter, *http.Request) {}))
	s.swap(t, "blog", []string{"blog.localhost"})
	if err := s.Handle([]string{"admin.localhost"}, http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	if res, body := get(t, c, "https://shop.localhost/"); res.StatusCode != 200 {
		t.Errorf("an app that runs: got %d, %.100s", res.StatusCode, body)
	}
	for _, host := range []string{"blog.localhost", "admin.localhost", "unknown.localhost"} {
		if res, _ := get(t, insecure(c), "https://"+host+"/"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d, want 503 with Retry-After", host, res.StatusCode)
		}
	}
	for host, want := range map[string]bool{"shop.localhost": true, "admin.localhost": true, "unknown.localhost": false} {
		if got := s.Leads(host); got != want {
			t.Errorf("Leads(%s) is %v", host, got)
		}
	}
}

func TestHandle_HostsMoveAndDoNotOverlap(t *testing.T) {
	s := start(t, Config{})
	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "admin "+r.Header.Get("X-Real-Ip"))
	})
	if err := s.Handle([]string{"old.localhost"}, admin); err != nil {
		t.Fatal(err)
	}
	if err := s.Handle([]string{"new.localhost"}, admin); err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	if _, body := get(t, c, "https://new.localhost/", "X-Real-Ip", "6.6.6.6"); body != "admin 127.0.0.1" {
		t.Errorf("the handler answers %q", body)
	}
	if res, _ := get(t, insecure(c), "https://old.localhost/"); res.StatusCode != 404 {
		t.Errorf("the host that was given up gets %d, want 404", res.StatusCode)
	}

	s.swap(t, "shop", []string{"shop.localhost"})
	_, err := s.Swap(Route{Name: "blog", Hosts: []string{"blog.localhost", "shop.localhost"}})
	if taken, ok := errors.AsType[*HostTakenError](err); !ok || taken.Host != "shop.localhost" || taken.By != "shop" {
		t.Errorf("a second route for shop.localhost: got %v", err)
	}
	if _, err := s.Swap(Route{Name: "70000", Label: "wiki", Hosts: []string{"wiki.localhost"}}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Swap(Route{Name: "blog", Hosts: []string{"wiki.localhost"}})
	if taken, ok := errors.AsType[*HostTakenError](err); !ok || taken.By != "wiki" {
		t.Errorf("a second route for wiki.localhost: got %v, want the label of the first", err)
	}
	if _, ok := s.certified("blog.localhost"); ok {
		t.Error("a refused swap left blog.localhost in the table")
	}
	if _, err := s.Swap(Route{Name: "blog", Hosts: []string{"new.localhost"}}); err == nil {
		t.Error("a route took the handler's host")
	}
	if err := s.Handle([]string{"shop.localhost"}, admin); err == nil {
		t.Error("the handler took a route's host")
	}
	if _, ok := s.certified("new.localhost"); !ok {
		t.Error("a refused Handle dropped the former hosts")
	}
	if _, err := s.Swap(Route{Name: "shop", Hosts: []string{"Shop.localhost"}}); err == nil {
		t.Error("an upper-case host was taken, which no request could reach")
	}
}

// insecure is the client for hosts that have no certificate of their own.
func insecure(c *http.Client) *http.Client {
	own, tr := *c, c.Transport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	own.Transport = tr
	return &own
}

func TestServe_EndLetsRequestsFinishAndCutsStreams(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{Drain: 5 * time.Second})
		entered, finish := make(chan struct{}, 1), make(chan struct{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: 1\n\n")
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			entered <- struct{}{}
			<-finish
			io.WriteString(w, "done")
		}))
		events := openStream(t, client(s, t), "https://shop.localhost/events")
		slow := make(chan string, 1)
		c := client(s, t)
		go func() {
			res, err := c.Get("https://shop.localhost/")
			if err != nil {
				slow <- err.Error()
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			slow <- string(body)
		}()
		<-entered
		stopped := make(chan struct{})
		go func() { s.stop(); close(stopped) }()
		if _, err := io.ReadAll(events); err == nil {
			t.Error("the event stream ended as if it were whole")
		}
		select {
		case <-stopped:
			t.Fatal("Serve returned while a request was in flight")
		default:
		}
		close(finish)
		if got := <-slow; got != "done" {
			t.Errorf("the request in flight got %q, want its answer", got)
		}
		<-stopped
		if _, err := net.Dial("tcp", s.secure); err == nil {
			t.Error("the listener is still open")
		}
	})
}

// openStream gets an event stream and reads its first event.
func openStream(t testing.TB, c *http.Client, url string) io.Reader {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	r := bufio.NewReader(res.Body)
	if line, err := r.ReadString('\n'); line != "data: 1\n" {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	return r
}

func TestServe_SlowHeadersAreCut(t *testing.T) {
	s := start(t, Config{HeaderTimeout: 100 * time.Millisecond})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", says("shop")))
	dial := func(addr string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for name, c := range map[string]net.Conn{"plain": dial(s.plain), "TLS": dialTLS(t, s, "shop.localhost"), "handshake": dial(s.secure)} {
		if name != "handshake" {
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nX-Slow: ")
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadAll(c); isTimeout(err) {
			t.Errorf("%s: the connection was still open after 5s", name)
		}
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestStats_CountByRoute(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		lines := make(chan Access, 2)
		s := start(t, Config{AccessLog: func(a Access) { lines <- a }})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "web.1", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/missing" {
				w.WriteHeader(404)
				return
			}
			io.WriteString(w, "12345")
		}))
		c := client(s, t)
		res, err := c.Post("https://shop.localhost/", "text/plain", strings.NewReader("123"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		<-lines
		get(t, c, "https://shop.localhost/missing?a=b")
		a := <-lines
		got, _ := s.Stats("shop")
		want := Stats{Requests: 2, Status: [6]uint64{2: 1, 4: 1}, BytesIn: 3, BytesOut: 5}
		want.Latency, want.LatencySum = got.Latency, got.LatencySum
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if a.Route != "shop" || a.Backend != "web.1" || a.Status != 404 || a.URI != "/missing?a=b" || a.Client != "127.0.0.1" || !a.TLS || a.ID == "" {
			t.Errorf("logged %+v", a)
		}
	})
}

func TestServe_EndCutsAHandlersOwnSocketsAndPanicsAreContained(t *testing.T) {
	s := start(t, Config{})
	ended := make(chan struct{})
	err := s.Handle([]string{"admin.localhost"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("oops")
		}
		defer close(ended)
		echo(t)(w, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	if res, err := c.Get("https://admin.localhost/panic"); err == nil {
		t.Errorf("a handler that panics answers %d", res.StatusCode)
	}
	ws := dialWebSocket(t, s, "admin.localhost")
	if err := echoes(t, ws, "hello"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	<-ended
}
