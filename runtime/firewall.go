package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

// What keeps containers apart, from the outside in. Each layer holds when
// those before it are gone.
//
//	firewall.go  two tables of the host: "inet" for who reaches whom, and NAT;
//	             "bridge" for forged frames. Any program that flushes the ruleset
//	             removes them, and firewallwatch.go puts them back.
//	port.go      bridge ports that are isolated from each other and learn no
//	             addresses, and neighbour entries that no packet changes.
//	wall.go      a table in the container's own network namespace, where no rule
//	             of the host's comes and the container has no right to change it.
//	spec.go      no CAP_NET_RAW and no CAP_NET_ADMIN: nothing in a container can
//	             forge a frame.

// hostRules are all that berth tells the kernel about packets on the host, in
// tables of its own that are replaced as a whole. No rule of another table is
// touched: where one drops forwarded packets, an accept of ours does not bring
// them back (otherfirewall.go).
//
// Metadata services answer on link-local addresses, and on a few of their own
// invention. Where containers have no IPv6 beyond their own loopback, none of it
// is forwarded.
var hostRules = template.Must(reachRules().New("host").Parse(`
table inet {{.Table}}
delete table inet {{.Table}}
table inet {{.Table}} {
	chain input {
		type filter hook input priority filter - 10; policy accept;
		iifname "{{.Bridge}}" jump from_containers
	}
	chain from_containers {
		ct state established,related accept
{{- template "resolvers" .Reach}}
		meta l4proto { tcp, udp } ct original proto-dst 53 ct status dnat fib daddr type local accept comment "names"
{{- range .Admissions}}
		{{.}}
{{- end}}
		meta l4proto tcp reject with tcp reset
		reject
	}
	set passages {
		type ipv4_addr . ipv4_addr . inet_service
{{- with .Passages}}
		elements = { {{.}} }
{{- end}}
	}
	set passages6 {
		type ipv6_addr . ipv6_addr . inet_service
{{- with .Passages6}}
		elements = { {{.}} }
{{- end}}
	}
	chain between {
		ip saddr . ip daddr . tcp dport @passages accept
		ip daddr . ip saddr . tcp sport @passages ct state established accept
{{- if .Subnet6.IsValid}}
		ip6 saddr . ip6 daddr . tcp dport @passages6 accept
		ip6 daddr . ip6 saddr . tcp sport @passages6 ct state established accept
{{- end}}
		drop
	}
	chain forward {
		type filter hook forward priority filter - 10; policy accept;
		iifname "{{.Bridge}}" oifname "{{.Bridge}}" goto between
		oifname "{{.Bridge}}" ct state established,related accept
		oifname "{{.Bridge}}" drop
		iifname != "{{.Bridge}}" accept
{{- if .Subnet6.IsValid}}
		ip6 saddr != {{.Subnet6}} drop
{{- else}}
		meta nfproto ipv6 drop
{{- end}}
		ip saddr != {{.Subnet}} drop
{{- template "resolvers" .Reach}}
{{- template "reach" .Reach}}
	}
	chain output {
		type filter hook output priority filter - 10; policy accept;
		oifname "{{.Bridge}}" icmp type redirect drop
		oifname "{{.Bridge}}" icmpv6 type nd-redirect drop
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "{{.Bridge}}" jump leads
	}
	chain leads {
{{- range .Leads}}
		{{.}}
{{- end}}
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {{.Subnet}} oifname != "{{.Bridge}}" masquerade
{{- if .Subnet6.IsValid}}
		ip6 saddr {{.Subnet6}} oifname != "{{.Bridge}}" masquerade
{{- end}}
	}
}
`))

// bridgeRules let from a container's port only what has its own addresses.
// ARP is compared inside too. Neighbour discovery of IPv6 has no business on the
// bridge: all entries are fixed.
var bridgeRules = template.Must(template.New("bridge").Parse(`
table bridge {{.Table}}
delete table bridge {{.Table}}
table bridge {{.Table}} {
	set ports {
		type ifname
{{- if .Ports}}
		elements = { {{range $i, $p := .Ports}}{{if $i}}, {{end}}"{{$p.Name}}"{{end}} }
{{- end}}
	}
	set addresses {
		type ifname . ether_addr . ipv4_addr
{{- if .Ports}}
		elements = { {{range $i, $p := .Ports}}{{if $i}}, {{end}}{{$p}}{{end}} }
{{- end}}
	}
	set addresses6 {
		type ifname . ether_addr . ipv6_addr
{{- if .Ports}}
		elements = { {{range $i, $p := .Ports}}{{if $i}}, {{end}}{{$p.String6}}{{end}} }
{{- end}}
	}
	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		iifname @ports jump from_port
	}
	chain from_port {
		ether type ip iifname . ether saddr . ip saddr @addresses accept
		ether type ip6 icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect } drop
		ether type ip6 iifname . ether saddr . ip6 saddr @addresses6 accept
		ether type arp iifname . ether saddr . arp saddr ip @addresses iifname . arp saddr ether . arp saddr ip @addresses accept
		drop
	}
}
`))

// firewall keeps the host's tables.
type firewall struct {
	log    *slog.Logger
	bridge string
	table  string
	subnet netip.Prefix
	six    six

	directory directory // of ports

	turn   sync.Mutex // held while nft runs: one transaction at a time; guards what follows
	reach  reach
	ports  map[string]port // of containers, by id
	owners map[string]int  // of containers, by id; those of nobody's are left out
	// passages are those that are set, ways what the kernel has of them.
	passages []Passage
	ways     []way
	plain    bool   // the kernel filters no bridges, as far as the last transaction found
	listed   string // the tables as nft listed them after the last transaction; "" if that failed
	closed   bool   // removed for good

	repairs    int // how often the tables were put back
	lastRepair time.Time
}

func newFirewall(bridge, id string, subnet netip.Prefix, six six, log *slog.Logger) *firewall {
	return &firewall{log: log, bridge: bridge, table: "berth_" + id, subnet: subnet, six: six, ports: make(map[string]port), owners: make(map[string]int)}
}

// setReach replaces the tables, in one transaction. A reach that was not
// applied is not the current one: whoever compares with it tries again.
func (f *firewall) setReach(ctx context.Context, r reach) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	return f.apply(ctx, r)
}

// current returns what containers may reach.
func (f *firewall) current() reach {
	f.turn.Lock()
	defer f.turn.Unlock()
	return f.reach
}

// apply replaces the tables, and has the reach once the kernel has it. The
// caller has the turn.
//
// A kernel without rules for bridges gets the host's table alone. Any other
// failure of the bridge's table fails the whole, and is tried again: without it a
// container may forge frames.
func (f *firewall) apply(ctx context.Context, r reach) error {
	var host bytes.Buffer
	ways := f.findWays()
	if err := hostRules.Execute(&host, map[string]any{
		"Table": f.table, "Bridge": f.bridge, "Subnet": f.subnet, "Subnet6": f.six.subnet(r.six), "Reach": r.lists(),
		"Passages": elementsOf(ways, "ip"), "Passages6": elementsOf(ways, "ip6"),
		"Admissions": r.admissions(), "Leads": r.leads([]netip.Addr{gatewayOf(f.subnet), f.six.address(gatewayOf(f.subnet))}),
	}); err != nil {
		return err
	}
	bridge, err := f.bridgeScript(slices.Collect(maps.Values(f.ports)))
	if err != nil {
		return err
	}
	failed := nft(ctx, host.String()+bridge)
	if failed != nil {
		if !unsupported(f.checkBridges(ctx)) {
			return failed
		}
		if err := nft(ctx, host.String()); err != nil {
			return err
		}
	}
	f.reach, f.ways = r, ways
	f.setPlain(failed)
	f.listed, err = f.list(ctx)
	return err
}

// bridgeScript is the bridge's table with these ports.
func (f *firewall) bridgeScript(ports []port) (string, error) {
	var script bytes.Buffer
	err := bridgeRules.Execute(&script, map[string]any{"Table": f.table, "Ports": ports})
	return script.String(), err
}

// checkBridges asks the kernel whether it takes the bridge's table, and changes
// nothing.
func (f *firewall) checkBridges(ctx context.Context) error {
	script, err := f.bridgeScript(nil)
	if err != nil {
		return err
	}
	return startNFT(ctx, script, (*exec.Cmd).Start, "--check")
}

// setPlain notes whether the bridge's table failed, and logs a change.
func (f *firewall) setPlain(failed error) {
	switch plain := failed != nil; {
	case plain && !f.plain:
		f.log.Warn("this kernel has no rules for bridges: forged frames are kept out by fewer layers", "err", failed)
	case !plain && f.plain:
		f.log.Info("the kernel has rules for bridges now: they are in force")
	}
	f.plain = failed != nil
}

// unsupported tells whether nft failed because the kernel lacks what the script
// is about: the family (EOPNOTSUPP, EAFNOSUPPORT and EPROTONOSUPPORT, by the
// kernel's version) or an expression in it (ENOENT). An nft that was killed, or
// could not start, says nothing about the kernel.
func unsupported(err error) bool {
	if _, ran := errors.AsType[*exec.ExitError](err); !ran {
		return false
	}
	return slices.ContainsFunc([]error{unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOENT}, func(lacks error) bool {
		return strings.Contains(strings.ToLower(err.Error()), lacks.Error())
	})
}

// list returns the tables in nft's words, without counters and without the
// elements of sets. A table that is not there is an error.
func (f *firewall) list(ctx context.Context) (string, error) {
	families := []string{"inet", "bridge"}
	if f.plain {
		families = families[:1]
	}
	var tables strings.Builder
	for _, family := range families { // one call for both is an error in nft 1.0.6
		out, err := exec.CommandContext(ctx, "nft", "--stateless", "--terse", "list", "table", family, f.table).Output()
		if err != nil {
			return "", fmt.Errorf("nft list: %w", err)
		}
		tables.Write(out)
	}
	return tables.String(), nil
}

// admit lets a container's port speak, and opens the ways of its owner's
// containers.
func (f *firewall) admit(ctx context.Context, id string, p port, owner int) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.add(id, p, owner)
	ways := f.findWays()
	script := f.waysScript(ways)
	if !f.plain {
		script += fmt.Sprintf("add element bridge %[1]s addresses { %[2]s }\nadd element bridge %[1]s addresses6 { %[4]s }\nadd element bridge %[1]s ports { %[3]q }\n", f.table, p, p.Name, p.String6())
	}
	if script == "" {
		return nil
	}
	if err := nft(ctx, script); err != nil { // somebody has removed the table, and the watch has not been here yet
		return f.apply(ctx, f.reach)
	}
	f.ways = ways
	return nil
}

// add notes a container. Nobody's have the owner 0.
func (f *firewall) add(id string, p port, owner int) {
	f.ports[id] = p
	f.directory.add(id, p, owner)
	if owner != 0 {
		f.owners[id] = owner
	}
}

// admitted returns the ports of all containers on the bridge, by id.
func (f *firewall) admitted() map[string]port {
	f.turn.Lock()
	defer f.turn.Unlock()
	return maps.Clone(f.ports)
}

// dismiss takes back what admit has let in, and returns it. If the elements
// cannot go now they go with the next transaction.
func (f *firewall) dismiss(ctx context.Context, id string) (port, bool) {
	f.turn.Lock()
	defer f.turn.Unlock()
	p, ok := f.ports[id]
	if !ok {
		return p, false
	}
	delete(f.ports, id)
	delete(f.owners, id)
	f.directory.remove(id)
	if f.closed {
		return p, true
	}
	ways := f.findWays()
	script := f.waysScript(ways)
	if !f.plain {
		script += fmt.Sprintf("delete element bridge %[1]s ports { %[3]q }\ndelete element bridge %[1]s addresses6 { %[4]s }\ndelete element bridge %[1]s addresses { %[2]s }\n", f.table, p, p.Name, p.String6())
	}
	if script == "" {
		return p, true
	}
	if err := nft(ctx, script); err != nil {
		// Its address may be another's soon.
		f.log.Debug("a port's rules are made again", "port", p.Name, "err", err)
		if err := f.apply(ctx, f.reach); err != nil {
			f.log.Warn("the rules of a container that is gone are left until the next look", "port", p.Name, "err", err)
			f.listed = ""
		}
		return p, true
	}
	f.ways = ways
	return p, true
}

// repair puts the tables back when they are not as they were left. It reports
// whether that was needed. A kernel that filters no bridges is asked again: a
// module may be loaded by now.
func (f *firewall) repair(ctx context.Context) (bool, error) {
	f.turn.Lock()
	defer f.turn.Unlock()
	if f.closed {
		return false, nil
	}
	if f.plain && f.checkBridges(ctx) == nil {
		return false, f.apply(ctx, f.reach)
	}
	if now, err := f.list(ctx); err == nil && now == f.listed || ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err := f.apply(ctx, f.reach); err != nil {
		return false, err
	}
	f.repairs++
	f.lastRepair = time.Now()
	return true, nil
}

// repaired returns how often the tables were put back, and when last.
func (f *firewall) repaired() (times int, last time.Time) {
	f.turn.Lock()
	defer f.turn.Unlock()
	return f.repairs, f.lastRepair
}

// remove takes the tables down.
func (f *firewall) remove(ctx context.Context) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.closed = true
	script := fmt.Sprintf("table inet %[1]s\ndelete table inet %[1]s\n", f.table)
	if !f.plain {
		script += fmt.Sprintf("table bridge %[1]s\ndelete table bridge %[1]s\n", f.table)
	}
	return nft(ctx, script)
}

// nft runs a script of nftables' own language.
func nft(ctx context.Context, script string) error {
	return startNFT(ctx, script, (*exec.Cmd).Start)
}

// startNFT runs a script by nft that start has started, with these options.
func startNFT(ctx context.Context, script string, start func(*exec.Cmd) error, options ...string) error {
	cmd := exec.CommandContext(ctx, "nft", append(options, "-f", "-")...)
	cmd.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// nftWithin runs a script in another network namespace.
func (n *network) nftWithin(ctx context.Context, ns *os.File, script string) error {
	return startNFT(ctx, script, func(cmd *exec.Cmd) error { return n.within(ns, cmd.Start) })
}
