package runtime

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// port is a container's place on the bridge: the host's end of its pair of
// interfaces, and the addresses of the container's end.
type port struct {
	Name    string
	MAC     net.HardwareAddr
	Address netip.Addr
	// Address6 is there whether or not containers have IPv6 now.
	Address6 netip.Addr
}

// String is the port as an element of the firewall's set.
func (p port) String() string { return fmt.Sprintf("%q . %s . %s", p.Name, p.MAC, p.Address) }

// String6 is likewise, of its IPv6 address.
func (p port) String6() string { return fmt.Sprintf("%q . %s . %s", p.Name, p.MAC, p.Address6) }

// portOf finds the port of a container that is attached, by looking into its
// network namespace: that is true of a container of an earlier berth too.
func (n *network) portOf(id string) (port, error) {
	ns, err := os.Open(n.path(id))
	if err != nil {
		return port{}, err
	}
	defer ns.Close()
	var p port
	var peer int
	if err := n.within(ns, func() error {
		link, err := netlink.LinkByName(containerInterface)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		if len(addrs) == 0 {
			return errors.New("the interface has no address")
		}
		p.MAC, peer = link.Attrs().HardwareAddr, link.Attrs().ParentIndex
		p.Address, _ = netip.AddrFromSlice(addrs[0].IP.To4())
		p.Address6 = n.six.address(p.Address)
		return nil
	}); err != nil {
		return port{}, err
	}
	link, err := netlink.LinkByIndex(peer)
	if err != nil {
		return port{}, fmt.Errorf("the host's end of %s: %w", containerInterface, err)
	}
	p.Name = link.Attrs().Name
	return p, nil
}

// fasten makes the port speak with the bridge and never with another port, and
// has the kernel believe nothing that comes from it about who is where: the
// bridge learns no addresses of it, and both the way to its MAC address and the
// MAC address of its IP address are fixed.
func (n *network) fasten(p port) error {
	link, err := netlink.LinkByName(p.Name)
	if err != nil {
		return err
	}
	bridge, err := netlink.LinkByName(n.cfg.Bridge)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"isolate it", func() error { return netlink.LinkSetIsolated(link, true) }},
		{"stop it from learning", func() error { return netlink.LinkSetLearning(link, false) }},
		{"fix the way to its MAC address", func() error {
			return netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, Family: unix.AF_BRIDGE, HardwareAddr: p.MAC,
				State: netlink.NUD_NOARP, Flags: netlink.NTF_MASTER})
		}},
		{"fix its neighbour entry", func() error { return netlink.NeighSet(n.neighbour(bridge, p.Address, p.MAC)) }},
		{"fix its neighbour entry of IPv6", func() error {
			if !n.hasSix() {
				return nil
			}
			return netlink.NeighSet(n.neighbour(bridge, p.Address6, p.MAC))
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("bridge's port %s: %s: %w", p.Name, step.what, err)
		}
	}
	return nil
}

func (n *network) neighbour(link netlink.Link, addr netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	return &netlink.Neigh{LinkIndex: link.Attrs().Index, Family: family, IP: addr.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT}
}

// unfasten removes the neighbour entries; the rest goes with the port.
func (n *network) unfasten(p port) error {
	bridge, err := netlink.LinkByName(n.cfg.Bridge)
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
		return nil
	} else if err != nil {
		return err
	}
	for _, addr := range []netip.Addr{p.Address, p.Address6} {
		if addr.Is6() && !n.hasSix() {
			continue
		}
		if err := netlink.NeighDel(n.neighbour(bridge, addr, p.MAC)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the neighbour entry of %s: %w", addr, err)
		}
	}
	return nil
}
