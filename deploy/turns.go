package deploy

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// An app has two lines. Whoever builds for it stands in the first, whoever
// changes what it runs in the second. A build enters the second only for its
// release, so that a rollback, a scaling or a change of config never waits for a
// build. Whoever needs both enters them in this order. A push stands in the first
// from before it is received (see Turn).

// turns has the live half of every app, whose turn it is to change an app, and
// what is done in the background. What outlives a request hangs on its life.
type turns struct {
	*journal
	fleet    *fleet.Fleet
	names    names // that pushes come to and no app has
	promises promises
	machine  func() (memory, cpu int64) // in bytes, and in thousandths of a core

	adopted chan struct{}   // closed when what ran before has been taken back, and nothing else runs
	life    context.Context // ends with Run
	end     context.CancelFunc
	work    sync.WaitGroup // everything that Run waits for
	working sync.Mutex     // guards rested: a group that is waited for may not grow
	rested  bool

	mu   sync.Mutex // guards what follows
	apps map[int]*app
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

func newTurns(j *journal) *turns {
	life, end := context.WithCancel(context.Background())
	return &turns{
		promises: promises{pending: map[int]store.Resource{}}, machine: func() (int64, int64) { return machineMemory(), machineCPU() },
		journal: j, names: names{db: j.db}, adopted: make(chan struct{}), life: life, end: end, apps: map[int]*app{},
	}
}

// rest waits for all work in the background, and lets no more begin.
func (s *turns) rest() {
	s.working.Lock()
	s.rested = true
	s.working.Unlock()
	s.work.Wait()
	s.fleet.Rest()
}

// app returns the live half of an app.
func (s *turns) app(record store.App) *app {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[record.UID]
	if a == nil {
		a = &app{uid: record.UID, fleet: s.fleet.NewApp(record.UID, record.Name)}
		s.apps[record.UID] = a
	}
	return a
}

// find returns an app's record and its live half.
func (s *turns) find(name string) (record store.App, a *app, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		record, err = tx.App(name)
		return err
	})
	if err != nil {
		return record, nil, err
	}
	return record, s.app(record), nil
}

// background runs fn beside the caller; Run waits for it. At the end of Run it
// does not begin any more, and returns false: the next life sweeps up.
func (s *turns) background(fn func(ctx context.Context)) bool {
	s.working.Lock()
	defer s.working.Unlock()
	if s.rested {
		return false
	}
	s.work.Go(func() { fn(s.life) })
	return true
}

// all returns the live half of every app.
func (s *turns) all() []*app {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.apps))
}

// forget drops the live half of an app that was destroyed.
func (s *turns) forget(uid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, uid)
}

// ready waits until what ran before berth's start has been taken back: whatever
// was started earlier would be swept away as a left-over.
func (s *turns) ready(ctx context.Context) error {
	select {
	case <-s.adopted:
		return nil
	case <-s.life.Done():
		return s.life.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold waits until nobody else changes what the app runs, then returns its
// record as it is by then. waiting is called if there is a wait, with what is
// being waited for. When ctx ends before, nothing is held.
func (s *turns) hold(ctx context.Context, name string, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	return s.enter(ctx, name, func(a *app) *line { return &a.line }, t, waiting)
}

// buildTurn waits until nothing else is built for the app, as hold does.
func (s *turns) buildTurn(ctx context.Context, name string, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	return s.enter(ctx, name, func(a *app) *line { return &a.builds }, t, waiting)
}

// enter waits for the turn in one of an app's lines.
func (s *turns) enter(ctx context.Context, name string, of func(*app) *line, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	if err := s.ready(ctx); err != nil {
		return record, nil, nil, err
	}
	for {
		_, a, err = s.find(name)
		if err != nil {
			return record, nil, nil, err
		}
		leave, err = of(a).enter(ctx, &t, waiting)
		if err != nil {
			return record, nil, nil, err
		}
		if why := a.doom(); why != nil && !t.destroys {
			leave()
			return record, nil, nil, why
		}
		// It may have been destroyed or renamed meanwhile, and the name be another app's.
		record, now, err := s.find(name)
		if ctx.Err() != nil { // the turn came at the moment in which whoever asked left
			err = context.Cause(ctx)
		}
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
func (s *turns) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// begun is the context of work on an app that has its turn: it is detached, and
// ends when the app is to be destroyed. end is called when the work is done.
func (s *turns) begun(ctx context.Context, a *app) (_ context.Context, end func()) {
	ctx, stop := s.detached(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	key := new(int)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.work == nil {
		a.work = map[*int]context.CancelCauseFunc{}
	}
	a.work[key] = cancel
	if len(a.doomed) > 0 {
		cancel(a.doomed[0])
	}
	return ctx, func() {
		a.mu.Lock()
		delete(a.work, key)
		a.mu.Unlock()
		cancel(nil)
		stop()
	}
}

// markDestroyed ends what is being done to the app and sends away the pushes that
// wait. Until spare is called, nothing else begins.
func (a *app) markDestroyed(why *fault.Error) (unmark func()) {
	a.mu.Lock()
	a.doomed = append(a.doomed, why)
	for cancel := range maps.Values(a.work) {
		cancel(why)
	}
	a.mu.Unlock()
	a.builds.dismiss(why)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.doomed = slices.DeleteFunc(a.doomed, func(f *fault.Error) bool { return f == why })
	}
}

// doom returns why the app is about to be destroyed, or was; nil when it is not.
func (a *app) doom() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.doomed) == 0 {
		return nil
	}
	return a.doomed[0]
}

// liveWithoutConfig returns the release that should be live, but for its config;
// the zero one when nothing was ever deployed.
func (s *turns) liveWithoutConfig(record store.App) (release store.Release, err error) {
	if record.Release == 0 {
		return release, nil
	}
	err = s.db.View(func(tx *store.Tx) error {
		release, err = tx.ReleaseWithoutConfig(record.Name, record.Release)
		return err
	})
	return release, err
}

// liveRelease returns the release that should be live, or a fault (E112) when
// nothing was ever deployed.
func (s *turns) liveRelease(record store.App) (release store.Release, err error) {
	if record.Release == 0 {
		return release, NeverDeployed(record.Name)
	}
	err = s.db.View(func(tx *store.Tx) error {
		release, err = tx.Release(record.Name, record.Release)
		return err
	})
	return release, err
}

func (s *turns) liveReleaseOrNone(record store.App) (store.Release, error) {
	if record.Release == 0 {
		return store.Release{}, nil
	}
	return s.liveRelease(record)
}

// NeverDeployed returns the fault (E112) of an app that has no release yet.
func NeverDeployed(app string) error {
	return build.NeverDeployed(app)
}
