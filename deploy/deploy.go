// Package deploy turns a push into a running release and keeps it running:
// build, rollout, scale, one-offs, cron, watch and heal. It alone translates
// between apps (store) and containers, routes and plans.
//
// A rollout is one transaction:
//
//	recorded   the release is in the store, pending
//	started    its instances run, beside the old ones
//	healthy    every one of them answers
//	swapped    the store names the release, then the router leads to it
//	drained    the old instances have finished what they were at
//	retired    and are gone
//
// Until swapped, a failure or a crash leaves the old release as it was. Boot,
// scaling, restarting and rolling back walk the same steps (see converge).
package deploy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/deploy/git"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
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

// imageSteps forgets the made steps of an owner's Dockerfiles. It may be called
// for an owner that has none.
type imageSteps interface {
	RemoveImageCache(ctx context.Context, owner string) error
}

// Deployer does everything that happens to apps. Its methods are safe for
// concurrent use; slow work on one app is done one after the other.
type Deployer struct {
	cfg    Config
	db     *store.Store
	engine *runtime.Engine
	steps  imageSteps // the engine's
	table  *router.Router
	hosts  Hosts
	log    *slog.Logger

	adopted chan struct{} // closed when what ran before has been taken back
	booted  chan struct{}
	life    context.Context // ends with Run; what outlives a request hangs on it
	end     context.CancelFunc
	work    sync.WaitGroup // everything that Run waits for
	working sync.Mutex     // guards rested: a group that is waited for may not grow
	rested  bool
	cron    *cron.Cron

	mu     sync.Mutex // guards what follows
	apps   map[int]*app
	builds map[buildID]*transcript // those that run now

	changes    changes
	notices    notices // lines of berth's own in the logs of apps
	traffic    traffic
	queue      *queue     // of the builds of all apps
	pins       pins       // layers that no release names yet
	collecting sync.Mutex // one collection at a time
	announcing sync.Mutex // serialises announcements of hosts
	porting    sync.Mutex // one change of ports at a time
}

// app is the live half of an app: what runs, and whose turn it is. It is found
// by the app's user id, which outlives a change of name.
type app struct {
	uid  int
	line line // slow work, one after the other

	mu      sync.Mutex // guards what follows; held for memory only
	name    string
	live    []*instance     // the set that serves, in the order of the formation
	leaving []chan struct{} // sets on their way out, each closed when its last instance is gone
	trial   *trial          // of the release that serves; nil once it is trusted
	standby *standby
	build   *underway // nil when nothing is built
	jobs    []cron.EntryID
	ran     map[string]*ranAt                           // when each job was run by its schedule last, by its id
	gone    bool                                        // destroyed: nothing leads to it any more
	runs    map[string]map[*int]context.CancelCauseFunc // the runs of cron jobs that go on, by the job's id
}

// called returns the app's name as it is now.
func (a *app) called() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.name
}

// New returns a deployer; Run brings it to life.
func New(cfg Config, db *store.Store, engine *runtime.Engine, table *router.Router, hosts Hosts, log *slog.Logger) *Deployer {
	life, end := context.WithCancel(context.Background())
	return &Deployer{
		cfg: cfg, db: db, engine: engine, steps: engine, table: table, hosts: hosts, log: log,
		adopted: make(chan struct{}), booted: make(chan struct{}),
		life: life, end: end,
		cron:   cron.New(cron.WithLocation(time.UTC)),
		apps:   map[int]*app{},
		builds: map[buildID]*transcript{},
		queue:  newQueue(cmp.Or(cfg.Builds, defaultBuilds())),
	}
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
}

// Booted is closed when Run has routed every app that can be.
func (d *Deployer) Booted() <-chan struct{} { return d.booted }

// app returns the live half of an app.
func (d *Deployer) app(record store.App) *app {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.apps[record.UID]
	if a == nil {
		a = &app{uid: record.UID, name: record.Name, ran: map[string]*ranAt{}, runs: map[string]map[*int]context.CancelCauseFunc{}}
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

// ready waits until what ran before berth's start has been taken back: whatever
// was started earlier would be swept away as a left-over.
func (d *Deployer) ready(ctx context.Context) error {
	select {
	case <-d.adopted:
		return nil
	case <-d.life.Done():
		return d.life.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold waits for the app's turn, then returns its record as it is by then.
// waiting is called if there is a wait, with what is being waited for.
func (d *Deployer) hold(ctx context.Context, name string, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	if err := d.ready(ctx); err != nil {
		return record, nil, nil, err
	}
	for {
		_, a, err = d.find(name)
		if err != nil {
			return record, nil, nil, err
		}
		leave, err = a.line.enter(ctx, t, waiting)
		if err != nil {
			return record, nil, nil, err
		}
		// It may have been destroyed or renamed meanwhile, and the name be another app's.
		record, now, err := d.find(name)
		if err == nil && now == a {
			return record, a, leave, nil
		}
		leave()
		if err != nil {
			return record, nil, nil, err
		}
	}
}

// detached is the context of work that goes on when the one who asked has
// gone, but not when the deployer ends.
func (d *Deployer) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(d.life, cancel)
	return ctx, func() { stop(); cancel() }
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

// happened remembers an event and wakes those who watch.
func (d *Deployer) happened(e store.Event) {
	e.Time = time.Now().UTC()
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
