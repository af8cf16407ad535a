package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/template"
)

// wallRules stand in a container's own network namespace, so that a host whose
// rules are flushed still has its ports closed to containers. They say again
// what the host's table says of what a container may begin, of the addresses
// that the host has now; and that it sends from its own addresses alone.
//
// They keep no state: connection tracking here would count every request that
// the router brings to the app's loopback. A segment that begins no connection
// is an answer, or is thrown away by who gets it.
var wallRules = template.Must(reachRules().New("wall").Parse(`
table inet berth
delete table inet berth
table inet berth {
	chain output {
		type filter hook output priority filter; policy accept;
		oifname "lo" accept
{{- if .Subnet6.IsValid}}
		ip6 saddr != {{.Address6}} drop
{{- else}}
		meta nfproto ipv6 drop
{{- end}}
		ip saddr != {{.Address}} drop
		tcp flags & (fin | syn | rst | ack) != syn accept
		icmp type echo-reply accept
		icmpv6 type echo-reply accept
{{- template "resolvers" .Reach}}
{{- range .Knocks}}
		{{.}}
{{- end}}
{{- range .Exits}}
		{{.}}
{{- end}}
		ip daddr {{.Subnet}} reject
{{- if .Subnet6.IsValid}}
		ip6 daddr {{.Subnet6}} reject
{{- end}}
{{- range .Own}}
		{{family .}} daddr {{.}} reject
{{- end}}
{{- template "reach" .Reach}}
	}
}
`))

// raiseWall makes the container's wall, or replaces it.
func (n *network) raiseWall(ctx context.Context, id string, address netip.Addr) error {
	ns, err := os.Open(n.path(id))
	if err != nil {
		return err
	}
	defer ns.Close()
	for {
		r, exits := n.firewall.current(), n.firewall.exits(id)
		if err := n.raiseWallOf(ctx, ns, address, r, exits); err != nil {
			return fmt.Errorf("rules of container %s: %w", id, err)
		}
		if r.equal(n.firewall.current()) && slices.Equal(exits, n.firewall.exits(id)) { // else ours may have come after newer ones
			n.mu.Lock()
			n.raised[id] = strings.Join(exits, "\n")
			n.mu.Unlock()
			return nil
		}
	}
}

func (n *network) raiseWallOf(ctx context.Context, ns *os.File, address netip.Addr, r reach, exits []string) error {
	var rules bytes.Buffer
	if err := wallRules.Execute(&rules, map[string]any{
		"Address": address, "Subnet": n.subnet, "Address6": n.six.address(address), "Subnet6": n.six.subnet(r.six),
		"Knocks": r.knocks(), "Exits": exits, "Own": r.closed(), "Reach": r.lists(),
	}); err != nil {
		return err
	}
	return n.nftWithin(ctx, ns, rules.String())
}

// markWalls has raiseWalls replace the walls of all containers. The caller has
// the turn.
func (n *network) markWalls() {
	n.stale = make(map[string]bool)
	for id := range n.firewall.admitted() {
		n.stale[id] = true
	}
}

// raiseWalls replaces the walls that are marked, and takes the mark from those
// that it has replaced. A container that has gone meanwhile is no error. The
// caller has the turn.
func (n *network) raiseWalls(ctx context.Context) error {
	var errs []error
	ports := n.firewall.admitted()
	for id := range n.stale {
		if p, ok := ports[id]; ok {
			if err := n.raiseWall(ctx, id, p.Address); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
				continue
			}
		}
		delete(n.stale, id)
	}
	return errors.Join(errs...)
}
