package peer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

var errTooMany = errors.New("its client has too many connections")

// Patience is how long a peer may take.
type Patience struct {
	Greeting time.Duration // for a trusted proxy to send its PROXY header
	Sending  time.Duration // to read what was written, some ten kilobytes at a time; 0 is for ever
}

// Listen returns a listener whose connections have come through the gate. A
// PROXY header is waited for not by Accept, but by the first who reads, or asks
// for the remote address. A client that does not read in time makes the Write
// under way fail, unless there is a deadline already.
func (g *Gate) Listen(l net.Listener, patience Patience, log *slog.Logger) net.Listener {
	return &listener{l, g, patience, log}
}

type listener struct {
	net.Listener
	gate     *Gate
	patience Patience
	log      *slog.Logger
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.admit(nc); c != nil {
			return c, nil
		}
	}
}

// admit returns nil for a connection that is refused.
func (l *listener) admit(nc net.Conn) net.Conn {
	from := addrOf(nc.RemoteAddr())
	if !l.gate.Enter(from) {
		l.log.Debug("connection refused: too many of its address", "remote", from)
		reset(nc)
		return nil
	}
	c := &conn{Conn: nc, gate: l.gate, sending: l.patience.Sending, counted: from}
	if r := l.gate.rules.Load(); r != nil && r.header != HeaderNone && r.trusts(from) {
		c.greeting = &greeting{wait: l.patience.Greeting, required: r.header == HeaderRequired, log: l.log}
	}
	return c
}

// reset closes a connection of which nothing shall be left, not even the
// kernel's memory that it was there.
func reset(nc net.Conn) {
	forget(nc)
	nc.Close()
}

// forget makes the kernel drop what it has yet to send when the connection is
// closed.
func forget(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}

func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// conn is a connection that has entered. Its end counts it out.
type conn struct {
	net.Conn
	gate     *Gate
	greeting *greeting // nil when the peer speaks for itself
	sending  time.Duration

	mu      sync.Mutex // guards what follows
	counted netip.Addr
	closed  bool
	limited bool      // somebody has set a deadline of writing
	allowed time.Time // when ours was set
}

// greeting is the PROXY header of a connection.
type greeting struct {
	wait     time.Duration
	required bool
	log      *slog.Logger

	read   sync.Once
	client *net.TCPAddr // nil: the proxy itself; after read
	err    error        // after read
	rest   []byte       // what came behind the header and was not asked for yet
}

func (c *conn) Read(p []byte) (int, error) {
	if g := c.greeting; g != nil {
		g.read.Do(c.greet)
		if g.err != nil {
			return 0, g.err
		}
		if len(g.rest) > 0 {
			n := copy(p, g.rest)
			if g.rest = g.rest[n:]; len(g.rest) == 0 {
				g.rest = nil
			}
			return n, nil
		}
	}
	return c.Conn.Read(p)
}

// RemoteAddr returns the address of the client, as far as it is known.
func (c *conn) RemoteAddr() net.Addr {
	if g := c.greeting; g != nil {
		if g.read.Do(c.greet); g.client != nil {
			return g.client
		}
	}
	return c.Conn.RemoteAddr()
}

// maxPiece is how much has to be read within one deadline.
const maxPiece = 64 << 10

// Write writes as long as the client reads.
func (c *conn) Write(p []byte) (n int, err error) {
	for {
		c.allow()
		m, err := c.Conn.Write(p[n:min(len(p), n+maxPiece)])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			forget(c.Conn) // megabytes that it would never fetch
		}
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// allow gives the next Write its time, or most of it: a deadline costs more
// than most writes do, and is moved only when a quarter of it is over.
func (c *conn) allow() {
	if c.sending == 0 {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.limited && now.Sub(c.allowed) > c.sending/4 {
		c.allowed = now
		c.Conn.SetWriteDeadline(now.Add(c.sending))
	}
}

// SetWriteDeadline takes the place of our own deadline, until it is taken back.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limited, c.allowed = !t.IsZero(), time.Time{}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.Conn.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite closes one direction.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close counts the connection out, the first time.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.gate.Leave(c.counted)
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// greet reads the header, and counts the connection as its client's.
func (c *conn) greet() {
	g := c.greeting
	c.Conn.SetReadDeadline(time.Now().Add(g.wait))
	in := bufio.NewReaderSize(c.Conn, 512) // fits all but rare headers, which are read through it
	g.client, g.err = readHeader(in)
	c.Conn.SetReadDeadline(time.Time{})
	if errors.Is(g.err, proxyproto.ErrNoProxyProtocol) && !g.required {
		g.err = nil
	}
	if g.err == nil && g.client != nil && !c.move(addrOf(g.client)) {
		g.err = errTooMany
	}
	if g.err != nil {
		g.log.Debug("connection of a proxy refused", "remote", c.Conn.RemoteAddr(), "err", g.err)
		g.client = nil
		return
	}
	if n := in.Buffered(); n > 0 {
		g.rest, _ = in.Peek(n)
	}
}

// move counts the connection for another address than before.
func (c *conn) move(to netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return true // and will not be read from
	}
	if !c.gate.Enter(to) {
		return false
	}
	c.gate.Leave(c.counted)
	c.counted = to
	return true
}

// readHeader reads a PROXY header of version 1 or 2. The client is nil when the
// proxy speaks for itself, as in its health checks, or does not know it.
func readHeader(in *bufio.Reader) (client *net.TCPAddr, err error) {
	if err := awaitLine(in); err != nil {
		return nil, fmt.Errorf("read the PROXY header: %w", err)
	}
	header, err := proxyproto.Read(in)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the PROXY header: %w", err)
	case header.Command.IsLocal(), header.SourceAddr == nil:
		return nil, nil
	}
	client, ok := header.SourceAddr.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("read the PROXY header: %s is no client over TCP", header.SourceAddr.Network())
	}
	return client, nil
}

// awaitLine waits until a header of version 1 is there as a whole, or longer
// than it may be: it may come in pieces, which the parser would not have.
func awaitLine(in *bufio.Reader) error {
	const begin, longest = "PROXY ", 107
	for {
		text, _ := in.Peek(in.Buffered())
		n := min(len(text), len(begin))
		if string(text[:n]) != begin[:n] || len(text) >= longest || bytes.IndexByte(text, '\n') >= 0 {
			return nil
		}
		if _, err := in.Peek(len(text) + 1); err != nil {
			if len(text) == 0 {
				return nil // the parser finds the same, and knows what to call it
			}
			return err
		}
	}
}
