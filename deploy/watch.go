package deploy

import (
	"context"
	"maps"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
)

// A new release is watched for a while after its swap. When it falls over, the
// one before it comes back by itself, code and config: that is what a release is.
// The watch is in the app's record, so that it outlives berth.
//
// What is a copy of an earlier release already is not watched: of two that fall
// over in turns, neither is worth going back to.

// trial is the watch over a release that takes the place of another one; nil is
// none.
func (r rollout) trial(counts store.App, release store.Release, before int) *fleet.Trial {
	if r.back || before == 0 || before == release.Number || counts.WatchSeconds == 0 {
		return nil
	}
	return &fleet.Trial{Release: release.Number, Before: before, Window: time.Duration(counts.WatchSeconds) * time.Second}
}

// watchOf is how a trial that begins is recorded.
func watchOf(t *fleet.Trial) *store.Watch {
	if t == nil {
		return nil
	}
	return &store.Watch{Release: t.Release, Before: t.Before, Since: time.Now().UTC()}
}

// trialOf is the trial that a start of berth finds.
func trialOf(counts store.App) *fleet.Trial {
	w := counts.Watch
	if w == nil || w.Release != counts.Release || counts.WatchSeconds == 0 {
		return nil
	}
	return &fleet.Trial{Release: w.Release, Before: w.Before, Since: w.Since, Window: time.Duration(counts.WatchSeconds) * time.Second}
}

// FellOver rolls back to the release before, in the background.
func (n events) FellOver(a *fleet.App, t fleet.Trial, why string) {
	d := n.d
	d.background(func(ctx context.Context) {
		_, err := d.rollback(ctx, a.Name(), t.Before, t.Release, "berth", why, progress.New())
		if err == nil || ctx.Err() != nil { // the next life goes on with the watch
			return
		}
		d.warn("a release that fell over could not be rolled back", err, "app", a.Name(), "release", t.Release)
		if app := a.NameUnlessGone(); app != "" {
			d.recordEvent(store.Event{App: app, By: "berth", Kind: "rollback", Text: why + "; the release before does not come back: " + err.Error()})
		}
	})
}

// without is an app's config after a release that fell over: what that one
// brought is as it was before, and what was set since stays.
func without(now, fallen, before map[string]string) map[string]string {
	config := maps.Clone(now)
	if config == nil {
		config = map[string]string{}
	}
	undo := func(name string) {
		was, had := fallen[name]
		is, has := now[name]
		if had != has || was != is {
			return // somebody has changed it since
		}
		if value, there := before[name]; there {
			config[name] = value
		} else {
			delete(config, name)
		}
	}
	for name := range fallen {
		undo(name)
	}
	for name := range before {
		undo(name)
	}
	return config
}

// tellFallen tells whoever pushes that the last release fell over: nobody was
// there to read it.
func (d *Deployer) tellFallen(record store.App, out *progress.Report) {
	live, err := d.liveWithoutConfig(record)
	if err != nil || live.Fallen == 0 {
		return
	}
	why := ""
	err = d.db.View(func(tx *store.Tx) error {
		fallen, err := tx.ReleaseWithoutConfig(record.Name, live.Fallen)
		why = fallen.Error
		return err
	})
	d.warn("a release that fell over cannot be read", err, "app", record.Name, "release", live.Fallen)
	out.Line("warning: v%d fell over after its push and was rolled back (v%d)", live.Fallen, live.Number)
	if why != "" {
		out.Detail("%s", why)
	}
}
