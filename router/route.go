package router

import (
	"context"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"sync/atomic"
)

// Limits of a Path: what a request's is compared with stays short.
const (
	MaxPathBytes    = 200
	MaxPathSegments = 16
)

// Backend is one place that answers requests.
type Backend struct {
	ID   string
	Dial func(ctx context.Context) (net.Conn, error) // a fresh connection; safe for concurrent use

	// Name and Release stand in the access log.
	Name    string
	Release int

	// Resting takes it out of the turn: it is asked only when all others have
	// been. Its connections stay, and so do requests that are with it.
	Resting bool

	// DialPort is Dial for a Port of the route; it may be nil where there is none.
	DialPort func(ctx context.Context, port int) (net.Conn, error)
}

// Route leads hosts and ports to backends. With no backends its hosts get the page of an
// app that is down (503).
type Route struct {
	Name      string   // what it is known by, in the access log and the counters too
	Label     string   // what logs and errors call it; "" is its name
	Hosts     []string // lower case: exact, or *.example.com for one label under it
	Paths     []Path
	Redirects []Redirect
	Ports     []Port
	Backends  []Backend
	Options   Options
}

// Path leads a path of a host, and all that is under it, to the route. Of
// several the longest wins, and each wins against the host alone. Other routes
// may have other paths of the same host.
type Path struct {
	Host   string // as in Route.Hosts
	Prefix string // "/blog": whole segments, decoded, no slash at the end
	Strip  bool   // the backend sees /post for /blog/post, and X-Forwarded-Prefix
}

// Redirect sends the clients of a host to the same path of another.
type Redirect struct {
	From string // as in Route.Hosts
	To   string // exact
}

func (rt Route) validate() error {
	if rt.Name == "" {
		return fmt.Errorf("a route needs a name")
	}
	for at, to := range rt.places(nil) {
		if err := checkHost(strings.TrimPrefix(at.host, "*.")); err != nil {
			return err
		}
		if at.path != "" {
			if err := checkPath(at.path); err != nil {
				return err
			}
		}
		if to.redirect != "" {
			if err := checkHost(to.redirect); err != nil {
				return err
			}
		}
	}
	for i, b := range rt.Backends {
		if b.ID == "" || b.Dial == nil {
			return fmt.Errorf("backend %d has no ID or no Dial", i)
		}
		if len(rt.Ports) > 0 && b.DialPort == nil {
			return fmt.Errorf("backend %d has no DialPort", i)
		}
		if slices.ContainsFunc(rt.Backends[:i], func(o Backend) bool { return o.ID == b.ID }) {
			return fmt.Errorf("two backends have the ID %q", b.ID)
		}
	}
	for _, p := range rt.Ports {
		if err := p.validate(); err != nil {
			return err
		}
	}
	return rt.Options.Validate()
}

// places lists where the route can be reached, and what leads there.
func (rt Route) places(to *route) iter.Seq2[location, target] {
	return func(yield func(location, target) bool) {
		for _, host := range rt.Hosts {
			if !yield(location{host: host}, target{route: to}) {
				return
			}
		}
		for _, p := range rt.Paths {
			if !yield(location{p.Host, p.Prefix}, target{route: to, strip: p.Strip}) {
				return
			}
		}
		for _, r := range rt.Redirects {
			if !yield(location{host: r.From}, target{route: to, redirect: r.To}) {
				return
			}
		}
	}
}

// checkPath refuses what could never match a request, and what could be
// understood in two ways.
func checkPath(path string) error {
	if !strings.HasPrefix(path, "/") || len(path) > MaxPathBytes || strings.Count(path, "/") > MaxPathSegments {
		return fmt.Errorf("%q is not a path prefix", path)
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%q is not a path prefix: a segment is empty or made of dots", path)
		}
		for _, c := range []byte(segment) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte(`%?#\;`, c) >= 0 {
				return fmt.Errorf("%q is not a path prefix in plain ASCII", path)
			}
		}
	}
	return nil
}

// route is a Route as the table holds it. It is immutable; what lives longer
// than one snapshot is in lasting.
type route struct {
	name     string
	label    string
	places   []location
	backends []*backend
	tokens   []string // of the backends, in cookies; nil when none are set
	options  *options
	*lasting
}

// lasting is what of a route stays when the route is swapped.
type lasting struct {
	turn     atomic.Uint64 // of the round-robin
	counters counters
	streams  streamCounters
	visitors visitors
	held     atomic.Pointer[hold] // nil unless paused
}
