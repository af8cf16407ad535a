package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestParseNetworks(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "[]",
		"192.0.2.1":                       "[192.0.2.1/32]",
		"192.0.2.0/24, 2001:db8::/32 ::1": "[192.0.2.0/24 2001:db8::/32 ::1/128]",
		"loopback":                        "[127.0.0.0/8 ::1/128]",
		"private,192.0.2.1":               "[10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 192.0.2.1/32]",
	} {
		if got, err := ParseNetworks(in); fmt.Sprint(got) != want || err != nil {
			t.Errorf("%q: got %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"0.0.0.0/0", "::/0", "192.0.2.1/24", "192.0.2.0/33", "example.com", "fe80::1%eth0", "192.0.2", "Private"} {
		if got, err := ParseNetworks(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestGate_TrustsItsNetworksAlone(t *testing.T) {
	var g Gate
	if g.Trusts(addr("127.0.0.1")) || g.TrustsAny() {
		t.Error("a gate trusts somebody before it was told to")
	}
	trusted, err := ParseNetworks("10.0.0.0/8 10.1.0.0/16 10.1.2.3 192.0.2.7 2001:db8::/32 2001:db8:1::/48 ::ffff:198.51.100.0/120")
	if err != nil {
		t.Fatal(err)
	}
	g.Set(Policy{Trusted: trusted})
	for text, want := range map[string]bool{
		"10.0.0.0": true, "10.1.2.3": true, "10.1.2.4": true, "10.255.255.255": true, "9.255.255.255": false, "11.0.0.0": false,
		"192.0.2.7": true, "192.0.2.6": false, "192.0.2.8": false, "::ffff:10.0.0.1": true, "198.51.100.9": true, "198.51.101.9": false,
		"2001:db8::": true, "2001:db8:ffff::1": true, "2001:db8::1%eth0": true, "2001:db9::": false, "::": false, "0.0.0.0": false,
	} {
		if got := g.Trusts(addr(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	if g.Trusts(netip.Addr{}) {
		t.Error("no address at all is trusted")
	}
}

func TestGate_NeverTrustsStrangers(t *testing.T) {
	var g Gate
	trusted, err := ParseNetworks("private loopback 10.213.0.9")
	if err != nil {
		t.Fatal(err)
	}
	g.Set(Policy{Trusted: trusted, MaxConnections: 1, Strangers: []netip.Prefix{netip.MustParsePrefix("10.213.0.0/16"), netip.MustParsePrefix("fd01:2:ad5::/48")}})
	for text, want := range map[string]bool{
		"10.212.255.255": true, "10.213.0.0": false, "10.213.0.9": false, "::ffff:10.213.0.9": false, "10.214.0.0": true,
		"fd01:2:ad4::1": true, "fd01:2:ad5:7::1": false, "fd01:2:ad6::1": true, "127.0.0.1": true,
	} {
		if got := g.Trusts(addr(text)); got != want {
			t.Errorf("%s: trusted %v, want %v", text, got, want)
		}
	}
	if !g.Enter(addr("10.213.0.9")) || g.Enter(addr("10.213.0.9")) || !g.Enter(addr("10.213.0.10")) {
		t.Error("a stranger may have as many connections as a proxy, or takes another's place")
	}
	// Containers have a /64 each.
	if !g.Enter(addr("fd01:2:ad5:7::1")) || g.Enter(addr("fd01:2:ad5:7::1")) || !g.Enter(addr("fd01:2:ad5:8::1")) {
		t.Error("IPv6: a stranger may have as many connections as a proxy, or takes another's place")
	}
}

func TestGate_CountsByAddressAndForgetsThoseWhoLeft(t *testing.T) {
	var g Gate
	if !g.Enter(addr("192.0.2.1")) { // before there is a limit
		t.Fatal("refused without a limit")
	}
	g.Set(Policy{MaxConnections: 2, Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}})
	enter := func(text string, want bool) {
		t.Helper()
		if got := g.Enter(addr(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	enter("192.0.2.1", true)
	enter("::ffff:192.0.2.1", false)
	enter("192.0.2.2", true)
	enter("2001:db8::1", true)
	enter("2001:db8::2", true)
	enter("2001:db8:0:0:ffff::3", false) // the same /64
	enter("2001:db8:0:1::", true)
	for range 5 {
		enter("10.0.0.1", true)
	}
	if n := g.Refused(); n != 2 {
		t.Errorf("%d were refused, want 2", n)
	}
	g.Leave(addr("192.0.2.1"))
	enter("192.0.2.1", true)
	for _, text := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"} {
		g.Leave(addr(text))
	}
	if len(g.inside) != 0 {
		t.Errorf("%v is remembered of nobody", g.inside)
	}
}

func TestPolicy_Validate(t *testing.T) {
	for _, p := range []Policy{
		{Trusted: []netip.Prefix{{}}}, {Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, {Header: "perhaps"}, {MaxConnections: -1},
	} {
		if p.Validate() == nil {
			t.Errorf("%+v passes", p)
		}
	}
}

// listen returns a gate and its listener on loopback, which is trusted.
func listen(t *testing.T, p Policy, wait time.Duration) (*Gate, net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	g := new(Gate)
	if p.Trusted == nil {
		p.Trusted, _ = ParseNetworks("loopback")
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	g.Set(p)
	return g, g.Listen(l, Patience{Greeting: wait}, slog.New(slog.DiscardHandler))
}

// connect returns both ends of a connection through the listener.
func connect(t *testing.T, l net.Listener) (client *net.TCPConn, server net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s
}

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a header of version 2 whose length is right.
func v2(command, family byte, block string) string {
	return signature + string([]byte{command, family, byte(len(block) >> 8), byte(len(block))}) + block
}

const (
	v4Block = "\xc0\x00\x02\x01\x0a\x00\x00\x01\x30\x39\x01\xbb" // 192.0.2.1:12345 to 10.0.0.1:443
	v6Block = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x30\x39\x01\xbb"
)

var self = "the proxy" // stands for its own address

var headers = []struct{ name, raw, want string }{
	{"v1 IPv4", "PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\r\n", "192.0.2.1:12345"},
	{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n", "[2001:db8::1]:12345"},
	{"v1 unknown", "PROXY UNKNOWN\r\n", self},
	{"v1 unknown with more", "PROXY UNKNOWN ffff:f:f:f:f:f:f:f ffff:f:f:f:f:f:f:f 65535 65535\r\n", self},
	{"v2 IPv4", v2(0x21, 0x11, v4Block), "192.0.2.1:12345"},
	{"v2 IPv6", v2(0x21, 0x21, v6Block), "[2001:db8::1]:12345"},
	{"v2 with fields behind", v2(0x21, 0x11, v4Block+"\x04\x03\xe8"+strings.Repeat("x", 1000)), "192.0.2.1:12345"},
	{"v2 local", v2(0x20, 0x00, ""), self},
	{"v2 local with addresses", v2(0x20, 0x11, v4Block), self},
	{"v2 local with what fits nothing", v2(0x20, 0x11, "xyz"), self},

	{"v1 without a line's end", "PROXY TCP4 192.0.2.1 10.0.0.1 12345 443" + strings.Repeat(" ", 200), ""},
	{"v1 bare line feed", "PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\n", ""},
	{"v1 a host name", "PROXY TCP4 example.com 10.0.0.1 12345 443\r\n", ""},
	{"v1 the wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 12345 443\r\n", ""},
	{"v1 a port too many", "PROXY TCP4 192.0.2.1 10.0.0.1 70000 443\r\n", ""},
	{"v1 too few words", "PROXY TCP4 192.0.2.1\r\n", ""},
	{"v1 lower case", "proxy TCP4 192.0.2.1 10.0.0.1 12345 443\r\n", ""},
	{"v1 another protocol", "PROXY UDP4 192.0.2.1 10.0.0.1 12345 443\r\n", ""},
	{"v1 two spaces", "PROXY  TCP4 192.0.2.1 10.0.0.1 12345 443\r\n", ""},
	{"v2 an absurd length", signature + "\x21\x11\xff\xff" + v4Block + strings.Repeat("x", 65535-12), ""},
	{"v2 too short for its family", v2(0x21, 0x11, v4Block[:8]), ""},
	{"v2 IPv6 in the room of IPv4", v2(0x21, 0x21, v4Block), ""},
	{"v2 version 3", v2(0x31, 0x11, v4Block), ""},
	{"v2 an unknown command", v2(0x22, 0x11, v4Block), ""},
	{"v2 an unknown family", v2(0x21, 0x41, v4Block), ""},
	{"v2 an unknown transport", v2(0x21, 0x13, v4Block), ""},
	{"v2 datagrams", v2(0x21, 0x12, v4Block), ""},
	{"v2 a socket of the file system", v2(0x21, 0x31, strings.Repeat("\x00", 216)), ""},
	{"v2 nobody's", v2(0x21, 0x00, ""), ""},
	{"v2 nearly", "\r\n\r\n\x00\r\nQUIX\n\x21\x11\x00\x0c" + v4Block, ""},
	{"no header", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", ""},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
	{"an end at once", "", ""},
}

// TestListener_ReadsHeadersOfTrustedProxies sends each header at once, and byte
// by byte; what follows it has to arrive whole.
func TestListener_ReadsHeadersOfTrustedProxies(t *testing.T) {
	_, l := listen(t, Policy{Header: HeaderRequired}, 10*time.Second)
	const rest = "GET / HTTP/1.1\r\n\r\n"
	for _, tt := range headers {
		for _, inPieces := range []bool{false, true} {
			if inPieces && len(tt.raw) > 2000 {
				continue
			}
			c, s := connect(t, l)
			c.SetNoDelay(true)
			go func() {
				if text := []byte(tt.raw + rest); inPieces {
					for i := range text {
						c.Write(text[i : i+1])
					}
				} else if tt.raw != "" {
					c.Write(text)
				}
				c.CloseWrite()
			}()
			want := strings.Replace(tt.want, self, c.LocalAddr().String(), 1)
			if want == "" {
				want = c.LocalAddr().String() // what is not believed changes nothing
			}
			if got := s.RemoteAddr().String(); got != want {
				t.Errorf("%s, in pieces %v: the client is %s, want %s", tt.name, inPieces, got, want)
			}
			got, err := io.ReadAll(s)
			switch {
			case tt.want == "" && (err == nil || len(got) > 0):
				t.Errorf("%s, in pieces %v: read %q, %v; want an error", tt.name, inPieces, got, err)
			case tt.want != "" && (err != nil || string(got) != rest):
				t.Errorf("%s, in pieces %v: read %q, %v; want what followed", tt.name, inPieces, got, err)
			}
			s.Close()
		}
	}
}

func TestListener_StrangersGreetWithNoHeader(t *testing.T) {
	_, l := listen(t, Policy{Header: HeaderRequired, Strangers: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, 10*time.Second)
	c, s := connect(t, l)
	const forged = "PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\r\n"
	io.WriteString(c, forged)
	c.CloseWrite()
	if got, err := io.ReadAll(s); string(got) != forged || err != nil || s.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("a stranger's header is read as a proxy's: %q, %v, of %s", got, err, s.RemoteAddr())
	}
}

func TestListener_OptionalHeadersMayBeMissing(t *testing.T) {
	_, l := listen(t, Policy{Header: HeaderOptional}, 10*time.Second)
	for raw, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n": self,
		"PUT / HTTP/1.1\r\n\r\n": self,
		"PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\r\nGET / HTTP/1.1\r\n\r\n": "192.0.2.1:12345",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00":                  self,
	} {
		c, s := connect(t, l)
		io.WriteString(c, raw)
		c.CloseWrite()
		got, err := io.ReadAll(s)
		if _, after, found := strings.Cut(raw, "443\r\n"); found {
			raw = after
		}
		if string(got) != raw || err != nil {
			t.Errorf("read %q, %v; want %q", got, err, raw)
		}
		if got, want := s.RemoteAddr().String(), strings.Replace(want, self, c.LocalAddr().String(), 1); got != want {
			t.Errorf("%q: the client is %s, want %s", raw, got, want)
		}
	}
	c, s := connect(t, l)
	io.WriteString(c, "PROXY TCP4 nonsense\r\n")
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("a header that is wrong passes as one that is missing")
	}
}

// TestListener_StrangersHeadersAreData: they get what the server makes of it.
func TestListener_StrangersHeadersAreData(t *testing.T) {
	for _, p := range []Policy{
		{Header: HeaderRequired, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		{Header: HeaderNone},
	} {
		_, l := listen(t, p, 10*time.Second)
		for _, tt := range headers {
			if len(tt.raw) > 2000 {
				continue
			}
			c, s := connect(t, l)
			io.WriteString(c, tt.raw)
			c.CloseWrite()
			if got, err := io.ReadAll(s); string(got) != tt.raw || err != nil {
				t.Errorf("%s: read %q, %v; want it as it came", tt.name, got, err)
			}
			if got := s.RemoteAddr().String(); got != c.LocalAddr().String() {
				t.Errorf("%s: the client is %s, want %s", tt.name, got, c.LocalAddr())
			}
		}
	}
}

func TestListener_ASlowHeaderHoldsNobodyAndNotForLong(t *testing.T) {
	_, l := listen(t, Policy{Header: HeaderOptional}, 50*time.Millisecond)
	slow, s := connect(t, l)
	io.WriteString(slow, "PROXY TCP4 192.0")
	_, other := connect(t, l) // Accept does not wait for the first
	other.Close()
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("half a header was taken for one")
	} else if ne, ok := err.(interface{ Unwrap() error }); !ok || !strings.Contains(ne.Unwrap().Error(), "timeout") {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestListener_CountsTheClientOfAProxy(t *testing.T) {
	g, l := listen(t, Policy{Header: HeaderRequired, MaxConnections: 2}, 10*time.Second)
	through := func(client string) (net.Conn, error) {
		c, s := connect(t, l)
		fmt.Fprintf(c, "PROXY TCP4 %s 10.0.0.1 1 443\r\nx", client)
		_, err := s.Read(make([]byte, 1))
		return s, err
	}
	first, err := through("192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := through("192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	third, err := through("192.0.2.1")
	if err == nil {
		t.Error("a third connection of one client passes")
	}
	third.Close()
	if _, err := through("192.0.2.2"); err != nil {
		t.Errorf("another client: %v", err)
	}
	first.Close()
	first.Close() // counts once
	if _, err := through("192.0.2.1"); err != nil {
		t.Errorf("after one has left: %v", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if got := fmt.Sprint(g.inside); got != "map[192.0.2.1:2 192.0.2.2:1]" {
		t.Errorf("inside are %s", got)
	}
}

func TestListener_RefusesWithoutAWord(t *testing.T) {
	g, l := listen(t, Policy{MaxConnections: 1, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, 10*time.Second)
	_, first := connect(t, l)
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	refused, err := net.Dial("tcp", l.Addr().String())
	if err == nil { // else the reset was there before Dial had returned
		defer refused.Close()
		refused.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = refused.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	if g.Refused() != 1 {
		t.Errorf("%d were refused, want 1", g.Refused())
	}
	first.Close()
	again, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	select {
	case c := <-accepted:
		if c.RemoteAddr().String() != again.LocalAddr().String() {
			t.Errorf("accepted %s, want %s", c.RemoteAddr(), again.LocalAddr())
		}
		c.Close()
	case <-time.After(10 * time.Second):
		t.Error("nobody enters although there is room")
	}
}

func TestConn_ClosesOneDirection(t *testing.T) {
	_, l := listen(t, Policy{Header: HeaderRequired}, 10*time.Second)
	c, s := connect(t, l)
	io.WriteString(c, "PROXY UNKNOWN\r\n")
	if err := s.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("read %q, %v; want the end", rest, err)
	}
	io.WriteString(c, "more")
	c.Close()
	if rest, _ := io.ReadAll(s); string(rest) != "more" {
		t.Errorf("read %q, want more", rest)
	}
}

// FuzzReadHeader: whatever comes is read without a panic, and never more of it
// than a header may be.
func FuzzReadHeader(f *testing.F) {
	for _, tt := range headers {
		f.Add([]byte(tt.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, l := net.Pipe()
		defer l.Close()
		c := &conn{Conn: &script{Conn: l, in: bytes.NewReader(raw)}, gate: new(Gate), greeting: &greeting{wait: time.Minute, log: slog.New(slog.DiscardHandler)}}
		rest, err := io.ReadAll(c)
		if err == nil && !bytes.HasSuffix(raw, rest) {
			t.Errorf("%q: what followed is %q", raw, rest)
		}
		if len(rest) > 0 && len(raw)-len(rest) > 16+4096 {
			t.Errorf("a header of %d bytes was read", len(raw)-len(rest))
		}
	})
}

// script is a connection on which something is said.
type script struct {
	net.Conn
	in io.Reader
}

func (s *script) Read(p []byte) (int, error) { return s.in.Read(p) }
