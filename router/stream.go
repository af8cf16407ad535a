package router

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/router/peer"
)

// quietAfter is how long nobody has spoken on a stream that is between two
// exchanges.
const quietAfter = 500 * time.Millisecond

// defaultHalfClosed is how long a client may be silent whose app has closed the
// connection: what it still has to say should be under way.
const defaultHalfClosed = 30 * time.Second

// stream is one connection of a port on its way through the router.
type stream struct {
	router   *Router
	entrance *entrance
	client   net.Conn
	from     netip.Addr
	address  address         // what from counts as
	ctx      context.Context // ends with cut
	cancel   context.CancelFunc

	route   *route // as it was found
	backend *backend
	tried   []*backend

	mu   sync.Mutex // guards what follows
	app  net.Conn   // nil until a backend has answered
	over bool
	lost bool // it was cut
}

type streamCounters struct {
	begun atomic.Uint64
	open  atomic.Int64
}

func newStream(r *Router, e *entrance, client net.Conn) *stream {
	s := &stream{router: r, entrance: e, client: client}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if at, err := netip.ParseAddrPort(client.RemoteAddr().String()); err == nil {
		s.from, s.address = at.Addr(), address(peer.Group(at.Addr()))
	}
	return s
}

// serve leads the client to a backend and passes on what both say.
func (s *stream) serve() {
	whole := false
	defer func() { s.end(whole) }()
	to, ok := s.router.table.Load().ports[s.entrance.number]
	if !ok {
		return
	}
	s.route = to.route
	leave, ok := s.within(to.route)
	if !ok {
		return
	}
	defer leave()
	count := &to.route.streams
	count.begun.Add(1)
	count.open.Add(1)
	defer count.open.Add(-1)
	defer s.release()

	client := s.client
	if to.TLS {
		secured, err := s.handshake()
		if err != nil {
			return
		}
		client = secured
	}
	app, err := s.dial(to.To)
	if err != nil {
		if s.ctx.Err() == nil && !errors.Is(err, errDown) && !errors.Is(err, errPaused) {
			s.router.log.Warn("backend failed", "route", to.route.label, "port", to.Number, "err", err)
		}
		return
	}
	whole = s.exchange(client, app)
}

// within tells whether the route takes one more connection of this address. A
// connection counts as a request does.
func (s *stream) within(rt *route) (leave func(), ok bool) {
	o := rt.options
	if o.Maintenance || rt.visitors.paces.take(s.address, o.pace, time.Now()) > 0 {
		return nil, false
	}
	if o.InFlight == 0 {
		return func() {}, true
	}
	return func() { rt.visitors.leave(s.address) }, rt.visitors.enter(s.address, o.InFlight)
}

func (s *stream) handshake() (net.Conn, error) {
	if s.entrance.tls == nil {
		return nil, errors.New("no certificates are configured")
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.router.cfg.HeaderTimeout)
	defer cancel()
	c := tls.Server(s.client, s.entrance.tls)
	return c, c.HandshakeContext(ctx)
}

// dial claims a backend and returns a connection to it. One that refuses gives
// way to the next.
func (s *stream) dial(port int) (net.Conn, error) {
	var refused error
	for {
		if err := s.claim(port); err != nil {
			if refused != nil {
				err = refused // it says more than that there is no other
			}
			return nil, err
		}
		c, err := s.backend.connectPort(s.ctx, port)
		if err == nil {
			return c, nil
		}
		if s.ctx.Err() != nil {
			return nil, err
		}
		refused = err
	}
}

// claim takes a place at the next backend that was not tried yet. As with
// requests, one that is draining means that the table has changed.
func (s *stream) claim(port int) error {
	s.release()
	for len(s.tried) < maxTries {
		if err := s.route.pass(s.ctx, func(h *hold) *atomic.Int64 { return &h.streams }); err != nil {
			return err
		}
		rt := s.router.table.Load().routes.get(s.route.name)
		if rt == nil || len(rt.backends) == 0 {
			if rt != nil && rt.held.Load() != nil {
				continue // paused since: its backends come back
			}
			return errDown
		}
		b := rt.pickFor(s, port, time.Now())
		if b == nil {
			break
		}
		if b.claim(s) {
			s.backend, s.tried = b, append(s.tried, b)
			return nil
		}
	}
	return errGone
}

func (s *stream) release() {
	if s.backend != nil {
		s.backend.release(s)
		s.backend = nil
	}
}

// pickFor returns the backend whose turn it is. Where clients stick to theirs
// it is the one that goes first with the client's address, as long as there is
// that one.
func (rt *route) pickFor(s *stream, port int, now time.Time) (first *backend) {
	if rt.options.Balance != Sticky {
		return rt.next(s.tried, port, now)
	}
	most := ""
	for _, b := range rt.backends {
		if slices.Contains(s.tried, b) || b.health.resting.Load() || !b.healthOf(port).ok(now) {
			continue
		}
		if weight := token(netip.Addr(s.address).String(), b.id); weight > most {
			first, most = b, weight
		}
	}
	if first == nil {
		return rt.next(s.tried, port, now)
	}
	return first
}

// connectPort opens a connection to a port of the backend.
func (b *backend) connectPort(ctx context.Context, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	dial := *b.dialPort.Load()
	if dial == nil {
		return nil, errDown // the route's port went while this client came
	}
	c, err := dial(ctx, port)
	if err != nil {
		b.failedAt(port, time.Now())
		return nil, &dialError{b.id, err}
	}
	b.healthOf(port).recovered()
	return c, nil
}

// healthOf returns the health of a port: an app may answer at one and not at
// another. 0 is where requests go.
func (b *backend) healthOf(port int) *health {
	if port == 0 {
		return &b.health
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.ports[port]; h != nil {
		return h
	}
	return new(health)
}

func (b *backend) failedAt(port int, now time.Time) {
	b.mu.Lock()
	h := b.ports[port]
	if h == nil {
		if b.ports == nil {
			b.ports = map[int]*health{}
		}
		h = new(health)
		b.ports[port] = h
	}
	b.mu.Unlock()
	h.failed(now)
}

// exchange passes on what client and app say until both are done. It tells
// whether each has got all that the other said.
func (s *stream) exchange(client, app net.Conn) (whole bool) {
	s.mu.Lock()
	s.app = app
	gone := s.lost
	s.mu.Unlock()
	if gone {
		return false
	}
	count := &s.route.counters
	var answered atomic.Bool
	failed := make(chan bool, 1)
	go func() {
		err := pass(app, client, &count.in, &s.router.buffers)
		if err != nil && s.present() {
			// The app takes no more, and may have said why: nobody is cut off for
			// talking on.
			_, err = io.Copy(io.Discard, client)
		}
		// An app that has said all and left need not have heard the client out.
		broken := err != nil && !answered.Load()
		if broken {
			s.abort()
		}
		failed <- broken
	}()
	err := pass(client, app, &count.out, &s.router.buffers)
	answered.Store(err == nil)
	if err != nil {
		s.deliver()
		s.abort()
	}
	return !s.hearOut(failed) && err == nil
}

// hearOut waits for the client to end, too, whose app has said all. One that
// says nothing more has no claim to the place.
func (s *stream) hearOut(ended <-chan bool) (broken bool) {
	for {
		select {
		case broken := <-ended:
			return broken
		case <-time.After(s.router.cfg.halfClosed / 4):
			if s.silent() >= s.router.cfg.halfClosed {
				s.abort()
			}
		}
	}
}

func (s *stream) streams() bool { return true }

// cut ends the stream from outside.
func (s *stream) cut() bool {
	s.mu.Lock()
	first := !s.over && !s.lost
	s.lost = true
	s.mu.Unlock()
	s.cancel()
	if first {
		s.abort()
	}
	return first
}

// abort closes both sides with a reset: what broke off must not look whole.
func (s *stream) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	refuse(s.client)
	if s.app != nil {
		refuse(s.app)
	}
}

func (s *stream) end(whole bool) {
	if !whole {
		s.abort()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.cancel()
	s.client.Close()
	if s.app != nil {
		s.app.Close()
	}
}

// refuse closes a connection with a reset.
func refuse(c net.Conn) {
	if linger, ok := c.(interface{ SetLinger(sec int) error }); ok {
		linger.SetLinger(0)
	}
	c.Close()
}

// present tells whether the client's connection is known to be open.
func (s *stream) present() (open bool) {
	s.ask(func(_ int, info *unix.TCPInfo) { open = info.State != unix.BPF_TCP_CLOSE })
	return open
}

// deliver waits for what an app has said before it broke off to be on its way
// to the client: a reset throws away what is not.
func (s *stream) deliver() {
	const most, look = 2 * time.Second, 5 * time.Millisecond
	for until := time.Now().Add(most); time.Now().Before(until) && s.ctx.Err() == nil; time.Sleep(look) {
		left := 0
		s.ask(func(fd int, info *unix.TCPInfo) {
			if n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err == nil && info.State != unix.BPF_TCP_CLOSE {
				left = n
			}
		})
		if left == 0 {
			return
		}
	}
}

// silent is for how long the client has said nothing.
func (s *stream) silent() (d time.Duration) {
	s.ask(func(_ int, info *unix.TCPInfo) { d = time.Duration(info.Last_data_recv) * time.Millisecond })
	return d
}

// quiet tells whether the stream is between two exchanges, as far as its
// connection shows: the app spoke last, and some time ago. A client that spoke
// last waits for its answer.
func (s *stream) quiet() bool {
	quiet := true
	s.ask(func(_ int, info *unix.TCPInfo) {
		quiet = info.Last_data_sent <= info.Last_data_recv && info.Last_data_sent >= uint32(quietAfter/time.Millisecond)
	})
	return quiet
}

// ask asks the kernel about the client's connection. There may be no answer.
func (s *stream) ask(about func(fd int, info *unix.TCPInfo)) {
	sc, ok := s.client.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			about(int(fd), info)
		}
	})
}
