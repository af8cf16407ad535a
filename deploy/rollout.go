package deploy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

const (
	// drainRequests is the longest request we promise to finish.
	drainRequests = 30 * time.Second

	// drainUpgraded is the grace of WebSockets and event streams, which may
	// never end by themselves; stream-grace sets it per app.
	drainUpgraded = 30 * time.Second

	// killTimeout bounds the wait for a program that was killed: one that the
	// kernel cannot end may not hold its app's line.
	killTimeout = 10 * time.Second

	// startsAtOnce bounds how many containers of an app start side by side:
	// more would only slow each other down.
	startsAtOnce = 4
)

// change is a new state for an app to run in.
type change struct {
	record  store.App
	release store.Release

	// fresh replaces instances that run this release already; process limits
	// it to one type.
	fresh   bool
	process string

	// patient is for boot, when there is no old set to fall back to: an
	// instance that does not come up keeps its place, and its supervisor goes
	// on trying, while the others serve.
	patient bool

	standby *standby     // containers readied for this change; may be nil
	layered func() error // waits for the release's layer; nil when it is there

	// trial is set when the release is one that may yet fall over.
	trial *trial

	// commit is what the store learns at the swap. An error from it is a
	// failure before the swap.
	commit func(tx *store.Tx) error

	report *report
}

func (c change) wait() error {
	if c.layered == nil {
		return nil
	}
	return c.layered()
}

// converge makes an app run what the change says: it starts what is missing
// beside what runs, waits until all of it is healthy, swaps, and retires what
// is left over. A failure leaves everything as it was. The caller holds the
// app's line.
func (d *Deployer) converge(ctx context.Context, a *app, c change) error {
	set, missing := a.compare(c)
	if c.record.Rollout == store.StopFirst && len(missing) > 0 {
		if err := a.alone(ctx); err != nil {
			return err
		}
	}
	if old := a.outgoing(set); c.record.Rollout == store.StopFirst && len(old) > 0 && len(missing) > 0 {
		return d.stopFirst(ctx, a, c, set, missing, old)
	}
	err := d.start(ctx, a, c, missing)
	if err == nil {
		err = c.wait()
	}
	if err == nil {
		err = d.commit(c)
	}
	if err != nil {
		d.discard(a, missing)
		return err
	}
	a.onTrial(c)
	left, drain := d.swap(a, set)
	for _, i := range missing {
		d.supervise(i)
	}
	gone := a.leave()
	d.background(func(ctx context.Context) {
		defer gone()
		d.retire(ctx, left, drain)
	})
	d.changes.publish(c.record.Name)
	return nil
}

// commit stores what the change says at its swap.
func (d *Deployer) commit(c change) error {
	if c.commit == nil {
		return nil
	}
	if err := d.db.Update(c.commit); err != nil {
		return d.full(fmt.Errorf("record the swap: %w", err))
	}
	return nil
}

// onTrial begins the trial of a release, before its instances are watched.
func (a *app) onTrial(c change) {
	if c.trial == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trial = c.trial
	a.trial.since = time.Now()
}

// place is one place in a formation, by process type and number.
type place struct {
	process store.Process
	number  int
}

func (p place) String() string { return p.process.Type + "." + strconv.Itoa(p.number) }

// places lists the formation of a release. A process of type release is not
// one to be kept running.
func places(record store.App, r store.Release) []place {
	var all []place
	for _, p := range r.Processes {
		if p.Type == "release" {
			continue
		}
		for n := 1; n <= record.Instances(p.Type); n++ {
			all = append(all, place{p, n})
		}
	}
	return all
}

// compare lists the instances that a change asks for, in the order of the
// formation: those that live already, and the missing ones, also by themselves.
func (a *app) compare(c change) (set, missing []*instance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	byName := map[string]*instance{}
	for _, i := range a.live {
		byName[i.name()] = i
	}
	for _, p := range places(c.record, c.release) {
		i := byName[p.String()]
		replaced := c.fresh && (c.process == "" || c.process == p.process.Type || c.process == p.String())
		if i == nil || i.release.Number != c.release.Number || replaced {
			i = &instance{app: a, release: c.release, process: p.process, number: p.number}
			missing = append(missing, i)
		}
		set = append(set, i)
	}
	return set, missing
}

// start brings the instances up. When one does not come up it gives up on all,
// and the caller lets go of their containers.
func (d *Deployer) start(ctx context.Context, a *app, c change, instances []*instance) error {
	if len(instances) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, len(instances))
	slots := make(chan struct{}, startsAtOnce)
	var all sync.WaitGroup
	for n, i := range instances {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			began := time.Now()
			err := d.bringUp(ctx, c, i)
			switch {
			case err == nil:
			case c.patient && ctx.Err() == nil:
				d.postpone(i, err)
			default:
				cancel(err) // the first failure is the reason; the others follow from it
			}
			took[n] = time.Since(began)
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.report != nil {
		c.report.up(instances, took)
	}
	return nil
}

// postpone leaves an instance that did not come up to its supervisor.
func (d *Deployer) postpone(i *instance, why error) {
	app := i.app.called()
	i.mu.Lock()
	i.restarts = 2 // not at once again
	i.mu.Unlock()
	i.set(InstanceCrashed, why.Error())
	d.log.Warn("an instance could not be started", "app", app, "instance", i.name(), "err", why)
	i.notice(d, "could not be started: %v; %s", why, again(2))
	d.happened(store.Event{App: app, By: "berth", Kind: "crash", Text: fmt.Sprintf("%s of v%d could not be started: %v", i.name(), i.release.Number, why)})
}

// bringUp fills an instance's place with a container and waits until it is healthy.
func (d *Deployer) bringUp(ctx context.Context, c change, i *instance) error {
	container, err := d.container(ctx, c, i)
	if err != nil {
		return err
	}
	i.mu.Lock()
	i.container = container
	i.mu.Unlock()
	i.set(InstanceStarting, "")
	if err := i.launch(ctx, c.record); err != nil {
		return fault.New(fault.Failed, "E304", "%s could not be started: %w", i.name(), err).Hint("it was to run: %s", i.process.Command)
	}
	if err := d.awaitHealthy(ctx, i, d.visited(c.record.Name), c.patient, c.report.note); err != nil {
		return err
	}
	_, _, address := i.running()
	i.set(InstanceUp, i.said())
	if address != "" {
		if host, at, _ := net.SplitHostPort(address); host == "127.0.0.1" || host == "::1" || at != strconv.Itoa(i.port()) && !exposes(i.release.Image, at) {
			c.report.note(fmt.Sprintf("%s listens on %s; apps should listen on 0.0.0.0:$PORT", i.name(), address))
		}
	}
	return nil
}

// container returns the one that was readied for the instance, or makes one.
func (d *Deployer) container(ctx context.Context, c change, i *instance) (*runtime.Container, error) {
	if prepared, _, _ := i.running(); prepared != nil {
		return prepared, nil
	}
	if ready := c.standby.take(ctx, i.name()); ready != nil {
		return ready, nil
	}
	if err := c.wait(); err != nil {
		return nil, err
	}
	_, container, err := d.create(ctx, func() runtime.Spec {
		return d.instanceSpec(c.record, c.release, i.process.Type, i.number)
	})
	if err != nil {
		return nil, d.full(fmt.Errorf("create the container of %s: %w", i.name(), err))
	}
	return container, nil
}

// discard removes the containers of instances that never served.
func (d *Deployer) discard(a *app, instances []*instance) {
	for _, i := range instances {
		if c, _, _ := i.running(); c != nil {
			gone := a.leave()
			d.background(func(context.Context) {
				defer gone()
				d.remove(c)
			})
		}
	}
}

// swap puts the new set in the place of the old one and leads requests to it.
// It returns the instances that are left over and the drain of their requests.
// There is no way back: the store names the release already.
func (d *Deployer) swap(a *app, set []*instance) (left []*instance, drain *router.Drain) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range a.live {
		if !slices.Contains(set, i) {
			left = append(left, i)
		}
	}
	a.live = set
	drain, err := d.route(a)
	if err != nil {
		d.log.Error("an app could not be routed", "app", a.name, "err", err)
	}
	return left, drain
}

// route tells the router which instances of the app take requests now; the
// caller holds a.mu.
func (d *Deployer) route(a *app) (*router.Drain, error) {
	if a.gone {
		return nil, nil
	}
	var backends []router.Backend
	for _, i := range a.live {
		if b, ok := i.backend(); ok {
			backends = append(backends, b)
		}
	}
	route, err := d.routeOf(a.name)
	if err != nil {
		return nil, err
	}
	route.Name, route.Label = a.id(), a.name
	route.Backends = backends
	d.cfg.AccessLog.Keep(a.id())
	drain, err := d.table.Swap(route)
	if err != nil {
		return nil, fmt.Errorf("swap the routes of %s: %w", a.name, err)
	}
	return drain, nil
}

// reroute is route for whoever does not wait for the drain: what left the set
// is dead already, or stays in it under other hosts.
func (d *Deployer) reroute(a *app) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := d.route(a); err != nil {
		d.log.Error("an app could not be routed", "app", a.name, "err", err)
	}
	d.changes.publish(a.name)
}

// retire lets instances finish what they are at, and removes them.
func (d *Deployer) retire(ctx context.Context, left []*instance, drain *router.Drain) {
	d.quit(ctx, left, drain, d.streamGrace(left), d.remove)
}

// quit lets instances finish what they are at, streams for their grace, and
// stops them; each is removed once it has. It returns when all have.
func (d *Deployer) quit(ctx context.Context, left []*instance, drain *router.Drain, grace time.Duration, remove func(*runtime.Container)) {
	for _, i := range left {
		i.retire()
		i.set(InstanceStopping, "")
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if drain == nil {
			return
		}
		if cut := drain.Wait(ctx, drainRequests, grace); cut > 0 && ctx.Err() == nil {
			d.log.Warn("requests were cut at the end of a drain", "requests", cut)
		}
	}()
	var all sync.WaitGroup
	for _, i := range left {
		all.Go(func() {
			i.supervised.Wait()
			if i.process.Type == "web" {
				<-drained
			}
			if ctx.Err() != nil {
				return // berth is ending; whoever comes next sweeps it
			}
			c, _, _ := i.running()
			if c == nil {
				return // it never came up
			}
			d.warn("an old instance did not stop", stop(ctx, c), "instance", i.name())
			remove(c)
		})
	}
	all.Wait()
	<-drained
}

// stop asks a container's program to end, and ends it. Nobody's end makes the
// time shorter that it has for that, not even berth's own.
func stop(ctx context.Context, c *runtime.Container) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace+killTimeout)
	defer cancel()
	return c.Stop(ctx, stopGrace)
}

// remove removes a container, with a bound: a removal that hangs is left to the
// sweep of the next start.
func (d *Deployer) remove(c *runtime.Container) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.life), time.Minute)
	defer cancel()
	d.warn("a container was not removed", c.Remove(ctx), "container", c.ID)
}

// up prints that instances are up: "web.1 ok 0.3s   web.2 ok 0.3s   (GET /)".
func (r *report) up(instances []*instance, took []time.Duration) {
	var parts []string
	for n, i := range instances {
		parts = append(parts, fmt.Sprintf("%s ok %s", i.name(), seconds(took[n])))
	}
	if slices.ContainsFunc(instances, func(i *instance) bool { return i.process.Type == "web" && len(i.checks()) == 0 }) {
		parts = append(parts, "(GET /)")
	}
	for n, line := range pack(parts, "   ", columns-len("-----> Start    ")) {
		if n == 0 {
			r.Step("Start", "%s", line)
		} else {
			r.Detail("%s", line)
		}
	}
	r.mu.Lock()
	notes := r.notes
	r.notes = nil
	r.mu.Unlock()
	for _, note := range notes {
		r.Detail("%s", note)
	}
}

// note keeps a line for after the step that is under way.
func (r *report) note(line string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, line)
}
