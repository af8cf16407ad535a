package deploy

import (
	"context"
	"errors"
	"io"

	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// SetProcesses sets a property of how an app's processes are run, or with "" of
// those of all apps that have no value of their own; an empty value takes it
// back. A limit of an app is one of resource:limit, for every process type; see
// Resources.Allot. What is set for all apps counts for each from its next start or
// deploy.
func (d *Processes) SetProcesses(ctx context.Context, app, name, value string, by store.User, out io.Writer) error {
	set, err := formation.Properties.Check(app, name, value)
	if err != nil {
		return err
	}
	if app != "" && formation.IsLimit(name) {
		value := set.Value
		if value == "" {
			value = clearWord
		}
		_, err := d.allot(ctx, app, Allotting{Limit: map[string]string{formation.ResourceOf(name): value}}, by, out)
		return err
	}
	event := store.Event{App: app, By: by.Name, Kind: "ps", Text: set.Text()}
	err = d.db.Update(func(tx *store.Tx) error { return errors.Join(set.Keep(tx), tx.AddEvent(event)) })
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	d.publish(app)
	return nil
}

// counts returns a record with the limits, the order of rollouts and the rest of
// ps:set that count for it; see formation.Counts.
func (j *journal) counts(record store.App) store.App {
	counts, err := formation.Counts(j.db, record)
	j.warn("what is set for all apps cannot be read", err, "app", record.Name)
	return counts
}

// EffectiveLimits are what an instance of an app may take that has no limits of
// its process type.
func EffectiveLimits(counts store.App) store.Limits {
	l := usually(counts.Limit(store.AnyType))
	return store.Limits{Memory: l.Memory, CPUs: float64(l.CPU) / 1000, Pids: l.Pids}
}

// usually fills in the limits that every instance has.
func usually(r store.Resource) store.Resource {
	for _, kind := range resources {
		if n := r.Of(kind.name); *n == 0 {
			*n = kind.usual
		}
	}
	return r
}

// The limits that every container has.
const (
	usualMemory = runtime.DefaultMemory
	usualPids   = runtime.DefaultPids
)
