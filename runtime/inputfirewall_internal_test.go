package runtime

import (
	"fmt"
	"strings"
	"testing"
)

var visited = []InputPort{{80, "tcp"}, {443, "tcp"}, {2222, "tcp"}, {443, "udp"}}

// ufwRules are those that ufw makes, without those for broadcasts and logs.
func ufwRules(user string) string {
	return `-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N ufw-before-input
-N ufw-not-local
-N ufw-user-input
-N ufw-user-limit-accept
-A INPUT -j ufw-before-logging-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A INPUT -j ufw-reject-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 239.255.255.250/32 -p udp -m udp --dport 1900 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
-A ufw-not-local -j DROP
-A ufw-user-limit -j REJECT --reject-with icmp-port-unreachable
-A ufw-user-limit-accept -j ACCEPT
` + user
}

func TestClosedInputs(t *testing.T) {
	const (
		iptables  = "iptables -S"
		input     = "ip filter INPUT input drop"
		own       = "inet filter input input drop"
		list      = "nft list chain inet filter input"
		firewalld = "inet firewalld filter_INPUT input accept"
		all       = "80/tcp 443/tcp 2222/tcp 443/udp"
	)
	chain := func(rules ...string) string {
		return "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\t" + strings.Join(rules, "\n\t\t") + "\n\t}\n}\n"
	}
	zone := func(query ...string) map[string]string {
		prints := map[string]string{
			"ip -4 route get 198.41.0.4":                                "198.41.0.4 via 10.0.0.1 dev ens3 src 10.0.0.2 uid 0 \n",
			"firewall-cmd --get-zone-of-interface=ens3":                 "external\n",
			"firewall-cmd --get-default-zone":                           "public\n",
			"firewall-cmd --permanent --zone=external --get-target":     "default\n",
			"firewall-cmd --permanent --zone=public --get-target":       "default\n",
			"firewall-cmd --zone=external --query-port=80/tcp":          "no\n",
			"firewall-cmd --permanent --zone=external --query-port=x/y": "no\n",
		}
		for _, q := range query {
			prints["firewall-cmd --zone=external "+q] = "yes\n"
		}
		return prints
	}
	for name, test := range map[string]struct {
		chains  []string
		prints  map[string]string
		want    string // what is closed, by whom
		command string // a part of the remedy
	}{
		"nothing":                  {nil, nil, "", ""},
		"iptables, policy accept":  {[]string{"ip filter INPUT input accept"}, map[string]string{iptables: "-P INPUT ACCEPT\n"}, "", ""},
		"iptables, policy drop":    {[]string{input}, map[string]string{iptables: "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -s 10.0.0.0/8 -j ACCEPT\n"}, "iptables: " + all, "iptables -I INPUT -p udp --dport 443 -j ACCEPT"},
		"iptables, a last rule":    {[]string{"ip filter INPUT input accept"}, map[string]string{iptables: "-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"}, "iptables: " + all, ""},
		"iptables, some are open":  {[]string{input}, map[string]string{iptables: "-P INPUT DROP\n-A INPUT -p tcp -m multiport --dports 22,80,440:450 -m comment --comment \"the web\" -j ACCEPT\n"}, "iptables: 2222/tcp 443/udp", ""},
		"iptables, new ones alone": {[]string{input}, map[string]string{iptables: "-P INPUT DROP\n-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 1:65535 -j ACCEPT\n"}, "iptables: 443/udp", ""},
		"iptables, its own chain":  {[]string{input}, map[string]string{iptables: "-P INPUT DROP\n-N WEB\n-A INPUT -j WEB\n-A WEB -p tcp -m tcp --dport 80 -j ACCEPT\n"}, "iptables: 443/tcp 2222/tcp 443/udp", ""},
		"iptables, not loopback":   {[]string{input}, map[string]string{iptables: "-P INPUT ACCEPT\n-A INPUT ! -i eth0 -j DROP\n"}, "", ""},
		"ufw":                      {[]string{input}, map[string]string{iptables: ufwRules("")}, "ufw: " + all, "ufw allow 2222/tcp"},
		"ufw, opened":              {[]string{input}, map[string]string{iptables: ufwRules("-A ufw-user-input -p tcp -m multiport --dports 80,443 -m comment --comment \"\\'dapp_WWW%20Full\\'\" -j ACCEPT\n-A ufw-user-input -p tcp -m tcp --dport 2222 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -j ufw-user-limit\n-A ufw-user-input -p tcp -m tcp --dport 2222 -j ufw-user-limit-accept\n-A ufw-user-input -p udp -m udp --dport 443 -j ACCEPT\n")}, "", ""},
		"ufw, denied by name":      {[]string{input}, map[string]string{iptables: ufwRules("-A ufw-user-input -p tcp -m tcp --dport 80 -j DROP\n-A ufw-user-input -j ACCEPT\n")}, "ufw: 80/tcp", ""},
		"firewalld":                {[]string{firewalld, "ip firewalld filter_INPUT input accept"}, zone(), "firewalld: " + all, "firewall-cmd --permanent --zone=external --add-port=443/udp; firewall-cmd --reload"},
		"firewalld, services":      {[]string{firewalld}, zone("--query-service=http", "--query-service=https", "--query-port=2222/tcp"), "firewalld: 443/udp", ""},
		"firewalld that is away":   {[]string{firewalld}, nil, "", ""},
		"a chain of somebody's":    {[]string{own}, map[string]string{list: chain(`ct state established,related accept`, `iifname "lo" accept`, `tcp dport 22 accept`)}, "the nftables chain inet filter input: " + all, "nft insert rule inet filter input tcp dport 80 accept"},
		"a chain that is open":     {[]string{own}, map[string]string{list: chain(`tcp dport { 22, 80, 443, 2000-3000 } counter packets 3 bytes 180 accept`, `meta l4proto udp udp dport 443 ct state new accept comment "h3"`)}, "", ""},
		"a chain for one network":  {[]string{own}, map[string]string{list: chain(`ip saddr 10.0.0.0/8 tcp dport { 80, 443, 2222 } accept`, `udp dport 443 accept`)}, "the nftables chain inet filter input: 80/tcp 443/tcp 2222/tcp", ""},
		"a chain that jumps":       {[]string{own}, map[string]string{list: chain(`jump allowed`)}, "", ""},
		"a chain with a set":       {[]string{own}, map[string]string{list: chain(`tcp dport @web accept`)}, "", ""},
		"of other hooks":           {[]string{"inet filter forward forward drop", "ip6 filter INPUT input drop", "inet berth_1234 input input drop"}, nil, "", ""},
	} {
		ask := func(program string, args ...string) string {
			line := strings.Join(append([]string{program}, args...), " ")
			if line == "nft -j list chains" {
				return chainsJSON(t, test.chains...)
			}
			return test.prints[line]
		}
		var got, remedies []string
		for _, f := range closedInputs(visited, ask) {
			line := f.name + ":"
			for _, p := range f.ports {
				line += " " + p.String()
				remedies = append(remedies, f.opener(p))
			}
			got, remedies = append(got, line), append(remedies, f.reload)
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		if all := strings.Join(remedies, "; "); !strings.Contains(all, test.command) {
			t.Errorf("%s: no %q in the remedy %q", name, test.command, all)
		}
	}
}

// What the findings say to do is obeyed by the programs, and the rules that they
// make are read back as open.
func TestClosedInputs_RemediesWork(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	for _, closing := range []string{
		"iptables -P INPUT DROP",
		"iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables -A INPUT -j REJECT",
		"nft 'table inet filter { chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; }; }'",
		"nft 'table inet filter { chain input { type filter hook input priority 0; counter drop; }; }'",
	} {
		command(t, "sh", "-c", closing)
		found := ClosedInputs(t.Context(), visited)
		if len(found) != 1 || found[0].Kind != FindingInput || !strings.Contains(found[0].Text, "closes 80/tcp, 443/tcp, 2222/tcp, 443/udp to the outside") {
			t.Fatalf("%s: found %v", closing, found)
		}
		command(t, "sh", "-ec", strings.Split(found[0].Remedy, "; ")[0])
		if left := ClosedInputs(t.Context(), visited); len(left) != 1 || strings.Contains(left[0].Text, "80/tcp") {
			t.Errorf("%s: with port 80 open: %v", closing, left)
		}
		command(t, "sh", "-ec", strings.Join(strings.Split(found[0].Remedy, "; ")[1:], "\n"))
		if left := ClosedInputs(t.Context(), visited); len(left) > 0 {
			t.Errorf("%s: after its remedy there is still %v\n%s", closing, left, fmt.Sprint(asker(t.Context())("nft", "list", "ruleset")))
		}
		command(t, "nft", "flush", "ruleset")
	}
}
