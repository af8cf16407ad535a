package router

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// table is one snapshot of who answers which host. It never changes once it
// can be seen.
type table struct {
	hosts  *index[*site]  // by exact host
	wild   *index[*site]  // by what follows the first label's dot, of *.example.com
	routes *index[*route] // by name
	own    []string       // hosts of the handler
	ports  map[int]portTarget
}

func newTable() *table {
	return &table{hosts: newIndex[*site](), wild: newIndex[*site](), routes: newIndex[*route](), ports: map[int]portTarget{}}
}

func (t *table) clone() *table {
	return &table{hosts: t.hosts.clone(), wild: t.wild.clone(), routes: t.routes.clone(), own: t.own, ports: maps.Clone(t.ports)}
}

// HostTakenError says that a host already leads elsewhere.
type HostTakenError struct {
	Host string // with the path, where it is a path that is taken
	By   string // the route that has it; empty is the router's own handler
}

func (e *HostTakenError) Error() string {
	if e.By == "" {
		return fmt.Sprintf("%s is the appliance's own host", e.Host)
	}
	return fmt.Sprintf("%s already leads to %s", e.Host, e.By)
}

// Handle serves hosts by a handler in the process, in place of the hosts and
// the handler of the call before. A host of a route is an error (*HostTakenError),
// and nothing has changed then.
func (r *Router) Handle(hosts []string, h http.Handler) error {
	for _, host := range hosts {
		if err := checkHost(host); err != nil {
			return err
		}
	}
	r.write.Lock()
	defer r.write.Unlock()
	next := r.table.Load().clone()
	for _, host := range next.own {
		next.hosts.delete(host)
	}
	next.own = slices.Clone(hosts)
	for _, host := range hosts {
		if err := next.enter(location{host: host}, target{handler: h}); err != nil {
			return err
		}
	}
	r.table.Store(next)
	return nil
}

// Leads tells whether a host of exactly this name is in the table.
func (r *Router) Leads(host string) bool {
	sites, key := r.table.Load().sites(host)
	return sites.get(key) != nil
}

// Swap puts the route in place of the one of the same name. A backend whose ID
// stays keeps its connections and requests. It returns a drain of the backends
// that left. A host that another route or the handler has is an error
// (*HostTakenError), likewise a port (*PortTakenError), and nothing has changed
// then. A port that cannot be opened is tried again, see PortError.
func (r *Router) Swap(rt Route) (*Drain, error) {
	if err := rt.validate(); err != nil {
		return nil, fmt.Errorf("swap route %q: %w", rt.Name, err)
	}
	r.write.Lock()
	defer r.write.Unlock()
	next := r.table.Load().clone()
	fresh := &route{name: rt.Name, label: cmp.Or(rt.Label, rt.Name), options: rt.Options.compile(), lasting: new(lasting)}
	var before []*backend
	if old := next.routes.get(rt.Name); old != nil {
		before, fresh.lasting = old.backends, old.lasting
		fresh.options.guard.inherit(old.options.guard)
		next.leave(old)
	}
	for at, to := range rt.places(fresh) {
		if err := next.enter(at, to); err != nil {
			return nil, fmt.Errorf("swap route %q: %w", rt.Name, err)
		}
		fresh.places = append(fresh.places, at)
	}
	if err := next.enterPorts(rt.Ports, fresh); err != nil {
		return nil, fmt.Errorf("swap route %q: %w", rt.Name, err)
	}
	next.routes.set(rt.Name, fresh)

	for _, b := range rt.Backends {
		i := slices.IndexFunc(before, func(o *backend) bool { return o.id == b.ID })
		if i < 0 {
			fresh.backends = append(fresh.backends, newBackend(b, r.cfg))
			continue
		}
		before[i].health.resting.Store(b.Resting)
		before[i].setDials(b)
		fresh.backends = append(fresh.backends, before[i])
	}
	if fresh.options.Balance == Sticky {
		for _, b := range fresh.backends {
			fresh.tokens = append(fresh.tokens, token(fresh.name, b.id))
		}
	}
	left := slices.DeleteFunc(slices.Clone(before), func(b *backend) bool {
		return slices.Contains(fresh.backends, b)
	})

	r.table.Store(next) // first the new table can be seen, …
	r.ports.follow(next)
	return drain(left), nil // … then the old backends refuse
}

// Remove removes the route from the table and returns the drain of its
// backends. Removing a missing route does nothing.
func (r *Router) Remove(name string) *Drain {
	r.write.Lock()
	defer r.write.Unlock()
	next := r.table.Load().clone()
	old := next.routes.get(name)
	if old == nil {
		return drain(nil)
	}
	next.routes.delete(name)
	next.leave(old)
	r.table.Store(next)
	r.ports.follow(next)
	old.resume()
	return drain(old.backends)
}
