package runtime

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// echoes answers every datagram and connection with a word, until ctx ends.
func echoes(word string) func(context.Context, []net.PacketConn, []net.Listener) error {
	return func(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
		for _, p := range packets {
			go func() {
				data := make([]byte, 100)
				for {
					_, from, err := p.ReadFrom(data)
					if err != nil {
						return
					}
					host, _, _ := net.SplitHostPort(from.String())
					p.WriteTo([]byte(word+" "+host), from)
				}
			}()
		}
		for _, l := range listeners {
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Write([]byte(word))
					conn.Close()
				}
			}()
		}
		<-ctx.Done()
		for _, p := range packets {
			p.Close()
		}
		for _, l := range listeners {
			l.Close()
		}
		return nil
	}
}

// asks sends a datagram from a container and returns what is answered.
func (m machine) asks(t *testing.T, id, to string) string {
	t.Helper()
	var conn net.Conn
	m.inside(t, id, func() (err error) { conn, err = net.Dial("udp", to); return err })
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
	conn.Write([]byte("?"))
	data := make([]byte, 100)
	n, err := conn.Read(data)
	if err != nil {
		return ""
	}
	return string(data[:n])
}

func TestServeNames_AnswersInThePlaceOfTheResolversWhileItLives(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachineBy(t, append(v6World, v4World...), Config{}, lanResolver)
	e := &Network{net: m.network}
	m.owner = 70001
	app, address := m.container(t)
	p := m.firewall.admitted()[app]
	if got := e.OwnerOf(netip.MustParseAddr(address)); got != 70001 {
		t.Errorf("the address is %d's, want 70001's", got)
	}
	if got := e.OwnerOf(p.Address6); got != 70001 {
		t.Errorf("the IPv6 address is %d's, want 70001's", got)
	}
	if got := e.AddressesOf(app); len(got) != 2 || got[0] != p.Address || got[1] != p.Address6 {
		t.Errorf("the container is at %v, want %v and %v", got, p.Address, p.Address6)
	}
	world, err := os.Open("/run/netns/world")
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	var resolver net.PacketConn
	if err := m.within(world, func() (err error) { resolver, err = net.ListenPacket("udp", lanResolver+":53"); return err }); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go echoes("resolver")(ctx, []net.PacketConn{resolver}, nil)
	at := lanResolver + ":53"
	if got := m.asks(t, app, at); got != "resolver "+publicAddress && got != "resolver "+lanAddress {
		t.Fatalf("before names are served: %q", got)
	}

	serving, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	from, err := os.Open(m.path(app))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	go func() {
		for serving.Err() == nil { // as ServeNames does
			if err := m.serveNames(serving, echoes("names"), from, probeEcho); err != nil && serving.Err() == nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	eventually(t, "names are served to the container by its own address", func() bool { return m.asks(t, app, at) == "names "+address })
	if !m.reaches(t, app, at) {
		t.Error("names are not served by TCP")
	}
	table := m.firewall.table + "_names"
	command(t, "nft", "flush", "ruleset")
	m.keep(t.Context())
	eventually(t, "names after the ruleset was flushed", func() bool { return m.asks(t, app, at) == "names "+address })

	// The port itself is open to nobody who did not ask a resolver.
	rules := command(t, "nft", "list", "table", "inet", table)
	_, port, _ := strings.Cut(rules, "redirect to :")
	port, _, _ = strings.Cut(port, "\n")
	m.expect(t, "the port itself", app, map[string]bool{m.gateway().String() + ":" + port: false})

	// Other resolvers are followed.
	target, err := os.Readlink("/etc/resolv.conf")
	if err != nil {
		target = "/etc/resolv.conf"
	} else if !strings.HasPrefix(target, "/") {
		target = "/etc/" + target
	}
	if err := os.WriteFile(target, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.keep(t.Context())
	if resolv, err := os.ReadFile(m.resolvConf()); err != nil || !strings.Contains(string(resolv), "nameserver "+m.gateway().String()) {
		t.Errorf("with a resolver at loopback alone, containers' resolv.conf is %q, %v", resolv, err)
	}
	eventually(t, "names at the gateway", func() bool { return m.asks(t, app, m.gateway().String()+":53") == "names "+address })
	if err := os.WriteFile(target, []byte("nameserver "+lanResolver+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.keep(t.Context())
	eventually(t, "names at the resolver again", func() bool { return m.asks(t, app, at) == "names "+address })

	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	eventually(t, "the resolver, when names are served no more", func() bool { return strings.HasPrefix(m.asks(t, app, at), "resolver ") })
	if tables := command(t, "nft", "list", "tables"); strings.Contains(tables, table) {
		t.Errorf("the table is left:\n%s", tables)
	}
}

// probeEcho asks whether it is ours that echoes.
func probeEcho(conn net.Conn) error {
	if _, err := conn.Write([]byte("?")); err != nil {
		return err
	}
	data := make([]byte, 100)
	n, err := conn.Read(data)
	if err == nil && !strings.HasPrefix(string(data[:n]), "names") {
		err = fmt.Errorf("%s answers", data[:n])
	}
	return err
}

// Where another firewall drops what comes to the machine from containers, they
// go on asking the machine's resolvers.
func TestServeNames_GivesWayToAnotherFirewall(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachine(t, LAN{})
	app, address := m.container(t)
	from, err := os.Open(m.path(app))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	command(t, "iptables", "-P", "INPUT", "DROP")
	probes := 0
	quick := func(conn net.Conn) error {
		probes++
		conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
		return probeEcho(conn)
	}
	if err := m.serveNames(t.Context(), echoes("names"), from, quick); err == nil || probes != namesTries {
		t.Errorf("behind a firewall that drops: %v after %d probes, want an error after %d", err, probes, namesTries)
	}
	if tables := command(t, "nft", "list", "tables"); strings.Contains(tables, "_names") {
		t.Errorf("the table is left:\n%s", tables)
	}
	command(t, "iptables", "-I", "INPUT", "-i", m.cfg.Bridge, "-j", "ACCEPT")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.serveNames(ctx, echoes("names"), from, quick) }()
	eventually(t, "names, with the firewall opened", func() bool { return m.asks(t, app, lanResolver+":53") == "names "+address })
	stop()
	<-ended
}

// A process that is killed takes its table along.
func TestHoldTable_GoesWithItsHolder(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	if os.Getenv("BERTH_TEST_HOLD") != "" {
		lines := []string{"add table inet held { flags owner ; }", "add chain inet held c { type nat hook prerouting priority dstnat ; }", "add rule inet held c udp dport 53 redirect to :5353"}
		if _, err := holdTable(t.Context(), "held", lines); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("held\n")
		time.Sleep(time.Minute)
	}
	holder := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	holder.Env = append(os.Environ(), "BERTH_TEST_HOLD=1")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 10)); n == 0 {
		t.Fatalf("the table is not made: %v", err)
	}
	if tables := command(t, "nft", "list", "tables"); !strings.Contains(tables, "held") {
		t.Errorf("the table is not there:\n%s", tables)
	}
	holder.Process.Kill()
	holder.Wait()
	eventually(t, "the table's end", func() bool { return !strings.Contains(command(t, "nft", "list", "tables"), "held") })

	if _, err := holdTable(t.Context(), "held", []string{"add table inet held { flags nonsense ; }"}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("what nft refuses: got %v, want its words", err)
	}
}
