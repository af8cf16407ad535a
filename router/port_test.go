package router

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/berthd/berth/router/peer"
)

// loopback are Sockets that remember what is open.
type loopback struct {
	mu     sync.Mutex
	open   map[int]bool // false once forgotten
	listen func(port int) (net.Listener, error)
}

func newLoopback() *loopback {
	return &loopback{open: map[int]bool{}, listen: func(port int) (net.Listener, error) {
		return net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	}}
}

func (l *loopback) Listen(port int) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln, err := l.listen(port)
	if err == nil {
		l.open[port] = true
	}
	return ln, err
}

func (l *loopback) Forget(port int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[port] = false
}

func (l *loopback) has(port int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[port]
}

func freePort(t testing.TB) int {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// tcpApp is a backend that treats each connection to any port of it by serve.
func tcpApp(t testing.TB, id string, serve func(*net.TCPConn)) Backend {
	t.Helper()
	b := backendAt(id, connections(t, serve))
	b.DialPort = func(ctx context.Context, _ int) (net.Conn, error) { return b.Dial(ctx) }
	return b
}

// named answers each line with the name and the line.
func named(name string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			fmt.Fprintf(c, "%s %s\n", name, lines.Text())
		}
	}
}

// line is a client of a port.
type line struct {
	net.Conn
	in *bufio.Reader
}

func dialPort(t testing.TB, port int) *line {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	return newLine(t, c)
}

func newLine(t testing.TB, c net.Conn) *line {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &line{c, bufio.NewReader(c)}
}

// askOnce asks on a connection of its own, which may be reset at any time.
func askOnce(port int) (string, error) {
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	return (&line{c, bufio.NewReader(c)}).ask("a")
}

func (l *line) says(t testing.TB, text, want string) {
	t.Helper()
	if got, err := l.ask(text); got != want || err != nil {
		t.Fatalf("%q is answered by %q, %v; want %q", text, got, err, want)
	}
}

func (l *line) ask(text string) (string, error) {
	if _, err := io.WriteString(l, text+"\n"); err != nil {
		return "", err
	}
	got, err := l.in.ReadString('\n')
	return strings.TrimSuffix(got, "\n"), err
}

func TestPort_HalfClosesBothWays(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	heard := make(chan string, 1)
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", func(c *net.TCPConn) {
		all, err := io.ReadAll(c) // until the client has closed its half
		heard <- fmt.Sprint(len(all), err)
		io.Copy(c, strings.NewReader(strings.Repeat("y", 3<<20)))
	})}})
	c := dialPort(t, port)
	go func() {
		io.Copy(c, strings.NewReader(strings.Repeat("x", 5<<20)))
		c.Conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if len(got) != 3<<20 || err != nil {
		t.Errorf("the client got %d bytes, %v; want %d", len(got), err, 3<<20)
	}
	if got, want := <-heard, fmt.Sprint(5<<20, nil); got != want {
		t.Errorf("the app got %s, want %s", got, want)
	}
	s.stop()
	stats, _ := s.Stats("shop")
	if stats.Connections != 1 || stats.Open != 0 || stats.BytesIn != 5<<20 || stats.BytesOut != 3<<20 || stats.Requests != 0 {
		t.Errorf("got %+v", stats)
	}
}

func TestPort_SwapLeadsNewOnesOnAndCutsOldOnesAfterTheirGrace(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	rt := Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", named("old"))}}
	set(t, s, rt)
	old := dialPort(t, port)
	old.says(t, "a", "old a")
	rt.Backends = []Backend{tcpApp(t, "2", named("new"))}
	d, err := s.Swap(rt)
	if err != nil {
		t.Fatal(err)
	}
	dialPort(t, port).says(t, "b", "new b")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if cut := d.Wait(short, 0, time.Minute); cut != 0 { // the time of requests is not for it
		t.Errorf("%d were cut before their grace", cut)
	}
	old.says(t, "c", "old c")
	if cut := d.Wait(t.Context(), 0, 20*time.Millisecond); cut != 1 {
		t.Errorf("%d were cut after their grace, want 1", cut)
	}
	if got, err := io.ReadAll(old); err == nil {
		t.Errorf("what was cut ended as if it were whole: %q", got)
	}
}

func TestPort_SwapsUnderLoadLoseNoLine(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	rt := Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "0", named("app"))}}
	set(t, s, rt)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var lines atomic.Int64
	busy := make(chan struct{}, 1)
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
				if err != nil {
					t.Error(err)
					return
				}
				l := &line{c, bufio.NewReader(c)}
				for n := range 3 {
					if got, err := l.ask(strconv.Itoa(n)); got != "app "+strconv.Itoa(n) || err != nil {
						t.Errorf("got %q, %v", got, err)
					}
				}
				c.Close()
				lines.Add(3)
				select {
				case busy <- struct{}{}:
				default:
				}
			}
		})
	}
	for n := range 30 {
		<-busy
		rt.Backends = []Backend{tcpApp(t, strconv.Itoa(n+1), named("app"))}
		d, err := s.Swap(rt)
		if err != nil {
			t.Fatal(err)
		}
		if cut := d.Wait(t.Context(), time.Minute, time.Minute); cut != 0 {
			t.Errorf("swap %d cut %d", n, cut)
		}
	}
	cancel()
	clients.Wait()
}

func TestPort_TriesAnotherBackendAndRestsTheOneThatRefuses(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	var refused atomic.Int64
	dead := backendAt("dead", "127.0.0.1:1")
	dead.DialPort = func(context.Context, int) (net.Conn, error) { refused.Add(1); return nil, syscall.ECONNREFUSED }
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{dead, tcpApp(t, "1", named("alive"))}})
	for range 6 {
		dialPort(t, port).says(t, "a", "alive a")
	}
	if n := refused.Load(); n > 2 { // once, and perhaps again after its rest
		t.Errorf("the dead one was asked %d times", n)
	}
	for _, b := range s.table.Load().routes.get("shop").backends {
		if !b.health.ok(time.Now()) {
			t.Error("a refused port took the backend from the requests too")
		}
	}
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{dead}})
	if got, err := askOnce(port); err == nil {
		t.Errorf("nobody answers, and the client got %q", got)
	}
}

func TestPort_BalancesAsTheRouteSays(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	rt := Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}}
	for _, name := range []string{"1", "2", "3"} {
		rt.Backends = append(rt.Backends, tcpApp(t, name, named(name)))
	}
	for n, balance := range []Balance{RoundRobin, LeastConnections, Sticky} {
		want := []int{3, 3, 1}[n]
		rt.Options.Balance = balance
		set(t, s, rt)
		seen := map[string]bool{}
		for range 3 {
			got, err := dialPort(t, port).ask("") // and stays
			if err != nil {
				t.Fatal(err)
			}
			seen[got] = true
		}
		if len(seen) != want {
			t.Errorf("%s: %d backends got 3 connections of one address, want %d", balance, len(seen), want)
		}
	}
}

func TestPort_TLSEndsHere(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	set(t, s, Route{Name: "blog", Hosts: []string{"blog.localhost"}, Backends: []Backend{app(t, "1", says("blog"))}})
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost", "*.shop.test"}, Ports: []Port{{port, 143, true}}, Backends: []Backend{tcpApp(t, "1", named("shop"))}})
	dial := func(name string, protocols ...string) (*tls.Conn, error) {
		return tls.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port), &tls.Config{RootCAs: s.roots(), ServerName: name, NextProtos: protocols})
	}
	for _, name := range []string{"shop.localhost", "www.shop.test", "127.0.0.1"} {
		c, err := dial(name, "imap")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		newLine(t, c).says(t, "a", "shop a")
		if got := c.ConnectionState().NegotiatedProtocol; got != "imap" {
			t.Errorf("the client's only protocol is answered by %q", got)
		}
	}
	// Another app's certificate is not for this port.
	if c, err := dial("blog.localhost"); err == nil {
		c.Close()
		t.Error("the port has the certificate of another route's host")
	}
	c, err := dial("shop.localhost", "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != "" {
		t.Errorf("%s was promised in the app's name", got)
	}
	// Half a close is half a close with TLS too.
	l := newLine(t, c)
	io.WriteString(l, "last\n")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(l.in); string(got) != "shop last\n" || err != nil {
		t.Errorf("after half a close: got %q, %v", got, err)
	}
}

func TestPort_ThatBreaksOffDoesNotLookWhole(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	heard := make(chan error, 1)
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", func(c *net.TCPConn) {
		if line, _ := bufio.NewReader(c).ReadString('\n'); line == "break\n" {
			io.WriteString(c, "half")
			c.SetLinger(0)
			return
		}
		io.WriteString(c, "ready\n")
		_, err := io.ReadAll(c)
		heard <- err
	})}})
	c := dialPort(t, port)
	io.WriteString(c, "break\n")
	if got, err := io.ReadAll(c); err == nil {
		t.Errorf("the app broke off, and the client got %q as if it were all", got)
	}
	c = dialPort(t, port)
	c.says(t, "", "ready")
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
	if err := <-heard; err == nil {
		t.Error("the client broke off, and the app took it for the end")
	}
}

func TestPort_TakenIsSaidAndTriedAgain(t *testing.T) {
	sockets := newLoopback()
	s := start(t, Config{Sockets: sockets, portRetry: time.Millisecond})
	other := listen(t)
	port := other.Addr().(*net.TCPAddr).Port
	if _, err := s.OpenPort(port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port of another program: got %v", err)
	}
	if s.PortError(port) == nil || len(s.ports.open) != 0 {
		t.Error("something was half made")
	}
	rt := Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", named("shop"))}}
	set(t, s, rt) // as at a boot: no failure
	if err := s.PortError(port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	taken := Route{Name: "blog", Ports: []Port{{Number: port, To: 8}}}
	if _, err := s.Swap(taken); !isTaken(err, port, "shop") {
		t.Errorf("a port of another route: got %v", err)
	}
	other.Close()
	deadline := time.Now().Add(time.Minute)
	for s.PortError(port) != nil {
		if time.Now().After(deadline) {
			t.Fatal(s.PortError(port))
		}
		time.Sleep(time.Millisecond)
	}
	c := dialPort(t, port)
	c.says(t, "a", "shop a")
	// It closes with its route, for those inside too, and is free for another.
	rt.Ports = nil
	set(t, s, rt)
	if sockets.has(port) {
		t.Error("the port is not forgotten")
	}
	if _, err := c.ask("b"); err == nil {
		t.Error("a connection outlived its port")
	}
	set(t, s, taken)
}

func isTaken(err error, port int, by string) bool {
	taken, ok := errors.AsType[*PortTakenError](err)
	return ok && taken.Port == port && taken.By == by
}

func TestOpenPort_KeepsItUntilARouteHasIt(t *testing.T) {
	sockets := newLoopback()
	s := start(t, Config{Sockets: sockets})
	port := freePort(t)
	release, err := s.OpenPort(port)
	if err != nil {
		t.Fatal(err)
	}
	c := dialPort(t, port) // waits
	set(t, s, Route{Name: "blog"})
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", named("shop"))}})
	release()
	release()
	c.says(t, "a", "shop a")
	free := freePort(t)
	if release, err = s.OpenPort(free); err != nil {
		t.Fatal(err)
	}
	release()
	if sockets.has(free) || !sockets.has(port) {
		t.Error("what nobody took stays open, or what somebody has does not")
	}
}

func TestPort_PauseHoldsAndMaintenanceCloses(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	rt := Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", named("old"))}}
	set(t, s, rt)
	if err := s.Pause("shop", Pause{Requests: 1, For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	c := dialPort(t, port)
	for s.table.Load().routes.get("shop").held.Load().streams.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if got, err := askOnce(port); err == nil {
		t.Errorf("one too many is answered %q", got)
	}
	rt.Backends = nil
	set(t, s, rt)
	rt.Backends = []Backend{tcpApp(t, "2", named("new"))}
	set(t, s, rt)
	s.Resume("shop")
	c.says(t, "a", "new a")

	rt.Options.Maintenance = true
	set(t, s, rt)
	if got, err := askOnce(port); err == nil {
		t.Errorf("under maintenance a client got %q", got)
	}
	c.says(t, "b", "new b") // who is inside finishes
}

func TestPort_LimitsAddressesAsTheRouteSays(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	s.SetPeers(peer.Policy{MaxConnections: 3})
	port := freePort(t)
	rt := Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Options: Options{InFlight: 2}, Backends: []Backend{tcpApp(t, "1", named("shop"))}}
	set(t, s, rt)
	one, two := dialPort(t, port), dialPort(t, port)
	one.says(t, "a", "shop a")
	two.says(t, "a", "shop a")
	if _, err := askOnce(port); err == nil {
		t.Error("three connections of an address came in where two may")
	}
	rt.Options = Options{}
	set(t, s, rt)
	third := dialPort(t, port)
	for range 500 { // the one that was refused may still be counted
		if got, err := third.ask("a"); err == nil && got == "shop a" {
			break
		}
		time.Sleep(10 * time.Millisecond)
		third = dialPort(t, port)
	}
	third.says(t, "a", "shop a")
	if _, err := askOnce(port); err == nil {
		t.Error("the machine's own limit was passed")
	}
	rt.Options = Options{Rate: 0.001, Burst: 1}
	s.SetPeers(peer.Policy{})
	set(t, s, rt)
	dialPort(t, port).says(t, "a", "shop a")
	if _, err := askOnce(port); err == nil {
		t.Error("the rate was not kept")
	}
}

func TestPort_StopFinishesWhatIsSaidAndNothingElse(t *testing.T) {
	sockets := newLoopback()
	s := start(t, Config{Sockets: sockets})
	port := freePort(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", func(c *net.TCPConn) {
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			if lines.Text() == "slow" {
				close(asked)
				<-answer
			}
			io.WriteString(c, lines.Text()+"\n")
		}
	})}})
	idle, busy := dialPort(t, port), dialPort(t, port)
	idle.says(t, "a", "a")
	busy.says(t, "a", "a")
	time.Sleep(5 * time.Millisecond) // or the kernel's clock does not tell answer and question apart
	io.WriteString(busy, "slow\n")
	<-asked
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	if _, err := io.ReadAll(idle); err == nil {
		t.Error("an idle connection was closed as if the app had")
	}
	close(answer)
	if got, err := busy.in.ReadString('\n'); got != "slow\n" || err != nil {
		t.Errorf("the answer under way: got %q, %v", got, err)
	}
	<-stopped
	if !sockets.has(port) {
		t.Error("the port was forgotten; its socket is to outlive a restart")
	}
}

func TestPort_ManyComeAndGo(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	rt := Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", named("shop"))}}
	set(t, s, rt)
	var all sync.WaitGroup
	arrived, leave := make(chan struct{}, 1000), make(chan struct{})
	for range 1000 {
		all.Go(func() {
			c := dialPort(t, port)
			got, err := c.ask("a")
			if got != "shop a" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			arrived <- struct{}{}
			<-leave
			c.Close()
		})
	}
	for range 1000 {
		<-arrived
	}
	if stats, _ := s.Stats("shop"); stats.Open != 1000 {
		t.Errorf("%d are open, want 1000", stats.Open)
	}
	close(leave)
	all.Wait()
	// Ports come and go at the same time as others.
	for n := range 8 {
		all.Go(func() {
			mine := freePort(t)
			own := Route{Name: "app" + strconv.Itoa(n), Backends: []Backend{tcpApp(t, "1", named("own"))}}
			for range 20 {
				own.Ports = []Port{{Number: mine, To: 7}}
				if _, err := s.Swap(own); err != nil {
					t.Error(err)
				}
				if s.PortError(mine) == nil { // else another test program of this machine has it
					if got, err := dialPort(t, mine).ask("a"); got != "own a" || err != nil {
						t.Errorf("got %q, %v", got, err)
					}
				}
				s.Remove(own.Name)
			}
		})
	}
	all.Wait()
}

func TestPort_ClientThatStaysAfterItsAppLosesItsPlace(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback(), halfClosed: 100 * time.Millisecond})
	port := freePort(t)
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", func(c *net.TCPConn) {
		io.WriteString(c, "bye")
		c.Close()
	})}})
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if text, err := io.ReadAll(c); err != nil || string(text) != "bye" {
		t.Fatalf("got %q, %v", text, err)
	}
	for {
		if st, _ := s.Stats("shop"); st.Open == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPort_ClientsThatLeftTakeNoPlaceOfRequestsInAPause(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", named("shop"))}}
	set(t, s, rt)
	if err := s.Pause("shop", Pause{Requests: 1, For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			c.Close()
		}
	}
	answered := make(chan string)
	go func() {
		_, body := get(t, s.client(t), "https://shop.localhost/")
		answered <- body
	}()
	held(t, s, "shop", 1)
	set(t, s, Route{Name: "shop", Hosts: rt.Hosts, Backends: []Backend{app(t, "2", says("held"))}})
	s.Resume("shop")
	if body := <-answered; body != "held" {
		t.Errorf("got %q", body)
	}
}

// An app that closes while its client still talks resets the connection.
func TestPort_LastWordsBeforeAResetArrive(t *testing.T) {
	s := start(t, Config{Sockets: newLoopback()})
	port := freePort(t)
	set(t, s, Route{Name: "shop", Ports: []Port{{Number: port, To: 7}}, Backends: []Backend{tcpApp(t, "1", func(c *net.TCPConn) {
		c.Read(make([]byte, 1))
		io.WriteString(c, "too much")
		c.Close()
	})}})
	lost := 0
	for range 100 {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
		if text, _ := io.ReadAll(c); string(text) != "too much" {
			lost++
		}
		c.Close()
	}
	if lost > 0 {
		t.Errorf("%d of 100 clients were not told", lost)
	}
}
