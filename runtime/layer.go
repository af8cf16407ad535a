package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Layer is a committed layer.
type Layer struct {
	Key      string
	Parent   string
	Builder  string // the layer that it was built on, when that is not Parent
	Bytes    int64
	Created  time.Time
	LastUsed time.Time // to the hour
	Labels   map[string]string
}

// layerName is a layer's name in containerd, where other installations may
// have the same layer.
func (e *Engine) layerName(key string) string { return e.id + "-" + key }
func (e *Engine) layerKey(name string) string { return strings.TrimPrefix(name, e.id+"-") }

// HasLayer tells whether the layer is there, whole.
func (e *Engine) HasLayer(ctx context.Context, key string) (bool, error) {
	var info snapshots.Info
	err := retryGone(ctx, func() (err error) {
		info, err = e.snapshots().Stat(ctx, e.layerName(key))
		return err
	})
	if errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for layer %s: %w", key, err)
	}
	return info.Kind == snapshots.KindCommitted, nil
}

// Layers lists all committed layers.
func (e *Engine) Layers(ctx context.Context) ([]Layer, error) {
	var list []Layer
	err := e.walkSnapshots(ctx, func(info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			return nil
		}
		usage, err := e.snapshots().Usage(ctx, info.Name)
		if err != nil && !errdefs.IsNotFound(err) { // removed meanwhile
			return err
		}
		l := Layer{Key: e.layerKey(info.Name), Builder: info.Labels[labelBuilder], Bytes: usage.Size,
			Created: info.Created, LastUsed: info.Created, Labels: make(map[string]string)}
		parent, between, err := e.below(ctx, info.Parent)
		if err != nil {
			return err
		}
		l.Parent, l.Bytes = parent, l.Bytes+between
		if t, err := time.Parse(time.RFC3339, info.Labels[labelUsed]); err == nil {
			l.LastUsed = t
		}
		for k, v := range info.Labels {
			if name, ok := strings.CutPrefix(k, labelUser); ok {
				l.Labels[name] = v
			}
		}
		list = append(list, l)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	return list, nil
}

// below returns the key of the first layer of ours at or below a snapshot, and
// the size of what lies above it: an image's layer stands on snapshots that the
// registry or the Dockerfile has made, which go when it goes.
func (e *Engine) below(ctx context.Context, name string) (key string, between int64, err error) {
	for name != "" && !strings.HasPrefix(name, e.id+"-") {
		info, err := e.snapshots().Stat(ctx, name)
		if errdefs.IsNotFound(err) { // removed meanwhile, and what stood on it too
			return "", between, nil
		}
		if err != nil {
			return "", 0, err
		}
		usage, err := e.snapshots().Usage(ctx, name)
		if err != nil && !errdefs.IsNotFound(err) {
			return "", 0, err
		}
		between += usage.Size
		name = info.Parent
	}
	return e.layerKey(name), between, nil
}

// walkSnapshots calls fn with every snapshot of ours.
func (e *Engine) walkSnapshots(ctx context.Context, fn func(snapshots.Info) error) error {
	return e.snapshots().Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Labels[labelInstallation] != e.id {
			return nil
		}
		return fn(info)
	}, e.ours())
}

// ReadFile reads a file of a layer, whose path has no leading slash. One that
// is not there, is no file or has more than 1 MiB is fs.ErrNotExist.
func (e *Engine) ReadFile(ctx context.Context, key, name string) (data []byte, err error) {
	view := "read-" + NewID()
	mounts, err := e.prepare(ctx, view, key)
	if err == nil {
		defer func() {
			ctx, cancel := lasting(ctx)
			defer cancel()
			err = errors.Join(err, retry(ctx, func() error { return e.snapshots().Remove(ctx, view) }))
		}()
		if data = readLower(mounts, name); data == nil {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of layer %s: %w", name, key, err)
	}
	return data, nil
}

// RemoveLayer removes a layer. It is an error while layers or containers stand
// on it, or steps of an owner's image cache.
func (e *Engine) RemoveLayer(ctx context.Context, key string) error {
	name := e.layerName(key)
	err := retry(ctx, func() error { return e.snapshots().Remove(ctx, name) })
	if errdefs.IsFailedPrecondition(err) {
		err = e.uproot(ctx, name, err)
	}
	if err != nil {
		return fmt.Errorf("remove layer %s: %w", key, err)
	}
	return nil
}

// uproot has containerd collect a snapshot that it refuses to remove. Of a
// child that was collected, as the steps of an image are, rather than removed,
// the parent's books say for ever that it is there.
func (e *Engine) uproot(ctx context.Context, name string, refused error) error {
	stood := false
	err := e.snapshots().Walk(ctx, func(context.Context, snapshots.Info) error {
		stood = true
		return nil
	}, fmt.Sprintf("parent==%q", name))
	if err != nil || stood {
		return errors.Join(refused, err)
	}
	if _, err := e.snapshots().Update(ctx, snapshots.Info{Name: name}, "labels"); err != nil {
		return err
	}
	return e.collect(ctx)
}

// collect has containerd remove what nothing refers to, now.
func (e *Engine) collect(ctx context.Context) error {
	service := e.client.LeasesService()
	l, err := service.Create(ctx, leases.WithRandomID(), leases.WithLabels(e.leaseLabels()))
	if err != nil {
		return err
	}
	ctx, cancel := lasting(ctx)
	defer cancel()
	return service.Delete(ctx, l, leases.SynchronousDelete)
}

// touch writes down that something stands on a layer now, at most once an hour:
// it costs a synced write.
func (e *Engine) touch(ctx context.Context, key string) {
	now := time.Now()
	e.mu.Lock()
	fresh := now.Sub(e.used[key]) < time.Hour
	e.used[key] = now
	e.mu.Unlock()
	if fresh {
		return
	}
	info := snapshots.Info{Name: e.layerName(key), Labels: map[string]string{labelUsed: now.UTC().Format(time.RFC3339)}}
	if _, err := e.snapshots().Update(ctx, info, "labels."+labelUsed); err != nil {
		e.log.Debug("use of a layer not written down", "layer", key, "err", err)
	}
}

// AddTree makes a layer whose only content is the directory tree, as dir in
// the container's filesystem (usually "/app"), owned by uid. The tree is moved,
// not copied: it must lie on the same filesystem as the engine's root (see
// Scratch) and is gone afterwards. When the layer exists already, it is removed.
// Where containerd's own files lie on another filesystem, it is copied all the same.
func (e *Engine) AddTree(ctx context.Context, key, parent, tree, dir string, uid int, labels map[string]string) error {
	err := e.makeLayer(ctx, key, func(ctx context.Context, active string) error {
		mounts, err := e.prepare(ctx, active, parent)
		if err != nil {
			return err
		}
		upper := layerDirs(mounts)[0]
		target := filepath.Join(upper, filepath.Clean("/"+dir))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.Rename(tree, target); errors.Is(err, unix.EXDEV) {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			err = copyTree(ctx, tree, target, ".", uid)
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		} else if err := ownTree(target, uid); err != nil {
			return err
		}
		return e.commit(ctx, active, key, labels)
	})
	if err != nil {
		return fmt.Errorf("add tree as layer %s: %w", key, err)
	}
	return os.RemoveAll(tree)
}

// ownTree gives everything in a tree to a user. Scratch directories are 0700;
// the root of a layer's tree is for all to enter.
func ownTree(tree string, uid int) error {
	if err := os.Chmod(tree, 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(tree, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
}

// Scratch returns a new empty directory on the filesystem of the engine's
// root, mode 0700. The caller removes it. What is left of them at Open is swept.
func (e *Engine) Scratch() (string, error) { return os.MkdirTemp(e.scratchDir(), "") }

func (e *Engine) scratchDir() string { return filepath.Join(e.cfg.Root, "scratch") }

// makeLayer calls fn to make and commit a layer, unless it exists. Two calls
// for one key wait for each other. What fn leaves of its active snapshot is
// removed.
func (e *Engine) makeLayer(ctx context.Context, key string, fn func(ctx context.Context, active string) error) (err error) {
	release, err := e.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	if ok, err := e.HasLayer(ctx, key); err != nil || ok {
		return err
	}
	active := "make-" + NewID()
	if err := fn(ctx, active); err != nil {
		ctx, cancel := lasting(ctx)
		defer cancel()
		return errors.Join(err, retry(ctx, func() error { return e.snapshots().Remove(ctx, active) }))
	}
	return nil
}

// hold waits until nobody else works on what has this name, a layer's key or
// an owner's cache, and returns the function that lets go of it.
func (e *Engine) hold(ctx context.Context, name string) (release func(), err error) {
	for {
		e.mu.Lock()
		busy, ok := e.making[name]
		if !ok {
			done := make(chan struct{})
			e.making[name] = done
			e.mu.Unlock()
			return func() {
				e.mu.Lock()
				delete(e.making, name)
				e.mu.Unlock()
				close(done)
			}, nil
		}
		e.mu.Unlock()
		select {
		case <-busy: // made, or failed: then it is our turn
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// commit makes a layer of an active snapshot. The layer is on the disk when it
// returns: containerd syncs its books, and not the files, which after a power
// cut would be empty under a key that promises them.
func (e *Engine) commit(ctx context.Context, active, key string, user map[string]string) error {
	return e.commitAs(ctx, active, key, user, nil)
}

// commitAs is commit with labels of the engine's own.
func (e *Engine) commitAs(ctx context.Context, active, key string, user, own map[string]string) error {
	mounts, err := e.snapshots().Mounts(ctx, active)
	if err != nil {
		return err
	}
	if err := syncFilesystem(layerDirs(mounts)[0]); err != nil {
		return err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	labels := map[string]string{labelInstallation: e.id, labelKey: key, labelRoot: now, labelUsed: now}
	for k, v := range user {
		labels[labelUser+k] = v
	}
	maps.Copy(labels, own)
	return retryGone(ctx, func() error {
		err := e.snapshots().Commit(ctx, e.layerName(key), active, snapshots.WithLabels(maps.Clone(labels)))
		if errdefs.IsNotFound(err) { // by a first try, of which containerd died before it could tell
			if made, _ := e.HasLayer(ctx, key); made {
				return nil
			}
		}
		return err
	})
}

// mounted calls fn with a snapshot's files, mounted where the sweep looks after a crash.
func (e *Engine) mounted(name string, mounts []mount.Mount, fn func(root string) error) error {
	dir := e.state("b", name)
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if err := mount.All(mounts, root); err != nil {
		return errors.Join(fmt.Errorf("mount the layer: %w", err), os.RemoveAll(dir))
	}
	err := fn(root)
	if gone := unix.Unmount(root, unix.UMOUNT_NOFOLLOW); gone != nil { // and nothing may be removed through it
		return errors.Join(err, fmt.Errorf("unmount the layer: %w", gone))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

func syncFilesystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// layerDirs returns the directories that a snapshot's mounts lay over each
// other, the writable one first.
func layerDirs(mounts []mount.Mount) []string {
	if len(mounts) == 0 {
		return nil
	}
	m := mounts[len(mounts)-1]
	if m.Type != "overlay" {
		return []string{m.Source}
	}
	var dirs []string
	for _, o := range m.Options {
		if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
			dirs = slices.Insert(dirs, 0, upper)
		} else if lower, ok := strings.CutPrefix(o, "lowerdir="); ok {
			dirs = append(dirs, strings.Split(lower, ":")...)
		}
	}
	return dirs
}
