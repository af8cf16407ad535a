package build

import (
	"context"
	"slices"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// keptUnused is how long a layer that is shared by all apps outlives its last
// use: a toolchain takes minutes to make, and the app that wanted it may be
// pushed again after a holiday.
const keptUnused = 30 * 24 * time.Hour

// Collect removes layers that no release refers to, and the logs of releases
// that are no longer kept. Layers that all apps share stay for a while.
func (b *Builder) Collect(ctx context.Context, name string) {
	if b.collecting.TryLock() { // else what is left lying now goes with the next rollout
		defer b.collecting.Unlock()
		b.sweep(ctx, name, keptUnused)
	}
}

// sweep is Collect, for shared layers that were not used for so long; the
// caller holds collecting.
func (b *Builder) sweep(ctx context.Context, name string, unused time.Duration) {
	// Pins are read before the releases and after them: what is let go of between
	// the two is named by a release that was not there yet.
	wanted := map[string]bool{}
	for key := range b.pins.all() {
		wanted[key] = true
	}
	err := b.db.View(func(tx *store.Tx) error {
		if unused >= keptUnused {
			if err := unfinished(tx, wanted); err != nil {
				return err
			}
		}
		return referred(tx, b.KeptReleases(), wanted)
	})
	if err != nil {
		b.warn("what is still referred to cannot be read", err)
		return
	}
	b.collectLayers(ctx, wanted, unused)
	if _, err := find(b.db, name); err != nil {
		return // it was destroyed, and its logs and pages with it
	}
	b.deploys.Collected(name)
}

// unfinished marks the layers of the last build of each app, if nothing has come
// of it yet: the next goes on from there.
func unfinished(tx *store.Tx, wanted map[string]bool) error {
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	for _, app := range apps {
		last, err := tx.Builds.Of(app.Name, 1)
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
		releases, err := Keep(app, tx.EachRelease(app.Name), keptReleases)
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

func (b *Builder) collectLayers(ctx context.Context, wanted map[string]bool, unused time.Duration) {
	layers, err := b.engine.Layers(ctx)
	if err != nil {
		b.warn("layers cannot be listed", err)
		return
	}
	for key := range b.pins.all() {
		wanted[key] = true
	}
	for _, l := range doomed(layers, wanted, time.Now().Add(-unused)) {
		err := b.pins.unlessPinned(l.Key, func() error { return b.engine.RemoveLayer(ctx, l.Key) })
		if err != nil {
			b.log.Debug("a layer was not removed", "layer", l.Key, "err", err) // an instance that drains stands on it; next time
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
