package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// SetConfig sets and unsets config and rolls out a release with it, when the
// app has one. noRestart only stores it, for the next release.
func (d *Deployer) SetConfig(ctx context.Context, app string, set map[string]string, unset []string, noRestart bool, by store.User, w io.Writer) (store.Release, error) {
	for name, value := range set {
		if err := store.ValidConfig(name, value); err != nil {
			return store.Release{}, err
		}
	}
	out := progress.New(w)
	record, a, leave, err := d.hold(ctx, app, ticket{what: "the config change by " + by.Name}, func(holder string) { out.Title("waiting for %s", holder) })
	if err != nil {
		return store.Release{}, err
	}
	defer leave()
	ctx, end := d.begun(ctx, a)
	defer end()

	var before, after map[string]string
	err = d.db.View(func(tx *store.Tx) error {
		before, err = tx.Config(app)
		return err
	})
	if err != nil {
		return store.Release{}, err
	}
	after = maps.Clone(before)
	maps.Copy(after, set)
	for _, name := range unset {
		delete(after, name)
	}
	live, err := d.liveReleaseOrNone(record)
	if err != nil {
		return store.Release{}, err
	}
	// What was stored without a restart is not live yet.
	if maps.Equal(before, after) && (noRestart || record.Release == 0 || maps.Equal(live.Config, after)) {
		return live, nil
	}
	text := configText(set, unset)
	if noRestart || record.Release == 0 {
		err := d.db.Update(func(tx *store.Tx) error {
			return errors.Join(tx.PutConfig(app, after), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "config", Text: text}))
		})
		if err != nil {
			return store.Release{}, fault.ExplainDiskFull(err)
		}
		d.changes.publish(app)
		return live, nil
	}
	release := successor(record, live, by.Name, text)
	release.Config = after
	// The config is stored with the swap alone: one that the app cannot start
	// with is not kept.
	err = d.rollTo(ctx, a, record, release, out, rollout{phase: true, also: func(tx *store.Tx) error {
		e := store.Event{App: app, By: by.Name, Kind: "config", Text: fmt.Sprintf("v%d: %s", release.Number, text)}
		return errors.Join(tx.PutConfig(app, after), tx.AddEvent(e))
	}})
	if err != nil {
		return store.Release{}, err
	}
	d.changes.publish(app)
	return release, nil
}

// configText says what changed, and no value.
func configText(set map[string]string, unset []string) string {
	var parts []string
	if len(set) > 0 {
		parts = append(parts, "Set "+someNames(slices.Sorted(maps.Keys(set))))
	}
	if len(unset) > 0 {
		parts = append(parts, "Unset "+someNames(unset))
	}
	return strings.Join(parts, "; ")
}

// mostNamed is how many variables a change of config names: it may set
// thousands, and its text is kept with releases and events.
const mostNamed = 20

func someNames(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}

func (s *turns) liveReleaseOrNone(record store.App) (store.Release, error) {
	if record.Release == 0 {
		return store.Release{}, nil
	}
	return s.liveRelease(record)
}

// notKept returns the fault (E117) of a release of which there is no more than its record.
func notKept(app string, r store.Release) error {
	return fault.New(fault.Conflict, code.ReleaseNotKept, "v%d of %s is no longer kept", r.Number, app).
		Hint("push the commit %s again", short(r.Commit))
}

// successor is a new release that runs what an earlier one ran.
func successor(record store.App, r store.Release, by, description string) store.Release {
	r.Number, r.Status, r.Error = record.LastRelease+1, store.ReleasePending, ""
	r.CreatedAt, r.CreatedBy, r.Description = time.Now().UTC(), by, description
	return r
}

// Rollback rolls out a copy of an earlier release, its config included; 0 is
// the one that served before the live one. Its release command is not run: it
// has been, and one that migrates a database does not do so backwards.
func (d *Deployer) Rollback(ctx context.Context, app string, number int, by store.User, w io.Writer) (store.Release, error) {
	return d.rollback(ctx, app, number, 0, by.Name, "", progress.New(w))
}

// rollback is Rollback; fallen, when not 0, is the release that fell over, and
// why says how: nothing is done when another one is live by then.
func (d *Deployer) rollback(ctx context.Context, app string, number, fallen int, by, why string, out *progress.Report) (store.Release, error) {
	record, a, leave, err := d.hold(ctx, app, ticket{what: "the rollback by " + by}, func(holder string) { out.Title("waiting for %s", holder) })
	if err != nil {
		return store.Release{}, err
	}
	defer leave()
	ctx, end := d.begun(ctx, a)
	defer end()
	if record.Release == 0 {
		return store.Release{}, NeverDeployed(app)
	}
	if fallen != 0 && record.Release != fallen {
		return store.Release{}, nil
	}
	target, err := rollbackTarget(d.db, record, number)
	if err != nil {
		return store.Release{}, err
	}
	named := d.build.Pin(target.Layer, target.Base) // until the new release names them
	defer named()
	have, err := d.engine.HasLayer(ctx, target.Layer)
	if err != nil {
		return store.Release{}, fmt.Errorf("look for the layer of v%d: %w", target.Number, err)
	}
	if !have {
		return store.Release{}, notKept(app, target)
	}
	release := successor(record, target, by, fmt.Sprintf("Rollback to v%d", target.Number))
	text := fmt.Sprintf("v%d: rolled back to v%d", release.Number, target.Number)
	if why != "" {
		text += ": " + why
	}
	err = d.rollTo(ctx, a, record, release, out, rollout{named: named, kept: fallen != 0, also: func(tx *store.Tx) error {
		if fallen != 0 {
			if err := tx.Volumes.PutMounts(app, there(tx, release.Mounts)); err != nil {
				return err
			}
			if err := tx.MarkRelease(app, fallen, store.ReleaseFailed, why); err != nil {
				return err
			}
		}
		return errors.Join(tx.PutConfig(app, target.Config), tx.AddEvent(store.Event{App: app, By: by, Kind: "rollback", Text: text}))
	}})
	if err != nil {
		return store.Release{}, err
	}
	d.changes.publish(app)
	return release, nil
}

func rollbackTarget(db *store.Store, record store.App, number int) (target store.Release, err error) {
	err = db.View(func(tx *store.Tx) error {
		if number != 0 {
			if target, err = tx.Release(record.Name, number); err != nil {
				return err
			}
			if target.Status == store.ReleaseFailed {
				return fault.New(fault.Conflict, code.ReleaseFailed, "v%d of %s failed", number, record.Name).Hint("choose one that has served")
			}
			return nil
		}
		for r, err := range tx.EachRelease(record.Name) {
			if err != nil {
				return err
			}
			if r.Number < record.Release && r.Status == store.ReleaseRetired {
				target, err = tx.Release(record.Name, r.Number)
				return err
			}
		}
		return fault.New(fault.Conflict, code.NoEarlierRelease, "%s has no earlier release to go back to", record.Name)
	})
	return target, err
}

// rollTo rolls out a release of which all layers are there.
func (d *Deployer) rollTo(ctx context.Context, a *app, record store.App, release store.Release, out *progress.Report, with rollout) error {
	began := time.Now()
	if _, err := d.roll(ctx, a, record, release, with, out); err != nil {
		return err
	}
	now, _, err := d.find(a.called())
	if err != nil {
		return err
	}
	printLive(d.sshCommand(), out, now, release, out.Live.Sub(began))
	out.PrintWarnings()
	return nil
}
