package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// maxCaches is how large the caches of one app may be. When they are larger
// after a build, whole caches go, the one that was used longest ago first. Not
// parts of one: what lies in it is its tool's, which keeps an index of it, and a
// cache that is gone costs a download, one with holes a build.
const maxCaches = 5 << 30 // bytes

// Caches are the build caches of an app.
type Caches struct {
	App    string  `json:"app"`
	Bytes  int64   `json:"bytes"`
	Limit  int64   `json:"limit"` // bytes; above it the caches used longest ago go, after a build
	Caches []Cache `json:"caches"`
}

// Cache is one build cache.
type Cache struct {
	Name   string    `json:"name"` // "uv"
	Bytes  int64     `json:"bytes"`
	UsedAt time.Time `json:"used_at"`
}

// Caches returns the build caches of an app, the largest first.
func (b *Builder) Caches(ctx context.Context, app string) (Caches, error) {
	record, err := find(b.db, app)
	if err != nil {
		return Caches{}, err
	}
	return b.caches(ctx, record)
}

// ClearCaches removes the build caches of an app and returns what they were. It
// waits for a running build.
func (b *Builder) ClearCaches(ctx context.Context, app string, by store.User, w io.Writer) (Caches, error) {
	ctx, record, leave, err := b.deploys.Turn(ctx, app, "the clearing of its caches by "+by.Name, waits(progress.New(w)))
	if err != nil {
		return Caches{}, err
	}
	defer leave()
	cleared, err := b.caches(ctx, record)
	if err != nil {
		return Caches{}, err
	}
	if err := b.RemoveCaches(ctx, record.ID()); err != nil {
		return Caches{}, fmt.Errorf("remove the caches of %s: %w", app, err)
	}
	b.deploys.RecordEvent(store.Event{App: app, By: by.Name, Kind: "build", Text: "caches cleared"})
	return cleared, nil
}

// RemoveCaches removes the caches of the app with the id, the steps of its Dockerfile too.
func (b *Builder) RemoveCaches(ctx context.Context, id string) error {
	return errors.Join(os.RemoveAll(filepath.Join(b.cfg.Caches, id)), b.images.RemoveCache(ctx, id))
}

func (b *Builder) cacheDir(record store.App) string {
	return filepath.Join(b.cfg.Caches, strconv.Itoa(record.UID))
}

func (b *Builder) caches(ctx context.Context, record store.App) (Caches, error) {
	all := Caches{App: record.Name, Limit: maxCaches, Caches: []Cache{}}
	entries, err := os.ReadDir(b.cacheDir(record))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return all, fmt.Errorf("list the caches of %s: %w", record.Name, err)
	}
	for _, entry := range entries {
		dir := filepath.Join(b.cacheDir(record), entry.Name())
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c := Cache{Name: entry.Name()}
		if err == nil {
			c.UsedAt = info.ModTime().UTC()
			c.Bytes, err = runtime.DiskUsed(ctx, dir, time.Time{})
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return all, fmt.Errorf("look at the cache %s of %s: %w", c.Name, record.Name, err)
		}
		all.Bytes += c.Bytes
		all.Caches = append(all.Caches, c)
	}
	slices.SortFunc(all.Caches, func(x, y Cache) int {
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Name, y.Name))
	})
	return all, nil
}

// trimCaches removes what is too much of an app's caches. They are measured
// while the app may be built again; only what is to be removed waits for its turn.
func (b *Builder) trimCaches(ctx context.Context, record store.App) {
	before, err := b.caches(ctx, record)
	if err != nil || before.Bytes <= maxCaches {
		b.warn("build caches cannot be measured", err, "app", record.Name)
		return
	}
	ctx, record, leave, err := b.deploys.Turn(ctx, record.Name, "the trimming of its caches", nil)
	if err != nil {
		return // it was destroyed, or berth ends
	}
	defer leave()
	all, err := b.caches(ctx, record)
	if err == nil {
		for _, c := range surplus(all, maxCaches) {
			b.log.Info("removing a build cache: the app's are too large", "app", record.Name, "cache", c.Name, "bytes", c.Bytes, "limit", maxCaches)
			err = errors.Join(err, removeCache(b.cacheDir(record), c.Name))
		}
	}
	b.warn("build caches were not trimmed", err, "app", record.Name)
}

// surplus chooses the caches that have to go: those used longest ago.
func surplus(all Caches, limit int64) (gone []Cache) {
	byUse := slices.Clone(all.Caches)
	slices.SortStableFunc(byUse, func(a, b Cache) int { return a.UsedAt.Compare(b.UsedAt) })
	for _, c := range byUse {
		if all.Bytes <= limit {
			break
		}
		all.Bytes -= c.Bytes
		gone = append(gone, c)
	}
	return gone
}

// removeCache removes a cache under another name first: what a crash leaves of
// it is not taken for a cache that is whole.
func removeCache(dir, name string) error {
	doomed := filepath.Join(dir, ".gone-"+name)
	err := os.RemoveAll(doomed) // of an earlier try
	if err == nil {
		err = os.Rename(filepath.Join(dir, name), doomed)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.RemoveAll(doomed))
}

// mountCaches gives a layer's commands the app's own caches.
func (b *Builder) mountCaches(spec *runtime.LayerSpec, layer plan.Layer, record store.App) error {
	for _, cache := range layer.Caches {
		dir := filepath.Join(b.cacheDir(record), cache.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fault.ExplainDiskFull(fmt.Errorf("make the cache %s: %w", cache.Name, err))
		}
		if err := os.Chown(dir, record.UID, record.UID); err != nil {
			return fmt.Errorf("hand over the cache %s: %w", cache.Name, err)
		}
		now := time.Now()
		if err := os.Chtimes(dir, now, now); err != nil { // its last use
			return fmt.Errorf("date the cache %s: %w", cache.Name, err)
		}
		spec.Mounts = append(spec.Mounts, runtime.Mount{Source: dir, Target: cache.Target, Writable: true})
	}
	return nil
}
