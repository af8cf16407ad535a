package fleet

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
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
	gone    bool        // destroyed: nothing leads to it any more
	strays  []Container // that were to be removed and may still run
	alone   bool        // old and new instances may not run at once
	overdue *overdue    // set while the router has not taken the set that lives
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

// ref names the app to the router and the logs.
func (a *App) ref() Ref { return Ref{a.uid, a.Name()} }

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

// Rename gives the app a new name, and its route the hosts that it has by that.
func (a *App) Rename(to string) {
	a.mu.Lock()
	a.name = to
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
	drain := a.fleet.cfg.Router.Remove(Ref{a.uid, a.name})
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
		list = append(list, i.snapshot(ctx))
	}
	return list
}

// Serving tells whether any instance of the app is healthy.
func (a *App) Serving() bool {
	return slices.ContainsFunc(a.set(), func(i *instance) bool { _, state, _ := i.running(); return state == Up })
}

// Endpoint is a healthy instance as other programs on the machine may call it.
type Endpoint struct {
	Type      string
	Number    int
	Container string
	Listening []string // TCP addresses, in the order of their ports
	Serving   string   // the one of them that takes requests; "" but of web
}

// Endpoints returns the healthy instances of the app.
func (a *App) Endpoints() (list []Endpoint) {
	for _, i := range a.set() {
		c, state, address := i.running()
		i.mu.Lock()
		failing := i.failing != ""
		i.mu.Unlock()
		if c == nil || state != Up || failing {
			continue
		}
		listening, err := c.Listening()
		if err != nil { // it has ended
			continue
		}
		list = append(list, Endpoint{i.process.Type, i.number, c.About().ID, listening, address})
	}
	return list
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

// overdue is a set of instances that the router has not taken yet.
type overdue struct {
	done  chan struct{} // closed when it has
	drain Drain         // of the set before; set before done
	why   error         // the first time
}

// wait returns when the router has taken the set, or after a time.
func (o *overdue) wait(ctx context.Context, patience time.Duration) {
	select {
	case <-o.done:
	case <-time.After(patience):
	case <-ctx.Done():
	}
}

// routeAgainAfter is how often the router is offered again what it did not take.
const routeAgainAfter = time.Second

// route tells the router which instances of the app take requests now; the
// caller holds mu. A router that does not take them is offered them again, in
// the background, and the set before has to go on until overdue is done.
func (a *App) route() (Drain, error) {
	drain, err := a.tryRoute()
	again := err != nil && a.overdue != nil && err.Error() == a.overdue.why.Error()
	switch {
	case err == nil && a.overdue != nil:
		a.overdue.drain = drain
		close(a.overdue.done)
		a.overdue = nil
	case err != nil && a.overdue == nil:
		o := &overdue{done: make(chan struct{}), why: err}
		a.overdue = o
		a.fleet.background(func(ctx context.Context) { a.routeAgain(ctx, o) })
	}
	if err != nil && !again { // it was said, and is tried every second
		a.fleet.cfg.Log.Error("an app could not be routed", "app", a.name, "err", err)
	}
	return drain, err
}

// routeAgain offers the router what it has not taken until it does.
func (a *App) routeAgain(ctx context.Context, o *overdue) {
	for {
		select {
		case <-time.After(routeAgainAfter):
		case <-o.done:
			return
		case <-ctx.Done():
			return
		}
		a.mu.Lock()
		if a.overdue == o {
			a.route()
		}
		a.mu.Unlock()
	}
}

func (a *App) tryRoute() (Drain, error) {
	if a.gone {
		return nil, nil
	}
	var backends []Backend
	for _, i := range a.live {
		if b, ok := i.backend(); ok {
			backends = append(backends, b)
		}
	}
	drain, err := a.fleet.cfg.Router.Swap(Ref{a.uid, a.name}, backends)
	if err != nil {
		return nil, fmt.Errorf("swap the routes of %s: %w", a.name, err)
	}
	return drain, nil
}

// Reroute routes the app again, after a change of its hosts or of its
// instances' states. It does not wait for a drain: an instance that left the
// set is dead already, or stays in it under other hosts.
func (a *App) Reroute() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.route()
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

// remove removes a container. While its program runs all the same, it is a stray.
func (a *App) remove(c Container) {
	a.fleet.Remove(c)
	if c == nil || !c.Launched() || Ended(c) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strays = append(a.strays, c)
}

// removeLater is remove in the background, until when the container is a stray.
func (a *App) removeLater(c Container) {
	a.mu.Lock()
	a.strays = append(a.strays, c)
	a.mu.Unlock()
	a.fleet.removeLater(c)
}

// blocked returns a fault (E503) when old and new instances may not run at once
// and a stray of the app runs.
func (a *App) blocked() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strays = slices.DeleteFunc(a.strays, func(c Container) bool { return !c.Launched() || Ended(c) })
	if !a.alone || len(a.strays) == 0 {
		return nil
	}
	labels := a.strays[0].About().Labels
	release, _ := strconv.Atoi(labels[LabelRelease])
	return errStuck(labels[LabelProcess]+"."+labels[LabelNumber], release)
}

// waitForLeaving waits until everything that was replaced, scaled down or given up is gone.
// Converge alone makes more leave, so nothing is added meanwhile.
func (a *App) waitForLeaving(ctx context.Context) error {
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
