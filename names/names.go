// Package names answers DNS for the programs in containers. It knows three kinds
// of names:
//
//	web.api.internal   the apps that the asker may call; others do not exist
//	shop.example.com   the sites of this machine that DNS leads elsewhere first,
//	                   to a router at home or a floating address
//	everything else    is asked of the machine's own resolvers
//
// It knows no app: who may call what is told by Apps, which sites there are by
// Sites.
package names

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// Zone is the domain of the apps' names. ICANN has set it aside for private use.
	Zone = "internal"

	// appTTL is how long an app's answer is kept, in seconds: an instance that
	// died is not called for longer.
	appTTL = 1
	// siteTTL is likewise, of a site, whose address here does not change.
	siteTTL = 10

	// upstreamPatience is how long one resolver of the machine has to answer.
	upstreamPatience = 2 * time.Second

	// maxWaiting bounds the questions to the machine's resolvers that are under
	// way, of one asker and of all: a program that asks in a loop takes nobody
	// else's place. One too many is dropped, and asked again by its resolver.
	maxWaiting    = 100
	maxWaitingAll = 2000
)

// Target is where a name leads.
type Target struct {
	Name      string // its own, within Zone: "1.web.api"
	Addresses []netip.Addr
	Port      uint16
}

// Apps finds the apps of a machine by name.
type Apps interface {
	// Find returns what the asker may call by a name, which is without Zone and
	// in lower case. found is false for a name that the asker may not know of;
	// one that exists may lead nowhere for the moment.
	Find(asker netip.Addr, name string) (targets []Target, found bool)
}

// Sites are the hosts of this machine. host is in lower case, without the last dot.
type Sites interface {
	// Certain tells whether a host is this machine's wherever DNS leads: it is
	// proved, as by a certificate that was issued for it.
	Certain(host string) bool
	// Likely tells whether a host is this machine's where DNS knows no address of it.
	Likely(host string) bool
	// Addresses are where containers reach the sites.
	Addresses() []netip.Addr
}

// Server answers. Its fields are set before it serves, and it is safe for
// concurrent use.
type Server struct {
	Apps  Apps
	Sites Sites
	// Upstream are the machine's resolvers, in the order in which they are asked.
	Upstream func() []netip.AddrPort
	// Foreign tells whether a name in Zone is the network's own, as the names of
	// machines are in some clouds. It is without the last dot. Nil is none.
	Foreign func(name string) bool
	Log     *slog.Logger

	mu      sync.Mutex // guards what follows
	waiting map[netip.Addr]int
	all     int
}

// Serve answers on these sockets until ctx ends, and closes them.
func (s *Server) Serve(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
	var servers []*dns.Server
	for _, p := range packets {
		servers = append(servers, &dns.Server{PacketConn: p, Handler: s, UDPSize: dns.DefaultMsgSize})
	}
	for _, l := range listeners {
		servers = append(servers, &dns.Server{Listener: l, Handler: s, ReadTimeout: 5 * time.Second, MaxTCPQueries: 128})
	}
	ended := make(chan error, len(servers))
	for _, server := range servers {
		go func() { ended <- server.ActivateAndServe() }()
	}
	var errs []error
	left := len(servers)
	select {
	case <-ctx.Done():
	case err := <-ended:
		left--
		errs = append(errs, err)
	}
	for _, p := range packets {
		p.Close()
	}
	for _, l := range listeners {
		l.Close()
	}
	for range left {
		<-ended
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

// Probe asks by a connection whether it is a Server that answers.
func Probe(conn net.Conn) error {
	question := new(dns.Msg).SetQuestion(soaName, dns.TypeA)
	dc := &dns.Conn{Conn: conn}
	if err := dc.WriteMsg(question); err != nil {
		return err
	}
	answer, err := dc.ReadMsg()
	if err != nil {
		return err
	}
	if len(answer.Ns) == 1 && answer.Id == question.Id {
		if soa, ok := answer.Ns[0].(*dns.SOA); ok && soa.Ns == soaName {
			return nil
		}
	}
	return errors.New("another resolver answered")
}

// soaName is the server's name, in our zone. It leads nowhere.
const soaName = "names." + Zone + "."

// ServeDNS answers one question.
func (s *Server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	answer := s.answer(w, req)
	if answer == nil {
		return // dropped
	}
	if _, tcp := w.RemoteAddr().(*net.TCPAddr); !tcp {
		size := dns.MinMsgSize
		if opt := req.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		answer.Truncate(size)
	}
	if err := w.WriteMsg(answer); err != nil {
		s.Log.Debug("an answer to a name was not sent", "err", err)
	}
}

func (s *Server) answer(w dns.ResponseWriter, req *dns.Msg) *dns.Msg {
	switch {
	case req.Opcode != dns.OpcodeQuery:
		return new(dns.Msg).SetRcode(req, dns.RcodeNotImplemented)
	case len(req.Question) != 1:
		return new(dns.Msg).SetRcode(req, dns.RcodeFormatError)
	}
	asker := addrOf(w.RemoteAddr())
	q := req.Question[0]
	name := strings.TrimSuffix(dns.CanonicalName(q.Name), ".")
	if q.Qclass == dns.ClassINET {
		if within, inZone := strings.CutSuffix(name, "."+Zone); (inZone || name == Zone) && (s.Foreign == nil || !s.Foreign(name)) {
			return s.fromApps(req, asker, within)
		}
		if s.Sites.Certain(name) && isAddress(q.Qtype) {
			return s.fromSites(req)
		}
	}
	answer := s.forward(asker, req, w)
	if answer != nil && q.Qclass == dns.ClassINET && isAddress(q.Qtype) && !leads(answer) && s.Sites.Likely(name) {
		return s.fromSites(req)
	}
	return answer
}

// isAddress tells whether a question is for where a host is. Newer kinds carry
// addresses too, and would lead past ours.
func isAddress(qtype uint16) bool {
	return qtype == dns.TypeA || qtype == dns.TypeAAAA || qtype == dns.TypeHTTPS || qtype == dns.TypeSVCB
}

// leads tells whether an answer has an address, or says that it may have one
// another time.
func leads(answer *dns.Msg) bool {
	for _, rr := range answer.Answer {
		switch rr.(type) {
		case *dns.A, *dns.AAAA, *dns.HTTPS, *dns.SVCB, *dns.CNAME:
			return true
		}
	}
	return false
}

// reply begins an answer of our own.
func reply(req *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(req)
	m.Authoritative, m.RecursionAvailable = true, true
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
	}
	return m
}

// fromApps answers in our zone, and never with a failure.
func (s *Server) fromApps(req *dns.Msg, asker netip.Addr, name string) *dns.Msg {
	q := req.Question[0]
	m := reply(req)
	service, srv := strings.CutPrefix(name, "_http._tcp.")
	if !srv {
		service = name
	}
	targets, found := s.Apps.Find(asker, service)
	switch {
	case !found:
		m.Rcode = dns.RcodeNameError
	case srv && q.Qtype == dns.TypeSRV:
		for _, t := range spread(targets) {
			target := dns.Fqdn(t.Name + "." + Zone)
			m.Answer = append(m.Answer, &dns.SRV{Hdr: header(q.Name, dns.TypeSRV, appTTL), Priority: 1, Weight: 1, Port: t.Port, Target: target})
			for _, addr := range t.Addresses {
				m.Extra = append([]dns.RR{record(target, addr, appTTL)}, m.Extra...)
			}
		}
	case !srv:
		m.Answer = records(q, targets)
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, &dns.SOA{
			Hdr: header(Zone+".", dns.TypeSOA, appTTL), Ns: soaName, Mbox: "nobody." + Zone + ".",
			Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: appTTL,
		})
	}
	return m
}

// records are the addresses of targets, each once.
func records(q dns.Question, targets []Target) (list []dns.RR) {
	seen := map[netip.Addr]bool{}
	for _, t := range spread(targets) {
		for _, addr := range t.Addresses {
			if seen[addr] || addr.Is4() != (q.Qtype == dns.TypeA) || q.Qtype != dns.TypeA && q.Qtype != dns.TypeAAAA {
				continue
			}
			seen[addr] = true
			list = append(list, record(q.Name, addr, appTTL))
		}
	}
	return list
}

// spread puts targets into another order with each answer: most programs take
// the first.
func spread(targets []Target) []Target {
	out := append([]Target(nil), targets...)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func header(name string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func record(name string, addr netip.Addr, ttl uint32) dns.RR {
	if addr.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA, ttl), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA, ttl), AAAA: addr.AsSlice()}
}

// fromSites answers with where containers reach the sites.
func (s *Server) fromSites(req *dns.Msg) *dns.Msg {
	m, q := reply(req), req.Question[0]
	for _, addr := range s.Sites.Addresses() {
		if addr.Is4() && q.Qtype == dns.TypeA || addr.Is6() && q.Qtype == dns.TypeAAAA {
			m.Answer = append(m.Answer, record(q.Name, addr, siteTTL))
		}
	}
	return m
}

// forward asks the machine's resolvers, one after the other. It returns nil for
// a question that is one too many.
func (s *Server) forward(asker netip.Addr, req *dns.Msg, w dns.ResponseWriter) *dns.Msg {
	if !s.enter(asker) {
		return nil
	}
	defer s.leave(asker)
	client := dns.Client{Timeout: upstreamPatience}
	if _, tcp := w.RemoteAddr().(*net.TCPAddr); tcp {
		client.Net = "tcp"
	}
	for _, server := range s.Upstream() {
		question := req.Copy()
		question.Id = dns.Id()
		answer, _, err := client.Exchange(question, server.String())
		if err != nil {
			s.Log.Debug("a resolver of the machine did not answer", "resolver", server, "err", err)
			continue
		}
		answer.Id = req.Id
		return answer
	}
	return new(dns.Msg).SetRcode(req, dns.RcodeServerFailure)
}

func (s *Server) enter(asker netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxWaitingAll || s.waiting[asker] >= maxWaiting {
		return false
	}
	if s.waiting == nil {
		s.waiting = map[netip.Addr]int{}
	}
	s.waiting[asker]++
	s.all++
	return true
}

func (s *Server) leave(asker netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.waiting[asker]--; s.waiting[asker] <= 0 {
		delete(s.waiting, asker)
	}
}

func addrOf(a net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}
