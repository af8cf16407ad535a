package runtime

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
)

// Finding is something about the machine that makes containers work worse, or
// less apart, than they should.
type Finding struct {
	Kind   FindingKind
	Text   string // a sentence without its full stop
	Remedy string // commands, or a sentence; "" when there is nothing to do
}

// FindingKind says what a finding is about.
type FindingKind string

// The kinds of findings.
const (
	FindingIPv6Only FindingKind = "ipv6-only"      // the internet is reached by IPv6 alone
	FindingClosed   FindingKind = "other-firewall" // another firewall drops what containers send
	FindingInput    FindingKind = "closed-port"    // another firewall drops what visitors send
	FindingRunc     FindingKind = "runc"           // a runc with ways out of containers
	FindingRepaired FindingKind = "firewall-reset" // another program removed berth's tables, and they were put back
	FindingAppArmor FindingKind = "apparmor"       // AppArmor is on and confines no container
)

// Findings looks at the machine.
func (e *Engine) Findings(ctx context.Context) (found []Finding) {
	if e.Stranded() {
		found = append(found, Finding{FindingIPv6Only, "this machine has internet access only over IPv6; apps and builds could not get IPv6 and reach nothing",
			"berth's log says why; an IPv4 address or a route by NAT or CLAT helps too"})
	}
	for _, f := range otherFirewalls(ctx, e.cfg.Bridge) {
		found = append(found, Finding{FindingClosed, fmt.Sprintf("%s (%s) drops the packets of apps and builds; they have no network", f.name, f.chain), f.remedy})
	}
	if fixed, version := e.runc.fixed(ctx); !fixed {
		found = append(found, Finding{FindingRunc, fmt.Sprintf("runc is %s and may allow escapes from containers that start at the same time; Dockerfiles are built one step at a time", version), runcCriterion})
	}
	if times, last := e.net.firewall.repaired(); times > 0 {
		found = append(found, Finding{FindingRepaired, fmt.Sprintf("another program removed or changed berth's firewall tables, last at %s; they were put back (times since the start: %d)", last.Format(time.DateTime), times),
			"reload other firewalls without 'flush ruleset', which removes the rules of every program"})
	}
	if e.armor.missing != nil {
		found = append(found, Finding{FindingAppArmor, fmt.Sprintf("AppArmor is on and confines no container: %v", e.armor.missing), "install the package apparmor and restart berth"})
	}
	return found
}

// A root name server's addresses stand for the internet in questions to the
// routing table. Nothing is sent to them.
var internetIPv4, internetIPv6 = net.ParseIP("198.41.0.4"), net.ParseIP("2001:503:ba3e::2:30")

// Stranded tells whether the machine reaches the internet only over IPv6, and
// containers have none.
func (e *Engine) Stranded() bool { return !e.net.hasSix() && ipv6Only() }

// ipv6Only tells whether the machine has a route to the internet over IPv6 and
// none over IPv4.
func ipv6Only() bool { return !routed(internetIPv4) && routed(internetIPv6) }

func routed(to net.IP) bool {
	routes, err := netlink.RouteGet(to)
	return err == nil && len(routes) > 0
}

// logFindings logs at a start what is found. What is repaired is logged when it is.
func (e *Engine) logFindings(ctx context.Context) {
	for _, f := range e.Findings(ctx) {
		e.log.Warn(f.Text, "finding", f.Kind, "remedy", f.Remedy)
	}
}
