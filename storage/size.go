package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

const (
	// measureEvery is how often volumes with a limit are measured: a fast disk
	// writes some gigabytes meanwhile, and a walk over a million files takes seconds.
	measureEvery = 30 * time.Second

	// measureShare is how much of the time may go into measuring one volume, as a
	// part of one: a volume of very many small files is measured less often.
	measureShare = 20

	// leastSize is the least that a limit may be.
	leastSize = 1 * units.MiB
	mostSize  = 1024 * units.TiB

	// BoundSize is the limit that a key which is bound to apps gets for its volumes,
	// and the most that it may set: the disk is everybody's.
	BoundSize = 10 * units.GiB
)

// reading is what a volume took when it was measured last.
type reading struct {
	used int64
	at   time.Time
	took time.Duration
}

// due tells whether a volume is to be measured again.
func (r reading) due(now time.Time) bool {
	return now.Sub(r.at) >= max(measureEvery-time.Second, r.took*measureShare)
}

// verdict is what is to be done about a volume.
type verdict int

const (
	leave verdict = iota
	shut          // no more may be written to it
	reopen
)

// judge decides what is to be done about a volume that takes used bytes. One that
// was shut is opened again when it is below its limit by a twentieth, so that it
// does not go to and fro.
func judge(v store.Volume, used int64) verdict {
	switch {
	case v.Full && (v.Size == 0 || used <= v.Size-v.Size/20):
		return reopen
	case !v.Full && v.Size > 0 && used > v.Size:
		return shut
	}
	return leave
}

// mostSeen bounds how many files with several names are counted once: those
// beyond count under each name.
const mostSeen = 1_000_000

var errEnough = errors.New("that is enough")

// inodeSize is what a file counts besides its blocks: a file of nothing takes room
// too, and a filesystem has so many and no more.
const inodeSize = 4 * units.KiB

// Measure returns what the files of a tree take on the disk, in bytes. A file
// with several names counts once. A tree that is too deep to be measured takes
// more than any limit. enough, when not 0, ends the walk once the files take more:
// an app that makes files without end is not walked to their end.
func Measure(ctx context.Context, dir string, enough int64) (used int64, err error) {
	seen := map[inode]bool{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	err = walk(ctx, root, func(f found) error {
		st := f.stat()
		if st.Nlink > 1 && !f.info.IsDir() && len(seen) < mostSeen {
			at := inodeOf(st)
			if seen[at] {
				return nil
			}
			seen[at] = true
		}
		if used += st.Blocks*512 + inodeSize; enough > 0 && used > enough {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return used, nil
	}
	if errors.Is(err, errTooDeep) {
		return math.MaxInt64, nil
	}
	return used, err
}

// Used returns what a volume takes now, and remembers it.
func (r *Room) Used(ctx context.Context, v store.Volume) (int64, error) {
	return r.used(ctx, v, 0)
}

func (r *Room) used(ctx context.Context, v store.Volume, enough int64) (int64, error) {
	began := time.Now()
	used, err := r.measure(ctx, r.files(v.ID), enough)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, r.missing(v, err)
	}
	if err != nil {
		return 0, fmt.Errorf("measure the volume %s: %w", v.Name, err)
	}
	r.mu.Lock()
	r.readings[v.ID] = reading{used: used, at: time.Now(), took: time.Since(began)}
	r.mu.Unlock()
	return used, nil
}

// Watchdog measures the volumes with a limit that are due, and sees to it that
// nothing writes to those over their limit. What it starts for that joins acting.
func (r *Room) Watchdog(ctx context.Context, acting *sync.WaitGroup) {
	var volumes []store.Volume
	err := r.db.View(func(tx *store.Tx) (err error) {
		volumes, err = tx.Volumes.All()
		return err
	})
	r.warn("the volumes are not measured", err)
	for _, v := range volumes {
		r.mu.Lock()
		last, measured := r.readings[v.ID]
		r.mu.Unlock()
		if v.Size == 0 && !v.Full || measured && !last.due(time.Now()) {
			continue
		}
		used, err := r.used(ctx, v, v.Size)
		if err != nil || judge(v, used) == leave {
			r.warn("a volume is not measured", err, "app", v.App, "volume", v.Name)
			continue
		}
		acting.Go(func() { // a restart may take a minute, and the other volumes do not wait
			r.warn("the limit of a volume is not enforced", r.enforce(ctx, v, used), "app", v.App, "volume", v.Name)
		})
	}
}

// enforce acts upon what a volume takes. A volume that is over its limit is
// mounted for reading alone from now on; what has it for writing is replaced, and
// stopped where what is to replace it does not come up.
func (r *Room) enforce(ctx context.Context, v store.Volume, used int64) error {
	what := judge(v, used)
	if what == leave {
		return nil
	}
	mounted := ""
	err := r.db.Update(func(tx *store.Tx) error {
		now, found, err := tx.Volumes.Get(v.ID)
		if err != nil || !found {
			return err
		}
		if judge(now, used) != what {
			what = leave // somebody changed the limit meanwhile
			return nil
		}
		now.Full = what == shut
		mounted, err = tx.Volumes.MountedBy(now)
		text := fmt.Sprintf("the volume %s uses %s of %s and is read-only now", now.Name, units.Bytes(used), Size(now.Size))
		if what == reopen {
			text = fmt.Sprintf("the volume %s is writable again", now.Name)
		}
		return errors.Join(err, tx.Volumes.Put(now), tx.AddEvent(store.Event{App: now.App, By: "berth", Kind: "storage", Text: text}))
	})
	if err != nil || what == leave || mounted == "" {
		return err
	}
	return r.cfg.Restart(ctx, mounted, what == shut)
}

// SetSize changes the limit of a volume; 0 is none.
func (r *Room) SetSize(ctx context.Context, id string, size int64, by store.User) (v store.Volume, err error) {
	err = r.db.Update(func(tx *store.Tx) error {
		var found bool
		if v, found, err = tx.Volumes.Get(id); err != nil {
			return err
		}
		if !found {
			return store.NoVolume(id)
		}
		v.Size = size
		text := fmt.Sprintf("set the limit of the volume %s to %s", v.Name, Size(size))
		return errors.Join(tx.Volumes.Put(v), tx.AddEvent(store.Event{App: v.App, By: by.Name, Kind: "storage", Text: text}))
	})
	if err != nil {
		return v, fault.ExplainDiskFull(err)
	}
	used, err := r.Used(ctx, v)
	if err != nil {
		return v, err
	}
	return v, r.enforce(ctx, v, used)
}

// ParseSize reads 500m, 10g, 1t and the like, always powers of two; "none" is 0.
// Anything else is a fault (E609).
func ParseSize(text string) (int64, error) {
	if text == "none" {
		return 0, nil
	}
	n, err := units.ParseBytes(text, 0)
	if err != nil || n < leastSize || n > mostSize {
		return 0, fault.New(fault.Usage, code.VolumeSizeInvalid, "%.40q is not a size for a volume", text).
			Hint("write it as 500m, 10g or 1t; none is no limit")
	}
	return n, nil
}

// Size shows a limit; 0 is none.
func Size(n int64) string {
	if n == 0 {
		return "none"
	}
	return units.Bytes(n)
}
