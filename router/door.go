package router

import (
	"context"
	"log"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// challengePath is where an ACME CA looks for proof over plain HTTP.
const challengePath = "/.well-known/acme-challenge/"

// door is one of the router's entrances: plain, TLS or QUIC.
type door struct {
	*Router
	secure   bool
	redirect bool            // plain requests are sent to the other door
	stopping context.Context // done when Serve ends: streams are cut then
	altSvc   []string        // says where else the host is served
	errorLog *log.Logger
}

// ServeHTTP finds out who answers the request.
func (d *door) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d.exchanges.Add(1)
	defer d.exchanges.Done()
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	req = req.WithContext(ctx)
	x := &exchange{
		door:   d,
		in:     req,
		id:     newRequestID(),
		host:   canonicalHost(req.Host),
		start:  time.Now(),
		cancel: cancel,
	}
	x.believe()
	x.w = &responseWriter{ResponseWriter: w, exchange: x}
	defer x.finish()
	defer x.contain()

	challenge := strings.HasPrefix(req.URL.Path, challengePath)
	if challenge && !d.secure && d.cfg.Certificates.AnswerChallenge(x.w, req) {
		return
	}
	if req.ProtoMajor >= 2 && !clearLength(req.Header["Content-Length"]) {
		x.page(malformed)
		return
	}
	if !wellFormed(req.Host) {
		x.page(malformed)
		return
	}
	table := d.table.Load()
	if d.secure && !sameHost(table, req.TLS.ServerName, x.host) {
		x.page(misdirected)
		return
	}
	to, ok := table.find(x.host, req.URL)
	x.route = to.route
	switch {
	case !ok && d.cfg.Unready:
		x.page(unready)
	case !ok:
		x.page(unknownHost)
	case req.Method == http.MethodConnect:
		x.page(noTunnel)
	case to.redirect != "":
		x.redirectHost(to.redirect)
	case d.redirect && !challenge && !x.answersPlain() && !x.secure():
		x.redirect()
	case d.cfg.Unready && (to.handler != nil || len(to.route.backends) == 0):
		x.page(unready)
	case to.handler != nil:
		x.setForwarded(req.Header)
		to.handler.ServeHTTP(x.w, req)
	default:
		if x.place = to.path; to.strip {
			x.strip(to.path)
		}
		defer x.leave()
		if !x.admit() {
			x.route.counters.refused.Add(1)
			return
		}
		x.proxy()
		x.w.finish() // not after a panic: what broke off must not look whole
	}
}

// contain logs a panic where it is seen, and cuts the connection as net/http
// would have done.
func (x *exchange) contain() {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		x.door.log.Error("handler panicked", "request", x.id, "panic", p, "stack", string(debug.Stack()))
		panic(http.ErrAbortHandler)
	}
}

// clearLength tells whether a body's length is said once, and as a number.
// HTTP/2 and 3 need none to find the end of a body, so their servers take the
// first of several, and what is no number for none.
func clearLength(values []string) bool {
	if len(values) == 0 {
		return true
	}
	return len(values) == 1 && values[0] != "" && strings.Trim(values[0], "0123456789") == ""
}

// sameHost tells whether a request may come over a connection that was opened
// for a server name. No name (an address was dialled) fits every host.
func sameHost(t *table, serverName, host string) bool {
	if serverName == "" {
		return true
	}
	serverName = canonicalHost(serverName)
	return serverName == host || t.shared(serverName, host)
}
