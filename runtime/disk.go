package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/berthd/berth/units"
	"golang.org/x/sys/unix"
)

// Disk bounds what a build may write. The layers of one build share one Disk.
// It is not for concurrent use.
type Disk struct {
	// Budget is how many bytes the layers and the writable mounts may grow by,
	// what is thrown away afterwards included. 0 is no bound.
	Budget int64
	// Reserve is how many bytes have to stay free on every filesystem that is
	// written to; of one that is small, a twentieth. 0 is none.
	Reserve int64

	spent int64 // by the layers that are made
}

// DiskError is a build that was stopped for what it wrote.
type DiskError struct {
	Full    bool // the reserve was touched; else the budget was spent
	Free    int64
	Written int64     // by the build
	Budget  int64     // of the build
	Uses    []DiskUse // of the layer that was being made, the largest first
}

// DiskUse is how much lies in a place, as the build sees it.
type DiskUse struct {
	Place string // "/app"
	Bytes int64
}

func (e *DiskError) Error() string {
	if e.Full {
		return fmt.Sprintf("stopped: only %s of disk space was left", units.Bytes(e.Free))
	}
	return fmt.Sprintf("stopped: it wrote %s, the limit is %s", units.Bytes(e.Written), units.Bytes(e.Budget))
}

// Room is how much a filesystem holds.
type Room struct{ Free, Size int64 } // bytes

// RoomOf returns the room of the filesystem that a directory lies on.
func RoomOf(dir string) (Room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Room{}, fmt.Errorf("look how much disk is free at %s: %w", dir, err)
	}
	return Room{Free: int64(st.Bavail) * st.Bsize, Size: int64(st.Blocks) * st.Bsize}, nil
}

// Room returns the room for layers.
func (e *Engine) Room() (Room, error) { return RoomOf(e.cfg.Root) }

const (
	// diskInterval is how often the free space is looked at. That takes
	// microseconds, and a fast disk takes a gigabyte in a second.
	diskInterval = 250 * time.Millisecond

	// diskStep is the share of the budget by which the free space has to have
	// shrunk for what a build wrote to be counted at once: that is a walk over
	// all of its files.
	diskStep = 16

	// diskRecount is when it is counted even so: others may free meanwhile what
	// the build takes. The walks get a twentieth of the time at most.
	diskRecount = 2 * time.Second
)

// writeDir is a directory that a build writes to.
type writeDir struct {
	name string // what the build calls it
	dir  string // on the host
	own  bool   // all in it is this build's; else only what it changed
}

// writable returns the places of the mounts that commands may write to.
func writable(mounts []Mount) (places []writeDir) {
	for _, m := range mounts {
		if m.Writable {
			places = append(places, writeDir{name: m.Target, dir: m.Source})
		}
	}
	return places
}

// watch returns a context that ends when what is written to the places goes
// beyond the bounds, and what ends the watch: that takes the error the commands
// ended with and returns a *DiskError in its stead, when that was the reason.
func (d *Disk) watch(ctx context.Context, places []writeDir) (context.Context, func(error) error) {
	if d == nil {
		return ctx, func(err error) error { return err }
	}
	// The clock that files are stamped with is behind by up to a tick.
	w := &diskWatch{disk: d, places: places, since: time.Now().Add(-10 * time.Millisecond)}
	w.high, _ = w.free()
	w.again = w.since.Add(diskRecount)
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(diskInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			if short := w.look(ctx); short != nil {
				cancel(short)
				return
			}
		}
	})
	return ctx, func(err error) error {
		close(done)
		watching.Wait()
		defer cancel(nil)
		return w.conclude(ctx, err)
	}
}

// diskWatch is the watch over one layer that is made.
type diskWatch struct {
	disk   *Disk
	places []writeDir
	since  time.Time
	high   int64     // the most that was free since the last count
	again  time.Time // when to count again, whatever is free
}

// look returns why the build has to stop, or nil.
func (w *diskWatch) look(ctx context.Context) *DiskError {
	free, full := w.free()
	if full != nil {
		return full
	}
	w.high = max(w.high, free)
	began := time.Now()
	if w.disk.Budget == 0 || w.high-free < w.disk.Budget/diskStep && began.Before(w.again) {
		return nil
	}
	short := w.overspent(ctx)
	w.high, w.again = free, time.Now().Add(max(diskRecount, 20*time.Since(began)))
	return short
}

// free returns what is free on all filesystems that are written to, and an
// error when one of them has no more than its reserve.
func (w *diskWatch) free() (sum int64, full *DiskError) {
	seen := map[uint64]bool{}
	for _, p := range w.places {
		var st unix.Stat_t
		if unix.Stat(p.dir, &st) != nil || seen[uint64(st.Dev)] {
			continue
		}
		seen[uint64(st.Dev)] = true
		room, err := RoomOf(p.dir)
		if err != nil {
			continue
		}
		sum += room.Free
		if reserve := min(w.disk.Reserve, room.Size/20); room.Free < reserve {
			full = &DiskError{Full: true, Free: room.Free, Budget: w.disk.Budget}
		}
	}
	return sum, full
}

// overspent counts what the build has written, and returns an error when that
// is more than it may.
func (w *diskWatch) overspent(ctx context.Context) *DiskError {
	uses, written := w.count(ctx)
	if written += w.disk.spent; written <= w.disk.Budget {
		return nil
	}
	return &DiskError{Written: written, Budget: w.disk.Budget, Uses: uses}
}

// conclude is called when the commands have ended, with how they did.
func (w *diskWatch) conclude(ctx context.Context, err error) error {
	short, _ := errors.AsType[*DiskError](context.Cause(ctx))
	ctx, cancel := outage.Lasting(ctx)
	defer cancel()
	if short == nil && err != nil { // a program may end of a full disk before we look
		_, short = w.free()
	}
	if short == nil && err == nil {
		short = w.settle(ctx)
	}
	if short == nil {
		return err
	}
	if short.Uses == nil {
		uses, written := w.count(ctx)
		short.Uses, short.Written = uses, written+w.disk.spent
	}
	return short
}

// settle adds what a layer took to what the build has spent. It is counted
// whatever the free space says, as containerd counts at each commit.
func (w *diskWatch) settle(ctx context.Context) *DiskError {
	if w.disk.Budget == 0 {
		return nil
	}
	uses, written := w.count(ctx)
	if w.disk.spent += written; w.disk.spent > w.disk.Budget {
		return &DiskError{Written: w.disk.spent, Budget: w.disk.Budget, Uses: uses}
	}
	return nil
}

// count adds up what the build wrote to each of its places.
func (w *diskWatch) count(ctx context.Context) (uses []DiskUse, sum int64) {
	for _, p := range w.places {
		since := w.since
		if p.own {
			since = time.Time{}
		}
		// Files come and go meanwhile, and what cannot be read is not counted.
		bytes, _ := DiskUsed(ctx, p.dir, since)
		uses = append(uses, DiskUse{p.name, bytes})
		sum += bytes
	}
	slices.SortStableFunc(uses, func(a, b DiskUse) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return uses, sum
}

// DiskUsed returns how many bytes of disk the files in a directory take that
// were written since then; the zero time is all of them. It does not leave the
// directory, whatever is done to the tree meanwhile, and a file of two names
// counts once. What vanishes while it looks is not counted.
func DiskUsed(ctx context.Context, dir string, since time.Time) (sum int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	type inode struct{ dev, ino uint64 }
	linked := map[inode]bool{}
	err = fs.WalkDir(root.FS(), ".", func(_ string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return nil // it has vanished, and with a directory all below it
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || time.Unix(st.Ctim.Unix()).Before(since) {
			return nil
		}
		if id := (inode{uint64(st.Dev), st.Ino}); st.Nlink > 1 && !entry.IsDir() {
			if linked[id] {
				return nil
			}
			linked[id] = true
		}
		sum += st.Blocks * 512
		return nil
	})
	return sum, err
}

// Guard is watch for one directory in which all is this build's. name is what
// the build calls it.
func (d *Disk) Guard(ctx context.Context, name, dir string) (context.Context, func(error) error) {
	return d.watch(ctx, []writeDir{{name: name, dir: dir, own: true}})
}

// DiskUsed returns how many bytes of disk the files take that the container's
// program has written outside of mounts since its launch. What it holds open and
// has removed is not seen.
func (c *Container) DiskUsed(ctx context.Context) (int64, error) {
	launched, err := os.Stat(c.control("launched"))
	if err != nil {
		return 0, fmt.Errorf("disk of %s: %w", c.ID, err)
	}
	mounts, err := c.engine.Snapshots().Mounts(in(ctx), c.ID)
	if err != nil {
		return 0, fmt.Errorf("disk of %s: %w", c.ID, err)
	}
	dirs := layerDirs(mounts)
	if len(dirs) == 0 {
		return 0, fmt.Errorf("disk of %s: it has no layer of its own", c.ID)
	}
	return DiskUsed(ctx, dirs[0], launched.ModTime())
}
