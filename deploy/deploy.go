// Package deploy turns a push into a running release and keeps it running: push,
// release, rollback, config, scale. Below it, build makes the image of a release,
// fleet runs the instances, edge routes requests to them, and jobs runs cron jobs and
// one-offs.
//
// A release is recorded as pending, then rolled out by the fleet (see package
// fleet), which calls back when all of it is healthy: the store names the release,
// then the router switches to it. Until then, a failure or a crash does not change
// the old release. Boot, scaling, restarting and rolling back take the same steps
// (see converge).
package deploy

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/local"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/images"
	"github.com/berthd/berth/storage"
	"github.com/berthd/berth/store"
)

// Config has the directories and limits of deploys.
type Config struct {
	Logs string // directory of the apps' logs
	Git  git.Repositories

	// AccessLog is what the router tells of its requests. It keeps its files
	// in Logs.
	AccessLog *accesslog.Log

	// HTTPSPort and SSHPort are the ports that URLs name when they are not 443 and 22.
	HTTPSPort, SSHPort int

	// Ports are those of the machine that berth itself listens on.
	Ports []int

	// Containers are the networks of the containers.
	Containers []netip.Prefix

	// Volumes is the directory of the apps' volumes. Own are berth's directories:
	// nothing of them is mounted into an app.
	Volumes string
	Own     []string

	// Caches is the directory of the apps' build caches.
	Caches string

	// Mirror is the operator's directory of archives of tools; nil is none.
	Mirror *mirror.Dir

	// Builds is how many builds run at once; 0 is one for every two cores.
	Builds int

	// KeepReleases is how many releases of an app can be rolled back to, the
	// live one among them; 0 is DefaultKeepReleases.
	KeepReleases int
}

// Deployer turns pushes into releases and keeps them running. Its methods, and
// those of its parts, are safe for concurrent use; what changes what an app runs
// is done one after the other, and so are an app's builds (see turns.go).
type Deployer struct {
	*turns
	*Apps
	*Releases
	*Processes
	Mounts    *Mounts
	phases    *phases
	resources *Resources
	checks    *Checks

	cfg     Config
	engine  *runtime.Engine
	build   *build.Builder
	edge    *edge.Edge
	jobs    *jobs.Jobs
	logs    *logs.Book
	volumes *storage.Room
	lan     *edge.Network
	calls   *edge.Consents
	boxes   fleet.Host // of what is no instance: jobs and phases

	routed chan struct{} // closed when what ran before is routed
	booted chan struct{}
}

// New returns a deployer; Run brings it to life.
func New(cfg Config, db *store.Store, engine *runtime.Engine, table *router.Router, hosts edge.Hosts, log *slog.Logger) *Deployer {
	d := &Deployer{
		cfg: cfg, engine: engine,
		turns:  newTurns(&journal{db: db, log: log}),
		routed: make(chan struct{}), booted: make(chan struct{}),
	}
	d.build = d.newBuilder(engine, images.New(engine, log))
	d.logs = logs.New(logs.Config{Dir: cfg.Logs, Store: db, Aside: isPhase, Log: log})
	d.edge = edge.New(edge.Config{
		Store: db, Router: table, Hosts: hosts, Apps: running{d}, Journal: events{d}, AccessLog: cfg.AccessLog,
		HTTPSPort: cfg.HTTPSPort, SSHPort: cfg.SSHPort, Ports: cfg.Ports,
		Containers: cfg.Containers, Log: log,
	})
	d.lan = edge.NewNetwork(db, engine.Network(), events{d})
	d.calls = edge.NewConsents(db, engine.Network(), running{d}, events{d}, log)
	d.volumes = d.newVolumes()
	d.volumes.Watch(func(ctx context.Context) ([]fleet.Container, error) { return d.boxes.Containers(ctx) })
	boxes := local.New(engine, d.volumes)
	d.boxes = boxes
	d.fleet = d.newFleet(d.boxes, d.edge.Routes())
	d.jobs = d.newJobs(boxes)
	d.join()
	return d
}

// join gives the parts of the deployer what they need of one another.
func (d *Deployer) join() {
	d.phases = &phases{turns: d.turns, boxes: d.boxes, logs: d.logs, ssh: d.sshCommand}
	d.Releases = &Releases{turns: d.turns, phases: d.phases, build: d.build, jobs: d.jobs, layers: d.engine, ssh: d.sshCommand}
	d.Processes = &Processes{turns: d.turns, jobs: d.jobs, releases: d.Releases}
	d.Mounts = &Mounts{turns: d.turns, releases: d.Releases, jobs: d.jobs, volumes: d.volumes}
	d.Apps = &Apps{turns: d.turns, cfg: d.cfg, build: d.build, edge: d.edge, jobs: d.jobs, logs: d.logs}
	d.resources = &Resources{Processes: d.Processes, apps: d.Apps}
	d.checks = &Checks{d.Processes}
}

// Run rolls every app to the release that the store names, then watches, heals
// and runs cron jobs until ctx ends. It returns once all its work has come to
// rest; containers go on.
func (d *Deployer) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, d.end)
	defer stop()
	d.warn("the volumes are not all swept", d.volumes.Sweep(time.Now()))
	if err := d.boot(d.life); err != nil && ctx.Err() == nil {
		d.end()
		d.rest()
		return err
	}
	close(d.booted)
	d.background(d.build.MakeAhead)
	d.background(d.volumes.Run)
	d.jobs.Run(ctx)
	d.rest()
	return nil
}

// Routed is closed when Run has routed the running apps and holds the requests
// of those that it has yet to start.
func (d *Deployer) Routed() <-chan struct{} { return d.routed }

// Booted is closed when Run has routed every app that can be.
func (d *Deployer) Booted() <-chan struct{} { return d.booted }

// Edge is what leads to the apps.
func (d *Deployer) Edge() *edge.Edge { return d.edge }

// Jobs are the cron jobs and one-offs of the apps.
func (d *Deployer) Jobs() *jobs.Jobs { return d.jobs }

// Logs is what the programs of the apps print.
func (d *Deployer) Logs() *logs.Book { return d.logs }

// Checks are those of the apps.
func (d *Deployer) Checks() *Checks { return d.checks }

// Resources is what the apps may take of the machine.
func (d *Deployer) Resources() *Resources { return d.resources }

// Storage is the volumes of the apps.
func (d *Deployer) Storage() *storage.Room { return d.volumes }

// Network is what the apps reach.
func (d *Deployer) Network() *edge.Network { return d.lan }

// Consents are which apps may call which.
func (d *Deployer) Consents() *edge.Consents { return d.calls }
