// Package storage keeps what apps want to last: volumes. A volume is a directory
// that outlives releases and belongs to the user of one app.
//
//	DIR/VOLUME/files         what the app sees; its owner is the app's user
//	DIR/VOLUME/import-XXXX   an import that is under way
//	DIR/VOLUME/old           the files of before, while an import takes their place
//	DIR/.trash/VOLUME-TIME   what was destroyed or replaced, kept for 7 days
//
// VOLUME is the volume's id. DIR and what is directly in it is root's, so that no
// app can put anything in the place of a volume. What is below files was written by
// apps, and is read through os.Root alone: no link of theirs leads out of it.
//
// The state says which volumes there are. A directory without a record is moved
// to the trash, and nothing of a user's is deleted at once.
//
// The package knows no releases. Package deploy says who mounts what, and asks
// Hold for the place on the disk when a container is made.
package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Config is what the room needs. All of it must be set but Restart.
type Config struct {
	Store *store.Store
	Dir   string   // of all volumes
	Own   []string // berth's own directories: nothing of them is mounted as a directory of the machine

	// Restart replaces what runs of an app, so that it has its volumes as they may
	// be used now; stop is set where what ran before may not go on in any case.
	Restart func(ctx context.Context, app string, stop bool) error

	Log *slog.Logger
}

// Room has the volumes. Its methods are safe for concurrent use.
type Room struct {
	cfg      Config
	db       *store.Store
	measure  func(ctx context.Context, dir string, enough int64) (int64, error) // Measure, but in tests
	patience time.Duration                                                      // stopPatience, but in tests

	mu         sync.Mutex // guards what follows; held for memory only
	containers func(context.Context) ([]fleet.Container, error)
	held       map[string]int  // how many containers are being made, or run attached, by volume
	replaced   map[string]bool // volumes whose files are being replaced or removed: no container gets them
	underWay   map[string]bool // directories of imports that go on
	readings   map[string]reading
}

// New returns the room. Watch has to be called before anything is imported.
func New(cfg Config) *Room {
	return &Room{
		cfg: cfg, db: cfg.Store, measure: Measure, patience: stopPatience,
		held: map[string]int{}, replaced: map[string]bool{}, underWay: map[string]bool{}, readings: map[string]reading{},
	}
}

// Watch says where the containers of the machine are found.
func (r *Room) Watch(containers func(context.Context) ([]fleet.Container, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.containers = containers
}

const (
	filesDir = "files"
	oldDir   = "old"
	trashDir = ".trash"
	note     = "volume.json" // what the volume was, beside its files in the trash
)

// place is the directory of a volume.
func (r *Room) place(id string) string { return filepath.Join(r.cfg.Dir, id) }

// files is where a volume's files are.
func (r *Room) files(id string) string { return filepath.Join(r.cfg.Dir, id, filesDir) }

// Path returns the directory of a volume's files on the machine.
func (r *Room) Path(id string) string { return r.files(id) }

// open returns the files of a volume, from which no link leads out.
func (r *Room) open(v store.Volume) (*os.Root, error) {
	root, err := os.OpenRoot(r.files(v.ID))
	if err != nil {
		return nil, r.missing(v, err)
	}
	return root, nil
}

func (r *Room) missing(v store.Volume, cause error) error {
	return fault.New(fault.Failed, code.VolumeMissing, "the files of the volume %s are missing: %w", v.Name, cause).
		Hint("berth expects them in %s", r.files(v.ID))
}

// Create makes an empty volume of an app; of no app, when that is "".
func (r *Room) Create(_ context.Context, v store.Volume, by store.User) (store.Volume, error) {
	if err := store.ValidVolumeName(v.Name); err != nil {
		return v, err
	}
	v.ID, v.CreatedAt, v.CreatedBy = strings.ToLower(rand.Text()), time.Now().UTC(), by.Name
	v.Full, v.Former = false, ""
	uid, err := r.uidOf(v.App)
	if err != nil {
		return v, err
	}
	if err := r.makePlace(v.ID, uid); err != nil {
		return v, fault.ExplainDiskFull(err)
	}
	err = r.db.Update(func(tx *store.Tx) error {
		if err := tx.Volumes.Create(v); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{App: v.App, By: by.Name, Kind: "storage", Text: fmt.Sprintf("created the volume %s", v.Name)})
	})
	if err != nil {
		return v, errors.Join(fault.ExplainDiskFull(err), os.RemoveAll(r.place(v.ID)))
	}
	return v, nil
}

// uidOf returns the user of an app; 0 for none.
func (r *Room) uidOf(app string) (uid int, err error) {
	if app == "" {
		return 0, nil
	}
	err = r.db.View(func(tx *store.Tx) error {
		record, err := tx.App(app)
		uid = record.UID
		return err
	})
	return uid, err
}

// makePlace makes the directory of a volume.
func (r *Room) makePlace(id string, uid int) error {
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(r.place(id), 0o700); err != nil {
		return err
	}
	return errors.Join(makeFiles(r.files(id), uid), syncDir(r.cfg.Dir))
}

// makeFiles makes the directory that an app sees. Its user alone may look inside.
func makeFiles(dir string, uid int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return os.Chown(dir, uid, uid)
}

// syncDir makes what was made, moved or removed in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Volume returns the volume of an id, or a fault (E601) with the name that was asked for.
func (r *Room) Volume(id string) (v store.Volume, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		var found bool
		v, found, err = tx.Volumes.Get(id)
		if err == nil && !found {
			err = store.NoVolume(id)
		}
		return err
	})
	return v, err
}

// notMounted returns the fault (E604) of a volume that an app has mounted.
func notMounted(tx *store.Tx, v store.Volume) error {
	app, err := tx.Volumes.MountedBy(v)
	if err != nil || app == "" {
		return err
	}
	return fault.New(fault.Conflict, code.VolumeMounted, "the volume %s is mounted in %s", v.Name, app).
		Hint("berth storage:unmount %s %s takes it from there", app, v.Name)
}

// Destroy moves a volume to the trash. One that an app has mounted is a fault
// (E604), and so is one with which something still runs after a while (E608).
func (r *Room) Destroy(ctx context.Context, id string, by store.User) (store.Volume, error) {
	v, err := r.Volume(id)
	if err != nil {
		return v, err
	}
	release, err := r.claim(v)
	if err != nil {
		return v, err
	}
	defer release()
	if err := r.mayDiscard(v, by); err != nil {
		return v, err
	}
	if err := r.db.View(func(tx *store.Tx) error { return notMounted(tx, v) }); err != nil {
		return v, err
	}
	if err := r.idle(ctx, v); err != nil { // a one-off may still have what its app no longer mounts
		return v, err
	}
	err = r.db.Update(func(tx *store.Tx) error {
		now, found, err := tx.Volumes.Get(id)
		if err != nil {
			return err
		}
		if !found {
			return store.NoVolume(v.Name)
		}
		if err := notMounted(tx, now); err != nil {
			return err
		}
		if err := tx.Volumes.Delete(id); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{App: now.App, By: by.Name, Kind: "storage", Text: fmt.Sprintf("destroyed the volume %s", now.Name)})
	})
	if err != nil {
		return v, fault.ExplainDiskFull(err)
	}
	// From here on the state does not know it: a crash leaves it to the sweep.
	r.mu.Lock()
	delete(r.readings, id)
	r.mu.Unlock()
	if err := r.discard(r.files(id), v, "destroyed by "+by.Name, time.Now()); err != nil {
		return v, err
	}
	return v, os.RemoveAll(r.place(id))
}

// claim keeps containers from getting a volume until release is called. While
// something has it, it is a fault (E608).
func (r *Room) claim(v store.Volume) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.replaced[v.ID] {
		return nil, beingReplaced(v)
	}
	if r.held[v.ID] > 0 {
		return nil, fault.New(fault.Conflict, code.VolumeBusy, "a container with the volume %s is being created, or a one-off command runs with it", v.Name).
			Hint("stop it, or wait until it has ended")
	}
	r.replaced[v.ID] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.replaced, v.ID)
	}, nil
}

// beingReplaced returns the fault (E608) of a volume that somebody has claimed.
func beingReplaced(v store.Volume) error {
	return fault.New(fault.Conflict, code.VolumeBusy, "the files of the volume %s are being replaced or removed", v.Name).
		Hint("wait until that has finished")
}

// Hold returns where what is to be mounted lies on the machine. Until release is
// called, the files of the volumes stay what they are: it is called when the
// container can be found among those of the machine, or has ended.
func (r *Room) Hold(mounts []fleet.Mount) (bound []runtime.Mount, release func(), err error) {
	var volumes []string
	release = func() {
		for _, id := range volumes {
			r.letGo(id)
		}
	}
	for _, m := range mounts {
		one, err := r.bind(m)
		if err != nil {
			release()
			return nil, nil, err
		}
		if m.Volume != "" {
			volumes = append(volumes, m.Volume)
		}
		bound = append(bound, one)
	}
	return bound, release, nil
}

// letGo ends the hold of one container on a volume.
func (r *Room) letGo(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held[id]--; r.held[id] <= 0 {
		delete(r.held, id)
	}
}

// bind is Hold for one mount, of which a volume is held until letGo.
func (r *Room) bind(m fleet.Mount) (runtime.Mount, error) {
	if m.Volume == "" {
		path, err := r.HostPath(m.Host)
		return runtime.Mount{Source: path, Target: m.Path, Writable: !m.ReadOnly}, err
	}
	v, err := r.Volume(m.Volume)
	if err != nil {
		return runtime.Mount{}, err
	}
	r.mu.Lock()
	busy := r.replaced[v.ID]
	if !busy {
		r.held[v.ID]++
	}
	r.mu.Unlock()
	if busy {
		return runtime.Mount{}, beingReplaced(v)
	}
	info, err := os.Lstat(r.files(v.ID))
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		r.letGo(v.ID)
		return runtime.Mount{}, r.missing(v, err)
	}
	return runtime.Mount{Source: r.files(v.ID), Target: m.Path, Writable: !m.ReadOnly && !v.Full}, nil
}

// running returns the containers whose program has not ended and that have a volume.
func (r *Room) running(ctx context.Context, id string) (list []fleet.Container, err error) {
	r.mu.Lock()
	containers := r.containers
	r.mu.Unlock()
	all, err := containers(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for what has the volume: %w", err)
	}
	for _, c := range all {
		if slices.Contains(strings.Fields(c.About().Labels[fleet.LabelVolumes]), id) && !fleet.Ended(c) {
			list = append(list, c)
		}
	}
	return list, nil
}

// OfAnother returns the fault (E605) of a volume that belongs to another app than
// the one that is to have it.
func OfAnother(v store.Volume, app string) *fault.Error {
	return fault.New(fault.Conflict, code.VolumeOfAnother, "the volume %s belongs to another app", v.Name).
		Hint("berth storage:create NAME --app %s makes one for this app", app)
}

// Give makes a volume that is of no app an app's, with all its files. One of
// another app is a fault (E605). The record is the caller's to change.
func (r *Room) Give(ctx context.Context, v store.Volume, app store.App) error {
	switch v.App {
	case app.Name:
		return nil
	case "":
	default:
		return OfAnother(v, app.Name)
	}
	release, err := r.claim(v)
	if err != nil {
		return err
	}
	defer release()
	root, err := r.open(v)
	if err != nil {
		return err
	}
	defer root.Close()
	return own(ctx, root, app.UID)
}

// own gives a tree to a user. Links are given themselves, not what they lead to.
func own(ctx context.Context, root *os.Root, uid int) error {
	if err := root.Lchown(".", uid, uid); err != nil {
		return err
	}
	return walk(ctx, root, func(f found) error {
		if st := f.stat(); st.Uid == uint32(uid) && st.Gid == uint32(uid) {
			return nil
		}
		return f.dir.Lchown(f.name, uid, uid)
	})
}
