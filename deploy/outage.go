package deploy

import (
	"context"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// RouteSurvivors leads requests to the containers that run while containerd is
// away, those of live releases, until ctx ends. It is for a deployer that has no
// engine and is not run: nothing is started, stopped or healed. What ends leaves
// its route. Ports are left to the berth that has an engine.
func (d *Deployer) RouteSurvivors(ctx context.Context, containers []*runtime.Container) {
	var records []store.App
	err := d.db.View(func(tx *store.Tx) (err error) {
		records, err = tx.Apps()
		return err
	})
	d.warn("the apps cannot be read", err)
	of := byApp(containers)
	for _, record := range records {
		release, err := d.liveRelease(record)
		if err != nil {
			continue // nothing of it should run
		}
		a := d.app(record)
		open := openPlaces(record, release)
		for _, c := range of[behalf(record.UID)] {
			p, fits := placeOf(open, release, c)
			if !fits || p.process.Type != "web" || ended(c) {
				continue
			}
			delete(open, p.String())
			i := d.instanceOf(a, release, p, c)
			a.mu.Lock()
			a.live = append(a.live, i)
			a.mu.Unlock()
		}
		d.routeSurvivors(a)
		for _, i := range a.set() {
			go func() { // ends with ctx at the latest
				select {
				case <-i.container.Done():
					i.set(InstanceCrashed, "")
					d.routeSurvivors(a)
				case <-ctx.Done():
				}
			}()
		}
	}
}

// routeSurvivors tells the router which instances of an app are left.
func (d *Deployer) routeSurvivors(a *app) {
	a.mu.Lock()
	defer a.mu.Unlock()
	route, err := d.routeOf(a.name)
	for _, i := range a.live {
		if b, ok := i.backend(); ok {
			route.Backends = append(route.Backends, b)
		}
	}
	if err == nil && len(a.live) > 0 {
		route.Ports = nil
		d.cfg.AccessLog.Keep(a.name)
		_, err = d.table.Swap(route)
	}
	d.warn("an app that runs cannot be routed", err, "app", a.name)
}
