package edge

import (
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/router"
)

// Routes is how the fleet reaches the router: the edge knows an app's hosts.
func (d *Edge) Routes() fleet.Router { return routes{d} }

type routes struct{ d *Edge }

func (r routes) Swap(app string, backends []fleet.Backend) (fleet.Drain, error) {
	route, err := r.d.routeOf(app)
	if err != nil {
		return nil, err
	}
	for _, b := range backends {
		route.Backends = append(route.Backends, router.Backend(b))
	}
	if r.d.portless {
		route.Ports = nil
	}
	r.d.cfg.AccessLog.Keep(app)
	return drained(r.d.table.Swap(route))
}

func (r routes) Remove(app string) fleet.Drain {
	drain, _ := drained(r.d.table.Remove(app), nil)
	return drain
}

// drained keeps an interface from holding a nil drain.
func drained(drain *router.Drain, err error) (fleet.Drain, error) {
	if drain == nil || err != nil {
		return nil, err
	}
	return drain, nil
}

func (r routes) Hold(app string, requests int, patience time.Duration) error {
	return r.d.table.Pause(app, router.Pause{Requests: requests, For: patience})
}

func (r routes) Resume(app string) { r.d.table.Resume(app) }

func (r routes) Hosts(app string) (hosts []string, usual string) {
	return r.d.visited(app), r.d.host(app)
}

func (r routes) Ports(app string) []string { return r.d.containerPorts(app) }

func (r routes) StreamGrace(app string) time.Duration { return r.d.streamGrace(app) }
