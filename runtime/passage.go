package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/vishvananda/netlink"
)

// Passage lets the containers of an owner connect by TCP to a port of one other
// container. Without one, no container reaches another.
type Passage struct {
	From int    `json:"from"` // whose containers: the Spec.UID of each
	To   string `json:"to"`   // id of the container that is reached
	Port uint16 `json:"port"`
}

// way is a passage in the kernel's words, for one address of the caller.
type way struct {
	from, to netip.Addr
	port     uint16
}

func (w way) String() string { return fmt.Sprintf("%s . %s . %d", w.from, w.to, w.port) }

func compareWays(a, b way) int {
	if c := a.from.Compare(b.from); c != 0 {
		return c
	}
	if c := a.to.Compare(b.to); c != 0 {
		return c
	}
	return int(a.port) - int(b.port)
}

// maxWays bounds the ways of one owner's containers: all ways are written whenever
// a container comes or goes, and everybody's waits for that. It is 32 callers of
// 32 instances at one port.
const maxWays = 2048

// findWays is what the passages come to, for the containers that there are. The
// caller has the turn.
func (f *firewall) findWays() (ways []way) {
	if len(f.passages) == 0 {
		return nil
	}
	callers := map[int][]string{}                          // by owner
	for _, id := range slices.Sorted(maps.Keys(f.ports)) { // so that the bound always leaves out the same ones
		callers[f.owners[id]] = append(callers[f.owners[id]], id)
	}
	taken := map[int]int{}
	for _, p := range f.passages {
		to, there := f.ports[p.To]
		if !there {
			continue
		}
		for _, id := range callers[p.From] {
			from := f.ports[id]
			if id == p.To || taken[p.From] == maxWays {
				continue
			}
			taken[p.From] += 2
			ways = append(ways, way{from.Address, to.Address, p.Port}, way{from.Address6, to.Address6, p.Port})
		}
	}
	slices.SortFunc(ways, compareWays)
	return slices.Compact(ways)
}

// waysScript brings the kernel's sets to the ways. It is empty when they are
// there already.
func (f *firewall) waysScript(ways []way) string {
	if slices.Equal(ways, f.ways) {
		return ""
	}
	var script strings.Builder
	for _, set := range []struct{ name, family string }{{"passages", "ip"}, {"passages6", "ip6"}} {
		fmt.Fprintf(&script, "flush set inet %s %s\n", f.table, set.name)
		if elements := elementsOf(ways, set.family); elements != "" {
			fmt.Fprintf(&script, "add element inet %s %s { %s }\n", f.table, set.name, elements)
		}
	}
	return script.String()
}

// elementsOf are the ways of a family as elements of a set.
func elementsOf(ways []way, family string) string {
	var elements []string
	for _, w := range ways {
		if familyOf(w.from) == family {
			elements = append(elements, w.String())
		}
	}
	return strings.Join(elements, ", ")
}

// setPassages replaces the passages in the host's table.
func (f *firewall) setPassages(ctx context.Context, list []Passage) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.passages = list
	ways := f.findWays()
	script := f.waysScript(ways)
	if script == "" {
		return nil
	}
	if err := nft(ctx, script); err != nil { // the tables may be gone
		return f.apply(ctx, f.reach)
	}
	f.ways = ways
	return nil
}

// exits are the rules of a container's wall that let it out by its ways.
func (f *firewall) exits(id string) (rules []string) {
	f.turn.Lock()
	defer f.turn.Unlock()
	p, there := f.ports[id]
	if !there {
		return nil
	}
	for _, from := range []netip.Addr{p.Address, p.Address6} {
		var to []string
		for _, w := range f.ways {
			if w.from == from {
				to = append(to, fmt.Sprintf("%s . %d", w.to, w.port))
			}
		}
		if to != nil && (from.Is4() || f.reach.six) {
			rules = append(rules, fmt.Sprintf("%s daddr . tcp dport { %s } accept", familyOf(from), strings.Join(to, ", ")))
		}
	}
	return rules
}

// setPassages changes the host's table, then the walls of the containers whose
// ways are others. What fails is tried again by the next refresh.
func (n *network) setPassages(ctx context.Context, list []Passage) error {
	ctx, cancel := outage.Lasting(ctx)
	defer cancel()
	list = slices.Clone(list)
	n.turn.Lock()
	defer n.turn.Unlock()
	if err := n.keepPassages(list); err != nil {
		return err
	}
	if err := n.firewall.setPassages(ctx, list); err != nil {
		return err
	}
	return n.raiseChangedWalls(ctx)
}

// raiseChangedWalls replaces the walls whose exits are others than the ways that
// there are now. The caller has the turn.
func (n *network) raiseChangedWalls(ctx context.Context) error {
	for id := range n.firewall.admitted() {
		n.mu.Lock()
		raised, known := n.raised[id]
		n.mu.Unlock()
		if known && raised != strings.Join(n.firewall.exits(id), "\n") {
			n.stale[id] = true
		}
	}
	return n.raiseWalls(ctx)
}

func (n *network) passagesFile() string { return filepath.Join(n.cfg.State, "passages.json") }

// keepPassages writes the passages down for the next life: a restart of berth is
// to close none for a moment.
func (n *network) keepPassages(list []Passage) error {
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	temporary := n.passagesFile() + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, n.passagesFile())
}

// keptPassages are those of the last life. A file that cannot be read opens none.
func (n *network) keptPassages() (list []Passage) {
	data, err := os.ReadFile(n.passagesFile())
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Warn("the passages between containers are closed until they are set again", "err", err)
		return nil
	}
	return list
}

// leadOut has a container send everything by the gateway, what is for other
// containers too: so it is the host's rules that decide about it, and the ports
// stay isolated from each other. It is idempotent.
func (n *network) leadOut(id string) error {
	ns, err := os.Open(n.path(id))
	if err != nil {
		return err
	}
	defer ns.Close()
	err = n.within(ns, func() error {
		for _, name := range []string{"all", containerInterface} { // no router may say otherwise
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/accept_redirects", []byte("0"), 0); err != nil {
				return err
			}
		}
		link, err := netlink.LinkByName(containerInterface)
		if err != nil {
			return err
		}
		routes, err := netlink.RouteList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		gateway := netip.PrefixFrom(n.gateway(), 32)
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: ipNet(gateway)}); err != nil {
			return err
		}
		for _, r := range routes {
			if r.Dst != nil && r.Gw == nil && prefixOf(r.Dst) == n.subnet {
				if err := netlink.RouteDel(&r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("routes of container %s: %w", id, err)
	}
	return nil
}
