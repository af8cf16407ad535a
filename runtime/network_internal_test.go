package runtime

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Tests that flush the ruleset, or want a machine with other addresses, run in
// a network namespace of their own: the test runs itself again there.
const ownNetworkVariable = "BERTH_TEST_OWN_NETWORK"

// inOwnNetwork tells whether the test is in a network of its own. Where it is
// not, it has been run in one when this returns.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownNetworkVariable) != "" {
		return true
	}
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	}
	for _, program := range []string{"nft", "ip", "bridge", "unshare", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = program
		}
	}
	if missing != "" && os.Getenv("CI") == "true" {
		t.Fatalf("CI must run this test, and it needs %s", missing)
	} else if missing != "" {
		t.Skipf("needs %s", missing)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--net", "--mount", "--propagation", "private", self, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "2m")
	cmd.Env = append(os.Environ(), ownNetworkVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("in a network of its own: %v\n%s", err, out)
	}
	return false
}

// The machine of these tests has a public address, a LAN, and a world behind
// its uplink.
const (
	publicAddress  = "11.0.0.2"
	lanAddress     = "192.168.77.2"
	lanServer      = "192.168.77.1"
	lanResolver    = "192.168.77.53"
	internetServer = "1.2.3.4"
	metadataServer = "169.254.169.254"
)

// machine is a network namespace with berth's network in it.
type machine struct {
	*network
	owner int // of the containers that are made
	log   *strings.Builder
	mu    *sync.Mutex // guards log
}

func (m machine) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String()
}

func (m machine) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(p)
}

func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// buildMachine makes the machine around the test, which is in a network of its own.
func buildMachine(t *testing.T, lan LAN, entrances ...Entrance) machine {
	t.Helper()
	return buildMachineBy(t, v4World, Config{LAN: lan, Entrances: entrances}, lanResolver)
}

// v4World gives the machine its addresses, and makes the world behind them.
var v4World = []string{
	"address add " + publicAddress + "/24 dev uplink",
	"address add " + lanAddress + "/24 dev lan",
	"-n world address add 11.0.0.1/24 dev uplink",
	"-n world address add " + lanServer + "/24 dev lan",
	"-n world address add " + lanResolver + "/24 dev lan",
	"-n world address add " + internetServer + "/32 dev lo",
	"-n world address add " + metadataServer + "/32 dev lo",
	"route add default via 11.0.0.1",
}

// buildMachineBy makes a machine whose addresses these lines of ip give.
func buildMachineBy(t *testing.T, world []string, cfg Config, resolver string) machine {
	t.Helper()
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "mount", "-t", "tmpfs", "tmpfs", "/run/netns")
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver "+resolver+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	command(t, "mount", "--bind", resolv, target)
	for _, line := range slices.Concat([]string{
		"link set lo up",
		"netns add world",
		"-n world link set lo up",
		"link add uplink type veth peer name uplink netns world",
		"link add lan type veth peer name lan netns world",
		"link set uplink up",
		"link set lan up",
		"-n world link set uplink up",
		"-n world link set lan up",
	}, world) {
		command(t, append([]string{"ip"}, strings.Fields(line)...)...)
	}
	m := machine{log: &strings.Builder{}, mu: &sync.Mutex{}}
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "netns"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.Root, cfg.State, cfg.Bridge = t.TempDir(), state, "berth0"
	m.network, err = openNetwork(t.Context(), cfg, "00c0ffee", slog.New(slog.NewTextHandler(m, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.close() })
	if resolver == lanResolver {
		for _, at := range []string{internetServer + ":80", metadataServer + ":80", lanServer + ":80", lanResolver + ":53"} {
			m.serve(t, "/run/netns/world", at)
		}
	}
	return m
}

// serve accepts connections in a network namespace; "" is the machine's own.
func (m machine) serve(t *testing.T, ns, at string) {
	t.Helper()
	m.welcome(t, ns, at)
}

// welcome is serve; it tells who has come.
func (m machine) welcome(t *testing.T, ns, at string) <-chan netip.AddrPort {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatalf("listen at %s: %v", at, err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	var l net.Listener
	if ns == "" {
		l = listen()
	} else {
		f, err := os.Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := m.within(f, func() error { l = listen(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	came := make(chan netip.AddrPort, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case came <- conn.RemoteAddr().(*net.TCPAddr).AddrPort():
			default:
			}
			conn.Close()
		}
	}()
	return came
}

// container is a network namespace on the bridge, as a container's.
func (m machine) container(t *testing.T) (id, address string) {
	t.Helper()
	id = NewID()
	if err := m.makeNetns(m.path(id)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.drop(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	address, err := m.attach(t.Context(), id, m.owner)
	if err != nil {
		t.Fatal(err)
	}
	return id, address
}

// inside runs fn in a container's network.
func (m machine) inside(t *testing.T, id string, fn func() error) {
	t.Helper()
	ns, err := os.Open(m.path(id))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := m.within(ns, fn); err != nil {
		t.Fatal(err)
	}
}

// reaches tells whether a container connects to an address.
func (m machine) reaches(t *testing.T, id, to string) bool {
	t.Helper()
	ns, err := os.Open(m.path(id))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	conn, err := m.dial(ctx, ns, netip.MustParseAddrPort(to))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// expect compares what a container reaches with what it should.
func (m machine) expect(t *testing.T, when, id string, want map[string]bool) {
	t.Helper()
	for to, want := range want {
		if got := m.reaches(t, id, to); got != want {
			t.Errorf("%s: %s is reached: %v, want %v", when, to, got, want)
		}
	}
}

// eventually waits for what the watch does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 100 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("it never came about: %s", what)
}

func TestFirewall_IsolatesWhileTheRulesetIsFlushedAndComesBack(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{})
	for _, at := range []string{publicAddress + ":22", lanAddress + ":22", m.gateway().String() + ":22"} {
		m.serve(t, "", at)
	}
	app, _ := m.container(t)
	other, address := m.container(t)
	m.serve(t, m.path(other), address+":5000")
	if !m.reaches(t, other, address+":5000") {
		t.Fatal("the other app does not reach itself")
	}
	closed := map[string]bool{
		publicAddress + ":22": false, lanAddress + ":22": false, m.gateway().String() + ":22": false,
		address + ":5000": false, metadataServer + ":80": false, lanServer + ":80": false,
	}
	open := map[string]bool{internetServer + ":80": true, lanResolver + ":53": true}
	m.expect(t, "at first", app, closed)
	m.expect(t, "at first", app, open)

	command(t, "nft", "flush", "ruleset")
	m.expect(t, "with the ruleset flushed", app, closed)

	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.run(ctx) }()
	back := func() bool { return m.reaches(t, app, internetServer+":80") }
	eventually(t, "the internet after a start", back)
	m.expect(t, "put back", app, closed)
	for _, change := range [][]string{
		{"flush", "ruleset"},
		{"delete", "table", "inet", m.firewall.table},
		{"flush", "chain", "inet", m.firewall.table, "postrouting"},
		{"insert", "rule", "inet", m.firewall.table, "forward", "drop"},
		{"delete", "table", "bridge", m.firewall.table},
	} {
		before := m.repairs()
		command(t, append([]string{"nft"}, change...)...)
		eventually(t, "a repair after nft "+strings.Join(change, " "), func() bool { return m.repairs() > before })
		eventually(t, "the internet after nft "+strings.Join(change, " "), back)
		m.expect(t, "after nft "+strings.Join(change, " "), app, closed)
	}
	if n := strings.Count(m.said(), "level=WARN msg=\"another program removed or changed berth's firewall tables"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, m.said())
	}

	// What is not about our tables is nobody's repair, nor are containers that come and go.
	before := m.repairs()
	command(t, "nft", "add", "table", "inet", "another")
	late, _ := m.container(t)
	m.expect(t, "a container made after the repairs", late, closed)
	m.expect(t, "a container made after the repairs", late, open)
	if m.repairs() != before {
		t.Errorf("%d repairs of nothing", m.repairs()-before)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := m.remove(t.Context()); err != nil {
		t.Error(err)
	}
	if left := command(t, "nft", "list", "tables"); strings.Contains(left, m.firewall.table) {
		t.Errorf("tables are left: %s", left)
	}
}

func (m machine) repairs() int {
	times, _ := m.firewall.repaired()
	return times
}

func TestLAN_IsDeniedAndAllowed(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	t.Setenv("https_proxy", "http://"+lanServer+":3128")
	m := buildMachine(t, LAN{Mode: LANAllow})
	m.serve(t, "/run/netns/world", lanServer+":3128")
	m.serve(t, "", lanAddress+":22")
	app, _ := m.container(t)
	lan, resolver, internet, own, proxy := lanServer+":80", lanResolver+":53", internetServer+":80", lanAddress+":22", lanServer+":3128"
	for _, step := range []struct {
		when string
		lan  LAN
		want map[string]bool
	}{
		{"allow", LAN{Mode: LANAllow}, map[string]bool{lan: true, resolver: true, internet: true, own: false, proxy: true}},
		{"deny", LAN{Mode: LANDeny}, map[string]bool{lan: false, resolver: true, internet: true, own: false, proxy: true}},
		{"an exception", LAN{Mode: LANDeny, Except: prefixes(lanServer + "/32")}, map[string]bool{lan: true, own: false}},
		{"an exception around the machine", LAN{Mode: LANDeny, Except: prefixes("192.168.77.0/24", "169.254.0.0/16", "fc00::/7")}, map[string]bool{lan: true, own: false, metadataServer + ":80": false}},
		{"auto, with a public address", LAN{}, map[string]bool{lan: false, resolver: true, internet: true}},
	} {
		if err := m.setLAN(t.Context(), step.lan); err != nil {
			t.Fatal(err)
		}
		m.expect(t, step.when, app, step.want)
		late, _ := m.container(t)
		m.expect(t, step.when+", a new container", late, step.want)
	}

	// An address that comes later counts at once.
	ran := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ran <- m.run(ctx) }()
	command(t, "ip", "address", "add", "11.0.9.9/32", "dev", "uplink")
	m.serve(t, "", "11.0.9.9:22")
	eventually(t, "the new address in the rules", func() bool {
		return strings.Contains(command(t, "nsenter", "--net="+m.path(app), "nft", "list", "ruleset"), "11.0.9.9")
	})
	command(t, "nft", "flush", "ruleset")
	m.expect(t, "a later address", app, map[string]bool{"11.0.9.9:22": false})
	command(t, "ip", "address", "del", publicAddress+"/24", "dev", "uplink")
	command(t, "ip", "address", "del", "11.0.9.9/32", "dev", "uplink")
	command(t, "ip", "address", "add", "172.20.0.2/24", "dev", "uplink")
	eventually(t, "auto allows the LAN without a public address", func() bool { return m.reaches(t, app, lan) })
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// forged is a frame as CAP_NET_RAW could send it from a container.
func (m machine) forge(t *testing.T, id string, frame []byte) {
	t.Helper()
	m.inside(t, id, func() error {
		link, err := net.InterfaceByName(containerInterface)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index})
	})
}

func arpReply(from net.HardwareAddr, sender, target netip.Addr) []byte {
	broadcast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame := append(append([]byte{}, broadcast...), from...)
	frame = append(frame, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2)
	frame = append(append(frame, from...), sender.AsSlice()...)
	return append(append(frame, broadcast...), target.AsSlice()...)
}

// udp is a datagram "forged" to port 9000.
func udp(from, to net.HardwareAddr, source, target netip.Addr) []byte {
	frame := append(append([]byte{}, to...), from...)
	frame = append(frame, 0x08, 0x00)
	ip := []byte{0x45, 0, 0, 34, 0, 1, 0, 0, 64, 17, 0, 0}
	ip = append(append(ip, source.AsSlice()...), target.AsSlice()...)
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(ip[i])<<8 | uint32(ip[i+1])
	}
	sum = ^(sum>>16 + sum&0xffff)
	ip[10], ip[11] = byte(sum>>8), byte(sum)
	ip = append(ip, 0x30, 0x39, 0x23, 0x28, 0, 14, 0, 0)
	return append(append(frame, ip...), "forged"...)
}

func TestPort_ForgedFramesChangeNothing(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{})
	attacker, _ := m.container(t)
	victim, _ := m.container(t)
	a, v := m.firewall.admitted()[attacker], m.firewall.admitted()[victim]
	bridge, err := netlink.LinkByName(m.cfg.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	gateway := bridge.Attrs().HardwareAddr

	world, err := os.Open("/run/netns/world")
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	var server net.PacketConn
	if err := m.within(world, func() error { server, err = net.ListenPacket("udp4", internetServer+":9000"); return err }); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	received := func() bool { return arrives(server) }
	internet := netip.MustParseAddr(internetServer)
	m.forge(t, attacker, udp(a.MAC, gateway, a.Address, internet))
	if !received() {
		t.Fatal("a datagram that is not forged does not arrive: the test would show nothing")
	}

	neighbours := func() string {
		return command(t, "ip", "neigh", "show", "dev", m.cfg.Bridge) + command(t, "bridge", "fdb", "show", "br", m.cfg.Bridge)
	}
	before := neighbours()
	for _, want := range []string{v.Address.String() + " lladdr " + v.MAC.String() + " PERMANENT", v.MAC.String() + " dev " + v.Name} {
		if !strings.Contains(before, want) {
			t.Errorf("no %q in\n%s", want, before)
		}
	}
	poison := func() {
		m.forge(t, attacker, arpReply(a.MAC, v.Address, m.gateway()))
		m.forge(t, attacker, arpReply(v.MAC, v.Address, m.gateway()))
		m.forge(t, attacker, arpReply(a.MAC, m.gateway(), v.Address))
		m.forge(t, attacker, udp(v.MAC, gateway, a.Address, m.gateway()))
		if now := neighbours(); now != before {
			t.Errorf("forged frames changed who is where:\n%s\nbefore:\n%s", now, before)
		}
	}
	poison()
	for what, frame := range map[string][]byte{
		"the victim's IP address":                 udp(a.MAC, gateway, v.Address, internet),
		"the victim's IP and MAC address":         udp(v.MAC, gateway, v.Address, internet),
		"the victim's MAC address":                udp(v.MAC, gateway, a.Address, internet),
		"an address that is on the bridge's side": udp(a.MAC, gateway, m.gateway(), internet),
	} {
		m.forge(t, attacker, frame)
		if received() {
			t.Errorf("a datagram with %s arrives", what)
		}
	}
	// The neighbour entries hold when nothing filters any more.
	command(t, "nft", "flush", "ruleset")
	poison()
	// A raw socket, were there one, meets the wall.
	m.inside(t, attacker, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		err = unix.Sendto(fd, udp(a.MAC, gateway, v.Address, internet)[14:], 0, &unix.SockaddrInet4{Addr: internet.As4()})
		if err != unix.EPERM {
			return fmt.Errorf("a raw socket sends from another's address: %v", err)
		}
		return nil
	})
	// A new life finds the ports by itself.
	again, err := openNetwork(t.Context(), m.cfg, m.id, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := again.firewall.admitted()[victim]; got.String() != v.String() {
		t.Errorf("the next life has %s, want %s", got, v)
	}
	if err := again.drop(t.Context(), victim); err != nil {
		t.Error(err)
	}
	if now := neighbours(); strings.Contains(now, v.Address.String()) || strings.Contains(now, v.MAC.String()) {
		t.Errorf("of a container that is gone there is left:\n%s", now)
	}
	again.close()
}

func TestReach_Allows(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("11.0.0.2"), netip.MustParseAddr("2a00::2")}
	deny := reach{own: own, denied: privateNetworks, except: prefixes("192.168.7.0/24", "11.0.0.0/24", "fd00:7::/64")}
	allow := reach{own: own}
	for _, test := range []struct {
		addr            string
		denied, allowed bool
	}{
		{"8.8.8.8", true, true}, {"2606:4700::1111", true, true}, {"64:ff9b::8.8.8.8", true, true},
		{"10.0.0.1", false, true}, {"172.31.0.1", false, true}, {"192.168.1.1", false, true}, {"100.64.0.1", false, true}, {"fd12::1", false, true},
		{"::ffff:10.0.0.1", false, true}, {"64:ff9b::10.0.0.1", false, true}, {"192.168.7.9", true, true}, {"fd00:7::1", true, true},
		{"11.0.0.2", false, false}, {"11.0.0.3", true, true}, {"2a00::2", false, false}, {"::ffff:11.0.0.2", false, false}, {"64:ff9b::11.0.0.2", false, false},
		{"127.0.0.1", false, false}, {"127.9.9.9", false, false}, {"::1", false, false}, {"::ffff:127.0.0.1", false, false}, {"64:ff9b::127.0.0.1", false, false},
		{"0.0.0.0", false, false}, {"::", false, false}, {"169.254.169.254", false, false}, {"fe80::1", false, false}, {"fe80::1%eth0", false, false},
		{"100.100.100.200", false, false}, {"168.63.129.16", false, false}, {"224.0.0.1", false, false}, {"ff02::1", false, false},
		{"2002:7f00:1::1", false, false}, {"2001:0:1::1", false, false}, {"::127.0.0.1", false, false}, {"64:ff9b:1::1", false, false},
	} {
		addr := netip.MustParseAddr(test.addr)
		if got := deny.allows(addr); got != test.denied {
			t.Errorf("LAN denied: %s is allowed: %v, want %v", addr, got, test.denied)
		}
		if got := allow.allows(addr); got != test.allowed {
			t.Errorf("LAN allowed: %s is allowed: %v, want %v", addr, got, test.allowed)
		}
	}
}

func TestLAN_Denies(t *testing.T) {
	for own, want := range map[string]bool{
		"": false, "192.168.1.2": false, "10.0.0.1 172.17.0.1 100.64.3.4": false, "192.0.2.2": false, "198.18.0.1": false,
		"2a00::2": false, "192.168.1.2 2a00::2": false, "11.0.0.2": true, "10.0.0.1 5.6.7.8": true,
	} {
		var list []netip.Addr
		for _, s := range strings.Fields(own) {
			list = append(list, netip.MustParseAddr(s))
		}
		if got := (LAN{}).denies(list); got != want {
			t.Errorf("%q: auto denies: %v, want %v", own, got, want)
		}
		if (LAN{Mode: LANAllow}).denies(list) || !(LAN{Mode: LANDeny}).denies(list) {
			t.Errorf("%q: a mode that is set does not count", own)
		}
	}
}

// arrives tells whether a datagram comes to a socket within a moment.
func arrives(server net.PacketConn) bool {
	server.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	n, _, err := server.ReadFrom(make([]byte, 100))
	return err == nil && n > 0
}
