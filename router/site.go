package router

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// location is where a request can arrive: a host, exact or *.example.com, and a
// path with everything under it; "" is all of the host.
type location struct {
	host, path string
}

func (p location) String() string { return p.host + p.path }

// target is what a place leads to: a route, or a handler in the process.
type target struct {
	route    *route
	handler  http.Handler
	strip    bool   // take the place's path off before the backend sees it
	path     string // of the place
	redirect string // the host that clients are sent to instead
}

// site is who answers at one host. It never changes once it can be seen.
type site struct {
	name  string            // as a certificate names it
	root  target            // what no path leads elsewhere; empty when there is nothing
	paths map[string]target // by path, nil for most
	depth int               // segments of the longest path
}

// enter adds a place, unless it leads elsewhere already.
func (t *table) enter(at location, to target) error {
	sites, key := t.sites(at.host)
	old := sites.get(key)
	s := &site{name: at.host}
	if old != nil {
		*s = site{name: old.name, root: old.root, paths: maps.Clone(old.paths), depth: old.depth}
	}
	taken := func(by target) error {
		err := &HostTakenError{Host: at.String()}
		if by.route != nil {
			err.By = by.route.label
		}
		return err
	}
	switch there, found := s.paths[at.path]; {
	case s.root.handler != nil && to.handler == nil, to.handler != nil && s.paths != nil:
		return taken(target{}) // a handler has its hosts for itself
	case at.path == "":
		if !s.root.empty() && s.root.route != to.route {
			return taken(s.root)
		}
		s.root = to
	case found && there.route != to.route:
		return taken(there)
	default:
		if s.paths == nil {
			s.paths = map[string]target{}
		}
		to.path = at.path
		s.paths[at.path] = to
		s.depth = max(s.depth, strings.Count(at.path, "/"))
	}
	sites.set(key, s)
	return nil
}

// leave takes a route's places and ports out.
func (t *table) leave(rt *route) {
	t.leavePorts(rt)
	for _, at := range rt.places {
		sites, key := t.sites(at.host)
		old := sites.get(key)
		s := &site{name: old.name, root: old.root}
		if at.path == "" {
			s.root = target{}
		}
		for path, to := range old.paths {
			if path == at.path {
				continue
			}
			if s.paths == nil {
				s.paths = map[string]target{}
			}
			s.paths[path] = to
			s.depth = max(s.depth, strings.Count(path, "/"))
		}
		if s.root.empty() && s.paths == nil {
			sites.delete(key)
		} else {
			sites.set(key, s)
		}
	}
}

func (t target) empty() bool { return t.route == nil && t.handler == nil }

// sites returns the half of the table that a host is in, and its key there.
func (t *table) sites(host string) (*index[*site], string) {
	if under, ok := strings.CutPrefix(host, "*."); ok {
		return t.wild, under
	}
	return t.hosts, host
}

// find returns what answers a request: of the exact host, else of the wildcard
// above it. Its cost depends neither on how many hosts there are nor on how
// many paths. ok is false when nothing leads there.
func (t *table) find(host string, u *url.URL) (to target, ok bool) {
	if s := t.hosts.get(host); s != nil {
		if to = s.find(u); !to.empty() {
			return to, true
		}
	}
	if s := t.wildcard(host); s != nil {
		to = s.find(u)
	}
	return to, !to.empty()
}

// wildcard returns the wildcard that a host is under, by one label.
func (t *table) wildcard(host string) *site {
	label, under, found := strings.Cut(host, ".")
	if !found || label == "" {
		return nil
	}
	return t.wild.get(under)
}

// certified returns the name in the certificate of a host: the host itself or
// the wildcard that it is under, so that there are no more certificates than
// hosts in the table. ok is false for a host that leads nowhere.
func (r *Router) certified(host string) (name string, ok bool) {
	s := r.table.Load().site(host)
	if s == nil {
		return "", false
	}
	return s.name, true
}

// site returns who answers at a host: itself, else the wildcard above it; nil
// when it leads nowhere.
func (t *table) site(host string) *site {
	if s := t.hosts.get(host); s != nil {
		return s
	}
	return t.wildcard(host)
}

// knows tells whether a host leads anywhere.
func (r *Router) knows(host string) bool {
	_, ok := r.certified(host)
	return ok
}

// Serves tells whether requests for a host lead anywhere, by a wildcard too.
func (r *Router) Serves(host string) bool { return r.knows(host) }

// shared tells whether two hosts are under the same wildcard and no more: one
// certificate is for both, and browsers use its connections for both.
func (t *table) shared(one, other string) bool {
	s := t.wildcard(one)
	return s != nil && s == t.wildcard(other) && t.hosts.get(one) == nil && t.hosts.get(other) == nil
}

func (s *site) find(u *url.URL) target {
	if s.paths == nil {
		return s.root
	}
	for p := leading(u, s.depth); p != ""; p = p[:strings.LastIndexByte(p, '/')] {
		if to, ok := s.paths[p]; ok {
			return to
		}
	}
	return s.root
}

// leading returns the first n segments of a path, decoded. A slash that the
// client has encoded is part of its segment: it stays encoded, which no path of
// the table is. What is behind the n segments is never looked at, however long.
func leading(u *url.URL, n int) string {
	if u.RawPath == "" {
		return u.Path[:segments(u.Path, n)]
	}
	raw := u.RawPath[:segments(u.RawPath, n)]
	if !strings.HasPrefix(raw, "/") {
		return ""
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(raw[1:], "/") {
		if plain, err := url.PathUnescape(segment); err == nil && !strings.Contains(plain, "/") {
			segment = plain
		}
		b.WriteByte('/')
		b.WriteString(segment)
	}
	return b.String()
}

// segments returns where the first n segments of a path end.
func segments(path string, n int) int {
	if !strings.HasPrefix(path, "/") {
		return 0 // OPTIONS *
	}
	end := 0
	for range n {
		next := strings.IndexByte(path[end+1:], '/')
		if next < 0 {
			return len(path)
		}
		end += 1 + next
	}
	return end
}

// strip returns the address without the first segments of its path, as many as
// prefix has.
func strip(u *url.URL, prefix string) *url.URL {
	n := strings.Count(prefix, "/")
	short := *u
	short.Path = u.Path[segments(u.Path, n):]
	if u.RawPath != "" {
		short.RawPath = u.RawPath[segments(u.RawPath, n):]
	}
	if short.Path == "" {
		short.Path, short.RawPath = "/", ""
	}
	return &short
}
