// Package front serves plain HTTP/1.1 exchanges with little more work than
// reading and writing them, and leaves everything else to net/http's server:
// HTTP/2, upgrades, chunked requests, and every request that may not be plain.
//
//	listener ─ TLS ─┬─ HTTP/1.1 ─ plain request ─ handler ─ next request
//	                │                └ any other ─┐
//	                └─ HTTP/2 ───────────────────┴─ net/http, for good
//
// A handler gets the same http.Request and http.ResponseWriter either way. It
// cannot hijack a plain exchange; only upgrades can be hijacked.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// newGrace is how long a connection that is new at Shutdown has for its first
// request, as with net/http.
const newGrace = 5 * time.Second

// Server serves connections by Next.Handler, the plain exchanges by itself.
// Next's ReadHeaderTimeout, IdleTimeout, BaseContext, TLSConfig and ErrorLog
// hold for both; its other limits see only what is left to it, and its
// ConnState and TLSNextProto are ours.
type Server struct {
	Next *http.Server

	patience time.Duration // of lameDuck, unless a test has more

	start     sync.Once
	handler   http.Handler // Next's, as it was given
	rest      *handOver
	goodbye   *http.Server // see newGoodbye
	tls       *tls.Config
	closing   atomic.Bool
	closed    atomic.Bool    // by Close: nothing is served any more
	accepting sync.WaitGroup // loops of Serve

	mu        sync.Mutex // guards what follows
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	empty     chan struct{} // not nil while Shutdown waits; closed when the last connection has ended
	handed    int           // connections that net/http has
	unhanded  chan struct{} // the same of them
}

// Serve accepts connections, with TLS when secure, until Shutdown or Close;
// then it returns http.ErrServerClosed. It closes the listener.
func (s *Server) Serve(l net.Listener, secure bool) error {
	defer l.Close()
	s.start.Do(s.startNext)
	s.mu.Lock()
	if s.closing.Load() { // and nobody would close this one
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	if s.listeners == nil {
		s.listeners = map[net.Listener]struct{}{}
	}
	s.listeners[l] = struct{}{}
	s.accepting.Add(1)
	s.mu.Unlock()
	defer s.accepting.Done()
	base := context.Background()
	if s.Next.BaseContext != nil {
		base = s.Next.BaseContext(l)
	}
	base = context.WithValue(base, http.ServerContextKey, s.Next)

	var pause time.Duration // after an error that will pass, as net/http does
	for {
		c, err := l.Accept()
		var ne net.Error
		switch {
		case err == nil:
			// Also when Shutdown has begun meanwhile: the client knows that it is
			// connected, and would have what it sends answered by a reset.
			pause = 0
			if own := s.add(c); own != nil {
				go own.serve(base, secure)
			}
		case s.closing.Load():
			return http.ErrServerClosed
		case errors.As(err, &ne) && ne.Temporary():
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.logf("accept: %v; trying again in %v", err, pause)
			time.Sleep(pause)
		default:
			return err
		}
	}
}

// startNext has net/http serve what is handed over to it.
func (s *Server) startNext() {
	if s.Next.TLSConfig != nil {
		s.tls = s.Next.TLSConfig.Clone() // net/http changes its own when it begins to serve
	}
	if s.patience == 0 {
		s.patience = lameDuck
	}
	s.handler = s.Next.Handler
	if s.handler == nil {
		s.handler = http.DefaultServeMux
	}
	s.goodbye = newGoodbye(s.Next)
	s.Next.Handler, s.Next.ConnState = s.last(s.handler), s.countEnds
	s.rest = &handOver{conns: make(chan net.Conn), closed: make(chan struct{}), count: s.countHanded}
	go s.Next.Serve(s.rest)
}

func (s *Server) add(nc net.Conn) *conn {
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		nc.Close()
		return nil
	}
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return c
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.empty != nil && len(s.conns) == 0 {
		close(s.empty)
		s.empty = nil
	}
}

// Shutdown stops accepting, lets idle connections answer one more request if
// it comes within a second, and waits until the requests under way have been
// answered, or ctx ends: then it returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	empty := s.stop()
	s.goodbye.Shutdown(ctx)
	select {
	case <-empty: // and what it shook hands with is net/http's
	case <-ctx.Done():
		s.Next.Shutdown(ctx)
		return ctx.Err()
	}
	s.farewell(ctx)
	return s.Next.Shutdown(ctx)
}

// stop makes the server take nothing new; what it returns is closed once the
// last connection is. What the kernel has handed over when the listeners close
// is not new: stop waits for the loops that accept it.
func (s *Server) stop() <-chan struct{} {
	s.start.Do(s.startNext)
	s.closing.Store(true)
	s.closeListeners()
	s.accepting.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.leave()
	}
	empty := make(chan struct{})
	if len(s.conns) == 0 {
		close(empty)
	} else {
		s.empty = empty
	}
	return empty
}

// Close closes every connection at once.
func (s *Server) Close() error {
	s.closing.Store(true)
	s.closed.Store(true)
	s.closeListeners()
	s.mu.Lock()
	for c := range s.conns {
		c.socket.Close()
	}
	s.mu.Unlock()
	return s.Next.Close()
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		l.Close()
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.Next.ErrorLog != nil {
		s.Next.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}

// handOver is the listener on which net/http gets its connections.
type handOver struct {
	conns  chan net.Conn
	count  func(n int) // of connections that net/http has
	once   sync.Once
	closed chan struct{}
}

func (h *handOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// give counts the connection before net/http has noted it: whoever waits for
// the last one must not miss it in between.
func (h *handOver) give(c net.Conn) {
	h.count(1)
	select {
	case h.conns <- c:
	case <-h.closed:
		h.count(-1)
		c.Close()
	}
}

func (h *handOver) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handOver) Addr() net.Addr { return &net.TCPAddr{} }

// handed is a connection of which something has been read already.
type handed struct {
	net.Conn
	read  []byte
	state *tls.ConnectionState
}

func (c *handed) Read(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite lets one direction be closed.
func (c *handed) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// secured is a handed connection with TLS, which net/http asks for its state.
type secured struct{ *handed }

func (c secured) ConnectionState() tls.ConnectionState { return *c.state }
