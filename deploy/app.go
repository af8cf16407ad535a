package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func errEmpty(app string) error {
	return build.NeverDeployed(app)
}

// CreateApp makes an empty app. A name whose default host leads to another app
// is a fault (E189).
func (d *Deployer) CreateApp(ctx context.Context, name string, by store.User) (record store.App, err error) {
	err = d.db.Update(func(tx *store.Tx) error {
		if err := checkDefaultHost(tx, name, ""); err != nil {
			return err
		}
		record, err = tx.CreateApp(store.App{Name: name, CreatedAt: time.Now().UTC(), CreatedBy: by.Name})
		return err
	})
	if err != nil {
		return record, fault.DiskFull(err)
	}
	// Logs under a name that was free are what a crash left of a destroyed app.
	err = os.RemoveAll(filepath.Join(d.cfg.Logs, name))
	if err == nil {
		_, err = d.cfg.Git.Open(ctx, name)
	}
	if err != nil {
		undo := d.db.Update(func(tx *store.Tx) error { return tx.DeleteApp(name) })
		return record, fault.DiskFull(errors.Join(fmt.Errorf("make the directories of %s: %w", name, err), undo))
	}
	a := d.app(record)
	d.reroute(a)
	d.announceHostsOf(a)
	d.happened(store.Event{App: name, By: by.Name, Kind: "create", Text: "created"})
	return record, nil
}

// RenameApp gives an app, its repository, logs and default host a new name. A
// name whose default host leads to another app is a fault (E189). Its processes
// go on. A push that has its turn is waited for: git moves its refs in the
// repository that has the old name.
func (d *Deployer) RenameApp(ctx context.Context, from, to string, by store.User, w io.Writer) (store.App, error) {
	out := progress.New(w)
	t, waiting := ticket{what: "the renaming by " + by.Name}, func(holder string) { out.Title("waiting for %s", holder) }
	_, _, done, err := d.buildTurn(ctx, from, t, waiting)
	if err != nil {
		return store.App{}, err
	}
	defer done()
	_, a, leave, err := d.hold(ctx, from, t, waiting)
	if err != nil {
		return store.App{}, err
	}
	defer leave()
	var record store.App
	err = d.cfg.AccessLog.Rename(from, to, func() (err error) {
		record, err = d.renameRecords(from, to)
		return err
	})
	if err != nil {
		return store.App{}, fault.DiskFull(err)
	}
	keep := d.keepPorts(to) // none is closed on the way
	a.fleet.Rename(to)
	keep()
	d.announceHostsOf(a)
	if release, err := d.liveRelease(record); err == nil {
		d.schedule(a, to, release)
	}
	d.happened(store.Event{App: to, By: by.Name, Kind: "rename", Text: "renamed from " + from})
	d.changes.publish(from)
	return record, nil
}

// renameRecords renames what the store and the disk have of an app.
func (d *Deployer) renameRecords(from, to string) (record store.App, err error) {
	moved := false
	err = d.db.Update(func(tx *store.Tx) error {
		if err := checkDefaultHost(tx, to, from); err != nil {
			return err
		}
		record, err = tx.RenameApp(from, to)
		if err != nil {
			return err
		}
		// Inside the transaction: when a directory cannot be moved, nothing was.
		if err := d.cfg.Git.Rename(from, to); err != nil {
			return fmt.Errorf("rename the repository: %w", err)
		}
		// Logs under a name that was free are what a crash left of a destroyed app.
		err := os.RemoveAll(filepath.Join(d.cfg.Logs, to))
		if err == nil {
			err = os.Rename(filepath.Join(d.cfg.Logs, from), filepath.Join(d.cfg.Logs, to))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("rename the logs: %w", err), d.cfg.Git.Rename(to, from))
		}
		moved = true
		return nil
	})
	if err != nil && moved { // it could not be committed
		back := os.Rename(filepath.Join(d.cfg.Logs, to), filepath.Join(d.cfg.Logs, from))
		if errors.Is(back, fs.ErrNotExist) {
			back = nil
		}
		err = errors.Join(err, back, d.cfg.Git.Rename(to, from))
	}
	return record, err
}

// DestroyUnused destroys an app for which nothing was ever built or set: one
// that a push created which then came to nothing.
func (d *Deployer) DestroyUnused(ctx context.Context, name string, by store.User) error {
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

// DestroyApp removes an app and everything that is its own. What is being done
// to the app, a build above all, is cancelled and not waited for.
func (d *Deployer) DestroyApp(ctx context.Context, name string, by store.User, w io.Writer) (err error) {
	if err := d.ready(ctx); err != nil {
		return err
	}
	_, a, err := d.find(name)
	if err != nil {
		return err
	}
	spare := a.condemn(fault.New(fault.Conflict, codeDestroyed, "%s was destroyed by %s", name, by.Name))
	defer func() {
		if err != nil {
			spare()
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
		return fault.New(fault.Conflict, "E421", "another app has the name %s by now", name)
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
	err = errors.Join(d.cfg.Git.Remove(name), d.build.RemoveCaches(ctx, record))
	if err != nil {
		return err
	}
	d.porting.Lock() // its ports are free for others only when they are closed
	defer d.porting.Unlock()
	var freed []string
	err = d.db.Update(func(tx *store.Tx) error {
		domains, err := tx.Domains(name)
		if err != nil {
			return err
		}
		for _, domain := range domains {
			freed = append(freed, domain.Address())
		}
		return tx.DeleteApp(name)
	})
	if err != nil {
		return fault.DiskFull(err)
	}
	d.unschedule(a)
	a.mu.Lock()
	a.gone = true
	for _, runs := range a.runs {
		for cancel := range maps.Values(runs) {
			cancel(errDestroyed)
		}
	}
	a.mu.Unlock()
	wait := a.fleet.End()
	d.background(func(ctx context.Context) {
		wait(ctx)
		d.build.Collect(ctx, name)
	})
	d.cfg.AccessLog.Forget(name)
	err = d.notices.remove(filepath.Join(d.cfg.Logs, name))
	d.mu.Lock()
	delete(d.apps, record.UID)
	d.mu.Unlock()
	d.announceHostsOf(a)
	d.giveBack(freed)
	d.happened(store.Event{App: name, By: by.Name, Kind: "destroy", Text: "destroyed"})
	return err
}
