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
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// SetConfig sets and unsets config and rolls out a release with it, when the
// app has one. noRestart only stores it, for the next release.
func (d *Releases) SetConfig(ctx context.Context, app string, set map[string]string, unset []string, noRestart bool, by store.User, w io.Writer) (store.Release, error) {
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
		d.publish(app)
		return live, nil
	}
	release := successor(record, live, by.Name, text)
	release.Config = after
	// The config is stored with the swap alone: one that the app cannot start
	// with is not kept.
	err = d.rollTo(ctx, a, record, release, out, rollout{phase: true, inSwapTx: func(tx *store.Tx) error {
		e := store.Event{App: app, By: by.Name, Kind: "config", Text: fmt.Sprintf("v%d: %s", release.Number, text)}
		return errors.Join(tx.PutConfig(app, after), tx.AddEvent(e))
	}})
	if err != nil {
		return store.Release{}, err
	}
	d.publish(app)
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

// configFor returns the app's config of now, completed.
func (d *Releases) configFor(record store.App, manifest appjson.Manifest) (config map[string]string, err error) {
	err = d.db.View(func(tx *store.Tx) error {
		config, err = tx.Config(record.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return completed(d.ssh(), record.Name, config, manifest, nil)
}
