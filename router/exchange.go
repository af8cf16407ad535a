package router

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxTries bounds how many backends one request is offered to; each refusal
// may cost a dial timeout.
const maxTries = 3

// statusClientGone is nginx's name for a client that left before its response.
const statusClientGone = 499

var (
	errDown = errors.New("the route has no backend")
	errGone = errors.New("every backend was tried")
)

// exchange is one request on its way through the router, and its response.
type exchange struct {
	door   *door
	in     *http.Request // the exchange's own copy, though its header and URL are the server's
	w      *responseWriter
	id     string
	host   string
	place  string // the path that the route was found by; "" is by the host
	prefix string // of the path, which was taken off it
	start  time.Time
	cancel context.CancelFunc

	firstByte time.Duration // after start, the head of the backend's response came
	believed  *believed     // of a trusted proxy's request; else nil

	// Set once a route is found.
	route   *route
	backend *backend // claimed
	tried   []*backend
	body    *body // nil when the request has none
	bytesIn atomic.Int64

	stream  atomic.Bool // upgraded, an event stream or a call that goes on: it may never end by itself
	unwatch func() bool // of a stream
	hungUp  bool        // the client's connection closes after this response

	end    sync.Mutex // guards over: a writer must not be touched once its handler has returned
	over   bool
	wasCut atomic.Bool

	part // of the route's options

	conn                       *upstreamConn // of the try under way
	reused                     bool
	sentBefore, receivedBefore int64
}

// proxy claims a backend, passes the request to it and its response back.
func (x *exchange) proxy() {
	x.route.counters.begin()
	x.w.count = &x.route.counters.out
	defer x.count()
	defer func() {
		x.release()
		if x.wasCut.Load() && !x.hungUp {
			panic(http.ErrAbortHandler) // its connection has deadlines that no next request should meet
		}
	}()

	if x.plain() {
		x.pass()
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite:      x.rewrite,
		Transport:    x,
		ErrorHandler: x.failed,
		ErrorLog:     x.door.errorLog,
		BufferPool:   &x.door.buffers,
	}
	if x.isGRPC() {
		proxy.ModifyResponse = x.converse
	}
	proxy.ServeHTTP(x.w, x.in)
}

// rewrite makes the request that the backend gets.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", "backend" // the transport dials only its own
	p.Out.URL.RawQuery = p.In.URL.RawQuery               // semicolons and all: we never read it
	p.Out.Host = p.In.Host
	x.setForwarded(p.Out.Header)
	if x.speaksH2C() { // which has no upgrades
		p.Out.Header.Del("Connection")
		p.Out.Header.Del("Upgrade")
	}
	if p.Out.Body == nil {
		return
	}
	x.body = &body{src: p.Out.Body, count: x.countIn}
	p.Out.Body = x.sender()
	p.Out.GetBody = func() (io.ReadCloser, error) {
		if x.body.lost.Load() {
			return nil, errBodyGone
		}
		return x.sender(), nil
	}
	// Trailers have no values before the body has ended.
	p.Out.Trailer = maps.Clone(p.In.Trailer)
	maps.DeleteFunc(p.Out.Trailer, func(name string, _ []string) bool { return untrusted(name) })
	x.body.atEnd = func() {
		for name := range p.Out.Trailer {
			p.Out.Trailer[name] = p.In.Trailer[name]
		}
	}
}

func (x *exchange) countIn(n int) {
	x.bytesIn.Add(int64(n))
	x.route.counters.in.Add(uint64(n))
}

// RoundTrip sends an unusual request to a claimed backend.
func (x *exchange) RoundTrip(out *http.Request) (res *http.Response, err error) {
	patience := x.newPatience(out.Context())
	defer patience.stop()
	trace := &httptrace.ClientTrace{GotConn: x.gotConn, WroteRequest: patience.begin}
	out = out.WithContext(httptrace.WithClientTrace(patience.ctx, trace))
	err = x.offer(func(again bool) (err error) {
		if again && x.body != nil {
			out.Body = x.sender()
		}
		by, err := x.backend.roundTripper(x)
		if err == nil {
			res, err = by.RoundTrip(out)
		}
		return patience.because(err)
	})
	if err == nil {
		becomeUpgrade(res)
	}
	return res, err
}

// offer claims a backend and has the request tried there. While nothing has
// reached a backend the next one is tried; a kept connection that turns out to
// be dead gives way once to a fresh one. A safe request whose backend died with
// it goes to another one, once.
func (x *exchange) offer(try func(again bool) error) error {
	if err := x.claim(); err != nil {
		return err
	}
	for replayed, again := false, false; ; again = true {
		x.conn = nil
		if again {
			x.route.counters.retries.Add(1)
		}
		err := try(again)
		if err == nil {
			x.firstByte = time.Since(x.start)
			return nil
		}
		if x.in.Context().Err() != nil {
			return err
		}
		if _, refused := errors.AsType[*dialError](err); refused {
			x.backend.health.failed(time.Now())
			if x.claim() != nil {
				return err // the refusal says more than that there is no other
			}
		} else if !replayed && !timesOut(err) && x.mayReplay(x.in.Method) {
			replayed = true
			x.backend.closeIdle() // as old as the dead one
		} else if !replayed && !timesOut(err) && x.mayGoElsewhere(x.in.Method) {
			replayed = true // once: a request that kills its reader is not to kill them all
			if x.claim() != nil {
				return err
			}
		} else {
			return err
		}
	}
}

// timesOut tells a backend that is slow from one that is dead: the request is
// under way there, and would be done twice.
func timesOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// claim takes a place at the next backend that was not tried yet. A backend
// that is draining means that the table has changed since it was read.
func (x *exchange) claim() error {
	x.release()
	for len(x.tried) < maxTries {
		if err := x.route.pass(x.in.Context(), func(h *hold) *atomic.Int64 { return &h.requests }); err != nil {
			return err
		}
		rt := x.door.table.Load().routes.get(x.route.name)
		if rt == nil || len(rt.backends) == 0 {
			if rt != nil && rt.held.Load() != nil {
				continue // paused since: its backends come back
			}
			return errDown
		}
		b := rt.pick(x, time.Now())
		if b == nil {
			break
		}
		if b.claim(x) {
			x.backend, x.tried = b, append(x.tried, b)
			return nil
		}
	}
	return errGone
}

func (x *exchange) release() {
	if x.backend != nil {
		x.backend.release(x)
		x.backend = nil
	}
}

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	c, ok := info.Conn.(*upstreamConn)
	if !ok {
		return
	}
	x.onConn(c, info.Reused)
}

// onConn remembers the connection of the try under way, as it is before it.
func (x *exchange) onConn(c *upstreamConn, reused bool) {
	x.conn, x.reused = c, reused
	x.sentBefore, x.receivedBefore = c.sent.Load(), c.received.Load()
}

// mayReplay tells whether the request that has just failed met a kept
// connection that was dead, and can be sent again without being done twice.
func (x *exchange) mayReplay(method string) bool {
	if x.conn == nil || !x.reused || x.conn.received.Load() != x.receivedBefore {
		return false
	}
	if x.body != nil && (x.speaksH2C() || !x.body.replayable() || x.body.failure() != nil) {
		return false
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true // idempotent, RFC 9110 section 9.2.2
	}
	return !x.speaksH2C() && x.conn.unread(x.sentBefore) // others' bytes are on it, too
}

// mayGoElsewhere tells whether the request that has just failed lost a backend
// that had taken it, on a fresh connection, and may be sent to another one. How
// far the lost one got, nobody knows: it has to be safe (RFC 9110 section 9.2.1),
// and no byte of an answer may be there.
func (x *exchange) mayGoElsewhere(method string) bool {
	if x.conn == nil || x.body != nil || x.conn.received.Load() != x.receivedBefore {
		return false
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func (x *exchange) streams() bool { return x.stream.Load() }

// becameStream is called when the response turns out to be an upgrade or an
// event stream. Nobody waits for the end of those when the router stops.
func (x *exchange) becameStream() {
	x.stream.Store(true)
	x.unwatch = context.AfterFunc(x.door.stopping, func() { x.cut() })
}

// failed answers for a backend that did not.
func (x *exchange) failed(_ http.ResponseWriter, _ *http.Request, err error) {
	log := x.door.log.With("route", x.route.label, "request", x.id)
	switch {
	case x.wasCut.Load():
		x.hangUp() // deadlines have been set on it
		x.page(restarted)
	case x.upload.refused() != nil: // before the context: net/http ends it with the body
		x.hangUp()
		x.page(*x.upload.refused())
	case x.in.Context().Err() != nil:
		x.w.status = statusClientGone
		panic(http.ErrAbortHandler) // nothing is better than an empty 200
	case errors.Is(err, errDown):
		x.page(down)
	case errors.Is(err, errPaused):
		x.page(restarting)
	case x.body != nil && x.body.failure() != nil:
		x.hangUp() // where the next request would begin is anyone's guess
		x.page(malformed)
	case wasReset(x, err):
		x.tellStatus(x.broken(err))
	case timesOut(err):
		log.Warn("backend timed out", "err", err)
		x.page(timedOut)
	case errors.Is(err, errNotHTTP2):
		log.Debug("backend failed", "err", err) // whoever likes can ask so, as often as they like
		x.page(badGateway)
	default:
		log.Warn("backend failed", "err", err)
		x.page(badGateway)
	}
}

// hangUp closes the client's connection after the response. HTTP/2 has many
// requests on it, and frames that keep them apart.
func (x *exchange) hangUp() {
	x.hungUp = true
	if x.in.ProtoMajor == 1 {
		x.w.Header().Set("Connection", "close")
	}
}

// cut ends the exchange from outside: its context first, so that a page can
// still be written, then its connection. It tells whether there was one to end.
func (x *exchange) cut() bool {
	x.end.Lock()
	defer x.end.Unlock()
	if x.over || x.wasCut.Swap(true) {
		return false
	}
	x.cancel()
	soon := time.Now().Add(cutGrace)
	control := http.NewResponseController(x.w)
	control.SetReadDeadline(soon)
	control.SetWriteDeadline(soon)
	return true
}

// finish lets go of the exchange and writes the access log.
func (x *exchange) finish() {
	x.end.Lock()
	x.over = true
	x.w.close()
	x.end.Unlock()
	if x.unwatch != nil {
		x.unwatch()
	}
	x.record()
}

// newRequestID returns 128 random bits in letters and digits.
func newRequestID() string { return strings.ToLower(rand.Text()) }
