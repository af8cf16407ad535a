package router

import (
	"strings"
	"time"
)

// Logged is what the access log gets to know of a route's requests.
type Logged string

// What there is to know. A query may hold what nobody should read in a log.
const (
	LogAll     Logged = "on"
	LogPaths   Logged = "paths" // addresses without their queries
	LogNothing Logged = "off"
)

// record tells the access log of a request that is over.
func (x *exchange) record() {
	if x.door.cfg.AccessLog == nil {
		return
	}
	a := Access{
		Time: x.start, Duration: time.Since(x.start), FirstByte: x.firstByte, ID: x.id,
		Client: x.client(), TLS: x.secure(), Proto: x.in.Proto,
		Method: x.in.Method, Host: x.host, URI: x.in.RequestURI,
		Status: x.w.status, BytesIn: x.bytesIn.Load(), BytesOut: x.w.written.Load(),
		UserAgent: x.headerOnce("User-Agent"), Referer: x.headerOnce("Referer"),
	}
	logged := LogPaths // of who has no route we cannot know what is secret; a link to sign in is
	if x.route != nil {
		a.Route, logged = x.route.name, x.route.options.Log
	}
	switch logged {
	case LogNothing:
		return
	case LogPaths:
		a.URI, _, _ = strings.Cut(a.URI, "?")
		a.Referer, _, _ = strings.Cut(a.Referer, "?")
	}
	if n := len(x.tried); n > 0 {
		b := x.tried[n-1]
		a.Backend, a.Instance, a.Release = b.id, b.name, b.of
	}
	x.door.cfg.AccessLog(a)
}

// headerOnce returns the first value of a header, by its canonical name.
func (x *exchange) headerOnce(name string) string {
	if values := x.in.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
