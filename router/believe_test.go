package router

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berthd/berth/router/peer"
)

// trusting has the router believe the networks.
func trusting(t testing.TB, s *service, list string, p peer.Policy) {
	t.Helper()
	var err error
	if p.Trusted, err = peer.ParseNetworks(list); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s.SetPeers(p)
}

// reports is an app that answers with what it is told of the client.
func reports(w http.ResponseWriter, r *http.Request) {
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"} {
		fmt.Fprintf(w, "%s ", strings.Join(r.Header[name], ","))
	}
}

func TestServe_BelievesTrustedProxies(t *testing.T) {
	var last atomic.Pointer[Access]
	s := start(t, Config{HTTPPort: 8080, HTTPSPort: 8443, AccessLog: func(a Access) { last.Store(&a) }})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Plain: true}, Backends: []Backend{app(t, "1", reports)}})
	const told = "127.0.0.1 127.0.0.1 https shop.localhost 8443 " // without a word of a proxy's
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
	}{
		{"nothing is said", nil, told},
		{"the client", []string{"X-Forwarded-For", "203.0.113.9"}, "203.0.113.9 203.0.113.9 https shop.localhost 8443 "},
		{"what the client claimed", []string{"X-Forwarded-For", "6.6.6.6, 203.0.113.9"}, "203.0.113.9 203.0.113.9 https shop.localhost 8443 "},
		{"past other proxies", []string{"X-Forwarded-For", "6.6.6.6,203.0.113.9 ,\t10.1.2.3, 10.1.2.4"}, "203.0.113.9 203.0.113.9 https shop.localhost 8443 "},
		{"a list on lines", []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-For", "10.1.2.3"}, "203.0.113.9 203.0.113.9 https shop.localhost 8443 "},
		{"proxies all the way", []string{"X-Forwarded-For", "10.1.2.3, 10.1.2.4"}, "10.1.2.3 10.1.2.3 https shop.localhost 8443 "},
		{"IPv6, ports, brackets", []string{"X-Forwarded-For", "[2001:db8::1]:1234, 10.1.2.3:80"}, "2001:db8::1 2001:db8::1 https shop.localhost 8443 "},
		{"brackets alone", []string{"X-Forwarded-For", "[2001:db8::1]"}, "2001:db8::1 2001:db8::1 https shop.localhost 8443 "},
		{"IPv4 in IPv6", []string{"X-Forwarded-For", "::ffff:203.0.113.9"}, "203.0.113.9 203.0.113.9 https shop.localhost 8443 "},
		{"nonsense ends the list", []string{"X-Forwarded-For", "203.0.113.9, unknown, 10.1.2.3"}, "10.1.2.3 10.1.2.3 https shop.localhost 8443 "},
		{"nonsense alone", []string{"X-Forwarded-For", "<script>"}, told},
		{"an empty entry", []string{"X-Forwarded-For", "203.0.113.9,"}, told},
		{"an endless list", []string{"X-Forwarded-For", "203.0.113.9" + strings.Repeat(", 10.1.2.3", 100)}, "10.1.2.3 10.1.2.3 https shop.localhost 8443 "},
		{"Forwarded is not read", []string{"Forwarded", "for=203.0.113.9;proto=http"}, told},

		{"the scheme", []string{"X-Forwarded-Proto", "http"}, "127.0.0.1 127.0.0.1 http shop.localhost 80 "},
		{"the scheme of a socket", []string{"X-Forwarded-Proto", "wss"}, told},
		{"the port", []string{"X-Forwarded-Proto", "HTTPS", "X-Forwarded-Port", "444"}, "127.0.0.1 127.0.0.1 https shop.localhost 444 "},
		{"a scheme that is none", []string{"X-Forwarded-Proto", "gopher"}, told},
		{"two schemes", []string{"X-Forwarded-Proto", "http, https"}, told},
		{"two schemes on lines", []string{"X-Forwarded-Proto", "http", "X-Forwarded-Proto", "http"}, told},
		{"ports that are none", []string{"X-Forwarded-Port", "0"}, told},
		{"a port too high", []string{"X-Forwarded-Port", "65536"}, told},
		{"a port with a sign", []string{"X-Forwarded-Port", "+80"}, told},
		{"the host", []string{"X-Forwarded-Host", "Shop.example.com:444"}, "127.0.0.1 127.0.0.1 https Shop.example.com:444 8443 "},
		{"an address as host", []string{"X-Forwarded-Host", "[2001:db8::1]:80"}, "127.0.0.1 127.0.0.1 https [2001:db8::1]:80 8443 "},
		{"hosts that are none", []string{"X-Forwarded-Host", "a/b"}, told},
		{"a host with a user", []string{"X-Forwarded-Host", "a@b"}, told},
		{"a host with a bad port", []string{"X-Forwarded-Host", "a:b"}, told},
		{"a host with a tail", []string{"X-Forwarded-Host", "[::1]b"}, told},
		{"two hosts", []string{"X-Forwarded-Host", "a, b"}, told},
	} {
		header := http.Header{}
		for i := 0; i < len(tt.headers); i += 2 {
			header.Add(tt.headers[i], tt.headers[i+1])
		}
		for name, way := range ways {
			ask := func() string {
				req, err := http.NewRequest("GET", "https://shop.localhost/", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header = header.Clone()
				c := way(s, t)
				res, err := c.Do(req)
				if err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				defer res.Body.Close()
				defer c.CloseIdleConnections()
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				return string(body)
			}
			trusting(t, s, "loopback 10.1.2.0/24", peer.Policy{})
			if got := ask(); got != tt.want {
				t.Errorf("%s, %s: the app is told %q, want %q", tt.name, name, got, tt.want)
			}
			eventually(t, "the log has the client that the app is told of", func() bool {
				a := last.Load()
				return a != nil && strings.HasPrefix(tt.want, a.Client+" ") && a.TLS == strings.Contains(tt.want, " https ")
			})
			trusting(t, s, "10.1.2.0/24", peer.Policy{}) // a client claims the same
			if got := ask(); got != told {
				t.Errorf("%s, %s: of a stranger the app is told %q, want %q", tt.name, name, got, told)
			}
		}
	}
}

func TestServe_TakesOverIDsAndTimesOfTrustedProxies(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Request-Id"), " ", r.Header.Get("X-Request-Start"))
	}))
	trusting(t, s, "loopback", peer.Policy{})
	c := s.oldClient(t)
	for _, tt := range []struct {
		id, start string
		id1, t1   bool // taken over
	}{
		{"0af7651916cd43dd8448eb211c80319c", "t=1700000000.123", true, true},
		{"Root=1-67891233-abcdef01:a_b.c+d/e@f", "1700000000123456", true, true},
		{"a", "1700000000", true, true},
		{strings.Repeat("a", 128), "t=1700000000", true, true},
		{strings.Repeat("a", 129), "t=", false, false},
		{"<script>", "now", false, false},
		{"two words", "t=1.2.3", false, false},
		{"quote\"", "t=-1700000000", false, false},
		{"a,b", "t=17000000001234567", false, false},
		{"é", "t=1700000000.", false, false},
	} {
		_, body := get(t, c, "https://shop.localhost/", "X-Request-ID", tt.id, "X-Request-Start", tt.start)
		id, start, _ := strings.Cut(body, " ")
		if (id == tt.id) != tt.id1 || !validRequestID(id) {
			t.Errorf("the ID %q became %q", tt.id, id)
		}
		if (start == tt.start) != tt.t1 || !validStart(start) {
			t.Errorf("the time %q became %q", tt.start, start)
		}
	}
}

// TestServe_WhatAProxyHadByTLSIsNotRedirected: and what it had without is, to
// the proxy's own port.
func TestServe_WhatAProxyHadByTLSIsNotRedirected(t *testing.T) {
	s := start(t, Config{HTTPPort: 8080, HTTPSPort: 8443})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{HSTS: "max-age=1", Balance: Sticky},
		Redirects: []Redirect{{From: "www.localhost", To: "shop.localhost"}}, Backends: []Backend{app(t, "1", reports)}})
	c := s.client(t)
	for _, tt := range []struct {
		trusted   string
		host      string
		proto     string
		want      string // where it is sent, else the app's answer
		hsts      string
		ourCookie string
	}{
		{"loopback", "shop.localhost", "https", "127.0.0.1 127.0.0.1 https shop.localhost 443 ", "max-age=1", "Secure"},
		{"loopback", "shop.localhost", "http", "https://shop.localhost/", "", ""},
		{"loopback", "shop.localhost", "", "https://shop.localhost:8443/", "", ""},
		{"loopback", "www.localhost", "https", "https://shop.localhost/", "max-age=1", ""},
		{"loopback", "www.localhost", "", "https://shop.localhost:8443/", "", ""},
		{"", "shop.localhost", "https", "https://shop.localhost:8443/", "", ""},
	} {
		trusting(t, s, tt.trusted, peer.Policy{})
		res, got := get(t, c, "http://"+tt.host+"/", "X-Forwarded-Proto", tt.proto)
		if to := res.Header.Get("Location"); to != "" {
			got = to
		}
		if got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
		if hsts := res.Header.Get("Strict-Transport-Security"); hsts != tt.hsts {
			t.Errorf("%+v: HSTS is %q", tt, hsts)
		}
		if cookie := res.Header.Get("Set-Cookie"); strings.Contains(cookie, "Secure") != (tt.ourCookie != "") {
			t.Errorf("%+v: the cookie is %q", tt, cookie)
		}
	}
}

func TestServe_LimitsCountTheBelievedClient(t *testing.T) {
	s := start(t, Config{})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Rate: 1.0 / 3600, Burst: 1}, Backends: []Backend{app(t, "1", says("shop"))}})
	trusting(t, s, "loopback", peer.Policy{})
	c := s.client(t)
	for i, want := range []int{200, 429, 200, 429, 429} {
		client := []string{"203.0.113.1", "6.6.6.6, 203.0.113.1", "203.0.113.2", "203.0.113.2", "203.0.113.1"}[i]
		if res, _ := get(t, c, "https://shop.localhost/", "X-Forwarded-For", client); res.StatusCode != want {
			t.Errorf("request %d, of %s: got %d, want %d", i, client, res.StatusCode, want)
		}
	}
}

func TestServe_HandlersSeeTheBelievedClient(t *testing.T) {
	s := start(t, Config{})
	if err := s.Handle([]string{"admin.localhost"}, http.HandlerFunc(reports)); err != nil {
		t.Fatal(err)
	}
	trusting(t, s, "loopback", peer.Policy{})
	_, got := get(t, s.client(t), "http://admin.localhost/", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https")
	if want := "203.0.113.9 203.0.113.9 https admin.localhost 443 "; got != want {
		t.Errorf("the handler is told %q, want %q", got, want)
	}
}

// proxied dials the router and says a PROXY header.
func proxied(t testing.TB, to, header string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, header)
	return c
}

const fromSomewhere = "PROXY TCP4 203.0.113.9 10.0.0.1 1234 443\r\n"

func TestServe_PROXYHeadersComeBeforeTLSAndHTTP(t *testing.T) {
	s := start(t, Config{})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Plain: true}, Backends: []Backend{app(t, "1", reports)}})
	tlsTo := func(c net.Conn, protocol string) net.Conn {
		return tls.Client(c, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost", NextProtos: []string{protocol}})
	}
	for name, transport := range map[string]*http.Transport{
		"plain":  {},
		"TLS":    {TLSClientConfig: &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost"}},
		"HTTP/2": {TLSClientConfig: &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost"}, ForceAttemptHTTP2: true},
	} {
		trusting(t, s, "loopback", peer.Policy{Header: peer.HeaderRequired})
		url, to, want := "https://shop.localhost/", s.secure, "203.0.113.9 203.0.113.9 https shop.localhost 443 "
		if name == "plain" {
			url, to, want = "http://shop.localhost/", s.plain, "203.0.113.9 203.0.113.9 http shop.localhost 80 "
		}
		transport.Dial = func(string, string) (net.Conn, error) { return proxied(t, to, fromSomewhere), nil }
		c := &http.Client{Transport: transport}
		for range 2 { // the second goes the short way on the same connection
			if _, got := get(t, c, url); got != want {
				t.Errorf("%s: the app is told %q, want %q", name, got, want)
			}
		}
		// The client of the PROXY header is no proxy: what it says in headers is not believed.
		if _, got := get(t, c, url, "X-Forwarded-For", "6.6.6.6"); got != want {
			t.Errorf("%s: the app is told %q, want %q", name, got, want)
		}
		c.CloseIdleConnections()
	}

	// Who sends none although one is required is cut off, and so is who is not trusted.
	answer := func(c net.Conn) (status int) {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if isTimeout(err) {
			t.Error("no answer")
		}
		if err != nil {
			return 0
		}
		return res.StatusCode
	}
	if got := answer(proxied(t, s.plain, "")); got != 0 {
		t.Errorf("plain, without a header: got %d, want none", got)
	}
	if got := answer(tlsTo(proxied(t, s.secure, ""), "http/1.1")); got != 0 {
		t.Errorf("TLS, without a header: got %d, want none", got)
	}
	trusting(t, s, "192.0.2.0/24", peer.Policy{Header: peer.HeaderRequired})
	for _, header := range []string{fromSomewhere, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		if got := answer(proxied(t, s.plain, header)); !refused(got) {
			t.Errorf("plain, header of a stranger: got %d, want a refusal", got)
		}
		if got := answer(tlsTo(proxied(t, s.secure, header), "http/1.1")); got != 0 {
			t.Errorf("TLS, header of a stranger: got %d, want none", got)
		}
	}
	if got := answer(proxied(t, s.plain, "")); got != 200 {
		t.Errorf("a stranger without a header: got %d, want 200", got)
	}
}

// TestServe_ChangedPeersTouchNoConnection: what was open goes on as it was.
func TestServe_ChangedPeersTouchNoConnection(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		opened := make(chan struct{}, 1)
		next := make(chan struct{})
		s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
			opened <- struct{}{}
			<-next
			reports(w, r)
		}))
		c := client(s, t)
		for n := range 3 {
			done := make(chan string, 1)
			go func() {
				_, body := get(t, c, "https://shop.localhost/", "X-Forwarded-For", "203.0.113.9")
				done <- body
			}()
			<-opened
			trusting(t, s, "loopback", peer.Policy{MaxConnections: 1, Header: peer.HeaderRequired})
			next <- struct{}{}
			want := "203.0.113.9 "
			if n == 0 {
				want = "127.0.0.1 " // it had come before
			}
			if got := <-done; !strings.HasPrefix(got, want) {
				t.Errorf("request %d: the app is told %q, want %q", n, got, want)
			}
		}
	})
}

// TestServe_ConnectionsOfOneAddressAreCountedUntilTheirEnd: whoever has them in
// the end, ourselves, net/http, or an app that was given a socket.
func TestServe_ConnectionsOfOneAddressAreCountedUntilTheirEnd(t *testing.T) {
	s := start(t, Config{})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Plain: true}, Backends: []Backend{app(t, "1", says("shop"))}})
	s.swap(t, "chat", []string{"chat.localhost"}, app(t, "1", echo(t)))
	trusting(t, s, "", peer.Policy{MaxConnections: 4})
	ws := dialWebSocket(t, s, "chat.localhost")
	if err := echoes(t, ws, "hello"); err != nil {
		t.Fatal(err)
	}
	h2 := s.client(t)
	get(t, h2, "https://shop.localhost/")
	h1 := s.oldClient(t)
	get(t, h1, "https://shop.localhost/")
	idle := proxied(t, s.plain, "")

	// try opens one more, and tells whether it is answered.
	try := func(connection string) bool {
		c, err := net.Dial("tcp", s.plain)
		if err != nil {
			return false
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: "+connection+"\r\n\r\n")
		_, err = http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil
	}
	enters, stays := func() bool { return try("close") }, func() bool { return try("keep-alive") }
	if enters() {
		t.Error("a fifth connection passes")
	}
	if s.ConnectionsRefused() == 0 {
		t.Error("nothing was counted as refused")
	}
	for what, end := range map[string]func(){
		"a WebSocket": func() { ws.CloseNow() },
		"HTTP/2":      h2.CloseIdleConnections,
		"HTTP/1.1":    h1.CloseIdleConnections,
		"an idle one": func() { idle.Close() },
	} {
		end()
		eventually(t, "there is room after the end of "+what, enters)
		eventually(t, "the room is taken again", stays)
		if enters() {
			t.Errorf("after the end of %s there is room for two", what)
		}
	}
}

func TestServe_TrustCostsStrangersNoAllocation(t *testing.T) {
	s := start(t, Config{})
	req, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.RemoteAddr = "203.0.113.9:1234"
	req.Header.Set("X-Forwarded-For", "6.6.6.6")
	x := &exchange{door: &door{Router: s.Router}, in: req}
	for _, p := range []peer.Policy{{}, {Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}}} {
		s.SetPeers(p)
		if n := testing.AllocsPerRun(100, x.believe); n != 0 || x.believed != nil {
			t.Errorf("%v: %v allocations, believed %v", p, n, x.believed)
		}
	}
}
