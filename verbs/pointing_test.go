package verbs

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// resolverOf asks a DNS server of the test's own that knows these A records.
func resolverOf(t *testing.T, records map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, done := make(chan struct{}), make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		q := req.Question[0]
		if strings.HasPrefix(q.Name, "silent.") {
			return
		}
		answer := new(dns.Msg).SetReply(req)
		addresses, known := records[strings.TrimSuffix(q.Name, ".")]
		if !known {
			answer.Rcode = dns.RcodeNameError
		}
		for _, text := range addresses {
			head := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
			if addr := netip.MustParseAddr(text); addr.Is4() && q.Qtype == dns.TypeA {
				answer.Answer = append(answer.Answer, &dns.A{Hdr: head, A: addr.AsSlice()})
			} else if addr.Is6() && q.Qtype == dns.TypeAAAA {
				answer.Answer = append(answer.Answer, &dns.AAAA{Hdr: head, AAAA: addr.AsSlice()})
			}
		}
		w.WriteMsg(answer)
	})}
	go func() { defer close(done); server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { server.Shutdown(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestPointing_SaysWhereNamesLead(t *testing.T) {
	const ours, ours6, theirs = "1.2.3.4", "2606:4700::77", "9.9.9.9"
	h := newHouse(t)
	h.cfg.Addresses = func() ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr(ours), netip.MustParseAddr(ours6)}, nil
	}
	h.cfg.Resolver = resolverOf(t, map[string][]string{
		"here.example.com": {ours}, "six.example.com": {ours6}, "both.example.com": {ours, theirs}, "there.example.com": {theirs},
		"berth-asks-for-any-name.any.example.com": {ours},
	})
	for host, want := range map[string]struct {
		here       bool
		text, hint string
	}{
		"here.example.com":   {true, "points here (1.2.3.4)", ""},
		"six.example.com":    {true, "points here (2606:4700::77)", ""},
		"*.any.example.com":  {true, "points here (1.2.3.4)", ""},
		"both.example.com":   {true, "and also to 9.9.9.9", "cannot validate the domain"},
		"there.example.com":  {false, "points to 9.9.9.9, which is not this machine", "A 1.2.3.4 and AAAA 2606:4700::77"},
		"absent.example.com": {false, "has no DNS records yet", "A 1.2.3.4"},
		"silent.example.com": {false, "gives no answer", ""},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			began := time.Now()
			got := h.domains().pointing(t.Context(), &out, []string{host, "shop.localhost", "nas.lan"})
			if took := time.Since(began); took > 30*time.Second { // one second, on a machine with nothing else to do
				t.Errorf("it took %v", took)
			}
			if len(got) != 1 || got[0].Here != want.here || !strings.Contains(got[0].Text, want.text) || !strings.Contains(got[0].Hint, want.hint) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if !strings.Contains(out.String(), want.text) {
				t.Errorf("it says %q", out.String())
			}
		})
	}
}
