package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/store"
)

const (
	// Kept is how long what was destroyed or replaced can be brought back.
	Kept = 7 * 24 * time.Hour

	// orphanAge is how long a directory without a record is left alone: it may be
	// a volume that is just being made.
	orphanAge = time.Hour

	trashTime = "20060102T150405"

	sweepEvery = time.Hour
)

// discarded is the note beside files in the trash.
type discarded struct {
	store.Volume
	UID int       `json:"uid,omitempty"` // of the app that it was of
	At  time.Time `json:"discarded_at"`
	Why string    `json:"why"`
}

// discard moves the files of a volume, or what an import replaced of it, to the
// trash, with a note of what they were. A directory that is not there is no error.
func (r *Room) discard(dir string, v store.Volume, why string, now time.Time) error {
	trash := filepath.Join(r.cfg.Dir, trashDir)
	if err := os.MkdirAll(trash, 0o700); err != nil {
		return err
	}
	stamp := v.ID + "-" + now.UTC().Format(trashTime)
	name := filepath.Join(trash, stamp)
	err := os.Mkdir(name, 0o700)
	for n := 1; errors.Is(err, fs.ErrExist); n++ {
		name = filepath.Join(trash, fmt.Sprintf("%s.%d", stamp, n))
		err = os.Mkdir(name, 0o700)
	}
	if err != nil {
		return err
	}
	uid, _ := r.uidOf(v.App)
	raw, err := json.MarshalIndent(discarded{v, uid, now.UTC(), why}, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(name, note), raw, 0o600)
	}
	r.warn("files in the trash have no note", err, "volume", v.Name) // on a full disk, as one where room is made
	if err := os.Rename(dir, filepath.Join(name, filesDir)); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(name)
	} else if err != nil {
		return fmt.Errorf("move the files to the trash: %w", err)
	}
	return errors.Join(syncDir(filepath.Dir(dir)), syncDir(name), syncDir(trash))
}

// mostDiscarded is how often a key that is bound to apps may destroy a volume of
// an app or replace its files within the time that they are kept: what is in the
// trash takes room on everybody's disk.
const mostDiscarded = 16

// mayDiscard returns a fault (E603) when the trash holds as much of an app as
// somebody who is bound to apps may put there.
func (r *Room) mayDiscard(v store.Volume, by store.User) error {
	if len(by.Apps) == 0 {
		return nil
	}
	uid, err := r.uidOf(v.App)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(r.cfg.Dir, trashDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n := 0
	for _, entry := range entries {
		var was discarded
		raw, err := os.ReadFile(filepath.Join(r.cfg.Dir, trashDir, entry.Name(), note))
		if err == nil && json.Unmarshal(raw, &was) == nil && was.UID == uid {
			n++
		}
	}
	if n >= mostDiscarded {
		return store.TooManyVolumes("volumes of %s were destroyed or replaced %d times within 7 days, and berth keeps their files for 7 days", v.App, n).
			Hint("wait until the oldest is deleted, or ask an administrator")
	}
	return nil
}

// Sweep makes the disk equal to the state: it ends what a crash broke off, moves
// directories without a record to the trash, and deletes what was there for longer
// than Kept.
func (r *Room) Sweep(now time.Time) error {
	entries, err := os.ReadDir(r.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep the volumes: %w", err)
	}
	known := map[string]bool{}
	err = r.db.View(func(tx *store.Tx) error {
		volumes, err := tx.Volumes.All()
		for _, v := range volumes {
			known[v.ID] = true
		}
		return err
	})
	if err != nil {
		return err // without the state, everything would seem to be nobody's
	}
	var errs []error
	for _, entry := range entries {
		switch info, err := entry.Info(); {
		case err != nil || !entry.IsDir() || strings.HasPrefix(entry.Name(), "."):
		case known[entry.Name()]:
			errs = append(errs, r.mend(entry.Name()))
		case now.Sub(info.ModTime()) > orphanAge:
			errs = append(errs, r.discard(r.place(entry.Name()), store.Volume{ID: entry.Name()}, "it had no record", now))
		}
	}
	return errors.Join(append(errs, r.empty(now))...)
}

// mend ends what a crash has left of an import: before the files were swapped the
// old ones stay, and after it the new ones.
func (r *Room) mend(id string) error {
	r.mu.Lock()
	busy := r.replaced[id]
	r.mu.Unlock()
	if busy {
		return nil
	}
	dir, old := r.place(id), filepath.Join(r.place(id), oldDir)
	if _, err := os.Lstat(old); err == nil {
		if _, err := os.Lstat(r.files(id)); errors.Is(err, fs.ErrNotExist) {
			err = os.Rename(old, r.files(id))
		} else {
			v, _ := r.Volume(id)
			v.ID = id
			err = r.discard(old, v, "an import replaced it", time.Now())
		}
		if err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		one := filepath.Join(dir, entry.Name())
		r.mu.Lock()
		ours := r.underWay[one]
		r.mu.Unlock()
		begun := strings.HasPrefix(entry.Name(), "import-") || strings.HasPrefix(entry.Name(), "put-")
		if begun && !ours {
			err = errors.Join(err, os.RemoveAll(one)) // nobody was told that it had arrived
		}
	}
	return err
}

// empty deletes what was in the trash for longer than Kept.
func (r *Room) empty(now time.Time) error {
	trash := filepath.Join(r.cfg.Dir, trashDir)
	entries, err := os.ReadDir(trash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		_, at, _ := strings.Cut(entry.Name(), "-")
		at, _, _ = strings.Cut(at, ".")
		if since, bad := time.Parse(trashTime, at); bad == nil && now.Sub(since) > Kept {
			err = errors.Join(err, os.RemoveAll(filepath.Join(trash, entry.Name())))
		}
	}
	return err
}

// Run sweeps and measures until ctx ends.
func (r *Room) Run(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	look := time.NewTicker(measureEvery)
	defer look.Stop()
	r.warn("not all volumes were swept", r.Sweep(time.Now()))
	var acting sync.WaitGroup
	defer acting.Wait()
	for {
		r.Watchdog(ctx, &acting)
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			r.warn("not all volumes were swept", r.Sweep(time.Now()))
		case <-look.C:
		}
	}
}

func (r *Room) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		r.cfg.Log.Warn(what, append(args, "err", err)...)
	}
}
