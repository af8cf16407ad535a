package runtime

import (
	"net"
	"net/netip"
	"slices"
	"testing"
)

// natAddress leads to the machine from outside, by a router that does not send
// back what comes from inside.
const natAddress = "5.6.7.8"

func entrance(protocol string, number int, at string) Entrance {
	return Entrance{InputPort{number, protocol}, netip.MustParseAddrPort(at)}
}

func TestReach_EntranceRules(t *testing.T) {
	gateways := []netip.Addr{netip.MustParseAddr("10.213.0.1"), netip.MustParseAddr("fd01::1")}
	public := []netip.Addr{netip.MustParseAddr(natAddress), netip.MustParseAddr("2a00::8")}
	for _, test := range []struct {
		name              string
		entrances         []Entrance
		admissions, leads []string
	}{
		{"none", nil, nil, nil},
		{"everywhere, at the port itself", []Entrance{entrance("tcp", 80, "[::]:80")},
			[]string{"fib daddr type local tcp dport 80 accept"},
			[]string{"ip daddr { 5.6.7.8 } tcp dport 80 redirect to :80", "ip6 daddr { 2a00::8 } tcp dport 80 redirect to :80"}},
		{"everywhere, at another port", []Entrance{entrance("udp", 443, "0.0.0.0:8443"), entrance("udp", 443, "[::]:8443")},
			[]string{"fib daddr type local udp dport 8443 accept"},
			[]string{"fib daddr type local udp dport 443 redirect to :8443", "ip daddr { 5.6.7.8 } udp dport 443 redirect to :8443", "ip6 daddr { 2a00::8 } udp dport 443 redirect to :8443"}},
		{"loopback, at the port itself", []Entrance{entrance("tcp", 8080, "127.0.0.1:8080")},
			[]string{"fib daddr type local tcp dport 8080 accept"},
			[]string{"fib daddr type local tcp dport 8080 redirect to :8080", "ip daddr { 5.6.7.8 } tcp dport 8080 redirect to :8080", "ip6 daddr { 2a00::8 } tcp dport 8080 redirect to :8080"}},
		{"one address", []Entrance{entrance("tcp", 80, "11.0.0.2:80")},
			[]string{"ip daddr { 11.0.0.2 } tcp dport 80 accept"},
			[]string{"ip daddr { 10.213.0.1, 5.6.7.8 } tcp dport 80 dnat ip to 11.0.0.2:80"}},
		{"one address of IPv6, at another port", []Entrance{entrance("tcp", 80, "[2a00::2]:8080")},
			[]string{"ip6 daddr { 2a00::2 } tcp dport 8080 accept"},
			[]string{"ip6 daddr { fd01::1, 2a00::8, 2a00::2 } tcp dport 80 dnat ip6 to [2a00::2]:8080"}},
	} {
		r := reach{entrances: test.entrances, public: public}
		if got := r.admissions(); !slices.Equal(got, test.admissions) {
			t.Errorf("%s: admissions\n got %q\nwant %q", test.name, got, test.admissions)
		}
		if got := r.leads(gateways); !slices.Equal(got, test.leads) {
			t.Errorf("%s: leads\n got %q\nwant %q", test.name, got, test.leads)
		}
	}
}

func TestReach_KnocksAreOfTheFamiliesThatContainersHave(t *testing.T) {
	r := reach{
		own: []netip.Addr{netip.MustParseAddr("11.0.0.2"), netip.MustParseAddr("2a00::2")}, public: []netip.Addr{netip.MustParseAddr(natAddress)},
		entrances: []Entrance{entrance("tcp", 80, "[::]:8080"), entrance("tcp", 443, "[::]:443"), entrance("udp", 443, "[::]:443"), entrance("tcp", 443, "127.0.0.1:443")},
	}
	want := []string{"ip daddr { 11.0.0.2, 5.6.7.8 } tcp dport { 80, 443 } accept", "ip daddr { 11.0.0.2, 5.6.7.8 } udp dport { 443 } accept"}
	if got := r.knocks(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	r.six = true
	want = append(want, "ip6 daddr { 2a00::2 } tcp dport { 80, 443 } accept", "ip6 daddr { 2a00::2 } udp dport { 443 } accept")
	if got := r.knocks(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEntrance_IsReachedAndNothingBesideIt(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{Public: []netip.Addr{netip.MustParseAddr(natAddress)}},
		entrance("tcp", 80, "0.0.0.0:80"), entrance("tcp", 443, "0.0.0.0:8443"), entrance("tcp", 8443, "0.0.0.0:8443"), entrance("udp", 9000, "0.0.0.0:9000"))
	came := m.welcome(t, "", "0.0.0.0:80")
	secure := m.welcome(t, "", "0.0.0.0:8443")
	m.serve(t, "", "0.0.0.0:22")
	m.serve(t, "", "0.0.0.0:8080")
	app, address := m.container(t)
	other, of := m.container(t)
	m.serve(t, m.path(other), of+":80")
	gateway := m.gateway().String()
	open, closed := map[string]bool{}, map[string]bool{of + ":80": false, metadataServer + ":80": false, lanServer + ":80": false}
	for _, at := range []string{publicAddress, lanAddress, gateway, natAddress} {
		open[at+":80"], open[at+":443"] = true, true
		closed[at+":22"], closed[at+":8080"] = false, false
	}
	open[internetServer+":80"] = true // and that is the world's, not ours
	m.expect(t, "at first", app, open)
	m.expect(t, "at first", app, closed)
	if n, s := len(came), len(secure); n != 4 || s != 4 {
		t.Errorf("the entrances were reached %d and %d times, want 4 and 4", n, s)
	}
	for _, from := range []<-chan netip.AddrPort{came, secure} {
		for range len(from) {
			if got := (<-from).Addr().Unmap().String(); got != address {
				t.Errorf("the caller is %s, want the container's %s", got, address)
			}
		}
	}
	command(t, "nft", "flush", "ruleset")
	m.expect(t, "with the ruleset flushed", app, closed)
	m.keep(t.Context())
	m.expect(t, "put back", app, open)
	m.expect(t, "put back", app, closed)

	// What is forged does not come in.
	a, v := m.firewall.admitted()[app], m.firewall.admitted()[other]
	server, err := net.ListenPacket("udp4", "0.0.0.0:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	received := func() bool { return arrives(server) }
	to := netip.MustParseAddr(publicAddress)
	m.forge(t, app, udp(a.MAC, bridgeMAC(m.id), a.Address, to))
	if !received() {
		t.Fatal("a datagram that is not forged does not arrive: the test would show nothing")
	}
	m.forge(t, app, udp(a.MAC, bridgeMAC(m.id), v.Address, to))
	m.forge(t, app, udp(v.MAC, bridgeMAC(m.id), v.Address, to))
	m.forge(t, app, udp(v.MAC, bridgeMAC(m.id), a.Address, to))
	m.forge(t, app, udp(a.MAC, bridgeMAC(m.id), netip.MustParseAddr("127.0.0.1"), to))
	if received() {
		t.Error("a forged datagram comes in by an entrance")
	}
}

func TestEntrance_AtLoopbackIsTheGateways(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{}, entrance("tcp", 80, "127.0.0.1:8080"), entrance("tcp", 443, publicAddress+":8443"))
	m.serve(t, "", "127.0.0.1:8080")
	m.serve(t, "", lanAddress+":8080") // another program's
	came := m.welcome(t, "", m.gateway().String()+":8080")
	m.serve(t, "", publicAddress+":8443")
	m.serve(t, "", lanAddress+":443") // another program's
	app, _ := m.container(t)
	gateway := m.gateway().String()
	m.expect(t, "", app, map[string]bool{
		publicAddress + ":80": true, lanAddress + ":80": true, gateway + ":80": true,
		publicAddress + ":443": true, gateway + ":443": true, lanAddress + ":443": false, lanAddress + ":8080": false,
	})
	if len(came) != 3 {
		t.Errorf("%d callers at the gateway, want 3", len(came))
	}
}
