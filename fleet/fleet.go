// Package fleet keeps the instances of apps running on a host: it starts them,
// waits until they are healthy, swaps them for the ones before, stops, supervises
// and, after a restart of berth, adopts them.
//
// A change of what an app runs is one transaction (see App.Converge):
//
//	started    the new instances run, beside the old ones
//	healthy    every one of them answers
//	committed  the caller's record names what is to run
//	swapped    the router leads to the new instances
//	drained    the old instances have finished what they were at
//	retired    and are gone
//
// Until committed, a failure or a crash does not change the old instances. After
// it, a restart continues with the new ones (see Fleet.Adopt).
//
// The package knows neither the engine nor the router nor the store. It uses four
// interfaces: Host runs containers, Router routes requests to them, Journal records
// events, Logs keeps output.
package fleet

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Config is what a fleet needs. All of it must be set.
type Config struct {
	Host    Host
	Router  Router
	Journal Journal
	Logs    Logs

	// SSHCommand returns the beginning of a command that a user types on another
	// machine ("ssh berth@example.com"). Hints begin with it.
	SSHCommand func() string

	Log *slog.Logger
}

// Fleet runs the instances of all apps on one host. Its methods, and those of
// its apps, are safe for concurrent use.
type Fleet struct {
	cfg  Config
	life context.Context

	working sync.Mutex // guards rested: a group that is waited for may not grow
	rested  bool
	work    sync.WaitGroup
}

// New returns a fleet without apps. It works until life ends; containers go on.
func New(life context.Context, cfg Config) *Fleet {
	return &Fleet{cfg: cfg, life: life}
}

// Rest waits for all background work and allows no more. The life of the fleet
// has to end first.
func (f *Fleet) Rest() {
	f.working.Lock()
	f.rested = true
	f.working.Unlock()
	f.work.Wait()
}

// background runs fn beside the caller; Rest waits for it. After Rest it does
// not begin, and false is returned: the next start sweeps up.
func (f *Fleet) background(fn func(ctx context.Context)) bool {
	f.working.Lock()
	defer f.working.Unlock()
	if f.rested {
		return false
	}
	f.work.Go(func() { fn(f.life) })
	return true
}

// warn logs the failure of work in the background, which has no caller to return
// it to.
func (f *Fleet) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		f.cfg.Log.Warn(what, append(args, "err", err)...)
	}
}

// removalTimeout bounds the removal of a container. One that takes longer is
// left to the sweep of the next start.
const removalTimeout = time.Minute

// Remove removes a container that may be nil. It returns when the container is
// gone or removalTimeout has passed; the end of the fleet does not shorten that.
func (f *Fleet) Remove(c Container) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.life), removalTimeout)
	defer cancel()
	f.warn("a container was not removed", c.Remove(ctx), "container", c.About().ID)
}

// removeLater removes a container in the background.
func (f *Fleet) removeLater(c Container) {
	f.background(func(context.Context) { f.Remove(c) })
}
