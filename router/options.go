package router

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/net/http/httpguts"
)

// Defaults of Options, each with its reason.
const (
	DefaultMaxBody     = 100 << 20 // an app's uploads; a disk that fills is worse than a refusal in words
	DefaultMinBodyRate = 500       // bytes a second: below every modem, above a client that holds a place on purpose
)

// Options say how a route handles its requests. The zero value is the default.
// They are compiled once, when the route is swapped in: changing them drops no
// request, and backends keep their state.
type Options struct {
	// Plain answers plain HTTP too, in place of sending it to HTTPS.
	Plain bool

	// Balance is which backend gets a request; empty is RoundRobin.
	Balance Balance

	// Protocol is what the backends speak; empty is HTTP.
	Protocol Protocol

	// Maintenance answers every request with a page (503) and asks no backend.
	Maintenance bool

	// MaintenancePage and ErrorPage are HTML in place of our own pages; the
	// error page is for 502, 503 and 504.
	MaintenancePage, ErrorPage []byte

	// MaxBody is how long a request's body may be, and each message of a gRPC
	// call; 0 is DefaultMaxBody, less than 0 any length. MinBodyRate is how fast it has to come, in bytes a
	// second, once Config.BodyGrace is used up; 0 is DefaultMinBodyRate, less than 0 any.
	MaxBody, MinBodyRate int64

	// ResponseTimeout is how long a backend may take to begin its response, once
	// it has the request; 0 is Config.ResponseTimeout.
	ResponseTimeout time.Duration

	// Rate is how many requests a second one address may make, in the long
	// run, and Burst how many at once after a pause. 0 is no limit, and a burst
	// of one second's worth.
	Rate  float64
	Burst int

	// InFlight is how many requests of one address may be under way, WebSockets
	// and event streams included; 0 is no limit.
	InFlight int

	// HSTS is the value of Strict-Transport-Security over TLS, in place of the
	// backend's; empty leaves the backend's.
	HSTS string

	// Headers stand in every response of a backend, in place of its own.
	Headers []Header

	// Users, when there are any, are the only ones who are let through, by
	// basic authentication. It is taken off what the backend sees.
	Users []User

	// Uncompressed passes responses as the backends make them.
	Uncompressed bool

	// Log is what the access log gets to know of requests; empty is LogAll.
	Log Logged
}

// Header is one header field.
type Header struct{ Name, Value string }

// User may enter with a password.
type User struct {
	Name string
	Hash []byte // of bcrypt
}

// Validate reports every value that makes no sense.
func (o Options) Validate() error {
	var errs []error
	if !slices.Contains([]Balance{"", RoundRobin, LeastConnections, Sticky}, o.Balance) {
		errs = append(errs, fmt.Errorf("there is no balance %q", o.Balance))
	}
	if !slices.Contains([]Logged{"", LogAll, LogPaths, LogNothing}, o.Log) {
		errs = append(errs, fmt.Errorf("there is no log %q", o.Log))
	}
	if !slices.Contains([]Protocol{"", HTTP, H2C}, o.Protocol) {
		errs = append(errs, fmt.Errorf("there is no protocol %q", o.Protocol))
	}
	if o.Rate < 0 || o.Burst < 0 || o.InFlight < 0 {
		errs = append(errs, errors.New("a limit is negative"))
	}
	for _, h := range append(slices.Clone(o.Headers), Header{"Strict-Transport-Security", o.HSTS}) {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			errs = append(errs, fmt.Errorf("%q: %q is not a header", h.Name, h.Value))
		}
	}
	for _, h := range o.Headers {
		if OwnHeader(h.Name) {
			errs = append(errs, fmt.Errorf("%s is not to be set by hand", h.Name))
		}
	}
	for _, u := range o.Users {
		if _, err := bcrypt.Cost(u.Hash); err != nil || u.Name == "" || strings.Contains(u.Name, ":") {
			errs = append(errs, fmt.Errorf("%q cannot be a user: %w", u.Name, err))
		}
	}
	return errors.Join(errs...)
}

// OwnHeader tells whether a header of responses is between router, backend and
// client, or has an option of its own: it is not for Options.Headers.
func OwnHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Content-Encoding", "Content-Range", "Date", "Location", "Set-Cookie",
		"Strict-Transport-Security", "Www-Authenticate", "Proxy-Authenticate":
		return true
	}
	return false
}

// options are Options as requests read them.
type options struct {
	Options
	guard *guard // nil while everybody may enter
	pace  pace   // of one address
}

func (o Options) compile() *options {
	compiled := &options{Options: o, guard: newGuard(o.Users), pace: newPace(o.Rate, o.Burst)}
	if o.MaxBody == 0 {
		compiled.MaxBody = DefaultMaxBody
	}
	if o.MinBodyRate == 0 {
		compiled.MinBodyRate = DefaultMinBodyRate
	}
	return compiled
}

// admit tells whether the request goes on to a backend. If not, it is answered.
// What costs least is asked first.
func (x *exchange) admit() bool {
	o := x.route.options
	switch {
	case !x.withinLimits(o):
		return false
	case o.Maintenance:
		x.page(maintenance)
		return false
	case o.guard != nil && !o.guard.admits(x):
		return false
	}
	return x.takeBody(o)
}

// respond finishes the header of a backend's response. It tells whether the
// header has to wait for the first of the body.
func (x *exchange) respond(status int) (wait bool) {
	if x.route == nil {
		return false
	}
	o, h := x.route.options, x.w.Header()
	if x.secure() && o.HSTS != "" {
		h["Strict-Transport-Security"] = []string{o.HSTS}
	}
	if x.upload != nil {
		x.upload.answered.Store(true)
	}
	if x.backend == nil || x.ours {
		return false
	}
	x.stick(h)
	for _, header := range o.Headers {
		h.Set(header.Name, header.Value)
	}
	return !o.Uncompressed && x.compress(status, h)
}

// part is what the router's options keep of an exchange.
type part struct {
	address address // of the client, for limits
	inside  bool    // it is counted among those of its address
	upload  *upload // nil when the request has no body
	ours    bool    // the answer is a page of ours
}

// leave counts the exchange out.
func (x *exchange) leave() {
	if x.inside {
		x.route.visitors.leave(x.address)
	}
	if x.upload != nil {
		x.upload.end()
	}
}

// seconds rounds up to whole ones, as Retry-After has them.
func seconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }
