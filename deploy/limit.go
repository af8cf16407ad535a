package deploy

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// SetProcesses sets a property of how an app's processes are run, or with "" of
// those of all apps that have no value of their own; an empty value takes it
// back. A limit of an app replaces what runs, and what does not come up within it
// leaves the app as it was. More than the app would have without a value of its
// own takes from other apps: it needs access to all of them (E111). What is set
// for all apps counts for each from its next start or deploy.
func (d *Processes) SetProcesses(ctx context.Context, app, name, value string, by store.User, out io.Writer) error {
	set, err := formation.Properties.Check(app, name, value)
	if err != nil {
		return err
	}
	event := store.Event{App: app, By: by.Name, Kind: "ps", Text: set.Text()}
	if app != "" && formation.IsLimit(name) {
		if err := mayTake(d.db, set, by); err != nil {
			return err
		}
		return d.reshape(ctx, app, "the change of limits by "+by.Name, out, func(record *store.App, _ store.Release) (change, error) {
			before := record.Limits
			processFields.Of[name].Set(record, set.Value)
			return change{Change: fleet.Change{Fresh: record.Limits != before}}, nil
		}, event)
	}
	err = d.db.Update(func(tx *store.Tx) error { return errors.Join(set.Keep(tx), tx.AddEvent(event)) })
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	d.publish(app)
	return nil
}

// processFields are where an app's record has the properties of its processes.
var processFields = formation.Properties.Kept.(property.Fields)

// mayTake returns nil if the user may give an app as much as a limit says.
func mayTake(db *store.Store, set property.Change, by store.User) error {
	without, err := formation.Counts(db, store.App{})
	if err != nil {
		return err
	}
	usual := cmp.Or(processFields.Of[set.Name].Get(without), set.Usual)
	n, _ := formation.ReadLimit(set.Name, set.Value)
	most, _ := formation.ReadLimit(set.Name, usual)
	if err := by.May(store.RoleDeploy, ""); err != nil && n > most {
		return fault.From(err).Hint("a key with access to the app may set up to %s", usual)
	}
	return nil
}

// counts returns a record with the limits and the order of rollouts that count
// for it; see formation.Counts.
func (j *journal) counts(record store.App) store.App {
	counts, err := formation.Counts(j.db, record)
	j.warn("what is set for all apps cannot be read", err, "app", record.Name)
	return counts
}
