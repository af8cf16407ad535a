package fleet

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Wanted is what is to run of an app after a start of berth.
type Wanted struct {
	App       *App
	Release   *Release // nil when nothing is to run
	StopFirst bool     // as in Change
}

// Adopt takes back the containers that belong to what should run, and routes
// the web instances among them at once: they have been serving all along. It
// returns the containers in which nothing should run. Containers of other kinds
// are among these: the caller takes out beforehand what it knows of itself.
//
// What the apps lack is started by Converge with a patient change.
func (f *Fleet) Adopt(wanted []Wanted, containers []Container) (left []Container) {
	byApp := map[string][]Container{}
	for _, c := range containers {
		app := c.About().Labels[LabelApp]
		byApp[app] = append(byApp[app], c)
	}
	for _, w := range wanted {
		app := strconv.Itoa(w.App.uid)
		mine := byApp[app]
		delete(byApp, app)
		if w.Release == nil {
			left = append(left, mine...)
			continue
		}
		left = append(left, w.App.adopt(*w.Release, mine)...)
		w.App.Reroute()
	}
	for _, others := range byApp {
		left = append(left, others...)
	}
	return left
}

// adopt fills the slots of a release with containers that run already, and
// returns the others.
func (a *App) adopt(r Release, containers []Container) (left []Container) {
	open := map[string]Slot{}
	for _, s := range r.Slots() {
		open[s.String()] = s
	}
	for _, c := range containers {
		about := c.About()
		name := about.Labels[LabelProcess] + "." + about.Labels[LabelNumber]
		s, wanted := open[name]
		fits := wanted && about.Labels[LabelKind] == KindInstance && about.Labels[LabelRelease] == strconv.Itoa(r.Number)
		if !fits || !c.Launched() || Ended(c) {
			left = append(left, c)
			continue
		}
		delete(open, name)
		a.takeBack(r, s, c)
	}
	return left
}

// takeBack makes an instance of a container that runs already.
func (a *App) takeBack(r Release, s Slot, c Container) {
	i := a.instance(r, s)
	i.container, i.state, i.since = c, Up, c.About().Created
	if s.Process.Type == "web" {
		addresses, err := c.Listening()
		a.fleet.warn("an instance's ports cannot be seen", err, "app", a.Name(), "instance", i.name())
		if address := listensOn(addresses, r.Port); address != "" {
			i.listens(address)
		} else if len(addresses) > 0 {
			first, _ := forRequests(addresses, i.containerPorts())
			i.listens(first)
		} else {
			i.state = Starting // it was on its way; the supervisor starts it anew
		}
	}
	a.mu.Lock()
	a.live = append(a.live, i)
	a.mu.Unlock()
	i.supervise()
}

// bootPatience is how long requests of an app wait for its first instance. After
// a restart of berth nobody waits; after one of the machine, a visitor is better
// served late than not at all.
const bootPatience = 15 * time.Second

// HoldUnserved holds the requests of an app that is to serve and of which
// nothing runs yet. The function that it returns lets them go on, and may be
// called twice; it is nil when nothing is held.
func (a *App) HoldUnserved(r Release) (resume func()) {
	wanted := slices.ContainsFunc(r.Slots(), func(s Slot) bool { return s.Process.Type == "web" })
	if !wanted || slices.ContainsFunc(a.set(), serves) {
		return nil
	}
	router := a.fleet.cfg.Router
	if router.Hold(a.Name(), heldRequests, bootPatience) != nil {
		return nil // it has no route, and nobody waits
	}
	resume = sync.OnceFunc(func() { router.Resume(a.Name()) })
	time.AfterFunc(bootPatience, resume)
	return resume
}

// StopLeftOvers ends what still runs, of what Adopt left, of apps that are not to
// run twice: a change that the end of berth broke off may have started it.
func (f *Fleet) StopLeftOvers(ctx context.Context, wanted []Wanted, left []Container) {
	names := map[string]string{}
	for _, w := range wanted {
		if w.StopFirst {
			names[strconv.Itoa(w.App.uid)] = w.App.Name()
		}
	}
	var all sync.WaitGroup
	for _, c := range left {
		about := c.About()
		app := names[about.Labels[LabelApp]]
		if app == "" || about.Labels[LabelKind] != KindInstance || !c.Launched() || Ended(c) {
			continue
		}
		all.Go(func() {
			f.warn("what is left of a rollout did not stop", stop(ctx, c), "app", app, "container", about.ID)
		})
	}
	all.Wait()
}
