package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Rollback rolls out a copy of an earlier release, with its config; 0 is the
// release that served before the live one. It does not run the release command:
// it ran already, and a migration of a database does not run backwards.
func (d *Releases) Rollback(ctx context.Context, app string, number int, by store.User, w io.Writer) (store.Release, error) {
	return d.rollback(ctx, app, number, 0, by.Name, "", progress.New(w))
}

// rollback is Rollback; fallen, when not 0, is the release that fell over, and
// why says how: nothing is done when another one is live by then.
func (d *Releases) rollback(ctx context.Context, app string, number, fallen int, by, why string, out *progress.Report) (store.Release, error) {
	record, a, leave, err := d.hold(ctx, app, ticket{what: "the rollback by " + by}, out.Waiting)
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
	have, err := d.layers.HasLayer(ctx, target.Layer)
	if err != nil {
		return store.Release{}, fmt.Errorf("look for the layer of v%d: %w", target.Number, err)
	}
	if !have {
		return store.Release{}, notKept(app, target)
	}
	release := successor(record, target, by, fmt.Sprintf("Rollback to v%d", target.Number))
	release.Fallen = fallen
	text := fmt.Sprintf("v%d: rolled back to v%d", release.Number, target.Number)
	if why != "" {
		text += ": " + why
	}
	err = d.rollTo(ctx, a, record, release, out, rollout{onRecorded: named, kept: fallen != 0, back: true, inSwapTx: func(tx *store.Tx) error {
		config := target.Config
		if fallen != 0 {
			last, err := tx.Release(app, fallen)
			if err != nil {
				return err
			}
			now, err := tx.Config(app)
			if err != nil {
				return err
			}
			config = without(now, last.Config, target.Config)
			if err := tx.Volumes.PutMounts(app, there(tx, release.Mounts)); err != nil {
				return err
			}
			if err := tx.MarkRelease(app, fallen, store.ReleaseFailed, why); err != nil {
				return err
			}
		}
		return errors.Join(tx.PutConfig(app, config), tx.AddEvent(store.Event{App: app, By: by, Kind: "rollback", Text: text}))
	}})
	if err != nil {
		return store.Release{}, err
	}
	d.publish(app)
	return release, nil
}

func rollbackTarget(db *store.Store, record store.App, number int) (target store.Release, err error) {
	err = db.View(func(tx *store.Tx) error {
		if number != 0 {
			if target, err = tx.Release(record.Name, number); err != nil {
				return err
			}
			if target.Status == store.ReleaseFailed {
				return fault.New(fault.Conflict, code.ReleaseFailed, "v%d of %s failed", number, record.Name).Hint("choose a release that has served: berth releases %s", record.Name)
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
		return fault.New(fault.Conflict, code.NoEarlierRelease, "%s has no earlier release to roll back to", record.Name)
	})
	return target, err
}
