package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	types "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
)

// defaultSubnets are tried in this order when none is configured. They are
// the middle of 10/8, away from what clouds, Docker (172.17–31, 192.168),
// Podman (10.88) and Kubernetes (10.42, 10.96, 10.244) take first; and where a
// VPN routes all of 10/8, the range for benchmarks (RFC 2544), which is on
// nobody's network.
var defaultSubnets = []string{
	"10.213.0.0/16", "10.214.0.0/16", "10.181.0.0/16", "10.149.0.0/16",
	"10.215.0.0/16", "10.216.0.0/16", "10.182.0.0/16", "10.150.0.0/16",
	"10.217.0.0/16", "10.218.0.0/16", "10.183.0.0/16", "10.151.0.0/16",
	"198.18.0.0/16", "198.19.0.0/16",
}

var pluginDirs = []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"}

// network is the bridge that containers hang on. Each has a network namespace
// of its own with one leg on the bridge; its port is isolated, so that it
// speaks with the bridge and never with another port.
type network struct {
	log    *slog.Logger
	cfg    Config
	id     string // of the installation
	subnet netip.Prefix
	six    six
	sixUp  atomic.Bool // containers have IPv6
	host   *os.File    // the host's network namespace
	cni    *libcni.CNIConfig
	list   *libcni.NetworkConfigList

	firewall *firewall
	reported time.Time // when a repair of the firewall was last a warning; run's alone

	turn   sync.Mutex // held while the rules are made anew; guards what follows
	lan    LAN
	resolv []byte          // what resolvConf holds
	stale  map[string]bool // containers whose wall may be of another reach than the firewall's

	mu     sync.Mutex        // guards raised
	raised map[string]string // what lets containers out by their passages, as their walls have it
}

// containerInterface is a container's leg on the bridge.
const containerInterface = "eth0"

func openNetwork(ctx context.Context, cfg Config, id string, log *slog.Logger) (_ *network, err error) {
	n := &network{log: log, cfg: cfg, id: id, lan: cfg.LAN, raised: make(map[string]string)}
	if n.host, err = os.Open("/proc/self/ns/net"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.host.Close()
		}
	}()
	if err := n.findPlugins(); err != nil {
		return nil, err
	}
	if err := n.openBridge(); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", cfg.Bridge, err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return nil, err
	}
	n.six = sixOf(id, n.subnet)
	n.firewall = newFirewall(cfg.Bridge, id, n.subnet, n.six, log)
	n.adopt()
	r, err := n.lookAround(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.firewall.setReach(ctx, r); err != nil {
		return nil, fmt.Errorf("firewall: %w", err)
	}
	n.markWalls() // an earlier berth has made them
	return n, n.configureCNI()
}

// lookAround finds out what containers may reach, and writes their resolv.conf.
// The caller has the turn.
func (n *network) lookAround(ctx context.Context) (reach, error) {
	had := n.hasSix()
	if err := n.openSix(); err != nil {
		n.log.Warn("containers have no IPv6", "err", err)
	}
	if n.hasSix() && !had {
		n.warn("containers that run have no IPv6", n.giveSixToAll())
	}
	resolv, servers, err := hostResolvers(n.hasSix())
	if err != nil {
		return reach{}, err
	}
	if len(servers) == 0 {
		// The machine's resolvers are at loopback addresses. Whoever serves names
		// asks them for the containers.
		servers = []netip.Addr{n.gateway()}
		resolv = append(resolv, "nameserver "+n.gateway().String()+"\n"...)
	}
	if !bytes.Equal(resolv, n.resolv) || n.resolv == nil {
		// Written in place: running containers see this very file.
		if err := os.WriteFile(n.resolvConf(), resolv, 0o644); err != nil {
			return reach{}, err
		}
		n.resolv = resolv
	}
	return findReach(ctx, n.lan, n.cfg.Entrances, servers, n.hasSix())
}

// refresh makes the rules anew if the machine has other addresses or resolvers
// than they were made for, or the setting is another. What fails is tried again
// by the next refresh.
func (n *network) refresh(ctx context.Context) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	r, err := n.lookAround(ctx)
	if err != nil {
		return err
	}
	if !r.equal(n.firewall.current()) {
		n.log.Info("containers' rules follow the machine's addresses", "own", r.own, "resolvers", r.resolvers, "lan_denied", r.denied != nil)
		err := n.firewall.setReach(ctx, r)
		n.markWalls() // after a failure too: the kernel may have the rules all the same
		if err != nil {
			return err
		}
	}
	return n.raiseChangedWalls(ctx)
}

// setLAN changes whether containers reach the private networks. The work ends
// even if whoever asked is gone: half of it would be neither setting.
func (n *network) setLAN(ctx context.Context, lan LAN) error {
	ctx, cancel := outage.Lasting(ctx)
	defer cancel()
	n.turn.Lock()
	n.lan = lan
	n.turn.Unlock()
	return n.refresh(ctx)
}

// adopt fastens the ports of containers that are running. One whose namespace
// is broken is the sweep's.
func (n *network) adopt() {
	entries, _ := os.ReadDir(filepath.Join(n.cfg.State, "netns"))
	for _, entry := range entries {
		p, err := n.portOf(entry.Name())
		if err == nil {
			err = errors.Join(n.fasten(p), n.leadOut(entry.Name()))
		}
		if err != nil {
			n.log.Debug("a container's port is not fastened", "id", entry.Name(), "err", err)
			continue
		}
		kept, _ := readNote(filepath.Join(n.cfg.State, "e", entry.Name(), noteFile)) // what has none is swept
		n.firewall.add(entry.Name(), p, kept.UID)
	}
	n.firewall.passages = n.keptPassages()
}

func (n *network) close() error { return n.host.Close() }

func (n *network) path(id string) string { return filepath.Join(n.cfg.State, "netns", id) }
func (n *network) resolvConf() string    { return filepath.Join(n.cfg.State, "resolv.conf") }

// remove takes the bridge and the firewall's table down.
func (n *network) remove(ctx context.Context) error {
	var errs []error
	if link, err := netlink.LinkByName(n.cfg.Bridge); err == nil {
		errs = append(errs, netlink.LinkDel(link))
	}
	return errors.Join(append(errs, n.firewall.remove(ctx))...)
}

func (n *network) findPlugins() error {
	for _, name := range []string{"bridge", "host-local"} {
		found := false
		for _, dir := range pluginDirs {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				found = true
			}
		}
		if !found {
			return fmt.Errorf("the CNI plugin %s is in none of %s", name, strings.Join(pluginDirs, ", "))
		}
	}
	return nil
}

// openBridge makes the bridge, or finds the one that is there and keeps its
// subnet, on which containers may be living.
func (n *network) openBridge() error {
	link, err := netlink.LinkByName(n.cfg.Bridge)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		if n.subnet, err = n.freeSubnet(); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = n.cfg.Bridge
		attrs.HardwareAddr = bridgeMAC(n.id)
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		if link, err = netlink.LinkByName(n.cfg.Bridge); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if link.Type() != "bridge" {
		return fmt.Errorf("there is a %s of this name already", link.Type())
	}
	// The alias says whose it is: sharing one by mistake would give addresses
	// out twice.
	if owner, ok := strings.CutPrefix(link.Attrs().Alias, "berth "); ok && owner != n.cfg.Root {
		if _, err := os.Stat(filepath.Join(owner, "lock")); err == nil {
			return fmt.Errorf("it belongs to the installation in %s: configure another name", owner)
		}
	}
	if err := netlink.LinkSetAlias(link, "berth "+n.cfg.Root); err != nil {
		return err
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	if len(addrs) > 0 {
		n.subnet = prefixOf(addrs[0].IPNet)
		if n.cfg.Subnet != "" && n.subnet != netip.MustParsePrefix(n.cfg.Subnet).Masked() {
			return fmt.Errorf("it has the subnet %s, not the configured %s: remove it (ip link del %s)", n.subnet, n.cfg.Subnet, n.cfg.Bridge)
		}
	} else {
		if !n.subnet.IsValid() {
			if n.subnet, err = n.freeSubnet(); err != nil {
				return err
			}
		}
		gateway := &net.IPNet{IP: n.gateway().AsSlice(), Mask: net.CIDRMask(n.subnet.Bits(), 32)}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: gateway}); err != nil {
			return err
		}
	}
	// Without IPv6 on it, no port of the host's is at a link-local address, and
	// there are no neighbours to be forged. Where the machine has IPv6, openSix
	// turns it on.
	if on, err := hasUniqueLocal(link); err != nil {
		return err
	} else if !on {
		err := os.WriteFile(conf6+n.cfg.Bridge+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

// hasUniqueLocal tells whether the bridge has the IPv6 address that an earlier
// berth gave it: turning IPv6 off would take the entries of the containers.
func hasUniqueLocal(bridge netlink.Link) (bool, error) {
	addrs, err := netlink.AddrList(bridge, netlink.FAMILY_V6)
	return slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.IsPrivate() }), err
}

func (n *network) gateway() netip.Addr { return gatewayOf(n.subnet) }

func gatewayOf(subnet netip.Prefix) netip.Addr { return subnet.Addr().Next() }

// gateways are the bridge's own addresses.
func (n *network) gateways() []netip.Addr {
	return []netip.Addr{n.gateway(), n.six.address(n.gateway())}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	ones, _ := n.Mask.Size()
	ip, _ := netip.AddrFromSlice(n.IP)
	return netip.PrefixFrom(ip.Unmap(), ones).Masked()
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// bridgeMAC is fixed: a bridge without one takes a port's, and changes it when
// that port goes, which costs every container its ARP entry.
func bridgeMAC(id string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(id))
	return net.HardwareAddr{0x02, 0xbe, sum[0], sum[1], sum[2], sum[3]}
}

// freeSubnet returns the first range that no route of the host overlaps.
func (n *network) freeSubnet() (netip.Prefix, error) {
	candidates := defaultSubnets
	if n.cfg.Subnet != "" {
		candidates = []string{n.cfg.Subnet}
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, err
	}
next:
	for _, s := range candidates {
		p := netip.MustParsePrefix(s).Masked()
		for _, r := range routes {
			if r.Dst == nil {
				continue
			}
			ones, _ := r.Dst.Mask.Size()
			ip, ok := netip.AddrFromSlice(r.Dst.IP.To4())
			if ok && ones > 0 && p.Overlaps(netip.PrefixFrom(ip, ones)) {
				continue next
			}
		}
		return p, nil
	}
	return netip.Prefix{}, fmt.Errorf("routes of this host overlap %s: configure a free subnet", strings.Join(candidates, ", "))
}

func (n *network) configureCNI() error {
	// NAT is the firewall's (ipMasq would add a chain of iptables for each container).
	conf, err := json.Marshal(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "berth-" + n.id,
		"plugins": []any{map[string]any{
			"type": "bridge", "bridge": n.cfg.Bridge, "isGateway": true, "ipMasq": false,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": filepath.Join(n.cfg.State, "cni", "ipam"),
				"ranges":  []any{[]any{map[string]any{"subnet": n.subnet.String()}}},
				"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	})
	if err != nil {
		return err
	}
	if n.list, err = libcni.NetworkConfFromBytes(conf); err != nil {
		return err
	}
	// The library's own cache is for the whole machine; ours goes with us.
	// Left out, libcni would make it at the first call, and two first calls race.
	run := &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}}
	n.cni = libcni.NewCNIConfigWithCacheDir(pluginDirs, filepath.Join(n.cfg.State, "cni", "cache"), run)
	return nil
}

func (n *network) runtimeConf(id string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: id, NetNS: n.path(id), IfName: containerInterface}
}

// attach connects a container's network namespace to the bridge and returns
// its address. The owner is whose passages it has; 0 is nobody.
func (n *network) attach(ctx context.Context, id string, owner int) (string, error) {
	res, err := n.cni.AddNetworkList(ctx, n.list, n.runtimeConf(id))
	if err != nil {
		return "", fmt.Errorf("attach to the network: %w", err)
	}
	r, err := types.NewResultFromResult(res)
	if err != nil {
		return "", err
	}
	if len(r.IPs) == 0 {
		return "", errors.New("attach to the network: no address was given")
	}
	p, err := n.portOf(id)
	if err != nil {
		return "", fmt.Errorf("find the port on the bridge: %w", err)
	}
	if err := n.fasten(p); err != nil {
		return "", err
	}
	if err := n.firewall.admit(ctx, id, p, owner); err != nil {
		return "", fmt.Errorf("admit to the network: %w", err)
	}
	if err := errors.Join(n.leadOut(id), n.giveSix(id, p)); err != nil {
		return "", err
	}
	if err := n.raiseWall(ctx, id, p.Address); err != nil {
		return "", err
	}
	return r.IPs[0].Address.IP.String(), nil
}

// drop takes a container off the bridge and removes its network namespace.
// It is idempotent.
func (n *network) drop(ctx context.Context, id string) error {
	var errs []error
	if p, ok := n.firewall.dismiss(ctx, id); ok {
		errs = append(errs, n.unfasten(p))
	}
	n.mu.Lock()
	delete(n.raised, id)
	n.mu.Unlock()
	if n.attached(id) {
		if err := n.cni.DelNetworkList(ctx, n.list, n.runtimeConf(id)); err != nil {
			errs = append(errs, fmt.Errorf("detach from the network: %w", err))
		}
	}
	return errors.Join(append(errs, dropNetns(n.path(id)))...)
}

// attached tells whether the plugins were ever called for the container: they
// are programs, and starting two to hear that there is nothing to do is slow.
func (n *network) attached(id string) bool {
	if _, err := os.Stat(n.path(id)); err == nil {
		return true
	}
	for _, given := range n.given() {
		if given == id {
			return true
		}
	}
	return false
}

// given returns the containers that have an address, by the address's file.
func (n *network) given() map[string]string {
	dir := filepath.Join(n.cfg.State, "cni", "ipam", n.list.Name)
	entries, _ := os.ReadDir(dir)
	out := make(map[string]string)
	for _, entry := range entries {
		if _, err := netip.ParseAddr(entry.Name()); err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue
		}
		id, _, _ := strings.Cut(string(data), "\n") // the second line is the interface
		out[filepath.Join(dir, entry.Name())] = strings.TrimSpace(id)
	}
	return out
}

// containerIDs returns the ids of all containers the network has anything of.
func (n *network) containerIDs() map[string]bool {
	ids := make(map[string]bool)
	for _, id := range n.given() {
		ids[id] = true
	}
	entries, _ := os.ReadDir(filepath.Join(n.cfg.State, "netns"))
	for _, entry := range entries {
		ids[entry.Name()] = true
	}
	return ids
}

// hostResolvers returns a resolv.conf for containers and the servers in it.
// A stub on loopback (systemd-resolved's) is not there in a container's
// network; what stands behind it is.
func hostResolvers(six bool) (resolv []byte, servers []netip.Addr, err error) {
	for _, name := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		resolv, servers = nil, nil
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) > 1 && fields[0] == "nameserver" {
				addr, err := netip.ParseAddr(fields[1])
				if err != nil || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.Is6() && !six {
					continue
				}
				servers = append(servers, addr)
			}
			resolv = append(resolv, line...)
		}
		if len(servers) > 0 {
			break
		}
	}
	return resolv, servers, nil
}
