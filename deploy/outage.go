package deploy

import (
	"context"

	"github.com/berthd/berth/fleet/local"
	"github.com/berthd/berth/runtime"
)

// RouteSurvivors leads requests to the containers that run while containerd is
// away, those of live releases, until ctx ends. It is for a deployer that has no
// engine and is not run: nothing is started, stopped or healed. What ends leaves
// its route. Ports are left to the berth that has an engine.
func (d *Deployer) RouteSurvivors(ctx context.Context, containers []*runtime.Container) {
	records, err := d.db.Apps()
	d.warn("the apps cannot be read", err)
	context.AfterFunc(ctx, d.end)
	d.fleet = d.newFleet(d.boxes, d.edge.RoutesWithoutPorts())
	d.fleet.RouteSurvivors(ctx, d.wanted(records), local.Containers(containers))
}
