package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Apps makes apps, names them and destroys them, and tells how they are.
type Apps struct {
	*turns
	cfg   Config
	build *build.Builder
	edge  *edge.Edge
	jobs  *jobs.Jobs
	logs  *logs.Book

	reserving sync.Mutex // whoever gets the same id finds its place clear
}

// CreateApp makes an empty app. A name whose default host leads to another app
// is a fault (E189).
func (d *Apps) CreateApp(ctx context.Context, name string, by store.User) (record store.App, err error) {
	return d.createApp(ctx, name, by, func(tx *store.Tx, record store.App) error {
		return tx.AddEvent(store.Event{App: name, By: by.Name, Kind: "create", Text: "created"})
	})
}

// createApp is CreateApp for an app that has some settings from the first. set
// puts them, and the event, into the same transaction.
func (d *Apps) createApp(ctx context.Context, name string, by store.User, set func(*store.Tx, store.App) error) (record store.App, err error) {
	_, release, err := d.Reserve(name)
	if err != nil {
		return record, fault.ExplainDiskFull(err)
	}
	defer release()
	err = d.db.Update(func(tx *store.Tx) error {
		if err := edge.CheckDefaultHost(tx, name, ""); err != nil {
			return err
		}
		record, err = tx.CreateApp(store.App{Name: name, CreatedAt: time.Now().UTC(), CreatedBy: by.Name})
		if err != nil {
			return err
		}
		if err := set(tx, record); err != nil {
			return err
		}
		record, err = tx.App(name)
		return err
	})
	if err != nil {
		return record, fault.ExplainDiskFull(err)
	}
	if _, err = d.cfg.Git.Open(ctx, record.ID()); err != nil {
		undo := d.db.Update(func(tx *store.Tx) error {
			e := store.Event{App: name, By: by.Name, Kind: "destroy", Text: "destroyed: its repository could not be created"}
			return errors.Join(tx.AddEvent(e), tx.DeleteApp(name))
		})
		return record, fault.ExplainDiskFull(errors.Join(fmt.Errorf("make the repository of %s: %w", name, err), undo))
	}
	a := d.app(record)
	a.fleet.Reroute()
	d.edge.AnnounceHostsOf(a.fleet)
	d.publish(name)
	return record, nil
}

// RenameApp gives an app and its default host a new name. A name whose default
// host belongs to another app is a fault (E189). The processes keep running,
// and the records stay where they are, under the app's id. It waits for a
// running build, which uses the name, and for a push until its refs have moved.
func (d *Apps) RenameApp(ctx context.Context, from, to string, by store.User, w io.Writer) (store.App, error) {
	out := progress.New(w)
	t := ticket{what: "the renaming by " + by.Name}
	_, _, done, err := d.buildTurn(ctx, from, t, out.Waiting)
	if err != nil {
		return store.App{}, err
	}
	defer done()
	_, a, leave, err := d.hold(ctx, from, t, out.Waiting)
	if err != nil {
		return store.App{}, err
	}
	defer leave()
	var record store.App
	err = d.db.Update(func(tx *store.Tx) error {
		if err := edge.CheckDefaultHost(tx, to, from); err != nil {
			return err
		}
		if record, err = tx.RenameApp(from, to); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{App: to, By: by.Name, Kind: "rename", Text: "renamed from " + from})
	})
	if err != nil {
		return store.App{}, fault.ExplainDiskFull(err)
	}
	a.fleet.Rename(to)
	d.edge.AnnounceHostsOf(a.fleet)
	d.jobs.Schedule(a.fleet)
	d.publish(to)
	d.publish(from)
	return record, nil
}

// DestroyUnused destroys an app for which nothing was ever built or set: one
// that a push created which then came to nothing.
func (d *Apps) DestroyUnused(ctx context.Context, name string, by store.User) error {
	used := false
	err := d.db.View(func(tx *store.Tx) error {
		app, err := tx.App(name)
		if err != nil {
			return err
		}
		config, err := tx.Config(name)
		if err != nil {
			return err
		}
		domains, err := tx.Domains(name)
		used = app.LastBuild > 0 || len(config) > 0 || len(domains) > 0
		return err
	})
	if err != nil || used {
		return err
	}
	return d.DestroyApp(ctx, name, by, io.Discard)
}

// DestroyApp removes an app and everything of it. It cancels running work on
// the app, in particular a build, and does not wait for it.
func (d *Apps) DestroyApp(ctx context.Context, name string, by store.User, w io.Writer) (err error) {
	if err := d.ready(ctx); err != nil {
		return err
	}
	_, a, err := d.find(name)
	if err != nil {
		return err
	}
	unmark := a.markDestroyed(fault.New(fault.Conflict, code.AppDestroyed, "%s was destroyed by %s", name, by.Name))
	defer func() {
		if err != nil {
			unmark()
		}
	}()
	out := progress.New(w)
	t := ticket{what: "its destruction by " + by.Name, destroys: true}
	waiting := func(holder string) { out.Title("waiting for %s to stop", holder) }
	_, now, done, err := d.buildTurn(ctx, name, t, waiting)
	if err != nil {
		return err
	}
	defer done()
	if now != a {
		return fault.New(fault.Conflict, code.AppReplaced, "another app has the name %s now", name)
	}
	record, _, leave, err := d.hold(ctx, name, t, waiting)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := d.detached(ctx)
	defer cancel()
	// First what a crash would leave behind for good: while the record is there,
	// the app can be destroyed again.
	err = errors.Join(d.cfg.Git.Remove(record.ID()), d.build.RemoveCaches(ctx, record.ID()))
	if err != nil {
		return err
	}
	defer d.edge.HoldPorts()() // its ports are free for others only when they are closed
	var freed []string
	var volumes []store.Volume
	err = d.db.Update(func(tx *store.Tx) error {
		if volumes, err = tx.Volumes.Of(name); err != nil {
			return err
		}
		domains, err := tx.Domains(name)
		if err != nil {
			return err
		}
		for _, domain := range domains {
			freed = append(freed, domain.Address())
		}
		return errors.Join(tx.AddEvent(store.Event{App: name, By: by.Name, Kind: "destroy", Text: "destroyed"}), tx.DeleteApp(name))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	for _, v := range volumes {
		out.Line("the volume %s is kept; berth storage:destroy %s --force removes it", v.Name, v.Name)
	}
	d.jobs.End(a.fleet)
	wait := a.fleet.End()
	d.background(func(ctx context.Context) {
		wait(ctx)
		d.build.Collect(ctx, name)
	})
	d.cfg.AccessLog.Forget(a.id())
	err = d.logs.Remove(a.id())
	d.forget(record.UID)
	d.edge.AnnounceHostsOf(a.fleet)
	d.edge.GiveBack(freed)
	d.publish(name)
	return err
}
