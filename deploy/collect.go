package deploy

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// DefaultKeepReleases is how many releases of an app can be rolled back to, the
// live one among them: enough for an afternoon of mishaps. Of an interpreted app
// each is a layer of its source and no more.
const DefaultKeepReleases = 5

// keptUnused is how long a layer that is shared by all apps outlives its last
// use: a toolchain takes minutes to make, and the app that wanted it may be
// pushed again after a holiday.
const keptUnused = 30 * 24 * time.Hour

// collect removes what no release refers to any more: layers, and the logs of
// an app's releases older than those that are kept. Layers that are shared by
// all apps stay for a while.
func (d *Deployer) collect(ctx context.Context, name string) {
	if d.collecting.TryLock() { // else what is left lying now goes with the next rollout
		defer d.collecting.Unlock()
		d.sweep(ctx, name, keptUnused)
	}
}

// sweep is collect, for shared layers that were not used for so long; the
// caller holds collecting.
func (d *Deployer) sweep(ctx context.Context, name string, unused time.Duration) {
	// Pins are read before the releases and after them: what is let go of between
	// the two is named by a release that was not there yet.
	wanted := map[string]bool{}
	for key := range d.pins.all() {
		wanted[key] = true
	}
	err := d.db.View(func(tx *store.Tx) error {
		if unused >= keptUnused {
			if err := unfinished(tx, wanted); err != nil {
				return err
			}
		}
		return referred(tx, d.keptReleases(), wanted)
	})
	if err != nil {
		d.warn("what is still referred to cannot be read", err)
		return
	}
	d.collectLayers(ctx, wanted, unused)
	if _, _, err := d.find(name); err != nil {
		return // it was destroyed, and its logs and pages with it
	}
	d.collectLogs(name)
	d.collectPages(name)
}

// keptReleases is how many releases of an app can be rolled back to.
func (d *Deployer) keptReleases() int { return cmp.Or(d.cfg.KeepReleases, DefaultKeepReleases) }

// unfinished marks the layers of the last build of each app, if nothing has come
// of it yet: the next goes on from there.
func unfinished(tx *store.Tx, wanted map[string]bool) error {
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	for _, app := range apps {
		last, err := tx.Builds(app.Name, 1)
		if err != nil {
			return err
		}
		for _, build := range last {
			for _, key := range build.Layers {
				wanted[key] = true
			}
		}
	}
	return nil
}

// referred marks the layers that apps refer to by the releases that can be
// rolled back to.
func referred(tx *store.Tx, keptReleases int, wanted map[string]bool) error {
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	for _, app := range apps {
		releases, err := keep(app, tx.EachRelease(app.Name), keptReleases)
		if err != nil {
			return err
		}
		for _, r := range releases {
			wanted[r.Layer], wanted[r.Base] = true, true
			for _, key := range r.Beside {
				wanted[key] = true
			}
		}
	}
	return nil
}

// keep chooses the releases of which the layers stay: the live one, those that
// are being rolled out, and the last that served, n with the live one. It reads
// no further than to the last of them.
func keep(app store.App, newestFirst iter.Seq2[store.Release, error], n int) (kept []store.Release, err error) {
	served := 0
	for r, err := range newestFirst {
		if err != nil {
			return nil, err
		}
		switch {
		case r.Number == app.Release, r.Status == store.ReleasePending:
			kept = append(kept, r)
		case r.Status == store.ReleaseRetired && served < n-1:
			served++
			kept = append(kept, r)
		}
		if served >= n-1 && r.Number <= app.Release {
			break
		}
	}
	return kept, nil
}

func (d *Deployer) collectLayers(ctx context.Context, wanted map[string]bool, unused time.Duration) {
	layers, err := d.engine.Layers(ctx)
	if err != nil {
		d.warn("layers cannot be listed", err)
		return
	}
	for key := range d.pins.all() {
		wanted[key] = true
	}
	for _, l := range doomed(layers, wanted, time.Now().Add(-unused)) {
		err := d.pins.unlessPinned(l.Key, func() error { return d.engine.RemoveLayer(ctx, l.Key) })
		if err != nil {
			d.log.Debug("a layer was not removed", "layer", l.Key, "err", err) // an instance that drains stands on it; next time
		}
	}
}

// doomed chooses the layers that can go, in the order in which they can: apps'
// own that are not wanted, and shared ones that no wanted layer stands on or was
// built with, and that nobody has used since.
func doomed(layers []runtime.Layer, wanted map[string]bool, since time.Time) (list []runtime.Layer) {
	byKey := map[string]runtime.Layer{}
	for _, l := range layers {
		byKey[l.Key] = l
	}
	stays := map[string]bool{}
	var stay func(key string)
	stay = func(key string) {
		l, there := byKey[key]
		if !there || stays[key] {
			return
		}
		stays[key] = true
		stay(l.Parent)
		stay(l.Builder) // or the next change of dependencies makes the compilers anew
	}
	for key := range wanted {
		stay(key)
	}
	for _, l := range layers {
		if _, own := l.Labels[labelApp]; !own && l.LastUsed.After(since) {
			stay(l.Key)
		}
	}
	// The youngest first: a layer can go once nothing stands on it.
	slices.SortFunc(layers, func(a, b runtime.Layer) int { return b.Created.Compare(a.Created) })
	for _, l := range layers {
		if !stays[l.Key] {
			list = append(list, l)
		}
	}
	return list
}

// collectLogs removes the logs of releases before the first that is kept, and
// of releases and builds that are no longer remembered. One of the releases may
// have failed: its log has had its use.
func (d *Deployer) collectLogs(app string) {
	var old []string
	err := d.db.View(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		dir := filepath.Join(d.cfg.Logs, record.ID())
		releases := numbered(dir, "v", "")
		builds := numbered(filepath.Join(dir, "builds"), "", ".log")
		kept, err := keep(record, tx.EachRelease(app), d.keptReleases())
		if err != nil {
			return err
		}
		first := 0
		if len(kept) > 0 {
			first = kept[len(kept)-1].Number
		}
		for n, path := range releases {
			if n < first || n <= record.LastRelease && !tx.HasRelease(app, n) {
				old = append(old, path)
			}
		}
		for n, path := range builds {
			if n < tx.FirstBuild(app) {
				old = append(old, path)
			}
		}
		return nil
	})
	for _, path := range old {
		err = errors.Join(err, os.RemoveAll(path))
	}
	d.warn("old logs were not removed", err, "app", app)
}

// numbered returns the paths of what a directory holds, by the number between
// prefix and suffix of its names.
func numbered(dir, prefix, suffix string) map[int]string {
	entries, _ := os.ReadDir(dir) // one that is not there holds nothing
	paths := map[int]string{}
	for _, entry := range entries {
		text, is := strings.CutPrefix(entry.Name(), prefix)
		text, ends := strings.CutSuffix(text, suffix)
		if n, err := strconv.Atoi(text); err == nil && is && ends {
			paths[n] = filepath.Join(dir, entry.Name())
		}
	}
	return paths
}
