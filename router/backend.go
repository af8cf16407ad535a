package router

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxIdlePerBackend      = 256              // kept connections; more are closed after use
	maxResponseHeaderBytes = 1 << 20          // an app's headers; net/http's 10 MB is a memory attack by a broken app
	continueTimeout        = time.Second      // how long we wait for the app's 100 before sending the body
	firstBackoff           = time.Second      // out of the turn after one refused connection, doubling …
	maxBackoff             = 10 * time.Second // … up to this: a backend that is back is found again soon
)

// guest is who may be with a backend: an exchange or a stream.
type guest interface {
	streams() bool // it may never end by itself
	cut() bool     // ends it from outside; false when there was nothing to end
}

// backend is a Backend with its connections, its health and the guests that
// are with it now.
type backend struct {
	id        string
	name      string // for the access log
	of        int    // the release
	dial      atomic.Pointer[func(context.Context) (net.Conn, error)]
	dialPort  atomic.Pointer[func(context.Context, int) (net.Conn, error)]
	pool      pool            // of plain exchanges
	transport *http.Transport // of upgrades and whatever else is unusual
	timeout   time.Duration   // of a dial
	notHTTP2  atomic.Int64    // Unix nanoseconds; until then it is not asked in HTTP/2
	health    health

	mu     sync.Mutex // guards what follows
	guests map[guest]struct{}
	ports  map[int]*health // of the ports that streams have been refused at
	h2c    *http.Transport // in HTTP/2, made for the first exchange that wants it
	empty  chan struct{}   // not nil once draining; closed when the last guest has left
}

func newBackend(b Backend, cfg Config) *backend {
	own := &backend{id: b.ID, name: b.Name, of: b.Release, timeout: cfg.DialTimeout, guests: map[guest]struct{}{}}
	own.setDials(b)
	own.health.resting.Store(b.Resting)
	own.pool.limit = cfg.UpstreamIdle
	own.transport = &http.Transport{
		DialContext:            own.dialContext,
		DisableCompression:     true, // what the client accepts is between it and the app
		MaxIdleConnsPerHost:    maxIdlePerBackend,
		IdleConnTimeout:        cfg.UpstreamIdle,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
	}
	return own
}

func (b *backend) setDials(as Backend) {
	b.dial.Store(&as.Dial)
	b.dialPort.Store(&as.DialPort)
}

// dialError is a connection that was not made: nothing has reached the backend.
type dialError struct {
	backend string
	err     error
}

func (e *dialError) Error() string { return fmt.Sprintf("dial %s: %v", e.backend, e.err) }
func (e *dialError) Unwrap() error { return e.err }

func (b *backend) dialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return b.connect(ctx)
}

// upstream returns a connection for a plain exchange: a kept one, or a new one.
func (b *backend) upstream(ctx context.Context) (u *upstream, reused bool, err error) {
	if u := b.pool.get(time.Now()); u != nil {
		return u, true, nil
	}
	c, err := b.connect(ctx)
	if err != nil {
		return nil, false, err
	}
	return newUpstream(c), false, nil
}

func (b *backend) connect(ctx context.Context) (*upstreamConn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	c, err := (*b.dial.Load())(ctx)
	if err != nil {
		return nil, &dialError{b.id, err}
	}
	b.health.recovered()
	return &upstreamConn{Conn: c}, nil
}

// claim counts the guest in, unless the backend is draining: one step
// against drain, so that a drained backend gets none.
func (b *backend) claim(x guest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.empty != nil {
		return false
	}
	b.guests[x] = struct{}{}
	return true
}

// release counts the guest out.
func (b *backend) release(x guest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.guests, x)
	if b.empty != nil && len(b.guests) == 0 {
		close(b.empty)
	}
}

// drain makes the backend refuse claims from now on.
func (b *backend) drain() {
	b.mu.Lock()
	b.empty = make(chan struct{})
	if len(b.guests) == 0 {
		close(b.empty)
	}
	b.mu.Unlock()
	b.pool.close()
	b.closeTransports()
}

// closeIdle closes the connections that no request is using.
func (b *backend) closeIdle() {
	b.pool.flush()
	b.closeTransports()
}

// cut ends the guests that which chooses, and tells how many it ended.
func (b *backend) cut(which func(guest) bool) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for x := range b.guests {
		if which(x) && x.cut() {
			n++
		}
	}
	return n
}

// health is what requests have found out about a backend, one that refuses
// connections gets a rest, and what the route's owner says of it.
type health struct {
	until   atomic.Int64 // Unix nanoseconds; 0 is healthy
	fails   atomic.Int32
	resting atomic.Bool // Backend.Resting
}

func (h *health) ok(now time.Time) bool {
	return !h.resting.Load() && h.until.Load() <= now.UnixNano()
}

func (h *health) failed(now time.Time) {
	shift := min(h.fails.Add(1)-1, 10)
	h.until.Store(now.Add(min(firstBackoff<<shift, maxBackoff)).UnixNano())
}

func (h *health) recovered() {
	if h.until.Load() != 0 {
		h.fails.Store(0)
		h.until.Store(0)
	}
}
