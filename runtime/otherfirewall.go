package runtime

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// otherFirewall is another program's chain that drops what containers send. An
// accept in our table does not bring that back: the program itself has to let
// it through.
type otherFirewall struct {
	name   string // "ufw", "firewalld", "Docker", "iptables" or "nftables"
	chain  string
	remedy string // commands that let containers through
}

// chain is one of nftables', in the words of nft's JSON.
type chain struct{ Family, Table, Name, Hook, Policy string }

// otherFirewalls lists those that keep containers from the network. A program
// that is not installed has no rules.
func otherFirewalls(ctx context.Context, bridge string) []otherFirewall {
	return closedFirewalls(bridge, asker(ctx))
}

// closedFirewalls is otherFirewalls of what ask says programs print.
func closedFirewalls(bridge string, ask func(name string, args ...string) string) (closed []otherFirewall) {
	for _, c := range baseChains("forward", ask) {
		var found *otherFirewall
		switch {
		case c.Table == "firewalld":
			found = closedFirewalld(bridge, ask)
		case c.Family == "ip" && c.Table == "filter" && c.Name == "FORWARD":
			found = closedIPTables(bridge, ask("iptables", "-S"))
		default:
			found = closedChain(c, bridge, ask("nft", "list", "chain", c.Family, c.Table, c.Name))
		}
		if found != nil {
			closed = append(closed, *found)
		}
	}
	return closed
}

// policyOpens is a policy, as firewall-cmd shows it, that is active and lets through.
var policyOpens = regexp.MustCompile(`(?m)^berth-out \(active\)\n(.*\n)*?\s+target: ACCEPT$`)

func closedFirewalld(bridge string, ask func(string, ...string) string) *otherFirewall {
	zone := strings.TrimSpace(ask("firewall-cmd", "--get-zone-of-interface="+bridge))
	// Installing can have been cut off after the zone: it is the policy that lets out.
	if zone == "trusted" || zone == "berth" && policyOpens.MatchString(ask("firewall-cmd", "--info-policy=berth-out")) {
		return nil
	}
	return &otherFirewall{"firewalld", "inet firewalld filter_FORWARD", "firewall-cmd --permanent --new-zone=berth; firewall-cmd --permanent --zone=berth --add-interface=" + bridge +
		"; firewall-cmd --permanent --new-policy=berth-out; firewall-cmd --permanent --policy=berth-out --add-ingress-zone=berth" +
		"; firewall-cmd --permanent --policy=berth-out --add-egress-zone=ANY; firewall-cmd --permanent --policy=berth-out --set-target=ACCEPT; firewall-cmd --reload"}
}

var iptablesDrop = regexp.MustCompile(`(?m)^(-P FORWARD DROP$|-A FORWARD -j (DROP|REJECT))`)

// closedIPTables looks at what iptables -S prints. The rule belongs into the
// chain that is kept for rules of others, where there is one.
func closedIPTables(bridge, rules string) *otherFirewall {
	f := otherFirewall{name: "iptables", chain: "FORWARD"}
	switch {
	case !iptablesDrop.MatchString(rules):
		return nil
	case strings.Contains(rules, "-N ufw-user-forward\n"):
		f = otherFirewall{"ufw", "ufw-user-forward", "ufw route allow in on " + bridge}
	case strings.Contains(rules, "-N DOCKER-USER\n"):
		f = otherFirewall{name: "Docker", chain: "DOCKER-USER"}
	}
	if regexp.MustCompile(`(?m)^-A ` + f.chain + ` -i ` + regexp.QuoteMeta(bridge) + ` (.* )?-j ACCEPT$`).MatchString(rules) {
		return nil
	}
	if f.remedy == "" {
		f.remedy = fmt.Sprintf("iptables -I %[1]s -i %[2]s -j ACCEPT; iptables -I %[1]s -o %[2]s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", f.chain, bridge)
	}
	return &f
}

// nftDrop is a last rule that drops whatever comes to it.
var nftDrop = regexp.MustCompile(`\n\t\t(counter packets \d+ bytes \d+ )?(drop|reject[^\n]*)\n\t}`)

// closedChain looks at a chain that nft lists.
func closedChain(c chain, bridge, rules string) *otherFirewall {
	if c.Policy != "drop" && !nftDrop.MatchString(rules) ||
		regexp.MustCompile(`iifname "`+regexp.QuoteMeta(bridge)+`" .*accept`).MatchString(rules) {
		return nil
	}
	at := strings.Join([]string{c.Family, c.Table, c.Name}, " ")
	return &otherFirewall{"nftables", at, fmt.Sprintf("nft insert rule %[1]s oifname %[2]q ct state established,related accept; nft insert rule %[1]s iifname %[2]q accept", at, bridge)}
}
