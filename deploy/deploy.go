// Package deploy turns a push into a running release and keeps it running: push,
// release, rollback, config, scale. Below it, build makes what a release runs in, the
// fleet runs the instances, edge leads requests to them, and jobs run cron jobs and
// one-offs.
//
// A release is recorded as pending, then rolled out by the fleet (see package
// fleet), which calls back when all of it is healthy: the store names the release,
// then the router leads to it. Until then, a failure or a crash leaves the old
// release as it was. Boot, scaling, restarting and rolling back walk the same
// steps (see converge).
package deploy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"

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
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// Config says where deploys keep what is not in the store.
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

// Deployer does everything that happens to apps. Its methods are safe for
// concurrent use; what changes what an app runs is done one after the other,
// and so are an app's builds (see hold.go).
type Deployer struct {
	*turns
	cfg    Config
	engine *runtime.Engine
	build  *build.Builder
	edge   *edge.Edge
	jobs   *jobs.Jobs
	logs   *logs.Book
	lan    *edge.Network
	boxes  fleet.Host // of what is no instance: jobs and phases
	log    *slog.Logger

	routed chan struct{} // closed when what ran before is routed
	booted chan struct{}

	names     names // that pushes come to and no app has
	changes   changes
	reserving sync.Mutex // whoever gets the same id finds its place clear
}

// app is the live half of an app: what runs, and whose turn it is. It is found
// by the app's user id, which outlives a change of name.
type app struct {
	uid    int
	fleet  *fleet.App // its instances
	builds line       // who builds for it
	line   line       // who changes what it runs

	mu     sync.Mutex                       // guards what follows; held for memory only
	build  *underway                        // nil when nothing is built
	work   map[*int]context.CancelCauseFunc // what is being done to it
	doomed []*fault.Error                   // why it is about to be destroyed: what is done to it ends
}

// id is what the app is known by: to the router, and on the disk.
func (a *app) id() string { return strconv.Itoa(a.uid) }

// called returns the app's name as it is now.
func (a *app) called() string { return a.fleet.Name() }

// New returns a deployer; Run brings it to life.
func New(cfg Config, db *store.Store, engine *runtime.Engine, table *router.Router, hosts edge.Hosts, log *slog.Logger) *Deployer {
	d := &Deployer{
		cfg: cfg, engine: engine, log: log,
		turns:  newTurns(db),
		routed: make(chan struct{}), booted: make(chan struct{}),
	}
	d.names.db = db
	d.build = d.newBuilder(engine, images.New(engine, log))
	d.logs = logs.New(logs.Config{Dir: cfg.Logs, Store: db, Aside: isPhase, Log: log})
	d.edge = edge.New(edge.Config{
		Store: db, Router: table, Hosts: hosts, Apps: running{d}, Journal: journal{d}, AccessLog: cfg.AccessLog,
		HTTPSPort: cfg.HTTPSPort, SSHPort: cfg.SSHPort, Ports: cfg.Ports,
		Containers: cfg.Containers, Log: log,
	})
	d.lan = edge.NewNetwork(db, engine, journal{d})
	d.boxes = local.Host(engine)
	d.fleet = d.newFleet(d.boxes, d.edge.Routes())
	d.jobs = d.newJobs(engine)
	return d
}

// Run rolls every app to the release that the store names, then watches, heals
// and runs cron jobs until ctx ends. It returns once all its work has come to
// rest; containers go on.
func (d *Deployer) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, d.end)
	defer stop()
	if err := d.boot(d.life); err != nil && ctx.Err() == nil {
		d.end()
		d.rest()
		return err
	}
	close(d.booted)
	d.background(d.build.MakeAhead)
	d.jobs.Run(ctx)
	d.rest()
	return nil
}

// Routed is closed when Run has routed what runs, and holds the requests of what
// is still to be started.
func (d *Deployer) Routed() <-chan struct{} { return d.routed }

// Booted is closed when Run has routed every app that can be.
func (d *Deployer) Booted() <-chan struct{} { return d.booted }

// Edge is what leads to the apps.
func (d *Deployer) Edge() *edge.Edge { return d.edge }

// Jobs are the cron jobs and one-offs of the apps.
func (d *Deployer) Jobs() *jobs.Jobs { return d.jobs }

// Logs is what the programs of the apps print.
func (d *Deployer) Logs() *logs.Book { return d.logs }

// Network is what the apps reach.
func (d *Deployer) Network() *edge.Network { return d.lan }

// reroute routes an app anew.
func (d *Deployer) reroute(a *app) { a.fleet.Reroute() }

// happened remembers an event that tells of nothing in the store, as a crash, and
// wakes those who watch. One of a change in the store is added in the change's
// own transaction.
func (d *Deployer) happened(e store.Event) {
	if err := d.db.Update(func(tx *store.Tx) error { return tx.AddEvent(e) }); err != nil {
		d.log.Error("an event was not remembered", "app", e.App, "event", e.Text, "err", err)
	}
	d.changes.publish(e.App)
}

// warn logs the failure of work that nobody waits for.
func (d *Deployer) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Warn(what, append(args, "err", err)...)
	}
}
