// Package peer finds the client of a connection. It counts the connections of each
// address, and reads the client's address from the PROXY headers of trusted
// proxies.
//
//	accept ─ counted by address ─┬─ everybody ───────────────── TLS or HTTP
//	            └ too many: reset └─ trusted: PROXY header ─ counted by the
//	                                                         client's address
//
// It knows no HTTP: the router reads the HTTP headers of proxies, for those that
// Trusts accepts.
package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Header says whether trusted proxies begin a connection with a PROXY header.
type Header string

// What there is to say. Required is the safe one: a proxy that passes on what
// clients send, and puts no header before it, would have them write it.
const (
	HeaderNone     Header = ""
	HeaderRequired Header = "required"
	HeaderOptional Header = "optional"
)

// Policy says which peers are trusted, and the limits for each. The zero value
// trusts nobody and limits nothing.
type Policy struct {
	Trusted []netip.Prefix // proxies that are believed
	// Strangers are networks in which nobody is believed, whatever Trusted says:
	// those of the containers on this machine, which anybody may write programs for.
	Strangers []netip.Prefix
	Header    Header // … and whether they send PROXY headers

	// MaxConnections is how many connections one address may have open at all
	// doors together: an IPv4 address, or the /64 of an IPv6 address. 0 is any.
	// Trusted proxies may have any number: they stand for many.
	MaxConnections int
}

// Validate reports every value that makes no sense.
func (p Policy) Validate() error {
	var errs []error
	for _, prefix := range p.Trusted {
		if !prefix.IsValid() || prefix.Bits() == 0 {
			errs = append(errs, fmt.Errorf("%v is not a network that could be trusted", prefix))
		}
	}
	if !slices.Contains([]Header{HeaderNone, HeaderRequired, HeaderOptional}, p.Header) {
		errs = append(errs, fmt.Errorf("PROXY headers cannot be %q", p.Header))
	}
	if p.MaxConnections < 0 {
		errs = append(errs, errors.New("the limit of connections is negative"))
	}
	return errors.Join(errs...)
}

// Gate is what every connection comes through, at whatever door. Its zero
// value has the zero Policy. It is safe for concurrent use.
type Gate struct {
	rules   atomic.Pointer[rules]
	refused atomic.Uint64

	mu     sync.Mutex         // guards inside
	inside map[netip.Addr]int // no more entries than there are open connections
}

// rules are a Policy as connections and requests read it.
type rules struct {
	trusted   networks
	strangers networks
	header    Header
	most      int
}

func (r *rules) trusts(addr netip.Addr) bool {
	return r.trusted.contain(addr) && !r.strangers.contain(addr)
}

// Set changes the policy for what comes from now on; p has been validated.
// Connections that are open stay, and go on being counted.
func (g *Gate) Set(p Policy) {
	g.rules.Store(&rules{trusted: compile(p.Trusted), strangers: compile(p.Strangers), header: p.Header, most: p.MaxConnections})
}

// Greets tells whether trusted proxies begin connections with a PROXY header.
func (g *Gate) Greets() bool {
	r := g.rules.Load()
	return r != nil && r.header != HeaderNone && len(r.trusted) > 0
}

// TrustsAny tells whether there is anybody whom Trusts would tell of.
func (g *Gate) TrustsAny() bool {
	r := g.rules.Load()
	return r != nil && len(r.trusted) > 0
}

// Trusts tells whether a peer is a proxy that is believed.
func (g *Gate) Trusts(addr netip.Addr) bool {
	r := g.rules.Load()
	return r != nil && r.trusts(addr)
}

// Enter counts a connection in, unless its address has too many. Who entered
// has to Leave, once and with the same address.
func (g *Gate) Enter(addr netip.Addr) bool {
	r, key := g.rules.Load(), Group(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	// Those who are not limited are counted, too: they may be from the next Set on.
	if r != nil && r.most > 0 && g.inside[key] >= r.most && !r.trusts(addr) {
		g.refused.Add(1)
		return false
	}
	if g.inside == nil {
		g.inside = map[netip.Addr]int{}
	}
	g.inside[key]++
	return true
}

// Leave counts a connection out.
func (g *Gate) Leave(addr netip.Addr) {
	key := Group(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[key]--; g.inside[key] <= 0 {
		delete(g.inside, key)
	}
}

// Refused is how many connections did not enter.
func (g *Gate) Refused() uint64 { return g.refused.Load() }

// Group returns what stands for a client where clients are counted: an IPv4
// address, or the first of the /64 of an IPv6 address, which one machine has
// all of.
func Group(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is6() {
		if net, err := addr.Prefix(64); err == nil {
			return net.Addr()
		}
	}
	return addr
}
