package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// six is where the IPv6 addresses of containers are: a unique local range
// (RFC 4193) behind NAT66, which is up as soon as the machine has IPv6.
//
// An address follows from the container's IPv4 address, which stands in its
// bits 32 to 63. So nothing has to be handed out or remembered, containers that
// have run for long get theirs too, and each has a /64 of its own, as whoever
// counts clients by their /64 expects of a machine.
type six struct {
	prefix netip.Prefix // a /32
	v4     netip.Prefix // the IPv4 range
}

func sixOf(id string, v4 netip.Prefix) six {
	sum := sha256.Sum256([]byte("ipv6 " + id))
	whole := [16]byte{0xfd, sum[0], sum[1], sum[2]}
	return six{netip.PrefixFrom(netip.AddrFrom16(whole), 32), v4}
}

// address is the one that belongs to an IPv4 address.
func (s six) address(v4 netip.Addr) netip.Addr {
	whole, four := s.prefix.Addr().As16(), v4.As4()
	copy(whole[4:8], four[:])
	binary.BigEndian.PutUint64(whole[8:], 1)
	return netip.AddrFrom16(whole)
}

// subnet is the containers' IPv6 range; none when they have no IPv6.
func (s six) subnet(has bool) netip.Prefix {
	if !has {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(s.address(s.v4.Addr()), 32+s.v4.Bits()).Masked()
}

const conf6 = "/proc/sys/net/ipv6/conf/"

// hasSix tells whether containers have IPv6.
func (n *network) hasSix() bool { return n.sixUp.Load() }

// openSix gives the bridge its IPv6 address once the machine has one, and has
// the kernel forward. A machine that loses its addresses keeps the bridge's:
// what containers send then is refused by the kernel's routes.
func (n *network) openSix() error {
	if n.hasSix() {
		return nil
	}
	want, err := n.machineHasSix()
	if err != nil || !want {
		return err
	}
	bridge, err := netlink.LinkByName(n.cfg.Bridge)
	if err != nil {
		return err
	}
	// No link-local address: no port of the host's shall be at one. No
	// advertisement of a router is believed.
	if err := n.quiet6(n.cfg.Bridge); err != nil {
		return err
	}
	gateway := n.six.address(n.gateway())
	err = netlink.AddrReplace(bridge, &netlink.Addr{
		IPNet: netlink.NewIPNet(gateway.AsSlice()), Flags: unix.IFA_F_NODAD | unix.IFA_F_PERMANENT | unix.IFA_F_NOPREFIXROUTE,
	})
	if err != nil {
		return fmt.Errorf("give %s the address %s: %w", n.cfg.Bridge, gateway, err)
	}
	subnet := n.six.subnet(true)
	if err := netlink.RouteReplace(&netlink.Route{
		LinkIndex: bridge.Attrs().Index, Scope: netlink.SCOPE_LINK, Family: unix.AF_INET6, Dst: ipNet(subnet),
	}); err != nil {
		return fmt.Errorf("route %s: %w", subnet, err)
	}
	if err := forward6(); err != nil {
		return fmt.Errorf("forward IPv6: %w", err)
	}
	n.sixUp.Store(true)
	return nil
}

// machineHasSix tells whether the machine has an IPv6 address that leads out.
func (n *network) machineHasSix() (bool, error) {
	if disabled, err := os.ReadFile(conf6 + n.cfg.Bridge + "/disable_ipv6"); errors.Is(err, fs.ErrNotExist) {
		return false, nil // a kernel without IPv6
	} else if err != nil || len(disabled) == 0 {
		return false, err
	}
	if all, err := os.ReadFile(conf6 + "all/disable_ipv6"); err != nil || bytes.HasPrefix(all, []byte("1")) {
		return false, err
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		return false, err
	}
	subnet := n.six.subnet(true)
	for _, a := range addrs {
		addr, ok := netip.AddrFromSlice(a.IP)
		if ok && addr.IsGlobalUnicast() && !subnet.Contains(addr) {
			return true, nil
		}
	}
	return false, nil
}

// quiet6 turns IPv6 on for an interface that is to have the addresses that it is
// given and no others.
func (n *network) quiet6(link string) error {
	for _, setting := range []struct{ name, value string }{
		{"addr_gen_mode", "1"}, {"accept_ra", "0"}, {"autoconf", "0"}, {"accept_redirects", "0"}, {"disable_ipv6", "0"},
	} {
		if err := os.WriteFile(conf6+link+"/"+setting.name, []byte(setting.value), 0); err != nil {
			return err
		}
	}
	return nil
}

// forward6 has the kernel forward IPv6. A kernel that forwards does not hear
// routers' advertisements any more unless it is told to, and the machine would
// lose its own default route.
func forward6() error {
	const all = conf6 + "all/forwarding"
	if now, err := os.ReadFile(all); err == nil && bytes.HasPrefix(now, []byte("1")) {
		return nil
	}
	links, err := filepath.Glob(conf6 + "*/accept_ra")
	if err != nil {
		return err
	}
	for _, link := range links {
		if now, err := os.ReadFile(link); err == nil && bytes.HasPrefix(now, []byte("1")) {
			if err := os.WriteFile(link, []byte("2"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return os.WriteFile(all, []byte("1"), 0)
}

// giveSix gives a container its IPv6 address and its way out. Its entry of the
// gateway is fixed, as the gateway's entry of it is. It is idempotent.
func (n *network) giveSix(id string, p port) error {
	if !n.hasSix() {
		return nil
	}
	ns, err := os.Open(n.path(id))
	if err != nil {
		return err
	}
	defer ns.Close()
	gateway := n.six.address(n.gateway())
	err = n.within(ns, func() error {
		link, err := netlink.LinkByName(containerInterface)
		if err != nil {
			return err
		}
		if err := n.quiet6(containerInterface); err != nil {
			return err
		}
		if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: netlink.NewIPNet(p.Address6.AsSlice()), Flags: unix.IFA_F_NODAD | unix.IFA_F_PERMANENT}); err != nil {
			return err
		}
		if err := netlink.NeighSet(n.neighbour(link, gateway, bridgeMAC(n.id))); err != nil {
			return err
		}
		index := link.Attrs().Index
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: index, Scope: netlink.SCOPE_LINK, Family: unix.AF_INET6, Dst: netlink.NewIPNet(gateway.AsSlice())}); err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: index, Family: unix.AF_INET6, Gw: gateway.AsSlice(), Dst: ipNet(netip.MustParsePrefix("::/0"))})
	})
	if err != nil {
		return fmt.Errorf("give container %s the address %s: %w", id, p.Address6, err)
	}
	return n.fasten(p)
}

// giveSixToAll is giveSix for containers that were there before the machine's IPv6.
func (n *network) giveSixToAll() error {
	var errs []error
	for id, p := range n.firewall.admitted() {
		if err := n.giveSix(id, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
