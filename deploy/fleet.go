package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// What deploy and the fleet know of each other stands in this file. The fleet
// runs instances; deploy tells it what to run, in its words, and keeps the
// record of it.

// Instance is one running copy of a process type, as it is seen now.
type Instance = fleet.Instance

// The states of an instance.
const (
	InstanceStarting = fleet.Starting
	InstanceUp       = fleet.Up
	InstanceCrashed  = fleet.Crashed
	InstanceStopping = fleet.Stopping
)

// Labels of containers and layers.
const (
	labelApp     = fleet.LabelApp
	labelKind    = fleet.LabelKind
	labelRelease = fleet.LabelRelease
	labelProcess = fleet.LabelProcess
)

// newFleet returns the fleet of a deployer.
func (d *Deployer) newFleet(host fleet.Host, to routes) *fleet.Fleet {
	return fleet.New(d.life, fleet.Config{
		Host: host, Router: to, Journal: journal{d}, Logs: logBook{d}, SSHCommand: d.sshCommand, Log: d.log,
	})
}

// formation says in the fleet's words what is to run of an app: the release with
// its config, and how many of each process. A process of type release is not one
// to be kept running.
func formation(record store.App, r store.Release) fleet.Release {
	out := fleet.Release{
		Number: r.Number, UID: record.UID, Layer: r.Layer, Base: r.Base, Language: r.Language,
		Limits: fleet.Limits{Memory: record.Limits.Memory, CPUs: record.Limits.CPUs, Pids: record.Limits.Pids},
		Port:   portFor(r.Config), Env: environment(r),
	}
	if r.Image != nil {
		out.Foreign, out.StopSignal, out.Exposes = true, r.Image.StopSignal, r.Image.Ports
	}
	for _, p := range r.Processes {
		if p.Type == "release" {
			continue
		}
		cmd := processCommand(record, r, p, "")
		out.Processes = append(out.Processes, fleet.Process{
			Type: p.Type, Count: record.Instances(p.Type), Command: p.Command, Args: cmd.Args, Dir: cmd.Dir, Checks: r.Health,
		})
	}
	return out
}

// slots lists what is to run of an app, by the names of the instances.
func slots(record store.App, r store.Release) []fleet.Slot { return formation(record, r).Slots() }

// change is a new state for an app to run in.
type change struct {
	fleet.Change
	record  store.App
	release store.Release

	// commit is what the store learns at the swap. An error from it is a
	// failure before the swap.
	commit func(tx *store.Tx) error
}

// converge makes an app run what the change says; see fleet.App.Converge. The
// caller holds the app's line.
func (d *Deployer) converge(ctx context.Context, a *app, c change) error {
	c.Release, c.StopFirst = formation(c.record, c.release), c.record.Rollout == store.StopFirst
	if c.commit != nil {
		c.Commit = func() error {
			if err := d.db.Update(c.commit); err != nil {
				return store.ExplainDiskFull(fmt.Errorf("record the swap: %w", err))
			}
			return nil
		}
	}
	return store.ExplainDiskFull(a.fleet.Converge(ctx, c.Change))
}

// journal is where the fleet's events go.
type journal struct{ d *Deployer }

func (j journal) Happened(e store.Event) { j.d.happened(e) }

func (j journal) Changed(app string) { j.d.changes.publish(app) }

// FellOver rolls back to the release before, in the background.
func (j journal) FellOver(a *fleet.App, t fleet.Trial, why string) {
	d := j.d
	d.background(func(ctx context.Context) {
		_, err := d.rollback(ctx, a.Name(), t.Before, t.Release, "berth", why, progress.New())
		d.warn("a release that fell over could not be rolled back", err, "app", a.Name(), "release", t.Release)
	})
}

// logBook is where the fleet's logs are kept.
type logBook struct{ d *Deployer }

func (l logBook) File(app fleet.Ref, release int, source, container string) string {
	return l.d.logFile(idOf(app), release, source, container)
}

func (l logBook) Last(file string, n int) (texts []string, err error) {
	lines, err := runtime.ReadLog(file, n)
	for _, line := range lines {
		texts = append(texts, line.Text)
	}
	return texts, err
}

func (l logBook) Note(a *fleet.App, release int, source, text string) {
	l.d.note(a, release, source, text)
}

func (l logBook) Trim(app fleet.Ref, release int, source string) {
	l.d.trimLogs(idOf(app), release, source, keptSlotLogs)
}

// routes is how the fleet reaches the router: deploy knows an app's hosts.
type routes struct {
	d        *Deployer
	portless bool // TCP ports are left to another berth
}

// idOf is what the router and the logs know an app by.
func idOf(app fleet.Ref) string { return strconv.Itoa(app.UID) }

func (r routes) Swap(app fleet.Ref, backends []fleet.Backend) (fleet.Drain, error) {
	route, err := r.d.routeOf(app.Name)
	if err != nil {
		return nil, err
	}
	route.Name, route.Label = idOf(app), app.Name
	for _, b := range backends {
		route.Backends = append(route.Backends, router.Backend(b))
	}
	if r.portless {
		route.Ports = nil
	}
	r.d.cfg.AccessLog.Keep(idOf(app))
	return drained(r.d.table.Swap(route))
}

func (r routes) Remove(app fleet.Ref) fleet.Drain {
	drain, _ := drained(r.d.table.Remove(idOf(app)), nil)
	return drain
}

// drained keeps an interface from holding a nil drain.
func drained(drain *router.Drain, err error) (fleet.Drain, error) {
	if drain == nil || err != nil {
		return nil, err
	}
	return drain, nil
}

func (r routes) Hold(app fleet.Ref, requests int, patience time.Duration) error {
	return r.d.table.Pause(idOf(app), router.Pause{Requests: requests, For: patience})
}

func (r routes) Resume(app fleet.Ref) { r.d.table.Resume(idOf(app)) }

func (r routes) Hosts(app fleet.Ref) (hosts []string, usual string) {
	return r.d.visited(app.Name), r.d.host(app.Name)
}

func (r routes) Ports(app fleet.Ref) []string { return r.d.containerPorts(app.Name) }

func (r routes) StreamGrace(app fleet.Ref) time.Duration { return r.d.streamGrace(app.Name) }

// Expect says that a push to app is coming in, so that containers can be readied
// meanwhile. cancel removes those that no push has taken; it may be called after
// the push.
func (d *Deployer) Expect(name string) (cancel func()) {
	select {
	case <-d.adopted:
	default:
		return func() {} // berth is starting
	}
	record, a, err := d.find(name)
	if err != nil || record.Release == 0 || record.Stopped {
		return func() {}
	}
	live, err := d.liveWithoutConfig(record)
	// Where the source is part of the base, the next one will have another base.
	if err != nil || live.Base == "" || live.Base == live.Layer {
		return func() {}
	}
	next := formation(record, live)
	next.Number, next.Layer = record.LastRelease+1, live.Base
	next.Foreign, next.StopSignal = false, ""
	return a.fleet.Expect(next)
}

// environment is what the processes of a release get of its config and build.
func environment(r store.Release) []string {
	env := maps.Clone(r.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, r.Config)
	env["PORT"] = fmt.Sprint(portFor(r.Config)) // for every kind of process: all of them read the app's settings
	list := make([]string, 0, len(env)+8)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}
