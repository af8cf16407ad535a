// Package jobs runs commands once in the image of an app's live release: cron jobs
// by their schedule or by hand, and one-off commands at a terminal.
//
// A run of a cron job has a container and a record. It continues when berth stops,
// and the next start adopts it:
//
//	slot, cron:run, run:detached ──> admit ──> record ──> container ──> end of the record
//	start of berth               ──> Adopt ─────────────────────────────┘
//
// A slot is a time of a job's schedule. Its run claims it by its record, before
// anything starts, so that no slot is run twice.
//
// The package does not know how a release is made. Schedule tells it which one is
// live.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Config is what jobs need. All of it must be set.
type Config struct {
	Store  *store.Store
	Host   fleet.Host // that makes the containers of jobs
	Fleet  Remover
	Engine Engine
	Apps   Apps

	Journal Journal
	Logs    Logs

	// SSHCommand returns how a command of berth begins for somebody elsewhere.
	SSHCommand func() string

	// Ready waits until what ran before the start of berth has been taken back:
	// a container that is made earlier would be removed as a left-over.
	Ready func(ctx context.Context) error

	// Background runs fn beside the caller. It returns false when berth ends, and
	// then fn is not run.
	Background func(fn func(ctx context.Context)) bool

	Log *slog.Logger
}

// Engine runs commands at a terminal: in a container of their own, or in one that
// runs. *runtime.Engine documents it.
type Engine interface {
	Attach(ctx context.Context, spec fleet.Spec, cmd fleet.Command, att runtime.Attachment) (fleet.Exit, error)
	Enter(ctx context.Context, container string, cmd fleet.Command, att runtime.Attachment) (fleet.Exit, error)
}

// Remover removes containers that may be nil.
type Remover interface {
	Remove(c fleet.Container)
}

// Apps finds apps and their live releases.
type Apps interface {
	// Running returns the instances of an app, which may be none.
	Running(record store.App) *fleet.App

	// Live returns the release that should run, or a fault (E112) when nothing
	// was ever deployed.
	Live(record store.App) (store.Release, error)
}

// Journal hears what happens. Its methods do not call back.
type Journal interface {
	// RecordEvent is an event for the app's history.
	RecordEvent(e store.Event)

	// Changed says that something about an app looks different now.
	Changed(app string)
}

// Logs keeps what runs print.
type Logs interface {
	// File is where the output of one container goes.
	File(app fleet.Ref, release int, source, container string) string

	// Note writes a line of berth's own among those of a source. An app that is
	// gone gets none.
	Note(a *fleet.App, release int, source, text string)

	// Trim removes the oldest logs of a source.
	Trim(app fleet.Ref, release int, source string)
}

// Jobs plans and runs jobs and one-offs. Its methods are safe for concurrent use.
type Jobs struct {
	cfg  Config
	life context.Context
	db   *store.Store

	replanned chan struct{} // something is planned anew
	starts    chan struct{} // has a place for each start that is under way

	mu   sync.Mutex // guards what follows
	apps map[int]*app
}

// app is what is planned and runs of an app's jobs.
type app struct {
	fleet *fleet.App

	planning sync.Mutex // held while its jobs are planned

	mu      sync.Mutex                                  // guards what follows; held for memory only
	planned map[string]*planned                         // what runs by schedule, by the job's id; nil until it was planned
	retried bool                                        // what failed before the start of berth was tried again
	gone    bool                                        // destroyed: no job begins any more
	runs    map[string]map[*int]context.CancelCauseFunc // the runs of cron jobs that go on, by the job's id

	oneOffs map[int]*oneOff // those that go on, by their numbers
	last    int             // the number of the one that began last; 0 until one did
	entered int             // how many commands go on in instances
}

// called returns the app's name as it is now.
func (a *app) called() string { return a.fleet.Name() }

func (a *app) ref() fleet.Ref { return fleet.Ref{UID: a.fleet.UID(), Name: a.called()} }

// New returns the jobs of all apps. They are run by their schedules while Run
// runs; none begins after life has ended.
func New(life context.Context, cfg Config) *Jobs {
	return &Jobs{
		cfg: cfg, life: life, db: cfg.Store, apps: map[int]*app{},
		replanned: make(chan struct{}, 1), starts: make(chan struct{}, startsAtOnce),
	}
}

// app returns what is planned and runs of an app.
func (j *Jobs) app(a *fleet.App) *app {
	j.mu.Lock()
	defer j.mu.Unlock()
	one := j.apps[a.UID()]
	if one == nil {
		one = &app{fleet: a, runs: map[string]map[*int]context.CancelCauseFunc{}, oneOffs: map[int]*oneOff{}}
		j.apps[a.UID()] = one
	}
	return one
}

// find returns an app's record, and what is planned and runs of it.
func (j *Jobs) find(name string) (record store.App, a *app, err error) {
	err = j.db.View(func(tx *store.Tx) error {
		record, err = tx.App(name)
		return err
	})
	if err != nil {
		return record, nil, err
	}
	return record, j.app(j.cfg.Apps.Running(record)), nil
}

// counts returns a record with the limits that count for it.
func (j *Jobs) counts(record store.App) store.App {
	counts, err := formation.Counts(j.db, record)
	j.warn("what is set for all apps cannot be read", err, "app", record.Name)
	return counts
}

// detached is the context of a run, which goes on when the one who asked has
// gone, but not when berth ends.
func (j *Jobs) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(j.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// warn logs the failure of work that nobody waits for.
func (j *Jobs) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		j.cfg.Log.Warn(what, append(args, "err", err)...)
	}
}

// Stopped is the fault (E116) of an app that is stopped, and of which nothing is
// run therefore.
func Stopped(app string) *fault.Error {
	return fault.New(fault.Conflict, code.AppStopped, "%s is stopped", app).Hint("berth ps:start %s starts it", app)
}
