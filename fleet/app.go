package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// App is what runs of one app. Converge and Adopt change it; the caller sees to
// it that only one of them is under way.
type App struct {
	fleet *Fleet
	uid   int

	mu      sync.Mutex // guards what follows; held for memory and the router only
	name    string
	live    []*instance     // the set that serves, in the order of the formation
	leaving []chan struct{} // sets on their way out, each closed when its last instance is gone
	trial   *Trial          // of the release that serves; nil once it is trusted
	standby *Standby
	gone    bool // destroyed: nothing leads to it any more
}

// NewApp returns an app of which nothing runs yet. There may be only one for
// each user id.
func (f *Fleet) NewApp(uid int, name string) *App { return &App{fleet: f, uid: uid, name: name} }

// UID is the app's Unix user, which it keeps for its life.
func (a *App) UID() int { return a.uid }

// Name returns the app's name as it is now.
func (a *App) Name() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.name
}

// NameUnlessGone is Name, and "" for an app that was destroyed: its name may be
// another app's.
func (a *App) NameUnlessGone() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return ""
	}
	return a.name
}

// Rename gives the app a new name, and its route with it.
func (a *App) Rename(to string) {
	a.mu.Lock()
	from := a.name
	a.name = to
	a.fleet.cfg.Router.Remove(from)
	a.mu.Unlock()
	a.Reroute()
}

// End takes the app out of the routing for good, and lets its instances finish
// what they are at. The function that it returns waits for them to be gone.
func (a *App) End() (wait func(ctx context.Context)) {
	a.mu.Lock()
	a.gone = true
	left := a.live
	a.live = nil
	drain := a.fleet.cfg.Router.Remove(a.name)
	ready := a.standby
	a.standby = nil
	a.mu.Unlock()
	ready.Dismiss()
	return func(ctx context.Context) { a.retire(ctx, left, drain) }
}

// set returns the instances that live.
func (a *App) set() []*instance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.live)
}

// Instances returns the instances of the app as they are seen now.
func (a *App) Instances(ctx context.Context) (list []Instance) {
	for _, i := range a.set() {
		list = append(list, i.seen(ctx))
	}
	return list
}

// Serving tells whether any instance of the app is healthy.
func (a *App) Serving() bool {
	return slices.ContainsFunc(a.set(), func(i *instance) bool { _, state, _ := i.running(); return state == Up })
}

// Silent returns the names of the web instances that do not listen on a port.
func (a *App) Silent(port int) (names []string) {
	for _, i := range a.set() {
		c, state, _ := i.running()
		if i.process.Type != "web" || state != Up {
			continue
		}
		if addresses, err := c.Listening(); err == nil && listensOn(addresses, port) == "" {
			names = append(names, i.name())
		}
	}
	return names
}

// route tells the router which instances of the app take requests now; the
// caller holds mu.
func (a *App) route() (Drain, error) {
	if a.gone {
		return nil, nil
	}
	var backends []Backend
	for _, i := range a.live {
		if b, ok := i.backend(); ok {
			backends = append(backends, b)
		}
	}
	drain, err := a.fleet.cfg.Router.Swap(a.name, backends)
	if err != nil {
		return nil, fmt.Errorf("swap the routes of %s: %w", a.name, err)
	}
	return drain, nil
}

// Reroute routes the app anew, after a change of its hosts or of its instances'
// states. It does not wait for a drain: what left the set is dead already, or
// stays in it under other hosts.
func (a *App) Reroute() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.route(); err != nil {
		a.fleet.cfg.Log.Error("an app could not be routed", "app", a.name, "err", err)
	}
	a.fleet.cfg.Journal.Changed(a.name)
}

// leave notes that instances are on their way out until gone is called.
func (a *App) leave() (gone func()) {
	ended := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = append(a.leaving, ended)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.leaving = slices.DeleteFunc(a.leaving, func(c chan struct{}) bool { return c == ended })
		close(ended)
	}
}

// alone waits until everything that was replaced, scaled down or given up is
// gone. Converge alone makes more leave, so nothing is added meanwhile.
func (a *App) alone(ctx context.Context) error {
	for {
		a.mu.Lock()
		if len(a.leaving) == 0 {
			a.mu.Unlock()
			return nil
		}
		next := a.leaving[0]
		a.mu.Unlock()
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
