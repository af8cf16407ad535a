package router

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultPortRetry = 10 * time.Second // a port that another program has is ours this soon after it is free

	// maxStreams bounds the connections of all ports, maxPortStreams those of
	// one: a flood costs some 100 MB, and leaves three quarters to the others.
	maxStreams     = 16 << 10
	maxPortStreams = maxStreams / 4
)

// Port is a TCP port of the machine that belongs to a route. Its protocol is
// between client and backend, except for TLS if the router terminates it.
type Port struct {
	Number int  // of the machine
	To     int  // at the backends
	TLS    bool // ended here, by the certificate of the route's host that the client names
}

func (p Port) validate() error {
	for _, n := range []int{p.Number, p.To} {
		if n < 1 || n > 65535 {
			return fmt.Errorf("%d is not a port", n)
		}
	}
	return nil
}

// Sockets open the ports of the machine. They are asked for one port at a time.
type Sockets interface {
	// Listen returns a listener at a port, or why there is none. It is closed
	// when the port is, or when Serve ends.
	Listen(port int) (net.Listener, error)

	// Forget is called when a port was closed because nothing leads from it any
	// more, and not when Serve ends.
	Forget(port int)
}

// everyAddress is the Sockets of whoever says nothing else.
type everyAddress struct{}

func (everyAddress) Listen(port int) (net.Listener, error) {
	return net.Listen("tcp", ":"+strconv.Itoa(port))
}
func (everyAddress) Forget(int) {}

// PortTakenError says that a port already leads elsewhere.
type PortTakenError struct {
	Port int
	By   string // the route that has it
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("port %d already leads to %s", e.Port, e.By)
}

// portTarget is what a port leads to.
type portTarget struct {
	route *route
	Port
}

func (t *table) enterPorts(ports []Port, to *route) error {
	for _, p := range ports {
		if there, taken := t.ports[p.Number]; taken {
			return &PortTakenError{p.Number, there.route.label}
		}
		t.ports[p.Number] = portTarget{to, p}
	}
	return nil
}

func (t *table) leavePorts(rt *route) {
	maps.DeleteFunc(t.ports, func(_ int, to portTarget) bool { return to.route == rt })
}

// ports are the entrances of the table's ports.
type ports struct {
	router  *Router
	streams atomic.Int64 // under way

	mu      sync.Mutex // guards what follows; held while a listener is opened, which the kernel does at once
	open    map[int]*entrance
	life    context.Context // of Serve; nil before it
	ended   bool
	serving sync.WaitGroup // entrances and streams
}

// entrance is one port of the machine.
type entrance struct {
	number   int
	listener net.Listener // nil while it cannot be opened, …
	err      error        // … and why not
	kept     int          // by how many OpenPort
	routed   bool
	accepts  bool
	tls      *tls.Config

	mu      sync.Mutex // guards streams
	streams map[*stream]struct{}
}

// OpenPort opens a port that no route has yet, so that the caller knows whether
// it is available before giving it to a route. Until release it stays open even
// if no route has it; connections wait.
func (r *Router) OpenPort(number int) (release func(), err error) {
	p := &r.ports
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entrance(number)
	if e.listener == nil {
		p.drop(e)
		return nil, cmp.Or(e.err, net.ErrClosed) // the second once Serve has ended
	}
	e.kept++
	var once sync.Once
	return func() {
		once.Do(func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			e.kept--
			p.drop(e)
		})
	}, nil
}

// PortError tells why a port of a route is not open; nil when it is.
func (r *Router) PortError(number int) error {
	p := &r.ports
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.open[number]
	if e == nil || !e.routed {
		return errors.New("it leads nowhere")
	}
	return e.err
}

// follow opens and closes ports as the table says.
func (p *ports) follow(t *table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for number := range t.ports {
		e := p.entrance(number)
		e.routed = true
		p.accept(e)
	}
	for number, e := range p.open {
		if _, e.routed = t.ports[number]; !e.routed {
			p.drop(e)
		}
	}
}

// entrance returns that of a port, which it opens if it can.
func (p *ports) entrance(number int) *entrance {
	e := p.open[number]
	if e == nil {
		e = &entrance{number: number, streams: map[*stream]struct{}{}}
		if p.router.cfg.Certificates != nil {
			e.tls = p.router.portTLS(number)
		}
		p.open[number] = e
	}
	if e.listener == nil && !p.ended {
		if e.listener, e.err = p.router.cfg.Sockets.Listen(number); e.err != nil {
			e.listener = nil
		}
	}
	return e
}

// drop closes an entrance that nobody needs, and cuts those inside.
func (p *ports) drop(e *entrance) {
	if e.routed || e.kept > 0 {
		return
	}
	delete(p.open, e.number)
	if e.listener == nil {
		return
	}
	e.listener.Close()
	p.router.cfg.Sockets.Forget(e.number)
	e.each(func(s *stream) { s.cut() })
}

// accept begins to take connections at an entrance, once Serve runs.
func (p *ports) accept(e *entrance) {
	if e.accepts || e.listener == nil || !e.routed || p.life == nil || p.ended {
		return
	}
	e.accepts = true
	p.serving.Go(func() { p.take(e, e.listener) })
}

func (p *ports) take(e *entrance, l net.Listener) {
	var pause time.Duration // after an error that will pass, as net/http does
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			p.admit(e, c)
			continue
		}
		if p.closed(e, l) {
			return
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		p.router.log.Warn("a port takes no connection", "port", e.number, "err", err, "again", pause)
		select {
		case <-time.After(pause):
		case <-p.life.Done():
		}
	}
}

func (p *ports) closed(e *entrance, l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended || p.open[e.number] != e || e.listener != l
}

// admit lets a connection in, unless there are too many.
func (p *ports) admit(e *entrance, c net.Conn) {
	s := newStream(p.router, e, c)
	if !p.router.peers.Enter(s.from) {
		refuse(c)
		return
	}
	if p.streams.Add(1) > maxStreams || !e.enter(s) {
		p.streams.Add(-1)
		p.router.peers.Leave(s.from)
		refuse(c)
		return
	}
	p.serving.Go(func() {
		defer p.router.peers.Leave(s.from)
		defer p.streams.Add(-1)
		defer e.leave(s)
		s.serve()
	})
}

func (e *entrance) enter(s *stream) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.streams) >= maxPortStreams {
		return false
	}
	e.streams[s] = struct{}{}
	return true
}

func (e *entrance) leave(s *stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.streams, s)
}

func (e *entrance) each(do func(*stream)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.streams {
		do(s)
	}
}

// serve takes connections at all entrances until ctx ends, and tries again to
// open those that could not be. Then it closes them, cuts the streams that are
// between two exchanges, and the others after the drain time.
func (p *ports) serve(ctx context.Context) {
	p.mu.Lock()
	p.life = ctx
	for _, e := range p.open {
		p.accept(e)
	}
	p.mu.Unlock()
	again := time.NewTicker(p.router.cfg.portRetry)
	defer again.Stop()
	for ctx.Err() == nil {
		select {
		case <-again.C:
			p.retry()
		case <-ctx.Done():
		}
	}
	p.close()
	p.finish()
}

func (p *ports) retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for number, e := range p.open {
		if e.listener == nil {
			p.entrance(number)
			p.accept(e)
		}
	}
}

func (p *ports) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for _, e := range p.open {
		if e.listener != nil {
			e.listener.Close()
		}
	}
}

// finish waits for the streams to end, and ends them.
func (p *ports) finish() {
	done := make(chan struct{})
	go func() { defer close(done); p.serving.Wait() }()
	late := time.After(p.router.cfg.Drain)
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	everyone := false
	for {
		p.each(func(s *stream) {
			if everyone || s.quiet() {
				s.cut()
			}
		})
		select {
		case <-done:
			return
		case <-late:
			everyone = true
		case <-look.C:
		}
	}
}

func (p *ports) each(do func(*stream)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.open {
		e.each(do)
	}
}

// portTLS returns the configuration of TLS at a port. Of the hosts that
// clients name, those of the port's route have their certificates; others get
// the one that names none.
func (r *Router) portTLS(number int) *tls.Config {
	cfg := r.cfg.Certificates.TLSConfig(func(host string) (string, bool) {
		t := r.table.Load()
		s := t.site(host)
		if s == nil || !s.leadsTo(t.ports[number].route) {
			return "", false
		}
		return s.name, true
	})
	cfg.NextProtos = nil
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) != 1 {
			return nil, nil
		}
		// It speaks nothing else, and some hang up when nobody says that they do too.
		own := cfg.Clone()
		own.NextProtos = hello.SupportedProtos
		return own, nil
	}
	return cfg
}

func (s *site) leadsTo(rt *route) bool {
	if rt == nil {
		return false
	}
	if s.root.route == rt {
		return true
	}
	for _, to := range s.paths {
		if to.route == rt {
			return true
		}
	}
	return false
}
