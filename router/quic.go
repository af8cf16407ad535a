package router

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/time/rate"

	"github.com/berthd/berth/router/peer"
)

// Limits of HTTP/3 connections.
const (
	maxQUICStreams    = 100     // under way on one connection; what browsers reckon with
	maxQUICUniStreams = 8       // three are HTTP/3's own, the rest is for greasing
	maxStreamWindow   = 1 << 20 // of a body that the app has not read yet; as much as net/http's HTTP/2 takes
	maxConnWindow     = 2 << 20
	connectionIDBytes = 8 // four, the default, are too few not to meet one of before a restart

	// Handshakes are cheap to begin with a forged address. Beyond so many in a
	// second a client has to show first that packets reach it, which costs it
	// a round trip and us nothing.
	freeHandshakes = 100

	// quicLinger is what a connection gets after its last answer when the
	// server stops, for the answer to arrive, lost packets included, and for the
	// client to hang up by itself: whoever closes a QUIC connection throws away
	// what is still under way.
	quicLinger = 2 * time.Second

	// altSvcAge is for how long a browser tries HTTP/3 first, RFC 7838's own
	// default. Should UDP be blocked one day, it notices and falls back.
	altSvcAge = 24 * time.Hour
)

// quicServer serves HTTP/3 on packet sockets by the handler of a door.
type quicServer struct {
	h3        *http3.Server
	handler   http.Handler
	peers     *peer.Gate
	headers   time.Duration // for a client to end its headers
	idle      time.Duration
	transport func(net.PacketConn) *quic.Transport
	cut       context.Context // ends the requests

	mu      sync.Mutex // guards what follows
	closing bool
	doors   []*quicDoor
	conns   map[*quicConn]struct{}
}

// quicDoor is a socket that is listened on.
type quicDoor struct {
	socket    net.PacketConn
	transport *quic.Transport
	listener  *quic.Listener
	ended     chan struct{} // closed when no connection comes from it any more
}

// newQUICServer serves by d until requests ends.
func (r *Router) newQUICServer(requests context.Context, d *door) (*quicServer, error) {
	d.Router, d.errorLog = r, r.errorLog()
	reset, err := r.cfg.derived("stateless reset")
	if err != nil {
		return nil, err
	}
	token, err := r.cfg.derived("address token")
	if err != nil {
		return nil, err
	}
	free := rate.NewLimiter(freeHandshakes, freeHandshakes)
	s := &quicServer{
		handler: d, peers: &r.peers, headers: r.cfg.HeaderTimeout, idle: r.cfg.IdleTimeout, cut: requests,
		conns: map[*quicConn]struct{}{},
		transport: func(socket net.PacketConn) *quic.Transport {
			return &quic.Transport{
				Conn:                socket,
				ConnectionIDLength:  connectionIDBytes,
				StatelessResetKey:   (*quic.StatelessResetKey)(&reset),
				TokenGeneratorKey:   (*quic.TokenGeneratorKey)(&token),
				VerifySourceAddress: func(net.Addr) bool { return !free.Allow() },
			}
		},
	}
	s.h3 = &http3.Server{
		Handler:        http.HandlerFunc(s.serveHTTP),
		TLSConfig:      http3.ConfigureTLSConfig(r.cfg.Certificates.TLSConfig(r.certified)),
		MaxHeaderBytes: r.cfg.MaxHeaderBytes,
		ConnContext:    s.opened,
		Logger:         r.log,
		// Data before the handshake is done could be sent again by anyone who
		// saw it, so there is no 0-RTT.
		QUICConfig: &quic.Config{
			HandshakeIdleTimeout:       r.cfg.HeaderTimeout / 2, // quic-go gives the whole handshake twice this
			MaxIdleTimeout:             r.cfg.IdleTimeout,
			KeepAlivePeriod:            http2PingAfter, // a request may be silent for longer; idle connections have a timer
			MaxIncomingStreams:         maxQUICStreams,
			MaxIncomingUniStreams:      maxQUICUniStreams,
			MaxStreamReceiveWindow:     maxStreamWindow,
			MaxConnectionReceiveWindow: maxConnWindow,
		},
	}
	return s, nil
}

// derived is a key for one purpose from the router's secret, the same after a
// restart: clients of a berth that died learn it from the next one at once, and
// the addresses that it had seen need not be proved again.
func (c Config) derived(purpose string) (key [32]byte, err error) {
	secret := c.QUICSecret
	if len(secret) == 0 {
		return key, errors.New("serve HTTP/3: no secret is configured")
	}
	b, err := hkdf.Key(sha256.New, secret, nil, "berth quic "+purpose, len(key))
	if err != nil {
		return key, fmt.Errorf("serve HTTP/3: %w", err)
	}
	return [32]byte(b), nil
}

// Serve takes connections from the socket until shutdown, which closes it.
func (s *quicServer) Serve(socket net.PacketConn) error {
	d := &quicDoor{socket: socket, transport: s.transport(socket), ended: make(chan struct{})}
	defer close(d.ended)
	s.mu.Lock()
	closing := s.closing
	var err error
	if !closing {
		if d.listener, err = d.transport.Listen(s.h3.TLSConfig, s.h3.QUICConfig); err == nil {
			s.doors = append(s.doors, d)
		}
	}
	s.mu.Unlock()
	if closing || err != nil {
		socket.Close()
		return err
	}
	if err := s.h3.ServeListener(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shutdown takes no new connection, tells clients to send nothing more on
// theirs (GOAWAY), and waits until the requests under way have been answered
// and their connections are closed. When ctx ends first it cuts them by calling
// cutRequests, and returns ctx's error.
func (s *quicServer) shutdown(ctx context.Context, cutRequests context.CancelFunc) (err error) {
	s.mu.Lock()
	s.closing = true
	doors := slices.Clone(s.doors)
	for c := range s.conns {
		c.leave()
	}
	s.mu.Unlock()
	for _, d := range doors {
		d.listener.Close()
		<-d.ended // what was accepted is counted: Shutdown's own count is not safe against Accept
	}
	ended := make(chan error, 1)
	go func() { ended <- s.h3.Shutdown(ctx) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		cutRequests()
		select {
		case err = <-ended:
		case <-time.After(2 * cutGrace): // a handler that does not end
			err = ctx.Err()
		}
	}
	for _, d := range doors {
		err = errors.Join(err, d.transport.Close(), d.socket.Close())
	}
	return err
}

// quicConn is a client's connection. It is idle when no handler runs, whatever
// streams are open: a client that lets headers trickle cannot hold it.
type quicConn struct {
	server *quicServer
	conn   *quic.Conn

	mu    sync.Mutex // guards what follows
	busy  int
	timer *time.Timer // of an idle connection
}

type quicConnKey struct{}

// opened is http3's hook for a connection that has shaken hands.
func (s *quicServer) opened(ctx context.Context, conn *quic.Conn) context.Context {
	from := conn.RemoteAddr().(*net.UDPAddr).AddrPort().Addr()
	if !s.peers.Enter(from) {
		conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many connections")
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.cut, cancel)
	c := &quicConn{server: s, conn: conn}
	s.mu.Lock()
	idle := s.idle
	if s.closing {
		idle = quicLinger
	}
	c.timer = time.AfterFunc(idle, c.close)
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	context.AfterFunc(conn.Context(), func() {
		s.peers.Leave(from)
		stop()
		cancel()
		c.timer.Stop()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
	// Without a server of net/http's, httputil takes us for a test, and lets an
	// answer that breaks off look whole.
	ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{})
	return context.WithValue(ctx, quicConnKey{}, c)
}

func (c *quicConn) close() {
	c.mu.Lock()
	busy := c.busy > 0
	c.mu.Unlock()
	if !busy {
		c.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
}

// leave is called at shutdown.
func (c *quicConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == 0 {
		c.timer.Reset(quicLinger)
	}
}

func (c *quicConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy++
	c.timer.Stop()
}

func (c *quicConn) end() {
	c.server.mu.Lock()
	idle := c.server.idle
	if c.server.closing {
		idle = quicLinger
	}
	c.server.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy--; c.busy == 0 {
		c.timer.Reset(idle)
	}
}

// serveHTTP has the door answer what http3 has read.
func (s *quicServer) serveHTTP(w http.ResponseWriter, req *http.Request) {
	c, ok := req.Context().Value(quicConnKey{}).(*quicConn)
	if !ok {
		panic(http.ErrAbortHandler) // one too many, which is being closed
	}
	c.begin()
	defer c.end()
	in := req.WithContext(req.Context())
	body := &quicBody{ReadCloser: req.Body, from: req, to: in}
	in.Body = body
	if names := req.Trailer; len(names) > 0 {
		in.Trailer = make(http.Header, len(names))
		for name := range names {
			in.Trailer[name] = nil
		}
	}
	if in.ContentLength < 0 && !mayHaveBody(in.Method) {
		s.settleBody(w, in, body)
	}
	s.handler.ServeHTTP(w, in)
}

// mayHaveBody tells whether a request of unknown length is taken to have a body.
func mayHaveBody(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodDelete, http.MethodConnect:
		return false
	}
	return true
}

// settleBody finds out whether there is a body, which http3 does not tell: a
// request without one has ended already, or ends in the client's next packet.
func (s *quicServer) settleBody(w http.ResponseWriter, in *http.Request, body *quicBody) {
	if in.Method == http.MethodConnect {
		return // a tunnel, which is refused
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(s.headers))
	var first [1]byte
	n, err := body.Read(first[:])
	control.SetReadDeadline(time.Time{})
	switch {
	case n > 0:
		body.first = first[:n]
	case errors.Is(err, io.EOF):
		in.Body, in.ContentLength = http.NoBody, 0
	case err != nil:
		panic(http.ErrAbortHandler)
	}
}

// quicBody is a request's body whose trailers arrive where net/http's do, in
// the request's own map.
type quicBody struct {
	io.ReadCloser
	first    []byte // read already
	from, to *http.Request
}

func (b *quicBody) Read(p []byte) (int, error) {
	if len(b.first) > 0 && len(p) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		for name := range b.to.Trailer {
			b.to.Trailer[name] = b.from.Trailer[name]
		}
	}
	return n, err
}

// advertise says on HTTPS that there is HTTP/3 too, but not to who comes through
// a proxy, past which it leads. What an app says of other places of its own is
// dropped: it cannot know the ports of the machine, and a browser would go by it
// for the whole host, past the router, for as long as the app likes.
func (x *exchange) advertise(h http.Header) {
	if x.door.altSvc != nil && x.believed == nil && !x.door.peers.Greets() {
		h["Alt-Svc"] = x.door.altSvc
	} else {
		delete(h, "Alt-Svc")
	}
}

func altSvc(port int) []string {
	return []string{fmt.Sprintf(`h3=":%d"; ma=%d`, port, int(altSvcAge.Seconds()))}
}
