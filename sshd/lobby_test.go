package sshd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/store"
)

func (d *door) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+d.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

func TestLobby_SilentConnectionIsClosedAtTheDeadline(t *testing.T) {
	d := openDoor(t, Config{Handshake: 200 * time.Millisecond})
	start := time.Now()
	conn := d.dial(t)
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("not closed: %v", err)
	}
	if took := time.Since(start); took < 200*time.Millisecond || took > 3*time.Second {
		t.Errorf("closed after %v", took)
	}
	// One that speaks, slowly, does not get longer.
	conn = d.dial(t)
	start = time.Now()
	go func() {
		for range 100 {
			if _, err := conn.Write([]byte("SSH-2.0-x"[:1])); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) // the slowness is what is tested
		}
	}()
	io.ReadAll(conn)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("a slow talker was closed after %v", took)
	}
}

func TestLobby_TooManyStrangersAreTurnedAwayAndFriendsGetInAgain(t *testing.T) {
	d := openDoor(t, Config{PerAddress: 3})
	d.runs(func(context.Context, Request) int { return 0 })
	c := d.client(t, "alice", store.RoleAdmin)
	var waiting []net.Conn
	for range 3 {
		conn := d.dial(t)
		if _, err := conn.Read(make([]byte, 4)); err != nil {
			t.Fatalf("within the cap: %v", err)
		}
		waiting = append(waiting, conn)
	}
	if text, err := io.ReadAll(d.dial(t)); len(text) > 0 {
		t.Errorf("the fourth got %q, %v", text, err)
	}
	wantText(t, d.log.String(), "too many are waiting")
	for _, conn := range waiting {
		conn.Close()
	}
	// More sessions, one after the other, than the cap: none may stay counted.
	for i := range 6 {
		var err error
		for range 50 { // until the server has noticed the closed ones
			if err = c.ssh(nil, "version").Run(); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("session %d: %v", i, err)
		}
	}
}

func TestLobby_GarbageIsClosedAtOnceAndDoesNotFloodTheLog(t *testing.T) {
	d := openDoor(t, Config{})
	for _, garbage := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00", "\x00\x00\x00\x00", "SSX"} {
		conn := d.dial(t)
		start := time.Now()
		conn.Write([]byte(garbage))
		io.ReadAll(conn)
		if took := time.Since(start); took > time.Second {
			t.Errorf("%q: closed after %v", garbage, took)
		}
	}
	for range 40 {
		conn := d.dial(t)
		conn.Write([]byte("\xff\xfe\xfd\xfc"))
		io.ReadAll(conn)
	}
	if lines := strings.Count(d.log.String(), "handshake failed"); lines == 0 || lines > lobbyLines {
		t.Errorf("%d lines in the log, want some and at most %d:\n%s", lines, lobbyLines, d.log.String())
	}
}

// A health check, a port scanner, install.sh's own ssh-keyscan: none of them
// failed at anything.
func TestLobby_ClientsThatHangUpAreNotLogged(t *testing.T) {
	var d *door
	t.Cleanup(func() { // once the server has ended, and with it every connection
		log := d.log.String()
		if strings.Count(log, "handshake failed") != 1 || strings.Contains(log, "level=WARN") {
			t.Errorf("got %s\nwant one handshake that failed, of the client that speaks HTTP, and no warning", log)
		}
	})
	d = openDoor(t, Config{})
	for _, leave := range []func(net.Conn){
		func(net.Conn) {},
		func(c net.Conn) { c.Write([]byte("SSH-2.0-scan\r\n")) },
		func(c net.Conn) { c.Write([]byte("SSH-2.0-scan\r\n")); c.(*net.TCPConn).SetLinger(0) }, // a reset
		func(c net.Conn) { c.Write([]byte("GET / HTTP/1.0\r\n\r\n")) },
	} {
		c := d.dial(t)
		c.Read(make([]byte, 4)) // the server's greeting: it serves the connection
		leave(c)
		c.Close()
	}
	out, err := exec.Command("ssh-keyscan", "-p", d.port, "-t", "ed25519", "127.0.0.1").Output()
	if err != nil || !strings.Contains(string(out), "ssh-ed25519") {
		t.Fatalf("ssh-keyscan: %v, %q", err, out)
	}
}

func TestOrigin_IPv6CountsByNetwork(t *testing.T) {
	addr := func(s string) net.Addr { a, _ := net.ResolveTCPAddr("tcp", s); return a }
	if origin(addr("[2001:db8::1]:1")) != origin(addr("[2001:db8::2:3]:4")) {
		t.Error("two addresses of one /64 count apart")
	}
	if origin(addr("192.0.2.1:1")) == origin(addr("192.0.2.2:1")) {
		t.Error("two IPv4 addresses count as one")
	}
	if origin(addr("[::ffff:192.0.2.1]:1")) != origin(addr("192.0.2.1:2")) {
		t.Error("a mapped address counts apart")
	}
}

// crowd is a lobby with strangers in it, in simulated time.
type crowd struct {
	*lobby
	t      *testing.T
	closed map[string]int // by address
}

func newCrowd(t *testing.T, random float64) *crowd {
	l := newLobby(Config{}.withDefaults(), slog.New(slog.DiscardHandler))
	l.random = func() float64 { return random }
	return &crowd{l, t, map[string]int{}}
}

func (c *crowd) come(ip string) (*place, bool) {
	addr := &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}
	return c.enter(addr, func() { c.closed[ip]++ })
}

// fill brings n connections from each of so many addresses.
func (c *crowd) fill(addresses, n int) (taken int) {
	for range n {
		for i := range addresses {
			if _, ok := c.come(fmt.Sprintf("198.51.100.%d", i+1)); ok {
				taken++
			}
		}
	}
	return taken
}

func TestLobby_TenAddressesWithIdleConnectionsLockNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(20) {
			c := newCrowd(t, 0)
			c.random = rand.New(rand.NewPCG(seed, seed)).Float64
			c.fill(10, 100) // they come again and again
			for i := range 20 {
				// Each has a second, while the ten go on.
				mine, ok := c.come(fmt.Sprintf("203.0.113.%d", i))
				if !ok {
					t.Fatalf("seed %d: friend %d was turned away", seed, i)
				}
				c.fill(10, 5)
				if mine.left {
					t.Fatalf("seed %d: friend %d was pushed out", seed, i)
				}
				time.Sleep(time.Second)
				c.proven(mine)
			}
			if c.total > DefaultStrangers || c.unknown > c.seats() {
				t.Errorf("%d are in, %d of them strangers", c.total, c.unknown)
			}
		}
	})
}

func TestLobby_OneWhoHasProvenAKeyBeforeGetsInWhateverStrangersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 0.999)
		mine, _ := c.come("203.0.113.1")
		c.proven(mine)
		if taken := c.fill(250, 2); taken < c.seats() {
			t.Fatalf("%d strangers got in: this test shows nothing", taken)
		}
		var places []*place
		for range DefaultPerAddress {
			p, ok := c.come("203.0.113.1")
			if !ok {
				t.Fatal("turned away")
			}
			places = append(places, p)
		}
		c.fill(250, 10)
		if slices.ContainsFunc(places, func(p *place) bool { return p.left }) {
			t.Error("pushed out")
		}
		if _, ok := c.come("203.0.113.1"); ok {
			t.Error("more than its share")
		}
		for _, p := range places {
			c.leave(p)
			c.leave(p) // as it is closed twice
		}
		time.Sleep(friendship)
		if p, _ := c.come("203.0.113.1"); p.friend {
			t.Error("a friend after a month")
		}
	})
}

func TestLobby_UnderPressureStrangersGetLessTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 0.999)
		first, _ := c.come("203.0.113.1")
		time.Sleep(DefaultHandshake / 2)
		if _, ok := c.come("203.0.113.2"); !ok || first.left {
			t.Error("less time with places free")
		}
		c.fill(250, 1)
		time.Sleep(time.Second)
		c.come("203.0.113.3")
		if !first.left || c.closed["203.0.113.1"] != 1 {
			t.Error("10 s of silence, and others wait")
		}
		time.Sleep(DefaultHandshake / 4)
		if _, ok := c.come("203.0.113.4"); !ok {
			t.Error("the silent 75 keep their places")
		}
	})
}

func TestLobby_AFewAreNeverTurnedAwayByChance(t *testing.T) {
	c := newCrowd(t, 0) // always
	if got := c.fill(7, 1); got != 7 {
		t.Errorf("%d of 7 got in", got)
	}
}

func TestLobby_CountsWhatItHolds(t *testing.T) {
	c := newCrowd(t, 0.999)
	var in []*place
	for i := range 200 {
		if p, ok := c.come(fmt.Sprintf("198.51.100.%d", i)); ok {
			in = append(in, p)
		}
	}
	for i, p := range in {
		if i%2 == 0 {
			c.proven(p)
		}
		c.leave(p)
	}
	if c.total != 0 || c.unknown != 0 || len(c.waiting) != 0 {
		t.Errorf("left: %d, %d strangers, %v", c.total, c.unknown, c.waiting)
	}
}
