// Package router is the reverse proxy: it finds the route of a request by its host
// and path, or of a connection by its port, balances over the route's healthy
// backends, and swaps and drains backends without failing a request. It knows no
// apps: a route has a name, hosts, ports and backends.
//
//	listener ─ peers ─ front ─ door ─ table ─┬─ route ─ claim ─ backend ─ its connections
//	(plain, TLS, QUIC)             (by host) ├─ handler (the admin page)
//	    │                                    └─ a page of our own
//	certificates
//
//	listener of a port ─ stream ─ table ─ route ─ claim ─ backend
//
// Plain HTTP/1.1 takes a fast path, in (package front) and out (pass); net/http
// does the rest. Both become the same exchange.
//
// Requests read the table through an atomic pointer and never lock it. The claim
// makes a swap safe: one step checks that the backend is not draining and counts
// the request there. A request that comes too late reads the table again, and
// finds the new one.
//
// The package certificates answers TLS handshakes.
package router

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/router/peer"
)

// Defaults of Config, each with its reason.
const (
	DefaultHeaderTimeout   = 10 * time.Second        // a slow-header attack holds a connection no longer than this
	DefaultIdleTimeout     = 2 * time.Minute         // browsers come back within a page's reading time
	DefaultSendTimeout     = time.Minute             // for a client to take some of a response, as nginx's send_timeout
	DefaultBodyGrace       = 30 * time.Second        // a train is in a tunnel that long
	DefaultMaxHeaderBytes  = 64 << 10                // twice what nginx takes; room for fat cookies
	DefaultDialTimeout     = 5 * time.Second         // backends are on this machine: a connect is instant or hopeless
	DefaultResponseTimeout = time.Minute             // to the first byte, as nginx does; streams may last
	DefaultUpstreamIdle    = 1500 * time.Millisecond // below gunicorn's 2 s and Node's 5 s, so that we hang up first
	DefaultDrain           = 30 * time.Second        // the longest request we promise to finish
)

// Config says how the router treats connections. Zero values are the defaults.
type Config struct {
	// HTTPPort and HTTPSPort are the ports as clients see them, for redirects
	// and X-Forwarded-Port. Zero is 80 and 443.
	HTTPPort, HTTPSPort int

	HeaderTimeout   time.Duration // for a client to send its headers, TLS handshake included
	IdleTimeout     time.Duration // a client's kept connection
	BodyGrace       time.Duration // that a client may stall in the middle of a body, see Options.MinBodyRate
	SendTimeout     time.Duration // for a client to read what it was sent, some ten kilobytes at a time
	MaxHeaderBytes  int
	DialTimeout     time.Duration // for one backend to accept
	ResponseTimeout time.Duration // for a backend to begin its response
	UpstreamIdle    time.Duration // a backend's kept connection
	Drain           time.Duration // for requests in flight when Serve ends

	// Certificates answer TLS handshakes; without them Serve takes neither HTTPS listeners nor QUIC sockets.
	Certificates *certificates.Keeper

	// QUICSecret is what the keys of HTTP/3 that outlast a restart are derived
	// from. Serve takes no QUIC sockets without it.
	QUICSecret []byte

	// AccessLog, when set, is called after each request, on the request's own
	// goroutine: it must not block. What a record's texts are part of is reused
	// by nobody, and may be long: whoever keeps one copies it.
	AccessLog func(Access)

	// Sockets open the ports of routes. Nil opens them on every address.
	Sockets Sockets

	// Unready says that the rest of the routes comes later: every host that leads
	// to no backend, also one that has no route, is answered with a page (503).
	Unready bool

	portRetry  time.Duration // how often a port that could not be opened is tried; zero is defaultPortRetry
	halfClosed time.Duration // zero is defaultHalfClosed
}

// Access is one finished request.
type Access struct {
	Time     time.Time
	Duration time.Duration
	ID       string // the X-Request-ID
	Route    string // empty when no route has the host
	Backend  string // the ID of the backend that was asked last
	Instance string // its name
	Release  int    // that it is of
	Client   string // address without port
	TLS      bool   // of the client's own connection
	Proto    string
	Method   string
	Host     string
	URI      string // without its query where the route wants that, or there is no route
	Status   int    // 499 when the client left before the response began
	BytesIn  int64
	BytesOut int64

	FirstByte time.Duration // until the head of the backend's response; 0 when there was none
	UserAgent string
	Referer   string // without its query, as URI
}

// Validate reports every value that makes no sense.
func (c Config) Validate() error {
	var errs []error
	for name, port := range map[string]int{"HTTPPort": c.HTTPPort, "HTTPSPort": c.HTTPSPort} {
		if port < 0 || port > 65535 {
			errs = append(errs, fmt.Errorf("%s %d is not a port", name, port))
		}
	}
	for name, d := range map[string]time.Duration{
		"HeaderTimeout": c.HeaderTimeout, "BodyGrace": c.BodyGrace, "IdleTimeout": c.IdleTimeout, "SendTimeout": c.SendTimeout, "DialTimeout": c.DialTimeout,
		"ResponseTimeout": c.ResponseTimeout, "UpstreamIdle": c.UpstreamIdle, "Drain": c.Drain,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s %v is negative", name, d))
		}
	}
	if c.MaxHeaderBytes < 0 {
		errs = append(errs, fmt.Errorf("MaxHeaderBytes %d is negative", c.MaxHeaderBytes))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	or(&c.HeaderTimeout, DefaultHeaderTimeout)
	or(&c.SendTimeout, DefaultSendTimeout)
	or(&c.BodyGrace, DefaultBodyGrace)
	or(&c.IdleTimeout, DefaultIdleTimeout)
	or(&c.DialTimeout, DefaultDialTimeout)
	or(&c.ResponseTimeout, DefaultResponseTimeout)
	or(&c.UpstreamIdle, DefaultUpstreamIdle)
	or(&c.Drain, DefaultDrain)
	if c.Sockets == nil {
		c.Sockets = everyAddress{}
	}
	or(&c.portRetry, defaultPortRetry)
	or(&c.halfClosed, defaultHalfClosed)
	if c.HTTPPort == 0 {
		c.HTTPPort = 80
	}
	if c.HTTPSPort == 0 {
		c.HTTPSPort = 443
	}
	if c.MaxHeaderBytes == 0 {
		c.MaxHeaderBytes = DefaultMaxHeaderBytes
	}
	return c
}

// Router holds the routing table, one immutable snapshot behind an atomic
// pointer. Its methods are safe for concurrent use.
type Router struct {
	cfg   Config
	log   *slog.Logger
	pages pages

	table atomic.Pointer[table]
	write sync.Mutex // serialises those who replace the table

	peers     peer.Gate      // every connection comes through it
	exchanges sync.WaitGroup // requests in flight, upgraded ones included
	ports     ports
	buffers   buffers
	encoders  encoders
}

// New returns a router with an empty table. cfg has been validated.
func New(cfg Config, log *slog.Logger) *Router {
	r := &Router{cfg: cfg.withDefaults(), log: log, pages: newPages()}
	r.table.Store(newTable())
	r.ports = ports{router: r, open: map[int]*entrance{}}
	return r
}
