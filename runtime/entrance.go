package runtime

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Entrance is a port of the machine that containers reach as anybody does: a
// program in a container calls the public addresses of what runs here, its own
// included.
type Entrance struct {
	InputPort // where callers knock
	// Listens is where the one who answers listens. An unspecified address
	// stands for all of the machine's. A loopback address, which containers do
	// not reach, stands for the Gateways: whoever listens there has to listen at
	// those too.
	Listens netip.AddrPort
}

// everywhere tells whether whoever knocks at any address of the machine is meant.
func (e Entrance) everywhere() bool {
	return e.Listens.Addr().IsUnspecified() || e.Listens.Addr().IsLoopback()
}

// admissions are the rules of the host's table that let containers in where
// somebody listens.
func (r reach) admissions() (rules []string) {
	for _, e := range r.entrances {
		to := "fib daddr type local"
		if !e.everywhere() {
			to = matchAny([]netip.Addr{e.Listens.Addr()})
		}
		rules = appendNew(rules, fmt.Sprintf("%s %s dport %d accept", to, e.Protocol, e.Listens.Port()))
	}
	return rules
}

// leads are the rules of the host's table that bring callers to where somebody
// listens: from another port, and from the addresses that lead here from outside
// (a translation of addresses in front of the machine, a floating address), for
// many routers do not send back what comes from inside.
func (r reach) leads(gateways []netip.Addr) (rules []string) {
	for _, e := range r.entrances {
		at, same := e.Listens.Addr(), e.Number == int(e.Listens.Port())
		add := func(to, act string) {
			if to != "" {
				rules = appendNew(rules, fmt.Sprintf("%s %s dport %d %s", to, e.Protocol, e.Number, act))
			}
		}
		if e.everywhere() {
			redirect := fmt.Sprintf("redirect to :%d", e.Listens.Port())
			if !same || at.IsLoopback() {
				add("fib daddr type local", redirect)
			}
			add(matchAny(ofFamily(r.public, "ip")), redirect)
			add(matchAny(ofFamily(r.public, "ip6")), redirect)
			continue
		}
		family := familyOf(at)
		from := ofFamily(slices.Concat(gateways, r.public), family)
		if !same {
			from = append(from, at)
		}
		add(matchAny(from), fmt.Sprintf("dnat %s to %s", family, e.Listens))
	}
	return rules
}

// knocks are the rules of a container's wall that let it out to the entrances.
func (r reach) knocks() (rules []string) {
	ports := map[string][]string{}
	for _, e := range r.entrances {
		ports[e.Protocol] = appendNew(ports[e.Protocol], fmt.Sprint(e.Number))
	}
	here := slices.Concat(r.own, r.public)
	for _, family := range []string{"ip", "ip6"} {
		to := matchAny(ofFamily(here, family))
		for _, protocol := range []string{"tcp", "udp"} {
			if to != "" && ports[protocol] != nil && (family == "ip" || r.six) {
				rules = append(rules, fmt.Sprintf("%s %s dport { %s } accept", to, protocol, strings.Join(ports[protocol], ", ")))
			}
		}
	}
	return rules
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// familyOf is what nftables calls the family of an address.
func familyOf(addr netip.Addr) string {
	if addr.Is4() {
		return "ip"
	}
	return "ip6"
}

func ofFamily(list []netip.Addr, family string) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return familyOf(a) != family })
}

// matchAny is the expression of destinations of one family; "" of none.
func matchAny(list []netip.Addr) string {
	var texts []string
	for _, addr := range list {
		texts = appendNew(texts, addr.String())
	}
	if texts == nil {
		return ""
	}
	return familyOf(list[0]) + " daddr { " + strings.Join(texts, ", ") + " }"
}
