package deploy

import (
	"context"
	"maps"
	"slices"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// An app has two lines. Whoever builds for it stands in the first, whoever
// changes what it runs in the second. A build enters the second only for its
// release, so that a rollback, a scaling or a change of config never waits for a
// build. Whoever needs both enters them in this order. A push stands in the first
// from before it is received (see Turn).

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

// hold waits until nobody else changes what the app runs, then returns its
// record as it is by then. waiting is called if there is a wait, with what is
// being waited for. When ctx ends before, nothing is held.
func (d *Deployer) hold(ctx context.Context, name string, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	return d.enter(ctx, name, func(a *app) *line { return &a.line }, t, waiting)
}

// buildTurn waits until nothing else is built for the app, as hold does.
func (d *Deployer) buildTurn(ctx context.Context, name string, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	return d.enter(ctx, name, func(a *app) *line { return &a.builds }, t, waiting)
}

// enter waits for the turn in one of an app's lines.
func (d *Deployer) enter(ctx context.Context, name string, of func(*app) *line, t ticket, waiting func(holder string)) (record store.App, a *app, leave func(), err error) {
	if err := d.ready(ctx); err != nil {
		return record, nil, nil, err
	}
	for {
		_, a, err = d.find(name)
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
		record, now, err := d.find(name)
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
func (d *Deployer) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(d.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// begun is the context of work on an app that has its turn: it is detached, and
// ends when the app is to be destroyed. end is called when the work is done.
func (d *Deployer) begun(ctx context.Context, a *app) (_ context.Context, end func()) {
	ctx, stop := d.detached(ctx)
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

// condemn ends what is being done to the app and sends away the pushes that
// wait. Until spare is called, nothing else begins.
func (a *app) condemn(why *fault.Error) (spare func()) {
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
