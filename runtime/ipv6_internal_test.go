package runtime

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

const (
	publicAddress6  = "2a00:1::2"
	lanServer6      = "2a00:1::9" // beside the machine
	resolver6       = "2a00:1::53"
	internetServer6 = "2a00:99::8"
	uniqueLocal6    = "fd77::1"
	metadataServer6 = "fd00:ec2::254"
	translated6     = "64:ff9b::a9fe:a9fe" // 169.254.169.254
)

var v6World = []string{
	"address add " + publicAddress6 + "/64 dev uplink nodad",
	"-n world address add 2a00:1::1/64 dev uplink nodad",
	"-n world address add " + lanServer6 + "/64 dev uplink nodad",
	"-n world address add " + resolver6 + "/64 dev uplink nodad",
	"-n world address add " + internetServer6 + "/128 dev lo nodad",
	"-n world address add " + uniqueLocal6 + "/128 dev lo nodad",
	"-n world address add " + metadataServer6 + "/128 dev lo nodad",
	"-n world address add " + translated6 + "/128 dev lo nodad",
	"route add default via 2a00:1::1",
}

// welcome6 has the world answer at its IPv6 addresses.
func (m machine) welcome6(t *testing.T) (internet <-chan netip.AddrPort) {
	t.Helper()
	for _, at := range []string{lanServer6, uniqueLocal6, metadataServer6, translated6} {
		m.serve(t, "/run/netns/world", "["+at+"]:80")
	}
	m.serve(t, "/run/netns/world", "["+resolver6+"]:53")
	return m.welcome(t, "/run/netns/world", "["+internetServer6+"]:80")
}

func TestIPv6_MachineWithoutIPv4(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachineBy(t, v6World, Config{Entrances: []Entrance{entrance("tcp", 80, "[::]:80")}}, resolver6)
	if resolv, err := os.ReadFile(m.resolvConf()); err != nil || !strings.Contains(string(resolv), resolver6) {
		t.Errorf("containers' resolv.conf is %q, %v; want %s in it", resolv, err, resolver6)
	}
	if e := (&Engine{net: m.network}); !ipv6Only() || e.Stranded() {
		t.Errorf("IPv6 alone: %v, stranded: %v; want the first and not the second", ipv6Only(), e.Stranded())
	}
	internet := m.welcome6(t)
	own := m.welcome(t, "", "[::]:80")
	m.serve(t, "", "[::]:22")
	app, _ := m.container(t)
	other, of := m.container(t)
	a, o := m.firewall.admitted()[app], m.firewall.admitted()[other]
	m.serve(t, m.path(other), "["+o.Address6.String()+"]:80")
	gateway := m.six.address(m.gateway()).String()
	closed := map[string]bool{
		"[" + o.Address6.String() + "]:80": false, of + ":80": false, "[" + publicAddress6 + "]:22": false, "[" + gateway + "]:22": false,
		"[" + metadataServer6 + "]:80": false, "[" + translated6 + "]:80": false,
	}
	open := map[string]bool{
		"[" + internetServer6 + "]:80": true, "[" + resolver6 + "]:53": true, "[" + lanServer6 + "]:80": true, "[" + uniqueLocal6 + "]:80": true,
		"[" + publicAddress6 + "]:80": true, "[" + gateway + "]:80": true,
	}
	if !m.reaches(t, other, "["+o.Address6.String()+"]:80") {
		t.Fatal("the other container does not reach itself")
	}
	m.expect(t, "at first", app, open)
	m.expect(t, "at first", app, closed)
	if got := (<-internet).Addr().String(); got != publicAddress6 {
		t.Errorf("the world sees %s, want the machine's %s", got, publicAddress6)
	}
	if got := (<-own).Addr(); got != a.Address6 {
		t.Errorf("the machine sees %s, want the container's %s", got, a.Address6)
	}
	if err := m.setLAN(t.Context(), LAN{Mode: LANDeny}); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "LAN denied", app, map[string]bool{
		"[" + internetServer6 + "]:80": true, "[" + resolver6 + "]:53": true, "[" + lanServer6 + "]:80": false, "[" + uniqueLocal6 + "]:80": false,
	})
	command(t, "nft", "flush", "ruleset")
	m.expect(t, "with the ruleset flushed", app, closed)
	m.keep(t.Context())
	m.expect(t, "put back", app, map[string]bool{"[" + internetServer6 + "]:80": true})

	// A new life finds all of it as it is.
	before := m.said()
	again, err := openNetwork(t.Context(), m.cfg, m.id, m.network.log)
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	m.network = again
	m.expect(t, "in the next life", app, closed)
	m.expect(t, "in the next life", app, map[string]bool{"[" + internetServer6 + "]:80": true, "[" + publicAddress6 + "]:80": true})
	if said := strings.TrimPrefix(m.said(), before); strings.Contains(said, "WARN") {
		t.Errorf("warnings:\n%s", said)
	}
}

func TestIPv6_ComesWithTheMachinesAddress(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{Mode: LANAllow})
	app, address := m.container(t)
	if m.hasSix() || strings.Contains(command(t, "ip", "-6", "address", "show", "dev", m.cfg.Bridge), "inet6") {
		t.Error("containers have IPv6 and the machine has none")
	}
	for _, line := range v6World {
		command(t, append([]string{"ip"}, strings.Fields(line)...)...)
	}
	command(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/uplink/accept_ra")
	internet := m.welcome6(t)
	ran := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ran <- m.run(ctx) }()
	eventually(t, "a container that runs reaches the internet by IPv6", func() bool { return m.reaches(t, app, "["+internetServer6+"]:80") })
	<-internet
	m.expect(t, "with both", app, map[string]bool{internetServer + ":80": true, lanServer + ":80": true, "[" + metadataServer6 + "]:80": false})
	if ra := command(t, "cat", "/proc/sys/net/ipv6/conf/uplink/accept_ra"); strings.TrimSpace(ra) != "2" {
		t.Errorf("the machine's accept_ra is %s: it forwards, and would not hear its router any more", ra)
	}
	if got, want := m.firewall.admitted()[app].Address6, m.six.address(netip.MustParseAddr(address)); got != want {
		t.Errorf("the address is %s, want %s", got, want)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}

	// What is forged does not get out.
	victim, _ := m.container(t)
	a, v := m.firewall.admitted()[app], m.firewall.admitted()[victim]
	world, err := os.Open("/run/netns/world")
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	var server net.PacketConn
	if err := m.within(world, func() error { server, err = net.ListenPacket("udp6", "["+internetServer6+"]:9000"); return err }); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	received := func() bool { return arrives(server) }
	to := netip.MustParseAddr(internetServer6)
	m.forge(t, app, udp6(a.MAC, bridgeMAC(m.id), a.Address6, to))
	if !received() {
		t.Fatal("a datagram that is not forged does not arrive: the test would show nothing")
	}
	m.forge(t, app, udp6(a.MAC, bridgeMAC(m.id), v.Address6, to))
	m.forge(t, app, udp6(v.MAC, bridgeMAC(m.id), v.Address6, to))
	m.forge(t, app, udp6(v.MAC, bridgeMAC(m.id), a.Address6, to))
	if received() {
		t.Error("a forged datagram arrives")
	}
	if entries := command(t, "ip", "-6", "neigh", "show", "dev", m.cfg.Bridge); !strings.Contains(entries, v.Address6.String()+" lladdr "+v.MAC.String()+" PERMANENT") {
		t.Errorf("the victim's entry is not fixed:\n%s", entries)
	}
	if err := m.drop(t.Context(), victim); err != nil {
		t.Error(err)
	}
	if entries := command(t, "ip", "-6", "neigh", "show", "dev", m.cfg.Bridge); strings.Contains(entries, v.Address6.String()) {
		t.Errorf("an entry is left of a container that is gone:\n%s", entries)
	}
}

// udp6 is udp over IPv6.
func udp6(from, to net.HardwareAddr, source, target netip.Addr) []byte {
	datagram := append([]byte{0x30, 0x39, 0x23, 0x28, 0, 14, 0, 0}, "forged"...)
	sum := uint32(17 + len(datagram))
	for _, part := range [][]byte{source.AsSlice(), target.AsSlice(), datagram} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(part[i])<<8 | uint32(part[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	datagram[6], datagram[7] = byte(^sum>>8), byte(^sum)
	frame := append(append([]byte{}, to...), from...)
	frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(datagram)), 17, 64)
	return append(append(append(frame, source.AsSlice()...), target.AsSlice()...), datagram...)
}
