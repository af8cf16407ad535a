package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/router/http1"
)

const (
	inBuffer   = 4 << 10                // a head that is longer is left to net/http
	watchAfter = 50 * time.Millisecond  // an exchange that lasts so long is watched for the client's leaving
	maxDiscard = 256 << 10              // of a body that the handler has not read, to keep the connection
	linger     = 500 * time.Millisecond // for a client to read the answer before a reset may destroy it
)

var longAgo = time.Unix(1, 0) // a deadline that ends a read at once

// The states of a connection.
const (
	stateNew int32 = iota
	stateIdle
	stateActive
	stateLeaving // new or idle at Shutdown
)

// conn is a client's connection.
type conn struct {
	server *Server
	socket net.Conn // as accepted
	nc     net.Conn // with TLS, where there is any
	in     *bufio.Reader
	tls    *tls.ConnectionState
	remote string
	state  atomic.Int32

	ctx    context.Context // of the requests: ends when the client leaves
	cancel context.CancelFunc
	base   *http.Request // with what all requests have in common
	out    writer

	// The watch for a client that leaves reads from in, while nobody else does.
	watchdog *time.Timer
	mu       sync.Mutex // guards what follows
	watched  *sync.Cond
	busy     bool // a handler runs
	watching bool
	wanted   bool  // the watch is due once the body has been read
	unread   int64 // of the request's body
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, socket: nc, nc: nc}
	c.watched = sync.NewCond(&c.mu)
	c.out.conn = c
	return c
}

// leave is called at Shutdown, by another goroutine.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state.CompareAndSwap(stateIdle, stateLeaving):
		c.socket.SetReadDeadline(time.Now().Add(c.server.patience))
	case c.state.CompareAndSwap(stateNew, stateLeaving):
		c.socket.SetReadDeadline(time.Now().Add(newGrace))
	}
}

// serve is the life of a connection until its end, or until net/http gets it.
func (c *conn) serve(base context.Context, secure bool) {
	defer c.server.remove(c)
	c.remote = c.nc.RemoteAddr().String() // may wait for the client, where a listener reads the address from it
	ctx := context.WithValue(base, http.LocalAddrContextKey, c.nc.LocalAddr())
	if secure && !c.handshake(ctx) {
		return
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	defer c.cancel()
	c.base = (&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.remote, TLS: c.tls}).WithContext(c.ctx)
	c.in = bufio.NewReaderSize(c.nc, inBuffer)
	c.setReadDeadline(c.server.Next.ReadHeaderTimeout)
	for c.exchange() {
	}
}

// handshake tells whether what follows is HTTP/1.1.
func (c *conn) handshake(ctx context.Context) bool {
	if d := c.server.Next.ReadHeaderTimeout; d > 0 {
		c.nc.SetDeadline(time.Now().Add(d))
	}
	tc := tls.Server(c.nc, c.server.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		if re, ok := errors.AsType[tls.RecordHeaderError](err); ok && re.Conn != nil && looksLikeHTTP(re.RecordHeader) {
			io.WriteString(re.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		}
		c.server.logf("TLS handshake from %s: %v", c.remote, err)
		c.nc.Close()
		return false
	}
	state := tc.ConnectionState()
	switch state.NegotiatedProtocol {
	case "", "http/1.1":
		c.tls = &state
		c.nc.SetDeadline(time.Time{})
		c.nc = tc
		return true
	case "h2":
		tc.SetDeadline(time.Time{})
		c.server.rest.give(tc)
	default: // a protocol that ends with its handshake, as a CA's challenge does
		tc.Close()
	}
	return false
}

func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// exchange reads a request and has it answered. It tells whether another may follow.
func (c *conn) exchange() bool {
	text, err := http1.PeekHead(c.in, func() { c.setReadDeadline(c.server.Next.ReadHeaderTimeout) })
	if err != nil && !errors.Is(err, http1.ErrTooLarge) {
		c.nc.Close()
		return false
	}
	if !c.state.CompareAndSwap(stateIdle, stateActive) && !c.state.CompareAndSwap(stateNew, stateActive) {
		c.mu.Lock() // until leave has set its deadline, which is not this request's
		c.state.Store(stateActive)
		c.mu.Unlock()
	}
	var head http1.Request
	plain := err == nil
	if plain {
		head, plain = http1.ParseRequest(text)
	}
	if !plain {
		c.handOver()
		return false
	}
	c.in.Discard(len(text))

	req := new(http.Request)
	*req = *c.base
	req.Method, req.URL, req.RequestURI, req.Host = head.Method, head.URL, head.URI, head.Host
	req.Header, req.ContentLength, req.Close = head.Header, head.Length, head.Close
	req.Body = http.NoBody
	var body *body
	if head.Length > 0 {
		body = newBody(c, head.Length)
		req.Body = body
		if head.Length > int64(c.in.Buffered()) {
			c.nc.SetReadDeadline(time.Time{})
		}
	}
	c.out.reset(head.Method, head.Close)
	c.begin(head.Length)
	returned := c.handle(req)
	c.end(body)
	if !returned || c.out.finish() != nil {
		c.nc.Close()
		return false
	}
	if !c.discard() {
		if c.unread > 0 || c.in.Buffered() > 0 {
			c.lingerOn() // what it still sends would make the kernel reset the answer away
		}
		c.nc.Close()
		return false
	}
	c.setReadDeadline(c.server.Next.IdleTimeout)
	c.state.Store(stateIdle)
	if c.server.closing.Load() { // since the answer was begun, or it would have said so
		c.leave()
	}
	return true
}

// handle calls the handler, and tells whether it returned as it should.
func (c *conn) handle(req *http.Request) (returned bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			c.server.logf("panic serving %s: %v\n%s", c.remote, p, debug.Stack())
		}
	}()
	c.server.handler.ServeHTTP(&c.out, req)
	return true
}

// handOver gives the connection to net/http, with what has been read of it.
func (c *conn) handOver() {
	c.nc.SetReadDeadline(time.Time{})
	read, _ := c.in.Peek(c.in.Buffered())
	h := &handed{Conn: c.nc, read: read, state: c.tls}
	if c.tls != nil {
		c.server.rest.give(secured{h})
	} else {
		c.server.rest.give(h)
	}
}

func (c *conn) setReadDeadline(d time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	c.nc.SetReadDeadline(until)
}

// begin is called before the handler, end after it.
func (c *conn) begin(unread int64) {
	c.mu.Lock()
	c.busy, c.wanted, c.unread = true, false, unread
	c.mu.Unlock()
	if c.watchdog == nil {
		c.watchdog = time.AfterFunc(watchAfter, c.watch)
	} else {
		c.watchdog.Reset(watchAfter)
	}
}

func (c *conn) end(b *body) {
	c.watchdog.Stop()
	c.mu.Lock()
	c.busy = false
	reading := c.watching || c.unread > 0
	c.mu.Unlock()
	if !reading {
		return
	}
	if b != nil {
		b.closed.Store(true)
	}
	c.nc.SetReadDeadline(longAgo) // whoever reads, reads no more
	c.mu.Lock()
	for c.watching {
		c.watched.Wait()
	}
	c.mu.Unlock()
	if b != nil {
		b.reading.Lock() // until the last Read has ended; the next ones see that it is closed
		b.reading.Unlock()
	}
	c.nc.SetReadDeadline(time.Time{})
}

// watch ends the context of the requests when the client leaves before its
// answer. It sees nothing behind a next request that is there already.
func (c *conn) watch() {
	c.mu.Lock()
	if !c.busy || c.watching || c.unread > 0 {
		c.wanted = c.busy
		c.mu.Unlock()
		return
	}
	c.watching = true
	c.nc.SetReadDeadline(time.Time{})
	c.mu.Unlock()
	_, err := c.in.Peek(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watching = false
	c.watched.Broadcast()
	if err != nil && c.busy {
		c.cancel()
	}
}

// hasRead counts what has been read of the body.
func (c *conn) hasRead(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unread -= int64(n); c.unread == 0 && c.wanted {
		c.wanted = false
		go c.watch()
	}
}

// left tells how much of the body has not been read.
func (c *conn) left() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unread
}

// discard reads what the handler has not read, and tells whether the
// connection can be kept.
func (c *conn) discard() bool {
	if c.out.close || c.ctx.Err() != nil {
		return false
	}
	if c.unread == 0 {
		return true
	}
	if c.unread > maxDiscard {
		return false
	}
	if c.unread > int64(c.in.Buffered()) {
		c.setReadDeadline(c.server.Next.ReadHeaderTimeout)
	}
	n, err := c.in.Discard(int(c.unread))
	c.unread -= int64(n)
	return err == nil
}

func (c *conn) lingerOn() {
	if closeWrite(c.nc) == nil {
		c.nc.SetReadDeadline(time.Now().Add(linger))
		io.CopyN(io.Discard, c.in, maxDiscard)
	}
}

// body is a request's body.
type body struct {
	conn    *conn
	closed  atomic.Bool
	reading sync.Mutex // guards left and conn.in
	left    int64
	err     error
}

func newBody(c *conn, length int64) *body { return &body{conn: c, left: length} }

func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case b.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.conn.in.Read(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); n > 0 {
		b.conn.hasRead(n)
	}
	switch {
	case b.left == 0:
		return n, io.EOF
	case err == nil:
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if b.err = err; !b.closed.Load() {
		b.conn.cancel() // the client has left
	}
	return n, err
}

// Close waits for nobody.
func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}
