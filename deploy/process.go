package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// MaxInstances is how many instances of a process type one may ask for: more
// are a slip of the finger on a single machine.
const MaxInstances = 100

// Processes says how many instances of an app's release run, and within which
// limits.
type Processes struct {
	*turns
	jobs *jobs.Jobs
}

// Scale sets how many instances of each named process type run.
func (d *Processes) Scale(ctx context.Context, app string, formation map[string]int, by store.User, out io.Writer) error {
	text, err := formationText(formation)
	if err != nil {
		return err
	}
	return d.reshape(ctx, app, "the scaling by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		return change{}, form(record, release, formation)
	}, store.Event{App: app, By: by.Name, Kind: "scale", Text: text})
}

// PlanFormation is Scale without a rollout: the formation counts from the next
// release or restart.
func PlanFormation(tx *store.Tx, app string, formation map[string]int, by store.User) error {
	text, err := formationText(formation)
	if err != nil {
		return err
	}
	record, err := tx.App(app)
	if err != nil {
		return err
	}
	var release store.Release
	if record.Release != 0 {
		if release, err = tx.ReleaseWithoutConfig(app, record.Release); err != nil {
			return err
		}
	}
	if err := form(&record, release, formation); err != nil {
		return err
	}
	return errors.Join(tx.PutApp(record), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "scale", Text: text + ", from the next release or restart"}))
}

// formationText writes a formation, or says that it cannot be.
func formationText(formation map[string]int) (string, error) {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(formation)) {
		n := formation[name]
		if n < 0 || n > MaxInstances {
			return "", fault.New(fault.Usage, code.ScaleInvalid, "%s=%d is not valid", name, n).Hint("a process type can have 0 to %d instances", MaxInstances)
		}
		parts = append(parts, fmt.Sprintf("%s=%d", name, n))
	}
	return strings.Join(parts, " "), nil
}

// form gives an app another formation, of the processes that its live release has.
func form(record *store.App, release store.Release, formation map[string]int) error {
	changed := maps.Clone(record.Formation)
	if changed == nil {
		changed = map[string]int{}
	}
	for _, name := range slices.Sorted(maps.Keys(formation)) {
		if _, found := release.Process(name); record.Release != 0 && (!found || name == "release") {
			return fault.New(fault.NotFound, code.ProcessUnknown, "%s has no process type %q", record.Name, name).
				Hint("the process types are %s", strings.Join(processTypes(release), ", "))
		}
		changed[name] = formation[name]
	}
	record.Formation = changed
	return oneWriter(*record, release)
}

func processTypes(r store.Release) []string {
	var types []string
	for _, p := range r.Processes {
		if p.Type != "release" {
			types = append(types, p.Type)
		}
	}
	return types
}

// Restart replaces the instances of a process type, or one instance ("web.1"),
// without failing a request; "" is all of them.
func (d *Processes) Restart(ctx context.Context, app, process string, by store.User, out io.Writer) error {
	return d.reshape(ctx, app, "the restart by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		if record.Release == 0 {
			return change{}, NeverDeployed(app)
		}
		if record.Stopped {
			return change{}, jobs.Stopped(app)
		}
		if !slices.ContainsFunc(formation.Slots(*record, release), func(s fleet.Slot) bool {
			return process == "" || process == s.Process.Type || process == s.String()
		}) {
			return change{}, fault.New(fault.NotFound, code.ProcessUnknown, "%s runs no process named %q", app, process).
				Hint("berth ps:report %s shows what it runs", app)
		}
		return change{Change: fleet.Change{Fresh: true, Process: process}}, nil
	}, store.Event{App: app, By: by.Name, Kind: "restart", Text: strings.TrimSpace("restarted " + process)})
}

// Stop stops all instances and keeps the release.
func (d *Processes) Stop(ctx context.Context, app string, by store.User, out io.Writer) error {
	return d.reshape(ctx, app, "the stop by "+by.Name, out, func(record *store.App, _ store.Release) (change, error) {
		record.Stopped = true
		return change{}, nil
	}, store.Event{App: app, By: by.Name, Kind: "stop", Text: "stopped"})
}

// Start undoes Stop.
func (d *Processes) Start(ctx context.Context, app string, by store.User, out io.Writer) error {
	return d.reshape(ctx, app, "the start by "+by.Name, out, func(record *store.App, _ store.Release) (change, error) {
		if record.Release == 0 {
			return change{}, NeverDeployed(app)
		}
		record.Stopped = false
		return change{}, nil
	}, store.Event{App: app, By: by.Name, Kind: "start", Text: "started"})
}

// reshape changes how the live release runs: edit changes the record and says
// what else is to change, and the new record is stored at the swap.
func (d *Processes) reshape(ctx context.Context, app, what string, w io.Writer, edit func(*store.App, store.Release) (change, error), e store.Event) error {
	out := progress.New(w)
	record, a, leave, err := d.hold(ctx, app, ticket{what: what}, func(holder string) { out.Title("waiting for %s", holder) })
	if err != nil {
		return err
	}
	defer leave()
	ctx, end := d.begun(ctx, a)
	defer end()
	release, err := d.liveRelease(record)
	if err != nil && record.Release != 0 {
		return err
	}
	c, err := edit(&record, release)
	if err != nil {
		return err
	}
	c.record, c.release, c.Progress = record, release, out
	c.commit = func(tx *store.Tx) error {
		now, err := tx.App(app)
		if err != nil {
			return err
		}
		now.Formation, now.Stopped, now.Limits = record.Formation, record.Stopped, record.Limits
		return errors.Join(tx.PutApp(now), tx.AddEvent(e))
	}
	if err := d.converge(ctx, a, c); err != nil {
		return err
	}
	switch e.Kind { // the release of a push under way does not undo it
	case "stop":
		a.building(0).noteStop(e.By)
	case "start":
		a.building(0).noteStop("")
	}
	if record.Release != 0 {
		d.jobs.Schedule(a.fleet, release)
	}
	d.publish(e.App)
	return nil
}
