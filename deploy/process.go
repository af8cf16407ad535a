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
	jobs     *jobs.Jobs
	releases *Releases
}

// Scale sets how many instances of each named process type run.
func (d *Processes) Scale(ctx context.Context, app string, formation map[string]int, by store.User, out io.Writer) error {
	text, err := formationText(formation)
	if err != nil {
		return err
	}
	return d.reshape(ctx, app, "the scaling by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		return change{by: by}, form(record, release, formation)
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
	before := record
	if err := form(&record, release, formation); err != nil {
		return err
	}
	if err := mayHold(before, record, release, by); err != nil {
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
		if record.Release != 0 && !hasProcess(release, name) {
			return noProcess(record.Name, name, release)
		}
		changed[name] = formation[name]
		if formation[name] > 0 {
			record.StoppedTypes = allBut(record.StoppedTypes, name)
		}
	}
	record.Formation = changed
	return oneWriter(*record, release)
}

// hasProcess tells whether a release has a process type that runs.
func hasProcess(r store.Release, name string) bool { return slices.Contains(processTypes(r), name) }

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
	if process == "" {
		if done, err := d.releases.takeUp(ctx, app, by, out); err != nil || done {
			return err
		}
	}
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
		if process != "" { // the release stays, and its config with it
			left, err := d.releases.leftOf(app, release)
			if err != nil {
				return change{}, err
			}
			if len(left) > 0 {
				progress.New(out).Line("note: %s restarts with the config of v%d; ps:restart %s takes up %s", process, release.Number, app, someNames(left))
			}
		}
		return change{Change: fleet.Change{Fresh: true, Process: process}}, nil
	}, store.Event{App: app, By: by.Name, Kind: "restart", Text: strings.TrimSpace("restarted " + process)})
}

// Unscale takes back what was scaled by hand: as many instances run as app.json
// says, or as is usual.
func (d *Processes) Unscale(ctx context.Context, app string, by store.User, out io.Writer) error {
	return d.reshape(ctx, app, "the scaling by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		record.Formation = maps.Clone(release.Formation)
		return change{by: by}, nil
	}, store.Event{App: app, By: by.Name, Kind: "scale", Text: "as app.json says"})
}

// Stop stops all instances of a process type, or with "" of all, and keeps the
// release.
func (d *Processes) Stop(ctx context.Context, app, process string, by store.User, out io.Writer) error {
	return d.reshape(ctx, app, "the stop by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		if process == "" {
			record.Stopped = true
			return change{}, nil
		}
		if err := hasType(*record, release, process); err != nil {
			return change{}, err
		}
		record.StoppedTypes = append(allBut(record.StoppedTypes, process), process)
		return change{}, nil
	}, store.Event{App: app, By: by.Name, Kind: stopKind("stop", process), Text: strings.TrimSpace("stopped " + process)})
}

// Start undoes Stop: of one process type, or with "" of everything.
func (d *Processes) Start(ctx context.Context, app, process string, by store.User, out io.Writer) error {
	return d.reshape(ctx, app, "the start by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		if record.Release == 0 {
			return change{}, NeverDeployed(app)
		}
		if process == "" {
			record.Stopped, record.StoppedTypes = false, nil
			return change{by: by}, nil
		}
		if err := hasType(*record, release, process); err != nil {
			return change{}, err
		}
		if record.Stopped { // all others stay as they are
			record.Stopped = false
			record.StoppedTypes = processTypes(release)
		}
		record.StoppedTypes = allBut(record.StoppedTypes, process)
		return change{by: by}, nil
	}, store.Event{App: app, By: by.Name, Kind: stopKind("start", process), Text: strings.TrimSpace("started " + process)})
}

// stopKind is the kind of the event of a stop or a start. Of one type it says
// nothing about the release of a push under way.
func stopKind(kind, process string) string {
	if process == "" {
		return kind
	}
	return "ps"
}

// hasType returns a fault (E115) when the live release has no such process type.
func hasType(record store.App, release store.Release, process string) error {
	if record.Release == 0 {
		return NeverDeployed(record.Name)
	}
	if !hasProcess(release, process) {
		return noProcess(record.Name, process, release)
	}
	return nil
}

func allBut(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

// reshape changes how the live release runs: edit changes the record and says
// what else is to change, and the new record is stored at the swap.
func (d *Processes) reshape(ctx context.Context, app, what string, w io.Writer, edit func(*store.App, store.Release) (change, error), e store.Event) error {
	out := progress.New(w)
	record, a, leave, err := d.hold(ctx, app, ticket{what: what}, out.Waiting)
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
		now.StoppedTypes, now.Unchecked, now.UncheckedTypes = record.StoppedTypes, record.Unchecked, record.UncheckedTypes
		return errors.Join(tx.PutApp(now), tx.Resources.Put(record), tx.AddEvent(e))
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
		d.jobs.Schedule(a.fleet)
	}
	d.publish(e.App)
	return nil
}
