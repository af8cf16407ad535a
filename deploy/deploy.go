// Package deploy turns a push into a running release and keeps it running:
// build, rollout, scale, one-offs and cron. It alone translates between apps
// (store) and instances, routes and plans.
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
	"strconv"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/local"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
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

	// Outside are those of them that visitors and pushers come to from other
	// machines.
	Outside []runtime.InputPort

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

// Hosts is told which hosts are to have certificates, and how. SetHosts is
// called with all of them when the settings change, SetHostsFor with those of
// one app when they do. Neither waits for a certificate. domain is the global one.
type Hosts interface {
	SetHosts(domain string, hosts []certificates.Host, acme certificates.ACME)
	SetHostsFor(whom string, hosts []certificates.Host)
}

// Deployer does everything that happens to apps. Its methods are safe for
// concurrent use; what changes what an app runs is done one after the other,
// and so are an app's builds (see hold.go).
type Deployer struct {
	*LogBook

	cfg    Config
	db     *store.Store
	engine *runtime.Engine
	lan    lanSetter // the engine
	fleet  *fleet.Fleet
	build  *build.Builder
	boxes  fleet.Host // of what is no instance: jobs and phases

	table *router.Router
	hosts Hosts
	log   *slog.Logger

	routed  chan struct{} // closed when what ran before is routed
	adopted chan struct{} // closed when what ran before has been taken back, and nothing else runs
	booted  chan struct{}
	life    context.Context // ends with Run; what outlives a request hangs on it
	end     context.CancelFunc
	work    sync.WaitGroup // everything that Run waits for
	working sync.Mutex     // guards rested: a group that is waited for may not grow
	rested  bool
	cron    *cron.Cron

	mu   sync.Mutex // guards what follows
	apps map[int]*app

	names      names // that pushes come to and no app has
	changes    changes
	traffic    traffic
	announcing sync.Mutex // serialises announcements of hosts
	porting    sync.Mutex // one change of ports at a time
	reserving  sync.Mutex // whoever gets the same id finds its place clear
}

// app is the live half of an app: what runs, and whose turn it is. It is found
// by the app's user id, which outlives a change of name.
type app struct {
	uid    int
	fleet  *fleet.App // its instances
	builds line       // who builds for it
	line   line       // who changes what it runs

	mu     sync.Mutex // guards what follows; held for memory only
	build  *underway  // nil when nothing is built
	jobs   []cron.EntryID
	work   map[*int]context.CancelCauseFunc            // what is being done to it
	doomed []*fault.Error                              // why it is about to be destroyed: what is done to it ends
	ran    map[string]*ranAt                           // when each job was run by its schedule last, by its id
	gone   bool                                        // destroyed: no job begins any more
	runs   map[string]map[*int]context.CancelCauseFunc // the runs of cron jobs that go on, by the job's id
}

// id is what the app is known by: to the router, and on the disk.
func (a *app) id() string { return strconv.Itoa(a.uid) }

// called returns the app's name as it is now.
func (a *app) called() string { return a.fleet.Name() }

// New returns a deployer; Run brings it to life.
func New(cfg Config, db *store.Store, engine *runtime.Engine, table *router.Router, hosts Hosts, log *slog.Logger) *Deployer {
	life, end := context.WithCancel(context.Background())
	d := &Deployer{
		cfg: cfg, db: db, engine: engine, lan: engine, table: table, hosts: hosts, log: log,
		routed: make(chan struct{}), adopted: make(chan struct{}), booted: make(chan struct{}),
		life: life, end: end,
		cron: cron.New(cron.WithLocation(time.UTC)),
		apps: map[int]*app{},
	}
	d.build = d.newBuilder(engine, images.New(engine, log))
	d.LogBook = &LogBook{dir: cfg.Logs, db: db, requests: cfg.AccessLog, kept: func() int { return d.build.KeptReleases() }, warn: d.warn}
	d.names.db = db
	d.boxes = local.Host(engine)
	d.fleet = d.newFleet(d.boxes, routes{d: d})
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
	d.background(d.watchTraffic)
	d.background(d.build.MakeAhead)
	d.cron.Start()
	d.watchClock(ctx)
	<-d.cron.Stop().Done()
	d.rest()
	return nil
}

// rest waits for all work in the background, and lets no more begin.
func (d *Deployer) rest() {
	d.working.Lock()
	d.rested = true
	d.working.Unlock()
	d.work.Wait()
	d.fleet.Rest()
}

// Routed is closed when Run has routed what runs, and holds the requests of what
// is still to be started.
func (d *Deployer) Routed() <-chan struct{} { return d.routed }

// Booted is closed when Run has routed every app that can be.
func (d *Deployer) Booted() <-chan struct{} { return d.booted }

// app returns the live half of an app.
func (d *Deployer) app(record store.App) *app {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.apps[record.UID]
	if a == nil {
		a = &app{uid: record.UID, fleet: d.fleet.NewApp(record.UID, record.Name), ran: map[string]*ranAt{}, runs: map[string]map[*int]context.CancelCauseFunc{}}
		d.apps[record.UID] = a
	}
	return a
}

// find returns an app's record and its live half.
func (d *Deployer) find(name string) (record store.App, a *app, err error) {
	err = d.db.View(func(tx *store.Tx) error {
		record, err = tx.App(name)
		return err
	})
	if err != nil {
		return record, nil, err
	}
	return record, d.app(record), nil
}

// background runs fn beside the caller; Run waits for it. At the end of Run it
// does not begin any more, and returns false: the next life sweeps up.
func (d *Deployer) background(fn func(ctx context.Context)) bool {
	d.working.Lock()
	defer d.working.Unlock()
	if d.rested {
		return false
	}
	d.work.Go(func() { fn(d.life) })
	return true
}

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

// full is store.ExplainDiskFull.
func (d *Deployer) full(err error) error { return store.ExplainDiskFull(err) }
