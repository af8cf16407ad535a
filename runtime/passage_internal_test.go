package runtime

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ownedBy is a container of an owner's, with the note that an app's has.
func (m machine) ownedBy(t *testing.T, owner int) (id string, p port) {
	t.Helper()
	m.owner = owner
	id, _ = m.container(t)
	dir := filepath.Join(m.cfg.State, "e", id)
	data, err := json.Marshal(note{UID: owner})
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, noteFile), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id, m.firewall.admitted()[id]
}

func TestPassage_OpensOnePortForOneOwner(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	m := buildMachineBy(t, append(v6World, v4World...), Config{}, lanResolver)
	const shop, api, other = 70001, 70002, 70003
	caller, c := m.ownedBy(t, shop)
	reached, r := m.ownedBy(t, api)
	stranger, _ := m.ownedBy(t, other)
	for _, at := range []string{"0.0.0.0:5000", "0.0.0.0:5001", "[::]:5000"} {
		if strings.HasPrefix(at, "[") {
			at = "[" + r.Address6.String() + "]:5000"
		} else {
			at = strings.Replace(at, "0.0.0.0", r.Address.String(), 1)
		}
		m.serve(t, m.path(reached), at)
	}
	m.serve(t, m.path(caller), c.Address.String()+":5000")
	at, at6 := r.Address.String()+":5000", "["+r.Address6.String()+"]:5000"
	want := func(open bool) map[string]bool {
		return map[string]bool{at: open, at6: open, r.Address.String() + ":5001": false}
	}
	closed := func(when string) {
		t.Helper()
		m.expect(t, when+", a stranger", stranger, want(false))
		m.expect(t, when+", the way back", reached, map[string]bool{c.Address.String() + ":5000": false})
	}
	m.expect(t, "at first", caller, want(false))
	closed("at first")

	set := func(list ...Passage) {
		t.Helper()
		if err := m.setPassages(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	passage := Passage{From: shop, To: reached, Port: 5000}
	set(passage)
	m.expect(t, "opened", caller, want(true))
	closed("opened")
	late, _ := m.ownedBy(t, shop)
	m.expect(t, "a later container of the owner", late, want(true))
	if m.reaches(t, late, c.Address.String()+":5000") {
		t.Error("two containers of one owner reach each other without a passage")
	}

	// The host's rules away, the walls keep the others out.
	command(t, "nft", "flush", "ruleset")
	m.expect(t, "with the ruleset flushed, a stranger", stranger, want(false))
	m.keep(t.Context())
	m.expect(t, "put back", caller, want(true))
	closed("put back")

	// Another life has them from its start.
	again, err := openNetwork(t.Context(), m.cfg, m.id, m.network.log)
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	m.network = again
	m.expect(t, "in the next life", caller, want(true))
	closed("in the next life")

	// A connection is cut when the passage is closed.
	conn := m.connect(t, caller, at)
	set()
	m.expect(t, "closed", caller, want(false))
	if rules := m.rulesOf(t, caller); strings.Contains(rules, r.Address.String()) {
		t.Errorf("the caller's wall still has the address:\n%s", rules)
	}
	conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
	conn.Write([]byte("still here?\n"))
	if n, err := conn.Read(make([]byte, 10)); err == nil {
		t.Errorf("%d bytes come by a connection whose passage is closed", n)
	}

	// A container that goes leaves no way to its address.
	set(passage)
	if err := m.drop(t.Context(), reached); err != nil {
		t.Fatal(err)
	}
	if rules := command(t, "nft", "list", "table", "inet", m.firewall.table); strings.Contains(rules, r.Address.String()+" ") || strings.Contains(rules, r.Address6.String()) {
		t.Errorf("ways are left to a container that is gone:\n%s", rules)
	}
	m.keep(t.Context())
	if rules := m.rulesOf(t, caller); strings.Contains(rules, r.Address.String()) {
		t.Errorf("the caller's wall still has the address of a container that is gone:\n%s", rules)
	}
}

// connect is a connection from a container to what echoes in another.
func (m machine) connect(t *testing.T, id, to string) net.Conn {
	t.Helper()
	ns, err := os.Open(m.path(id))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	host, _, _ := net.SplitHostPort(to)
	var echo net.Listener
	for other, p := range m.firewall.admitted() {
		if p.Address.String() == host {
			m.inside(t, other, func() error { echo, err = net.Listen("tcp", host+":5002"); return err })
			passages := append(m.firewall.passages, Passage{From: 70001, To: other, Port: 5002})
			if err := m.setPassages(t.Context(), passages); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { echo.Close() })
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				data := make([]byte, 100)
				for {
					n, err := conn.Read(data)
					if err != nil {
						return
					}
					conn.Write(data[:n])
				}
			}()
		}
	}()
	conn, err := m.dial(t.Context(), ns, netip.MustParseAddrPort(host+":5002"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 10)); n != 5 || err != nil {
		t.Fatalf("the echo is %d bytes, %v", n, err)
	}
	return conn
}

// An app may have many instances, and consent to itself at many ports: what comes
// of that is written again whenever any container starts.
func TestFindWays_AreBoundedForEachOwner(t *testing.T) {
	f := &firewall{ports: map[string]port{}, owners: map[string]int{}}
	for i := range 100 {
		id := fmt.Sprint("c", i)
		f.owners[id] = 1 + i%2
		f.ports[id] = port{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Address6: netip.AddrFrom16([16]byte{0xfd, 15: byte(i)})}
	}
	for i := range 100 {
		f.passages = append(f.passages, Passage{From: 1, To: fmt.Sprint("c", i), Port: 80}, Passage{From: 1, To: fmt.Sprint("c", i), Port: 81})
	}
	f.passages = append(f.passages, Passage{From: 2, To: "c0", Port: 80})
	ways := f.findWays()
	if n := len(ways); n != maxWays+2*50 {
		t.Errorf("%d ways, want %d of the one and all of the other", n, maxWays)
	}
	if !slices.Equal(ways, f.findWays()) {
		t.Error("others are left out the second time")
	}
}
