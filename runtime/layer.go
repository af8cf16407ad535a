package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/runtime/internal/outage"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// LayerStore keeps layers as containerd's snapshots. Each layer has one maker
// at a time. It is safe for concurrent use.
type LayerStore struct {
	cfg    Config
	log    *slog.Logger
	id     string // of the installation, derived from Root
	client *containerd.Client

	mu     sync.Mutex               // guards what follows, held for memory only
	making map[string]chan struct{} // layers being made, closed when done
	used   map[string]time.Time     // when a layer's use was last written down
}

// ID returns the installation's id, which its labels in containerd carry.
func (s *LayerStore) ID() string { return s.id }

// Client returns the connection to containerd.
func (s *LayerStore) Client() *containerd.Client { return s.client }

func newLayerStore(cfg Config, id string, log *slog.Logger) *LayerStore {
	return &LayerStore{cfg: cfg, id: id, log: log, making: make(map[string]chan struct{}), used: make(map[string]time.Time)}
}

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

// SnapshotName is a layer's name in containerd, where other installations may
// have the same layer.
func (s *LayerStore) SnapshotName(key string) string { return s.id + "-" + key }
func (s *LayerStore) layerKey(name string) string    { return strings.TrimPrefix(name, s.id+"-") }

// HasLayer tells whether the layer is there, whole.
func (s *LayerStore) HasLayer(ctx context.Context, key string) (bool, error) {
	var info snapshots.Info
	err := outage.RetryGone(ctx, func() (err error) {
		info, err = s.Snapshots().Stat(ctx, s.SnapshotName(key))
		return err
	})
	if errors.Is(err, outage.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for layer %s: %w", key, err)
	}
	return info.Kind == snapshots.KindCommitted, nil
}

// Layers lists all committed layers.
func (s *LayerStore) Layers(ctx context.Context) ([]Layer, error) {
	var list []Layer
	err := s.walkSnapshots(ctx, func(info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			return nil
		}
		usage, err := s.Snapshots().Usage(ctx, info.Name)
		if err != nil && !errdefs.IsNotFound(err) { // removed meanwhile
			return err
		}
		l := Layer{Key: s.layerKey(info.Name), Builder: info.Labels[labelBuilder], Bytes: usage.Size,
			Created: info.Created, LastUsed: info.Created, Labels: make(map[string]string)}
		parent, between, err := s.below(ctx, info.Parent)
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
func (s *LayerStore) below(ctx context.Context, name string) (key string, between int64, err error) {
	for name != "" && !strings.HasPrefix(name, s.id+"-") {
		info, err := s.Snapshots().Stat(ctx, name)
		if errdefs.IsNotFound(err) { // removed meanwhile, and what stood on it too
			return "", between, nil
		}
		if err != nil {
			return "", 0, err
		}
		usage, err := s.Snapshots().Usage(ctx, name)
		if err != nil && !errdefs.IsNotFound(err) {
			return "", 0, err
		}
		between += usage.Size
		name = info.Parent
	}
	return s.layerKey(name), between, nil
}

// walkSnapshots calls fn with every snapshot of ours.
func (s *LayerStore) walkSnapshots(ctx context.Context, fn func(snapshots.Info) error) error {
	return s.Snapshots().Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Labels[LabelInstallation] != s.id {
			return nil
		}
		return fn(info)
	}, s.Filter())
}

// ReadFile reads a file of a layer, whose path has no leading slash. One that
// is not there, is no file or has more than 1 MiB is fs.ErrNotExist.
func (s *LayerStore) ReadFile(ctx context.Context, key, name string) (data []byte, err error) {
	view := "read-" + NewID()
	mounts, err := s.Prepare(ctx, view, key)
	if err == nil {
		defer func() {
			ctx, cancel := outage.Lasting(ctx)
			defer cancel()
			err = errors.Join(err, outage.Retry(ctx, func() error { return s.Snapshots().Remove(ctx, view) }))
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
func (s *LayerStore) RemoveLayer(ctx context.Context, key string) error {
	name := s.SnapshotName(key)
	err := outage.Retry(ctx, func() error { return s.Snapshots().Remove(ctx, name) })
	if errdefs.IsFailedPrecondition(err) {
		err = s.uproot(ctx, name, err)
	}
	if err != nil {
		return fmt.Errorf("remove layer %s: %w", key, err)
	}
	return nil
}

// uproot has containerd collect a snapshot that it refuses to remove. Of a
// child that was collected, as the steps of an image are, rather than removed,
// the parent's books say for ever that it is there.
func (s *LayerStore) uproot(ctx context.Context, name string, refused error) error {
	stood := false
	err := s.Snapshots().Walk(ctx, func(context.Context, snapshots.Info) error {
		stood = true
		return nil
	}, fmt.Sprintf("parent==%q", name))
	if err != nil || stood {
		return errors.Join(refused, err)
	}
	if _, err := s.Snapshots().Update(ctx, snapshots.Info{Name: name}, "labels"); err != nil {
		return err
	}
	return s.Collect(ctx)
}

// Collect has containerd remove what nothing refers to, now.
func (s *LayerStore) Collect(ctx context.Context) error {
	service := s.client.LeasesService()
	l, err := service.Create(ctx, leases.WithRandomID(), leases.WithLabels(s.LeaseLabels()))
	if err != nil {
		return err
	}
	ctx, cancel := outage.Lasting(ctx)
	defer cancel()
	return service.Delete(ctx, l, leases.SynchronousDelete)
}

// Touch records that a layer is in use, at most once an hour: it costs a synced
// write.
func (s *LayerStore) Touch(ctx context.Context, key string) {
	now := time.Now()
	s.mu.Lock()
	fresh := now.Sub(s.used[key]) < time.Hour
	s.used[key] = now
	s.mu.Unlock()
	if fresh {
		return
	}
	info := snapshots.Info{Name: s.SnapshotName(key), Labels: map[string]string{labelUsed: now.UTC().Format(time.RFC3339)}}
	if _, err := s.Snapshots().Update(ctx, info, "labels."+labelUsed); err != nil {
		s.log.Debug("use of a layer not written down", "layer", key, "err", err)
	}
}

// AddTree makes a layer whose only content is the directory tree, as dir in
// the container's filesystem (usually "/app"), owned by uid. The tree is moved,
// not copied: it must lie on the same filesystem as the engine's root (see
// Scratch) and is gone afterwards. When the layer exists already, it is removed.
// Where containerd's own files lie on another filesystem, it is copied all the same.
func (s *LayerStore) AddTree(ctx context.Context, key, parent, tree, dir string, uid int, labels map[string]string) error {
	err := s.MakeLayer(ctx, key, func(ctx context.Context, active string) error {
		mounts, err := s.Prepare(ctx, active, parent)
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
		return s.commit(ctx, active, key, labels)
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
func (s *LayerStore) Scratch() (string, error) { return os.MkdirTemp(s.scratchDir(), "") }

func (s *LayerStore) scratchDir() string { return filepath.Join(s.cfg.Root, "scratch") }

// MakeLayer calls fn to make and commit a layer, unless it exists. Two calls
// for one key wait for each other. What fn leaves of its active snapshot is
// removed.
func (s *LayerStore) MakeLayer(ctx context.Context, key string, fn func(ctx context.Context, active string) error) (err error) {
	release, err := s.Hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	if ok, err := s.HasLayer(ctx, key); err != nil || ok {
		return err
	}
	active := "make-" + NewID()
	if err := fn(ctx, active); err != nil {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		return errors.Join(err, outage.Retry(ctx, func() error { return s.Snapshots().Remove(ctx, active) }))
	}
	return nil
}

// Hold locks a name, a layer's key or an owner's cache, and returns the
// function that releases it.
func (s *LayerStore) Hold(ctx context.Context, name string) (release func(), err error) {
	for {
		s.mu.Lock()
		busy, ok := s.making[name]
		if !ok {
			done := make(chan struct{})
			s.making[name] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.making, name)
				s.mu.Unlock()
				close(done)
			}, nil
		}
		s.mu.Unlock()
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
func (s *LayerStore) commit(ctx context.Context, active, key string, user map[string]string) error {
	return s.CommitAs(ctx, active, key, user, nil)
}

// CommitAs is commit with labels of the engine's own.
func (s *LayerStore) CommitAs(ctx context.Context, active, key string, user, own map[string]string) error {
	mounts, err := s.Snapshots().Mounts(ctx, active)
	if err != nil {
		return err
	}
	if err := syncFilesystem(layerDirs(mounts)[0]); err != nil {
		return err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	labels := map[string]string{LabelInstallation: s.id, labelKey: key, labelRoot: now, labelUsed: now}
	for k, v := range user {
		labels[labelUser+k] = v
	}
	maps.Copy(labels, own)
	return outage.RetryGone(ctx, func() error {
		err := s.Snapshots().Commit(ctx, s.SnapshotName(key), active, snapshots.WithLabels(maps.Clone(labels)))
		if errdefs.IsNotFound(err) { // by a first try, of which containerd died before it could tell
			if made, _ := s.HasLayer(ctx, key); made {
				return nil
			}
		}
		return err
	})
}

// Mounted calls fn with a snapshot's files, mounted where the sweep looks after a crash.
func (s *LayerStore) Mounted(name string, mounts []mount.Mount, fn func(root string) error) error {
	dir := s.state("b", name)
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

// Filter filters containerd's lists for this installation.
func (s *LayerStore) Filter() string {
	return fmt.Sprintf(`labels.%q==%s`, LabelInstallation, s.id)
}

// Snapshots returns containerd's snapshotter.
func (s *LayerStore) Snapshots() snapshots.Snapshotter { return s.client.SnapshotService(Snapshotter) }

// Prepare makes an active snapshot over a layer that nothing but remove takes away.
func (s *LayerStore) Prepare(ctx context.Context, name, parent string) ([]mount.Mount, error) {
	if parent != "" {
		s.Touch(ctx, parent)
		parent = s.SnapshotName(parent)
	}
	return s.PrepareOver(ctx, name, parent)
}

// PrepareOver is prepare over any snapshot of containerd's.
func (s *LayerStore) PrepareOver(ctx context.Context, name, parent string) ([]mount.Mount, error) {
	labels := map[string]string{LabelInstallation: s.id, labelRoot: time.Now().UTC().Format(time.RFC3339)}
	var mounts []mount.Mount
	err := outage.RetryGone(ctx, func() (err error) {
		mounts, err = s.Snapshots().Prepare(ctx, name, parent, snapshots.WithLabels(labels))
		if errdefs.IsAlreadyExists(err) { // by a first try, of which containerd died before it could tell
			mounts, err = s.Snapshots().Mounts(ctx, name)
		}
		return err
	})
	return mounts, err
}

// Lease returns a context under which containerd collects nothing that is made
// in it, and the function that ends this.
func (s *LayerStore) Lease(ctx context.Context) (context.Context, func(), error) {
	leased, done, err := s.client.WithLease(ctx, leases.WithRandomID(), leases.WithLabels(s.LeaseLabels()))
	if err != nil {
		return nil, nil, err
	}
	return leased, func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		if err := done(ctx); err != nil {
			s.log.Debug("a lease is left for the next life to end", "err", err)
		}
	}, nil
}

// LeaseLabels mark the leases that end with us, or with the next life's sweep.
func (s *LayerStore) LeaseLabels() map[string]string {
	return map[string]string{LabelInstallation: s.id, labelKind: kindLease}
}

// state returns a path in the state directory.
func (s *LayerStore) state(elem ...string) string {
	return filepath.Join(slices.Insert(elem, 0, s.cfg.State)...)
}
