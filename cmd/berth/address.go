package main

import (
	"net"
	"net/netip"
	"strings"
)

// guessDomain is the domain of a machine that nobody named: its public address
// under a DNS service that answers with the address in the name, or localhost.
func guessDomain() string {
	// Connecting a UDP socket sends nothing; it asks the kernel which address
	// the default route leaves from. The targets are for documentation.
	for _, target := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", target)
		if err != nil {
			continue
		}
		addr, ok := conn.LocalAddr().(*net.UDPAddr)
		conn.Close()
		if ok && isPublic(addr.AddrPort().Addr().Unmap()) {
			return dashed(addr.AddrPort().Addr().Unmap()) + ".sslip.io"
		}
	}
	return "localhost"
}

// dashed writes an address as one label: 203-0-113-7, 2001-db8--1. A label may
// not begin or end with a dash.
func dashed(addr netip.Addr) string {
	label := strings.NewReplacer(".", "-", ":", "-").Replace(addr.String())
	if strings.HasPrefix(label, "-") {
		label = "0" + label
	}
	if strings.HasSuffix(label, "-") {
		label += "0"
	}
	return label
}

var (
	// sharedRange is for carrier-grade NAT (RFC 6598): no more public than 10/8.
	sharedRange = netip.MustParsePrefix("100.64.0.0/10")
	// siteRange was IPv6's first 10/8 (RFC 3879) and is still given out by QEMU.
	siteRange = netip.MustParsePrefix("fec0::/10")
)

func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !sharedRange.Contains(addr) && !siteRange.Contains(addr)
}

// ownAddresses lists the machine's addresses that others may know it by.
func ownAddresses() ([]netip.Addr, error) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, n := range nets {
		if prefix, err := netip.ParsePrefix(n.String()); err == nil && prefix.Addr().IsGlobalUnicast() {
			addrs = append(addrs, prefix.Addr())
		}
	}
	return addrs, nil
}
