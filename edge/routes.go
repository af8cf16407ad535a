package edge

import (
	"strconv"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/router"
)

// Routes is how the fleet reaches the router: the edge knows an app's hosts.
func (e *Edge) Routes() fleet.Router { return routes{e: e} }

// RoutesWithoutPorts is Routes, and leaves TCP ports to another berth.
func (e *Edge) RoutesWithoutPorts() fleet.Router { return routes{e: e, portless: true} }

type routes struct {
	e        *Edge
	portless bool
}

// idOf is what the router and the access log know an app by.
func idOf(app fleet.Ref) string { return strconv.Itoa(app.UID) }

func (r routes) Swap(app fleet.Ref, backends []fleet.Backend) (fleet.Drain, error) {
	route, err := r.e.routeOf(app.Name)
	if err != nil {
		return nil, err
	}
	route.Name, route.Label = idOf(app), app.Name
	for _, b := range backends {
		route.Backends = append(route.Backends, router.Backend(b))
	}
	if r.portless {
		route.Ports = nil
	}
	r.e.cfg.AccessLog.Keep(idOf(app))
	return drained(r.e.table.Swap(route))
}

func (r routes) Remove(app fleet.Ref) fleet.Drain {
	drain, _ := drained(r.e.table.Remove(idOf(app)), nil)
	return drain
}

// drained keeps an interface from holding a nil drain.
func drained(drain *router.Drain, err error) (fleet.Drain, error) {
	if drain == nil || err != nil {
		return nil, err
	}
	return drain, nil
}

func (r routes) Hold(app fleet.Ref, requests int, patience time.Duration) error {
	return r.e.table.Pause(idOf(app), router.Pause{Requests: requests, For: patience})
}

func (r routes) Resume(app fleet.Ref) { r.e.table.Resume(idOf(app)) }

func (r routes) Hosts(app fleet.Ref) (hosts []string, usual string) {
	return r.e.visited(app.Name), r.e.host(app.Name)
}

func (r routes) Ports(app fleet.Ref) []string { return r.e.containerPorts(app.Name) }

func (r routes) StreamGrace(app fleet.Ref) time.Duration { return r.e.streamGrace(app.Name) }
