package fleet

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Wanted is what should run of an app after a start of berth.
type Wanted struct {
	App       *App
	Release   *Release // nil when nothing is to run
	StopFirst bool     // as in Change
	Trial     *Trial   // which began in an earlier life; nil when there was none
}

// Adopt adopts the containers of what should run, and routes their web
// instances at once, since they have been serving all along. It returns the
// containers that should not run. Containers of other kinds are among these:
// the caller removes the ones that it knows beforehand.
//
// What the apps lack is started by Converge with a patient change.
func (f *Fleet) Adopt(wanted []Wanted, containers []Container) (left []Container) {
	byApp := map[string][]Container{}
	for _, c := range containers {
		app := c.About().Labels[LabelApp]
		byApp[app] = append(byApp[app], c)
	}
	for _, w := range wanted {
		w.App.mu.Lock()
		w.App.alone, w.App.trial = w.StopFirst, w.Trial
		w.App.mu.Unlock()
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

// adopt makes instances of the containers that run already, looks after them and
// returns the other containers.
func (a *App) adopt(r Release, containers []Container) (left []Container) {
	found, left := a.found(r, containers)
	a.mu.Lock()
	a.live = append(a.live, found...)
	a.mu.Unlock()
	supervise(found)
	return left
}

// found fills the slots of a release with containers that run already, and
// returns the others. Of two for one slot, which a crash in the middle of a
// restart leaves, it takes the one with the right limits, then the one that
// listens, then the newer one.
func (a *App) found(r Release, containers []Container) (set []*instance, left []Container) {
	open := map[string]Slot{}
	for _, s := range r.Slots() {
		open[s.String()] = s
	}
	type candidate struct {
		Container
		slot    Slot
		limits  Limits
		listens bool
	}
	bySlot := map[string][]candidate{}
	for _, c := range containers {
		about := c.About()
		s, wanted := open[about.Labels[LabelProcess]+"."+about.Labels[LabelNumber]]
		fits := wanted && about.Labels[LabelKind] == KindInstance && about.Labels[LabelRelease] == strconv.Itoa(r.Number)
		if !fits || !c.Launched() || Ended(c) {
			left = append(left, c)
			continue
		}
		found := candidate{c, s, limitsOf(c, s.Process.Limits), false}
		if s.Process.Type == "web" {
			addresses, err := c.Listening()
			a.fleet.warn("an instance's ports cannot be seen", err, "app", a.Name(), "instance", s.String())
			found.listens = len(addresses) > 0
		}
		bySlot[s.String()] = append(bySlot[s.String()], found)
	}
	for _, s := range r.Slots() {
		found := bySlot[s.String()]
		if len(found) == 0 {
			continue
		}
		slices.SortStableFunc(found, func(x, y candidate) int {
			return cmp.Or(
				-compareBool(x.limits == s.Process.Limits, y.limits == s.Process.Limits),
				-compareBool(x.listens, y.listens),
				y.About().Created.Compare(x.About().Created),
			)
		})
		for _, other := range found[1:] {
			left = append(left, other.Container)
		}
		set = append(set, a.takeBack(r, s, found[0].Container))
	}
	return set, left
}

// compareBool orders false before true.
func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// takeBack makes an instance of a container that runs already.
func (a *App) takeBack(r Release, s Slot, c Container) *instance {
	i := a.instance(r, s)
	i.container, i.state, i.since = c, Up, c.About().Created
	i.limits.has = unknown // Converge sets them anew
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
	return i
}

// bootPatience is how long requests of an app wait for its first instance. A
// restart of berth makes no request wait. After a restart of the machine, a late
// answer is better than none.
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
	if router.Hold(a.ref(), heldRequests, bootPatience) != nil {
		return nil // it has no route, so no request can wait
	}
	resume = sync.OnceFunc(func() { router.Resume(a.ref()) })
	time.AfterFunc(bootPatience, resume)
	return resume
}

// StopLeftOvers ends what still runs, of what Adopt left, of apps that are not to
// run twice: a change that the end of berth broke off may have started it.
func (f *Fleet) StopLeftOvers(ctx context.Context, wanted []Wanted, left []Container) {
	apps := map[string]*App{}
	for _, w := range wanted {
		if w.StopFirst {
			apps[strconv.Itoa(w.App.uid)] = w.App
		}
	}
	var all sync.WaitGroup
	for _, c := range left {
		about := c.About()
		app := apps[about.Labels[LabelApp]]
		if app == nil || about.Labels[LabelKind] != KindInstance || !c.Launched() || Ended(c) {
			continue
		}
		all.Go(func() {
			if err := stop(ctx, c, 0); err != nil {
				f.warn("what is left of a rollout did not stop", err, "app", app.Name(), "container", about.ID)
				app.mu.Lock()
				app.strays = append(app.strays, c)
				app.mu.Unlock()
			}
		})
	}
	all.Wait()
}
