package peer

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// Networks that have a word of their own: those of RFC 1918 and RFC 4193, and
// the machine itself.
var named = map[string][]string{
	"private":  {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"},
	"loopback": {"127.0.0.0/8", "::1/128"},
}

// ParseNetworks reads addresses, networks (192.0.2.0/24, 2001:db8::/32) and the
// words private and loopback, with commas or spaces between them.
func ParseNetworks(list string) (all []netip.Prefix, err error) {
	for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		texts, ok := named[word]
		if !ok {
			texts = []string{word}
		}
		for _, text := range texts {
			prefix, err := parseNetwork(text)
			if err != nil {
				return nil, err
			}
			all = append(all, prefix)
		}
	}
	return all, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return prefix, fmt.Errorf("%.60q is not an address or a network", text)
	case prefix.Bits() == 0:
		return prefix, fmt.Errorf("%s is every address: any client could then forge its address", text)
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("%s has host bits set; the network is %s", text, prefix.Masked())
	}
	return prefix, nil
}

// networks are sorted, and none is within another: the one that an address is
// in is found by halving, however many there are.
type networks []netip.Prefix

func compile(list []netip.Prefix) (sorted networks) {
	all := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
		}
		all = append(all, p.Masked())
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits() // the wider one first
	})
	for _, p := range all {
		if n := len(sorted); n == 0 || !sorted[n-1].Contains(p.Addr()) {
			sorted = append(sorted, p)
		}
	}
	return sorted
}

func (n networks) contain(addr netip.Addr) bool {
	if len(n) == 0 {
		return false
	}
	addr = addr.Unmap().WithZone("")
	after := sort.Search(len(n), func(i int) bool { return n[i].Addr().Compare(addr) > 0 })
	return after > 0 && n[after-1].Contains(addr)
}
