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
// app has one. noRestart only stores it, for the next release or restart.
func (d *Releases) SetConfig(ctx context.Context, app string, set map[string]string, unset []string, noRestart bool, by store.User, w io.Writer) (store.Release, error) {
	return d.changeConfig(ctx, app, set, func(map[string]string) []string { return unset }, noRestart, by, w)
}

// ReplaceConfig is SetConfig, and unsets everything else.
func (d *Releases) ReplaceConfig(ctx context.Context, app string, set map[string]string, noRestart bool, by store.User, w io.Writer) (store.Release, error) {
	others := func(now map[string]string) []string { return OtherNames(now, set) }
	return d.changeConfig(ctx, app, set, others, noRestart, by, w)
}

// OtherNames are the variables of a config that another one does not have.
func OtherNames(config, than map[string]string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if _, both := than[name]; !both {
			names = append(names, name)
		}
	}
	return names
}

// changeConfig sets config, and unsets what unsets says of the one there is.
func (d *Releases) changeConfig(ctx context.Context, app string, set map[string]string, unsets func(now map[string]string) []string, noRestart bool, by store.User, w io.Writer) (store.Release, error) {
	if err := ValidConfig(set); err != nil {
		return store.Release{}, err
	}
	out := progress.New(w)
	record, a, leave, err := d.hold(ctx, app, ticket{what: "the config change by " + by.Name}, out.Waiting)
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
	unset := unsets(before)
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
	text := ConfigText(set, unset)
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

// ValidConfig returns nil when all of it may be set, else a fault (E107, E196).
func ValidConfig(config map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if err := store.ValidConfig(name, config[name]); err != nil {
			return err
		}
	}
	return nil
}

// takeUp rolls out a release with the config that was stored without a restart,
// and with that of all apps, when the live one has other variables.
func (d *Releases) takeUp(ctx context.Context, app string, by store.User, w io.Writer) (done bool, err error) {
	out := progress.New(w)
	record, a, leave, err := d.hold(ctx, app, ticket{what: "the restart by " + by.Name}, out.Waiting)
	if err != nil {
		return false, err
	}
	defer leave()
	live, err := d.liveReleaseOrNone(record)
	if err != nil || live.Number == 0 || record.Stopped {
		return false, err
	}
	names, err := d.leftOf(record.Name, live)
	if err != nil || len(names) == 0 {
		return false, err
	}
	ctx, end := d.begun(ctx, a)
	defer end()
	release := successor(record, live, by.Name, "Restart with "+someNames(names))
	release.Config = nil // the app's own of now
	err = d.rollTo(ctx, a, record, release, out, rollout{phase: true, by: by, inSwapTx: func(tx *store.Tx) error {
		e := store.Event{App: app, By: by.Name, Kind: "restart", Text: fmt.Sprintf("v%d: restarted with %s", release.Number, someNames(names))}
		return tx.AddEvent(e)
	}})
	if err != nil {
		return false, err
	}
	d.publish(app)
	return true, nil
}

// leftOf names the variables that a release would have otherwise by now.
func (d *Releases) leftOf(app string, live store.Release) (names []string, err error) {
	var now map[string]string
	err = d.db.View(func(tx *store.Tx) error {
		own, err := tx.Config(app)
		if err != nil {
			return err
		}
		global, err := tx.Global.Get()
		now = store.MergedConfig(global, own)
		return err
	})
	if err != nil {
		return nil, err
	}
	before := live.Variables()
	names = OtherNames(before, now)
	for name, value := range now {
		if old, had := before[name]; !had || old != value {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// ConfigText says what changed, and no value.
func ConfigText(set map[string]string, unset []string) string {
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

// configFor returns the app's config of now, completed, with that of all apps.
func (d *Releases) configFor(record store.App, manifest appjson.Manifest) (config map[string]string, err error) {
	var global map[string]string
	err = d.db.View(func(tx *store.Tx) error {
		if config, err = tx.Config(record.Name); err != nil {
			return err
		}
		global, err = tx.Global.Get()
		return err
	})
	if err != nil {
		return nil, err
	}
	config, err = completed(d.ssh(), record.Name, config, global, manifest, nil)
	if err != nil {
		return nil, err
	}
	return store.MergedConfig(global, config), nil
}
