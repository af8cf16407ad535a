package names

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// book is Apps and Sites. The asker is at 127.0.0.1, and 127.0.0.9 is a stranger.
type book struct{}

func (book) Find(asker netip.Addr, name string) ([]Target, bool) {
	if asker.String() != "127.0.0.1" {
		return nil, false
	}
	switch name {
	case "api":
		return []Target{
			{"1.web.api", []netip.Addr{netip.MustParseAddr("10.213.0.5"), netip.MustParseAddr("fd01::5")}, 5000},
			{"2.web.api", []netip.Addr{netip.MustParseAddr("10.213.0.6")}, 5001},
		}, true
	case "many":
		var targets []Target
		for i := range 200 {
			targets = append(targets, Target{"1.web.many", []netip.Addr{netip.AddrFrom4([4]byte{10, 213, 1, byte(i)})}, 5000})
		}
		return targets, true
	case "resting":
		return nil, true
	}
	return nil, false
}

func (book) Certain(host string) bool { return host == "shop.example.com" }
func (book) Likely(host string) bool  { return strings.HasSuffix(host, ".home.test") }
func (book) Addresses() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("10.213.0.1"), netip.MustParseAddr("fd01::1")}
}

// serve starts a server before an upstream that knows shop.example.com and
// away.home.test elsewhere, and nothing else.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	if s.Upstream == nil {
		upstream := listen(t, dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
			m := new(dns.Msg).SetReply(req)
			q := req.Question[0]
			switch {
			case (q.Name == "shop.example.com." || q.Name == "away.home.test.") && q.Qtype == dns.TypeA:
				m.Answer = append(m.Answer, record(q.Name, netip.MustParseAddr("203.0.113.7"), 60))
			case q.Name == "big.test.":
				m.Answer = append(m.Answer, &dns.TXT{Hdr: header(q.Name, dns.TypeTXT, 60), Txt: []string{strings.Repeat("x", 250), strings.Repeat("y", 250), strings.Repeat("z", 250)}})
			default:
				m.Rcode = dns.RcodeNameError
			}
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				m.Truncate(dns.MinMsgSize)
			}
			w.WriteMsg(m)
		}))
		s.Upstream = func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(upstream)} }
	}
	s.Apps, s.Sites, s.Log = book{}, book{}, slog.New(slog.DiscardHandler)
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", p.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, []net.PacketConn{p}, []net.Listener{l}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p.LocalAddr().String()
}

// listen is a DNS server by UDP and TCP.
func listen(t *testing.T, h dns.Handler) string {
	t.Helper()
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", p.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: p, Handler: h}, {Listener: l, Handler: h}} {
		go server.ActivateAndServe()
		t.Cleanup(func() { server.Shutdown() })
	}
	return p.LocalAddr().String()
}

func ask(t *testing.T, at, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network, Timeout: 5 * time.Second}
	answer, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype), at)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return answer
}

// brief is an answer's code, and its records without their names and times.
func brief(m *dns.Msg) string {
	words := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(rr.String(), rr.Header().String())))
	}
	return strings.Join(words, " ")
}

func TestServer_Answers(t *testing.T) {
	at := serve(t, &Server{Foreign: func(name string) bool { return name == "metadata.google.internal" }})
	for _, row := range []struct {
		name  string
		qtype uint16
		want  []string // any of them
	}{
		{"api.internal", dns.TypeA, []string{"NOERROR 10.213.0.5 10.213.0.6", "NOERROR 10.213.0.6 10.213.0.5"}},
		{"API.Internal", dns.TypeA, []string{"NOERROR 10.213.0.5 10.213.0.6", "NOERROR 10.213.0.6 10.213.0.5"}},
		{"api.internal", dns.TypeAAAA, []string{"NOERROR fd01::5"}},
		{"api.internal", dns.TypeTXT, []string{"NOERROR"}},
		{"api.internal", dns.TypeANY, []string{"NOERROR"}},
		{"_http._tcp.api.internal", dns.TypeSRV, []string{
			"NOERROR 1 1 5000 1.web.api.internal. 1 1 5001 2.web.api.internal.", "NOERROR 1 1 5001 2.web.api.internal. 1 1 5000 1.web.api.internal.",
		}},
		{"_http._tcp.api.internal", dns.TypeA, []string{"NOERROR"}},
		{"resting.internal", dns.TypeA, []string{"NOERROR"}},
		{"other.internal", dns.TypeA, []string{"NXDOMAIN"}},
		{"internal", dns.TypeA, []string{"NXDOMAIN"}},
		{"_http._tcp.other.internal", dns.TypeSRV, []string{"NXDOMAIN"}},
		{"metadata.google.internal", dns.TypeA, []string{"NXDOMAIN"}}, // the upstream's
		{"shop.example.com", dns.TypeA, []string{"NOERROR 10.213.0.1"}},
		{"shop.example.com", dns.TypeAAAA, []string{"NOERROR fd01::1"}},
		{"shop.example.com", dns.TypeHTTPS, []string{"NOERROR"}},
		{"shop.example.com", dns.TypeMX, []string{"NXDOMAIN"}}, // the upstream's
		{"away.home.test", dns.TypeA, []string{"NOERROR 203.0.113.7"}},
		{"near.home.test", dns.TypeA, []string{"NOERROR 10.213.0.1"}},
		{"elsewhere.test", dns.TypeA, []string{"NXDOMAIN"}},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := ask(t, at, network, row.name, row.qtype)
			got := brief(m)
			ok := false
			for _, want := range row.want {
				ok = ok || got == want
			}
			if !ok {
				t.Errorf("%s %s by %s: got %s, want %s", row.name, dns.TypeToString[row.qtype], network, got, row.want[0])
			}
			ours := strings.HasSuffix(strings.ToLower(row.name), "internal") && row.name != "metadata.google.internal"
			if !ours {
				continue
			}
			for _, rr := range append(append([]dns.RR{}, m.Answer...), m.Ns...) {
				if rr.Header().Ttl > 1 {
					t.Errorf("%s is kept for %d s: %s", row.name, rr.Header().Ttl, rr)
				}
			}
			if len(m.Answer) == 0 {
				soa, ok := append(m.Ns, nil)[0].(*dns.SOA)
				if !ok || soa.Minttl > 1 {
					t.Errorf("%s: nothing is kept for %v", row.name, m.Ns)
				}
			}
		}
	}
}

func TestServer_LongAnswersAreCutByUDPAndWholeByTCP(t *testing.T) {
	at := serve(t, &Server{})
	for name, qtype := range map[string]uint16{"many.internal": dns.TypeA, "big.test": dns.TypeTXT} {
		m := ask(t, at, "udp", name, qtype) // which takes no more than 512 bytes
		if !m.Truncated {
			t.Errorf("%s by UDP is not marked as cut", name)
		}
		if m := ask(t, at, "tcp", name, qtype); m.Truncated || len(m.Answer) == 0 {
			t.Errorf("%s by TCP: %d records, truncated %v", name, len(m.Answer), m.Truncated)
		}
	}
}

func TestServer_StrangersFindNothing(t *testing.T) {
	at := serve(t, &Server{})
	dialer := &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	client := dns.Client{Dialer: dialer}
	for _, name := range []string{"api.internal.", "resting.internal.", "absent.internal."} {
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), at)
		if err != nil || m.Rcode != dns.RcodeNameError {
			t.Errorf("%s: got %v, %v; want what is said of a name that nobody has", name, m, err)
		}
	}
}

// Without its resolvers the machine still knows its own names.
func TestServer_OursNeedNoUpstream(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // nobody answers
	if err != nil {
		t.Fatal(err)
	}
	dead := silent.LocalAddr().String()
	silent.Close()
	at := serve(t, &Server{Upstream: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(dead)} }})
	for name, want := range map[string]string{
		"api.internal": "NOERROR", "absent.internal": "NXDOMAIN", "shop.example.com": "NOERROR 10.213.0.1", "near.home.test": "NOERROR 10.213.0.1", "elsewhere.test": "SERVFAIL",
	} {
		if got := brief(ask(t, at, "udp", name, dns.TypeA)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestServer_OneAskerTakesNobodyElsesPlace(t *testing.T) {
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	upstream := listen(t, dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		if strings.HasPrefix(req.Question[0].Name, "slow") {
			<-hold
		}
		w.WriteMsg(new(dns.Msg).SetReply(req))
	}))
	s := &Server{Upstream: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(upstream)} }}
	at := serve(t, s)
	flood, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer flood.Close()
	for range 3 * maxWaiting {
		raw, err := new(dns.Msg).SetQuestion("slow.test.", dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		flood.Write(raw)
	}
	for range 200 {
		s.mu.Lock()
		n := s.all
		s.mu.Unlock()
		if n == maxWaiting {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.mu.Lock()
	if s.all != maxWaiting {
		t.Errorf("%d questions of one asker are under way, want %d", s.all, maxWaiting)
	}
	s.mu.Unlock()
	client := dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)}}}
	if m, _, err := client.Exchange(new(dns.Msg).SetQuestion("quick.test.", dns.TypeA), at); err != nil || m.Rcode != dns.RcodeSuccess {
		t.Errorf("another asker: %v, %v", m, err)
	}
	release()
	for range 400 {
		s.mu.Lock()
		n := len(s.waiting)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("questions are counted that were answered")
}

func TestProbe_KnowsAServer(t *testing.T) {
	other := listen(t, dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeNameError))
	}))
	for at, want := range map[string]bool{serve(t, &Server{}): true, other: false} {
		conn, err := net.Dial("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		if err := Probe(conn); (err == nil) != want {
			t.Errorf("a server of ours: %v; got %v", want, err)
		}
		conn.Close()
	}
}

func TestServer_OddQuestions(t *testing.T) {
	at := serve(t, &Server{})
	for want, change := range map[string]func(*dns.Msg){
		"NOTIMP":  func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate },
		"FORMERR": func(m *dns.Msg) { m.Question = nil },
	} {
		m := new(dns.Msg).SetQuestion("api.internal.", dns.TypeA)
		change(m)
		answer, err := dns.Exchange(m, at)
		if err != nil || dns.RcodeToString[answer.Rcode] != want {
			t.Errorf("got %v, %v; want %s", answer, err, want)
		}
	}
	conn, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, raw := range []string{"", "x", strings.Repeat("\xff", 600), "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"} {
		conn.Write([]byte(raw))
	}
	if got := brief(ask(t, at, "udp", "api.internal", dns.TypeAAAA)); got != "NOERROR fd01::5" {
		t.Errorf("after nonsense: %s", got)
	}
}

func TestResolvers_AreTheFilesAndItsDomainsAreForeign(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.53\nnameserver 2001:db8::53\nsearch us-east-2.compute.internal example.com internal\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := ReadResolvers(file)
	got := r.Servers()
	if len(got) != 2 || got[0].String() != "127.0.0.53:53" || got[1].String() != "[2001:db8::53]:53" {
		t.Errorf("got %v", got)
	}
	for name, want := range map[string]bool{
		"ip-10-0-0-1.us-east-2.compute.internal": true, "metadata.google.internal": true, "us-east-2.compute.internal": true,
		"api.internal": false, "compute.internal": false, "example.com": false, "xgoogle.internal": false,
	} {
		if got := r.Foreign(name); got != want {
			t.Errorf("%s: foreign %v, want %v", name, got, want)
		}
	}
	if got := ReadResolvers(filepath.Join(t.TempDir(), "none")).Servers(); len(got) != 0 {
		t.Errorf("without a file: %v", got)
	}
}
