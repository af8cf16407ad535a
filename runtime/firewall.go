package runtime

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"text/template"
)

// firewall is all that berth tells the kernel about packets, in a table of its
// own that is replaced as a whole. Nobody else's rules are touched: where
// another table drops forwarded packets (Docker's policy on the chain FORWARD),
// an accept of ours does not bring them back; Open warns of that.
//
// Metadata services answer on link-local addresses, and on a few of their own
// invention: Alibaba's and Azure's are named below. Containers have no IPv6
// beyond their own loopback, so none of it is forwarded.
var firewall = template.Must(template.New("nft").Parse(`
table inet {{.Table}}
delete table inet {{.Table}}
table inet {{.Table}} {
	chain input {
		type filter hook input priority filter - 10; policy accept;
		iifname "{{.Bridge}}" jump from_containers
	}
	chain from_containers {
		ct state established,related accept
{{- range .Resolvers}}
		ip daddr {{.}} udp dport 53 accept
		ip daddr {{.}} tcp dport 53 accept
{{- end}}
		meta l4proto tcp reject with tcp reset
		reject
	}
	chain forward {
		type filter hook forward priority filter - 10; policy accept;
		iifname "{{.Bridge}}" oifname "{{.Bridge}}" drop
		oifname "{{.Bridge}}" ct state established,related accept
		oifname "{{.Bridge}}" drop
		iifname != "{{.Bridge}}" accept
		meta nfproto ipv6 drop
		ip saddr != {{.Subnet}} drop
{{- range .Resolvers}}
		ip daddr {{.}} udp dport 53 accept
		ip daddr {{.}} tcp dport 53 accept
{{- end}}
		ip daddr { 169.254.0.0/16, 100.100.100.200, 168.63.129.16 } reject with icmp type admin-prohibited
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {{.Subnet}} oifname != "{{.Bridge}}" masquerade
	}
}
`))

func (n *network) table() string { return "berth_" + n.id }

// applyFirewall replaces our table, in one transaction.
func (n *network) applyFirewall(ctx context.Context, resolvers []netip.Addr) error {
	var rules bytes.Buffer
	if err := firewall.Execute(&rules, map[string]any{
		"Table": n.table(), "Bridge": n.cfg.Bridge, "Subnet": n.subnet, "Resolvers": resolvers,
	}); err != nil {
		return err
	}
	if err := nft(ctx, rules.String()); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "nft", "list", "chain", "ip", "filter", "FORWARD").Output()
	if err == nil && bytes.Contains(out, []byte("policy drop")) {
		n.log.Warn("another program's firewall drops forwarded packets, so containers may not reach the internet",
			"chain", "ip filter FORWARD", "allow", fmt.Sprintf("iptables -I DOCKER-USER -i %[1]s -j ACCEPT; iptables -I DOCKER-USER -o %[1]s -j ACCEPT", n.cfg.Bridge))
	}
	return nil
}

func (n *network) removeFirewall(ctx context.Context) error {
	return nft(ctx, fmt.Sprintf("table inet %[1]s\ndelete table inet %[1]s\n", n.table()))
}

// nft runs a script of nftables' own language.
func nft(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}
