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

// LAN says what containers reach of the networks around the machine.
type LAN struct {
	Mode   LANMode        // whether they reach private networks
	Except []netip.Prefix // what containers reach in any mode, but for the machine itself
	// Public are addresses that lead to this machine though it does not have
	// them: those of a translation of addresses in front of it.
	Public []netip.Addr
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
	// addresses, and some of providers' own invention (Alibaba's and Azure's of
	// IPv4, Amazon's and Google's of IPv6).
	metadataAddresses = prefixes("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128")

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
	entrances []Entrance       // ports of the machine that they reach
	public    []netip.Addr     // addresses beside own that lead to those
	six       bool             // they have IPv6
}

// reachRules are the parts of a ruleset that say what containers may reach, for
// the host's table and for the walls, which are to say the same of it.
func reachRules() *template.Template {
	return template.Must(template.New("parts").Funcs(template.FuncMap{"family": familyOf}).Parse(`
{{- define "resolvers"}}
{{- range .Resolvers}}
		{{family .}} daddr {{.}} udp dport 53 accept
		{{family .}} daddr {{.}} tcp dport 53 accept
{{- end}}
{{- end}}
{{- define "reach"}}
{{- range .Metadata}}
		{{family .Addr}} daddr {{.}} reject with icmpx type admin-prohibited
{{- end}}
{{- range .Except}}
		{{family .Addr}} daddr {{.}} accept
{{- end}}
{{- range .Proxies}}
		{{family .Addr}} daddr {{.Addr}} tcp dport {{.Port}} accept
{{- end}}
{{- range .Denied}}
		{{family .Addr}} daddr {{.}} reject with icmpx type admin-prohibited
{{- end}}
{{- end}}`))
}

// lists are what reachRules need.
func (r reach) lists() map[string]any {
	metadata := r.spoken(metadataAddresses)
	if r.six {
		metadata = append(metadata, embeddingNetworks...)
	}
	return map[string]any{
		"Resolvers": r.resolvers, "Metadata": metadata,
		"Except": r.spoken4(r.except), "Proxies": r.proxies, "Denied": r.spoken(r.denied),
	}
}

// spoken are the networks in the families that containers have. With IPv6 come
// the addresses that lead to the networks by a translation.
func (r reach) spoken(list []netip.Prefix) []netip.Prefix {
	out := r.spoken4(list)
	if !r.six {
		return out
	}
	for _, p := range list {
		if p.Addr().Is4() {
			out = append(out, embedded(p))
		}
	}
	return out
}

// spoken4 leaves out IPv6 where containers have none.
func (r reach) spoken4(list []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return !r.six && !p.Addr().Is4() })
}

// embedded is where an IPv4 network is in the range of NAT64.
func embedded(p netip.Prefix) netip.Prefix {
	whole, four := nat64.Addr().As16(), p.Addr().As4()
	copy(whole[12:], four[:])
	return netip.PrefixFrom(netip.AddrFrom16(whole), 96+p.Bits())
}

// findReach reads from the machine what containers may reach.
func findReach(ctx context.Context, lan LAN, entrances []Entrance, resolvers []netip.Addr, six bool) (reach, error) {
	own, networks, err := ownAddresses()
	if err != nil {
		return reach{}, err
	}
	r := reach{resolvers: resolvers, own: own, except: lan.Except, entrances: entrances, public: lan.Public, six: six}
	if lan.denies(own) {
		r.denied = privateNetworks
		r.proxies = proxyAddresses(ctx, six)
	}
	if lan.Mode == LANDeny { // what is in the LAN may have public addresses of IPv6
		r.denied = slices.Concat(r.denied, networks)
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

// ownAddresses lists the machine's addresses in order, and the networks of IPv6
// that it is in.
func ownAddresses() (own []netip.Addr, networks []netip.Prefix, err error) {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range addrs {
		addr, ok := netip.AddrFromSlice(a.IP)
		addr = addr.Unmap()
		if !ok || addr.IsLoopback() || addr.IsLinkLocalUnicast() || slices.Contains(own, addr) {
			continue
		}
		own = append(own, addr)
		if ones, _ := a.Mask.Size(); addr.Is6() && ones < 128 && !inAny(addr, privateNetworks) {
			if network := netip.PrefixFrom(addr, ones).Masked(); !slices.Contains(networks, network) {
				networks = append(networks, network)
			}
		}
	}
	slices.SortFunc(own, netip.Addr.Compare)
	slices.SortFunc(networks, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return own, networks, nil
}

// proxyAddresses are where the host's HTTP proxies listen.
func proxyAddresses(ctx context.Context, six bool) (list []netip.AddrPort) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a start does not wait for a resolver that is away
	defer cancel()
	for _, host := range proxyHosts() {
		name, port, _ := net.SplitHostPort(host)
		number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
		if err != nil {
			continue
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, familiesOf(six), name)
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
		slices.Equal(r.own, o.own) && slices.Equal(r.denied, o.denied) && slices.Equal(r.except, o.except) &&
		slices.Equal(r.entrances, o.entrances) && slices.Equal(r.public, o.public) && r.six == o.six
}

// closed are the machine's addresses in the families that containers have.
func (r reach) closed() []netip.Addr {
	if r.six {
		return r.own
	}
	return ofFamily(r.own, "ip")
}

// familiesOf is what a resolver is asked for on behalf of containers.
func familiesOf(six bool) string {
	if six {
		return "ip"
	}
	return "ip4"
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
