package certificates

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// tsigKey and tsigSecret let whoever knows them change the zone.
const (
	tsigKey    = "berth."
	tsigSecret = "YmVydGggYmVydGggYmVydGggYmVydGggYmVydGg="
)

// nameserver is a DNS server for the zone example.com, by UDP and TCP. Every
// name in it leads to 127.0.0.1; TXT records come and go by signed updates.
type nameserver struct {
	addr string

	mu      sync.Mutex
	texts   map[string][]string // by name with a trailing dot
	updates int                 // that were taken
}

func startNameserver(t testing.TB) *nameserver {
	t.Helper()
	n := &nameserver{texts: map[string][]string{}}
	// A free port of TCP is, on loopback, nearly always one of UDP too.
	var tcp net.Listener
	var udp net.PacketConn
	for try := 0; ; try++ {
		var err error
		tcp = listen(t)
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			break
		}
		tcp.Close()
		if try == 10 {
			t.Fatal(err)
		}
	}
	n.addr = tcp.Addr().String()
	secrets := map[string]string{tsigKey: tsigSecret}
	accept := func(h dns.Header) dns.MsgAcceptAction {
		if h.Bits>>11&0xf == dns.OpcodeUpdate {
			return dns.MsgAccept
		}
		return dns.DefaultMsgAcceptFunc(h)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	for _, s := range []*dns.Server{
		{Listener: tcp, Handler: n, TsigSecret: secrets, MsgAcceptFunc: accept},
		{PacketConn: udp, Handler: n, TsigSecret: secrets, MsgAcceptFunc: accept},
	} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		serving.Go(func() { s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return n
}

// has tells whether a name has the text, or any when text is empty.
func (n *nameserver) has(name, text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, stored := range n.texts[name] {
		if text == "" || stored == text {
			return true
		}
	}
	return false
}

func (n *nameserver) taken() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.updates
}

func (n *nameserver) add(name, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts[name] = append(n.texts[name], text)
	n.updates++
}

func (n *nameserver) remove(name, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var kept []string
	for _, stored := range n.texts[name] {
		if stored != text {
			kept = append(kept, stored)
		}
	}
	n.texts[name] = kept
}

func (n *nameserver) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	answer := new(dns.Msg).SetReply(req)
	defer func() { w.WriteMsg(answer) }()
	name := strings.ToLower(req.Question[0].Name)
	if !dns.IsSubDomain("example.com.", name) {
		answer.Rcode = dns.RcodeNameError
		return
	}
	if req.Opcode == dns.OpcodeUpdate {
		if req.IsTsig() == nil || w.TsigStatus() != nil || name != "example.com." {
			answer.Rcode = dns.RcodeNotAuth
			return
		}
		for _, rr := range req.Ns {
			txt, ok := rr.(*dns.TXT)
			switch {
			case !ok:
				answer.Rcode = dns.RcodeRefused
			case txt.Hdr.Class == dns.ClassNONE:
				n.remove(txt.Hdr.Name, strings.Join(txt.Txt, ""))
			default:
				n.add(txt.Hdr.Name, strings.Join(txt.Txt, ""))
			}
		}
		answer.SetTsig(tsigKey, dns.HmacSHA256, 300, int64(req.IsTsig().TimeSigned))
		return
	}
	answer.Authoritative = true
	head := dns.RR_Header{Name: req.Question[0].Name, Rrtype: req.Question[0].Qtype, Class: dns.ClassINET}
	switch req.Question[0].Qtype {
	case dns.TypeA:
		answer.Answer = append(answer.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
	case dns.TypeSOA:
		if name == "example.com." {
			answer.Answer = append(answer.Answer, &dns.SOA{Hdr: head, Ns: "ns.example.com.", Mbox: "ops.example.com."})
		}
	case dns.TypeTXT:
		n.mu.Lock()
		for _, text := range n.texts[name] {
			answer.Answer = append(answer.Answer, &dns.TXT{Hdr: head, Txt: []string{text}})
		}
		n.mu.Unlock()
	}
}
