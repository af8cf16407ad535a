package runtime

import (
	"context"
	"fmt"
	"net/netip"
)

// Network is what containers reach. It is safe for concurrent use.
type Network struct {
	engine *Engine
	net    *network
}

// Network returns the network of the engine's containers; nil of no engine.
func (e *Engine) Network() *Network {
	if e == nil {
		return nil
	}
	return &Network{e, e.net}
}

// SetLAN changes whether containers, those that run included, reach the private
// networks around the machine.
func (n *Network) SetLAN(ctx context.Context, lan LAN) error {
	if err := n.net.setLAN(ctx, lan); err != nil {
		return fmt.Errorf("set the reach of containers: %w", err)
	}
	return nil
}

// SetPassages says which passages there are, all of them, in one transaction of
// the kernel's. A container that is made later has those of its owner from its
// start; of one that is removed none are left, before its address can be
// another's. Connections by a passage that is closed are cut off. The next Open
// has the passages again, for the containers that have gone on running.
func (n *Network) SetPassages(ctx context.Context, list []Passage) error {
	if err := n.net.setPassages(ctx, list); err != nil {
		return fmt.Errorf("set the passages between containers: %w", err)
	}
	return nil
}

// Gateways are the machine's own addresses in the containers' networks.
func (n *Network) Gateways() []netip.Addr {
	if !n.net.hasSix() {
		return n.net.gateways()[:1]
	}
	return n.net.gateways()
}

// Ranges are the networks in which containers have addresses, or may get them.
func (n *Network) Ranges() []netip.Prefix {
	return []netip.Prefix{n.net.subnet, n.net.six.subnet(true)}
}

// AddressesOf are the addresses of a container on the network, none when it is
// gone.
func (n *Network) AddressesOf(id string) []netip.Addr {
	p, there := n.net.firewall.directory.port(id)
	switch {
	case !there:
		return nil
	case n.net.hasSix():
		return []netip.Addr{p.Address, p.Address6}
	}
	return []netip.Addr{p.Address}
}

// OwnerOf tells whose container has an address, 0 when nobody's has.
func (n *Network) OwnerOf(addr netip.Addr) int { return n.net.firewall.directory.owner(addr) }
