package runtime

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/vishvananda/netlink"
)

// LAN says whether containers reach the private networks around the machine.
type LAN struct {
	Mode   LANMode
	Except []netip.Prefix // what containers reach in any mode, but for the machine itself
}

// LANMode is LANAllow, LANDeny or LANAuto.
type LANMode string

// The modes. LANAuto denies on a machine that has a public IPv4 address: its
// private networks are a provider's or an operator's. A machine without one is
// in a home or an office, and what apps want there is in the LAN.
const (
	LANAuto  LANMode = ""
	LANAllow LANMode = "allow"
	LANDeny  LANMode = "deny"
)

var (
	// privateNetworks are the ranges that LANDeny denies: RFC 1918, the shared
	// range of RFC 6598, and the unique local addresses of IPv6.
	privateNetworks = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

	// metadataAddresses are where clouds hand out credentials: link-local
	// addresses, and two of providers' own invention (Alibaba's and Azure's).
	metadataAddresses = prefixes("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32")

	// unroutedNetworks are special ranges of IANA that are no public address of
	// a machine.
	unroutedNetworks = prefixes("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4")

	// nat64 holds an IPv4 address in its last four bytes.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// embeddingNetworks are other IPv6 ranges that lead to an IPv4 address
	// within them: local NAT64, 6to4, Teredo and the old compatible form.
	embeddingNetworks = prefixes("64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func inAny(addr netip.Addr, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// reach is what the rules for containers are made of.
type reach struct {
	resolvers []netip.Addr     // DNS servers that containers ask
	proxies   []netip.AddrPort // the host's HTTP proxies, which builds use
	own       []netip.Addr     // the machine's addresses, loopback and link-local left out
	denied    []netip.Prefix   // private networks that containers do not reach
	except    []netip.Prefix   // what they reach all the same
}

// reachRules are the parts of a ruleset that say what containers may reach, for
// the host's table and for the walls, which are to say the same of it.
func reachRules() *template.Template {
	return template.Must(template.New("parts").Parse(`
{{- define "resolvers"}}
{{- range .Resolvers}}
		ip daddr {{.}} udp dport 53 accept
		ip daddr {{.}} tcp dport 53 accept
{{- end}}
{{- end}}
{{- define "reach"}}
{{- range .Metadata}}
		ip daddr {{.}} reject with icmp type admin-prohibited
{{- end}}
{{- range .Except}}
		ip daddr {{.}} accept
{{- end}}
{{- range .Proxies}}
		ip daddr {{.Addr}} tcp dport {{.Port}} accept
{{- end}}
{{- range .Denied}}
		ip daddr {{.}} reject with icmp type admin-prohibited
{{- end}}
{{- end}}`))
}

// lists are what reachRules need.
func (r reach) lists() map[string]any {
	return map[string]any{
		"Resolvers": r.resolvers, "Metadata": metadataAddresses,
		"Except": only4(r.except), "Proxies": r.proxies, "Denied": only4(r.denied),
	}
}

// findReach reads from the machine what containers may reach.
func findReach(ctx context.Context, lan LAN, resolvers []netip.Addr) (reach, error) {
	own, err := ownAddresses()
	if err != nil {
		return reach{}, err
	}
	r := reach{resolvers: resolvers, own: own, except: lan.Except}
	if lan.denies(own) {
		r.denied = privateNetworks
		r.proxies = proxyAddresses(ctx)
	}
	return r, nil
}

// denies tells whether the private networks are denied on a machine that has
// these addresses.
func (l LAN) denies(own []netip.Addr) bool {
	switch l.Mode {
	case LANAllow:
		return false
	case LANDeny:
		return true
	}
	return slices.ContainsFunc(own, publicIPv4)
}

// publicIPv4 leaves IPv6 out: a machine at home has a global IPv6 address too.
func publicIPv4(addr netip.Addr) bool {
	return addr.Is4() && addr.IsGlobalUnicast() && !inAny(addr, privateNetworks) && !inAny(addr, unroutedNetworks)
}

// ownAddresses lists the machine's addresses in order.
func ownAddresses() (own []netip.Addr, err error) {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		addr, ok := netip.AddrFromSlice(a.IP)
		addr = addr.Unmap()
		if !ok || addr.IsLoopback() || addr.IsLinkLocalUnicast() || slices.Contains(own, addr) {
			continue
		}
		own = append(own, addr)
	}
	slices.SortFunc(own, netip.Addr.Compare)
	return own, nil
}

// proxyAddresses are where the host's HTTP proxies listen.
func proxyAddresses(ctx context.Context) (list []netip.AddrPort) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a start does not wait for a resolver that is away
	defer cancel()
	for _, host := range proxyHosts() {
		name, port, _ := net.SplitHostPort(host)
		number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
		if err != nil {
			continue
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
		if err != nil {
			continue
		}
		for _, addr := range found {
			if p := netip.AddrPortFrom(addr.Unmap(), uint16(number)); !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}

// proxyHosts are the host and port of each of the host's HTTP proxies.
func proxyHosts() (hosts []string) {
	for _, kv := range proxyVariables() {
		_, value, _ := strings.Cut(kv, "=")
		u, err := url.Parse(value)
		if err != nil || u.Hostname() == "" {
			continue
		}
		port := u.Port()
		if port == "" {
			port = u.Scheme // LookupPort has names
		}
		if host := net.JoinHostPort(u.Hostname(), port); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// equal tells whether the same rules come of both.
func (r reach) equal(o reach) bool {
	return slices.Equal(r.resolvers, o.resolvers) && slices.Equal(r.proxies, o.proxies) &&
		slices.Equal(r.own, o.own) && slices.Equal(r.denied, o.denied) && slices.Equal(r.except, o.except)
}

// own4 are the machine's IPv4 addresses: rules for containers have no others.
func (r reach) own4() []netip.Addr {
	return slices.DeleteFunc(slices.Clone(r.own), func(a netip.Addr) bool { return !a.Is4() })
}

func only4(list []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return !p.Addr().Is4() })
}

// allows tells whether a container may connect to the address. What the host
// fetches for an app is held to the same: an app must not reach by the host's
// hand what its own cannot.
func (r reach) allows(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		whole := addr.As16()
		addr, _ = netip.AddrFromSlice(whole[12:])
	}
	switch {
	case !addr.IsValid(), addr.IsLoopback(), addr.IsUnspecified(), addr.IsLinkLocalUnicast(), addr.IsMulticast(),
		inAny(addr, metadataAddresses), inAny(addr, embeddingNetworks), slices.Contains(r.own, addr):
		return false
	case inAny(addr, r.except):
		return true
	}
	return !inAny(addr, r.denied)
}
