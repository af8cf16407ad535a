package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/router/certificates"
)

// lookupTime is how long domains:add looks where names lead. Whoever added them
// waits for it, and learns nothing from a server that is slower than this.
const lookupTime = time.Second

// Pointing is where the DNS leads a host.
type Pointing struct {
	Host      string   `json:"host"`
	Addresses []string `json:"addresses"` // what it resolves to
	Here      bool     `json:"here"`      // one of them is this machine's
	Text      string   `json:"text"`
	Hint      string   `json:"hint,omitempty"`
}

// pointing finds out, within lookupTime, where names lead, and tells it. Names
// that are not the public DNS's are left out. It is advice: DNS is often set up
// later, and a machine behind a NAT does not know its own address.
func (n domains) pointing(ctx context.Context, out io.Writer, hosts []string) []Pointing {
	var own []netip.Addr
	if n.addresses != nil {
		own, _ = n.addresses() // without them, nothing leads here for all we know
	}
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return !certificates.Public(host) })
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found := make([]Pointing, len(hosts))
	var lookups sync.WaitGroup
	for i, host := range hosts {
		lookups.Go(func() { found[i] = n.point(ctx, host, own) })
	}
	lookups.Wait()
	for _, p := range found {
		fmt.Fprintln(out, p.Text)
		if p.Hint != "" {
			fmt.Fprintln(out, "  "+p.Hint)
		}
	}
	return found
}

func (n domains) point(ctx context.Context, host string, own []netip.Addr) Pointing {
	resolver := n.resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	name := host
	if rest, wildcard := strings.CutPrefix(host, "*."); wildcard {
		name = "berth-asks-for-any-name." + rest
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", name+".") // no search domain of the machine's
	p := Pointing{Host: host, Addresses: []string{}}
	var here, elsewhere []string
	for _, addr := range addresses {
		addr = addr.Unmap()
		p.Addresses = append(p.Addresses, addr.String())
		if addr.IsLoopback() || slices.Contains(own, addr) {
			here = append(here, addr.String())
		} else {
			elsewhere = append(elsewhere, addr.String())
		}
	}
	p.Here = len(here) > 0
	var failure *net.DNSError
	switch {
	case errors.As(err, &failure) && failure.IsNotFound:
		p.Text = host + " has no DNS records yet"
		p.Hint = recordHint(own)
	case err != nil:
		p.Text = "the DNS gives no answer for " + host + " at the moment"
	case p.Here && len(elsewhere) > 0:
		p.Text = fmt.Sprintf("%s points here (%s), and also to %s", host, strings.Join(here, ", "), strings.Join(elsewhere, ", "))
		p.Hint = "a CA that checks the other address cannot validate the domain"
	case p.Here:
		p.Text = fmt.Sprintf("%s points here (%s)", host, strings.Join(here, ", "))
	default:
		p.Text = fmt.Sprintf("%s points to %s, which is not this machine", host, strings.Join(elsewhere, ", "))
		p.Hint = "correct behind a load balancer or a NAT; otherwise: " + recordHint(own)
	}
	return p
}

// recordHint names the records that would lead here.
func recordHint(own []netip.Addr) string {
	var records []string
	for _, addr := range own {
		if addr = addr.Unmap().WithZone(""); !certificates.Public(addr.String()) {
			continue
		}
		if addr.Is4() {
			records = append(records, "A "+addr.String())
		} else {
			records = append(records, "AAAA "+addr.String())
		}
	}
	if len(records) == 0 {
		return "set its DNS records to the public address of this machine"
	}
	return "set its DNS records: " + strings.Join(records, " and ")
}
