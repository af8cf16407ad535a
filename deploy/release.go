package deploy

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Releases makes releases live: those of pushes, of changes of config, and copies
// of earlier ones.
type Releases struct {
	*turns
	phases *phases
	build  *build.Builder
	jobs   *jobs.Jobs
	layers layers
	ssh    func() string // how berth's commands are reached from elsewhere
}

// layers are those that the machine holds.
type layers interface {
	HasLayer(ctx context.Context, key string) (bool, error)
}

// rollout is what comes with a release that is rolled out.
type rollout struct {
	build        *underway                // that it comes of; nil when it was not built
	standby      *fleet.Standby           // containers that were readied for it
	waitForLayer func() error             // until the layer of the source is stored
	onRecorded   func()                   // called once the record names its layers
	by           store.User               // who wants it, where that may be refused
	back         bool                     // it is a copy of an earlier release
	phase        bool                     // the Procfile's release command is run before it starts
	updateApp    func(*store.App)         // changes the app's record, with the swap
	inSwapTx     func(tx *store.Tx) error // stored with the swap

	// mounts are those that the release gets, and the app with the swap; nil leaves
	// the app's own. kept leaves those that the release has.
	mounts *[]store.Mount
	kept   bool

	// config makes the release's config of the app's, which becomes the same at
	// the swap, and of that of all apps; nil leaves both as they are.
	config func(now, global map[string]string) (map[string]string, error)
}

// roll records a release, rolls it out and tells how it went. It returns the
// variables that the release has. The caller holds the app.
func (d *Releases) roll(ctx context.Context, a *app, record store.App, release store.Release, with rollout, out *progress.Report) (map[string]string, error) {
	config, err := d.record(&record, &release, with)
	if err != nil {
		return nil, err
	}
	counts := d.counts(record)
	if !with.standby.Fits(formation.Of(counts, release)) {
		with.standby.Dismiss()
		with.standby = nil
	}
	if with.onRecorded != nil {
		with.onRecorded()
	}
	out.Conceal(release.Variables())
	out.Step("Release", "v%d, %s", release.Number, config)
	before := record.Release
	trial := with.trial(counts, release, before)
	if with.updateApp != nil {
		with.updateApp(&record)
	}
	if err := oneWriter(record, release); err != nil {
		d.markFailed(record.Name, release, err)
		return nil, err
	}
	if mount, one := alone(release); one && counts.Rollout != store.StopFirst && before != 0 {
		out.Step("Storage", "%s is for one writer: v%d stops before v%d starts", mount.Path, before, release.Number)
	}
	kept, err := d.promise(record, release, with.by)
	if err != nil {
		d.markFailed(record.Name, release, err)
		return nil, err
	}
	defer kept()
	if with.phase {
		if err := d.phases.release(ctx, record, release, with.waitForLayer, out); err != nil {
			d.markFailed(record.Name, release, err)
			return nil, err
		}
	}
	err = out.Timed("start", func() error {
		return d.converge(ctx, a, change{
			record: record, release: release, by: with.by,
			Change: fleet.Change{
				Standby: with.standby, Layered: with.waitForLayer, Progress: out,
				Trial: trial,
			},
			commit: func(tx *store.Tx) error {
				if err := with.build.seal(ctx); err != nil {
					return err
				}
				err := makeLive(tx, record.Name, release.Number, func(app *store.App) {
					if with.updateApp != nil {
						with.updateApp(app)
					}
					app.Watch = watchOf(trial)
				})
				if err == nil && with.config != nil {
					err = tx.PutConfig(record.Name, release.Config)
				}
				if err == nil && with.inSwapTx != nil {
					err = with.inSwapTx(tx)
				}
				return err
			},
		})
	})
	if err != nil {
		d.markFailed(record.Name, release, err)
		return nil, err
	}
	out.Live = time.Now()
	switch {
	case before == 0 || before == release.Number:
	case stopsFirst(counts, release):
		out.Step("Switch", "v%d -> v%d", before, release.Number)
	default:
		out.Step("Switch", "v%d -> v%d, draining v%d for up to %.0fs", before, release.Number, before, fleet.DrainRequests.Seconds())
	}
	d.jobs.Schedule(a.fleet)
	d.background(func(ctx context.Context) { d.build.Collect(ctx, record.Name) })
	a.fleet.Visit(ctx, out.Warn)
	return release.Variables(), nil
}

// record stores a release as pending, with the config that it brings or that
// with.config makes of the app's own, and says how that differs from the live one's.
func (d *Releases) record(record *store.App, release *store.Release, with rollout) (config string, err error) {
	configure := with.config
	err = d.db.Update(func(tx *store.Tx) error {
		fresh, err := tx.App(record.Name)
		if err != nil {
			return err
		}
		if release.Config == nil || configure != nil {
			if release.Config, err = tx.Config(record.Name); err != nil {
				return err
			}
		}
		if !with.back { // a copy of a release that served has what it served with
			if release.Global, err = tx.Global.Get(); err != nil {
				return err
			}
		}
		if configure != nil {
			if release.Config, err = configure(release.Config, release.Global); err != nil {
				return err
			}
		}
		switch {
		case with.mounts != nil:
			release.Mounts = *with.mounts
		case !with.kept:
			if release.Mounts, err = tx.Volumes.Mounts(record.Name); err != nil {
				return err
			}
		}
		config = "config unchanged"
		if live, err := tx.Release(record.Name, fresh.Release); err == nil && !maps.Equal(live.Variables(), release.Variables()) {
			config = "config changed"
		}
		fresh.LastRelease = release.Number
		*record = fresh
		if err := tx.PutApp(fresh); err != nil {
			return err
		}
		if err := tx.PutRelease(*release); err != nil {
			return err
		}
		return d.forgetReleases(tx, fresh)
	})
	if err != nil {
		return "", fault.ExplainDiskFull(fmt.Errorf("record v%d: %w", release.Number, err))
	}
	return config, nil
}

// forgetReleases deletes the records of releases that are too old to be
// remembered and that nothing can go back to.
func (d *Releases) forgetReleases(tx *store.Tx, app store.App) error {
	kept, err := build.Keep(app, tx.EachRelease(app.Name), d.build.KeptReleases())
	if err != nil {
		return err
	}
	needed := []int{app.Release}
	for _, r := range kept {
		needed = append(needed, r.Number)
	}
	return tx.ForgetReleases(app.Name, needed)
}

// makeLive names the release as the one that should be live.
func makeLive(tx *store.Tx, name string, n int, edit func(*store.App)) error {
	app, err := tx.App(name)
	if err != nil {
		return err
	}
	if edit != nil {
		edit(&app)
	}
	if app.Release != 0 && app.Release != n {
		if old, err := tx.ReleaseWithoutConfig(name, app.Release); err == nil && old.Status == store.ReleaseLive {
			if err := tx.MarkRelease(name, old.Number, store.ReleaseRetired, ""); err != nil {
				return err
			}
		}
	}
	app.Release = n
	if err := tx.MarkRelease(name, n, store.ReleaseLive, ""); err != nil {
		return err
	}
	return tx.PutApp(app)
}

// markFailed notes that a release never came to serve.
func (d *Releases) markFailed(app string, release store.Release, why error) {
	err := d.db.Update(func(tx *store.Tx) error {
		return tx.MarkRelease(app, release.Number, store.ReleaseFailed, why.Error())
	})
	d.warn("a failed release was not recorded as such", err, "app", app, "release", release.Number)
	d.publish(app)
}

// rollTo rolls out a release of which all layers are there.
func (d *Releases) rollTo(ctx context.Context, a *app, record store.App, release store.Release, out *progress.Report, with rollout) error {
	began := time.Now()
	if _, err := d.roll(ctx, a, record, release, with, out); err != nil {
		return err
	}
	now, _, err := d.find(a.called())
	if err != nil {
		return err
	}
	printLive(d.ssh(), out, now, release, out.Live.Sub(began))
	out.PrintWarnings()
	return nil
}

// successor is a new release that runs what an earlier one ran.
func successor(record store.App, r store.Release, by, description string) store.Release {
	r.Number, r.Status, r.Error, r.Fallen = record.LastRelease+1, store.ReleasePending, "", 0
	r.CreatedAt, r.CreatedBy, r.Description = time.Now().UTC(), by, description
	return r
}

// notKept returns the fault (E117) of a release of which there is no more than its record.
func notKept(app string, r store.Release) error {
	return fault.New(fault.Conflict, code.ReleaseNotKept, "v%d of %s is no longer kept", r.Number, app).
		Hint("push the commit %s again", short(r.Commit))
}

// short is a commit id as people say it.
func short(id string) string { return id[:min(7, len(id))] }
