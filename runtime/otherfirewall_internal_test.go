package runtime

import (
	"encoding/json"
	"strings"
	"testing"
)

// chainsJSON is what nft -j list chains prints of base chains: family, table,
// name, hook, policy.
func chainsJSON(t *testing.T, chains ...string) string {
	t.Helper()
	list := []any{map[string]any{"metainfo": map[string]string{"version": "1.0.6"}}, map[string]any{"chain": map[string]string{"family": "ip", "table": "filter", "name": "DOCKER-USER"}}}
	for _, c := range chains {
		f := strings.Fields(c)
		list = append(list, map[string]any{"chain": map[string]string{"family": f[0], "table": f[1], "name": f[2], "hook": f[3], "policy": f[4]}})
	}
	text, err := json.Marshal(map[string]any{"nftables": list})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestClosedFirewalls(t *testing.T) {
	const (
		iptables  = "iptables -S"
		docker    = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\n"
		ufw       = "-P FORWARD DROP\n-N DOCKER-USER\n-N ufw-user-forward\n-A FORWARD -j ufw-user-forward\n"
		forward   = "ip filter FORWARD forward drop"
		accepting = "ip filter FORWARD forward accept"
	)
	for name, test := range map[string]struct {
		chains  []string
		prints  map[string]string
		want    string // names of what is closed, with their chains
		command string // a part of the remedy
	}{
		"nothing":                       {nil, nil, "", ""},
		"policy accept":                 {[]string{accepting}, map[string]string{iptables: "-P FORWARD ACCEPT\n"}, "", ""},
		"docker":                        {[]string{forward}, map[string]string{iptables: docker}, "Docker DOCKER-USER", "iptables -I DOCKER-USER -i berth0 -j ACCEPT"},
		"docker, opened":                {[]string{forward}, map[string]string{iptables: docker + "-A DOCKER-USER -i berth0 -j ACCEPT\n"}, "", ""},
		"docker, another bridge opened": {[]string{forward}, map[string]string{iptables: docker + "-A DOCKER-USER -i berth01 -j ACCEPT\n"}, "Docker DOCKER-USER", ""},
		"iptables alone":                {[]string{forward}, map[string]string{iptables: "-P FORWARD DROP\n"}, "iptables FORWARD", "iptables -I FORWARD -i berth0 -j ACCEPT"},
		"iptables, a last rule":         {[]string{accepting}, map[string]string{iptables: "-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n"}, "iptables FORWARD", "-I FORWARD"},
		"ufw, Docker beside it":         {[]string{forward}, map[string]string{iptables: ufw}, "ufw ufw-user-forward", "ufw route allow in on berth0"},
		"ufw, opened":                   {[]string{forward}, map[string]string{iptables: ufw + "-A ufw-user-forward -i berth0 -j ACCEPT\n"}, "", ""},
		"ufw, opened with a comment":    {[]string{forward}, map[string]string{iptables: ufw + "-A ufw-user-forward -i berth0 -m comment --comment berth -j ACCEPT\n"}, "", ""},
		"firewalld":                     {[]string{"inet firewalld filter_FORWARD forward accept"}, nil, "firewalld inet firewalld filter_FORWARD", "--new-policy=berth-out"},
		"firewalld, opened":             {[]string{"inet firewalld filter_FORWARD forward accept"}, map[string]string{"firewall-cmd --get-zone-of-interface=berth0": "berth\n", "firewall-cmd --info-policy=berth-out": "berth-out (active)\n  priority: -1\n  target: ACCEPT\n  ingress-zones: berth\n"}, "", ""},
		"firewalld, trusted":            {[]string{"inet firewalld filter_FORWARD forward accept"}, map[string]string{"firewall-cmd --get-zone-of-interface=berth0": "trusted\n"}, "", ""},
		"firewalld, cut off":            {[]string{"inet firewalld filter_FORWARD forward accept"}, map[string]string{"firewall-cmd --get-zone-of-interface=berth0": "berth\n"}, "firewalld inet firewalld filter_FORWARD", "--new-policy=berth-out"},
		"firewalld, a policy of nobody": {[]string{"inet firewalld filter_FORWARD forward accept"}, map[string]string{"firewall-cmd --get-zone-of-interface=berth0": "berth\n", "firewall-cmd --info-policy=berth-out": "berth-out (active)\n  target: CONTINUE\n"}, "firewalld inet firewalld filter_FORWARD", ""},
		"a chain of somebody's": {[]string{"inet filter forward forward drop"}, map[string]string{"nft list chain inet filter forward": "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n"},
			"nftables inet filter forward", `nft insert rule inet filter forward iifname "berth0" accept`},
		"a chain that is open": {[]string{"inet filter forward forward drop"}, map[string]string{"nft list chain inet filter forward": "\t\tiifname \"berth0\" accept\n"}, "", ""},
		"a last rule of a chain": {[]string{"inet filter forward forward accept"}, map[string]string{"nft list chain inet filter forward": "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tcounter packets 0 bytes 0 reject with icmpx admin-prohibited\n\t}\n}\n"},
			"nftables inet filter forward", ""},
		"of other hooks and families": {[]string{"ip filter INPUT input drop", "ip6 filter FORWARD forward drop", "inet berth_1234 forward forward drop"}, nil, "", ""},
	} {
		ask := func(program string, args ...string) string {
			line := strings.Join(append([]string{program}, args...), " ")
			if line == "nft -j list chains" {
				return chainsJSON(t, test.chains...)
			}
			return test.prints[line]
		}
		var got []string
		for _, f := range closedFirewalls("berth0", ask) {
			got = append(got, f.name+" "+f.chain)
			if !strings.Contains(f.remedy, test.command) {
				t.Errorf("%s: no %q in the remedy %q", name, test.command, f.remedy)
			}
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: got %v, want %q", name, got, test.want)
		}
	}
}

// The remedies are obeyed by the programs that they name.
func TestOtherFirewalls_RemediesWork(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{})
	app, _ := m.container(t)
	internet := internetServer + ":80"
	for _, closing := range []string{
		"iptables -P FORWARD DROP",
		"iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; iptables -A DOCKER-USER -j RETURN",
		"nft 'table inet filter { chain forward { type filter hook forward priority 0; policy drop; }; }'",
		"nft 'table inet filter { chain forward { type filter hook forward priority 0; counter drop; }; }'",
	} {
		command(t, "sh", "-c", closing)
		found := otherFirewalls(t.Context(), m.cfg.Bridge)
		if len(found) != 1 {
			t.Fatalf("%s: found %v", closing, found)
		}
		if m.reaches(t, app, internet) {
			t.Errorf("%s: the internet is reached", closing)
		}
		command(t, "sh", "-c", found[0].remedy)
		if !m.reaches(t, app, internet) {
			t.Errorf("%s: after %s the internet is not reached", closing, found[0].remedy)
		}
		if left := otherFirewalls(t.Context(), m.cfg.Bridge); len(left) > 0 {
			t.Errorf("%s: after its remedy there is still %v", closing, left)
		}
		command(t, "nft", "flush", "ruleset")
		if _, err := m.firewall.repair(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIPv6Only(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	expect := func(when string, want bool) {
		t.Helper()
		if got := ipv6Only(); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	ip := func(line string) { t.Helper(); command(t, append([]string{"ip"}, strings.Fields(line)...)...) }
	expect("no network at all", false)
	ip("link add uplink type veth peer name other")
	ip("link set other up")
	ip("link set uplink up")
	ip("address add 2a00:1::2/64 dev uplink nodad")
	ip("address add 10.0.0.2/24 dev uplink")
	ip("-6 route add default via 2a00:1::1 dev uplink")
	expect("IPv6 and a private network", true)
	ip("route add 0.0.0.0/1 dev uplink")
	ip("route add 128.0.0.0/1 dev uplink")
	expect("a VPN's two halves of IPv4", false)
	ip("route del 0.0.0.0/1 dev uplink")
	ip("route del 128.0.0.0/1 dev uplink")
	ip("route add default via 10.0.0.1")
	expect("both", false)
}
