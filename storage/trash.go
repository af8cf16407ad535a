package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// discard moves a directory to the trash, under the name of a volume. One that
// is not there is no error.
func (r *Room) discard(dir, id string, now time.Time) error {
	trash := filepath.Join(r.cfg.Dir, trashDir)
	if err := os.MkdirAll(trash, 0o700); err != nil {
		return err
	}
	name := filepath.Join(trash, id+"-"+now.UTC().Format(trashTime))
	for n := 1; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = filepath.Join(trash, fmt.Sprintf("%s-%s.%d", id, now.UTC().Format(trashTime), n))
	}
	if err := os.Rename(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move the files to the trash: %w", err)
	}
	return errors.Join(syncDir(r.cfg.Dir), syncDir(trash))
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
			errs = append(errs, r.discard(r.place(entry.Name()), entry.Name(), now))
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
			err = r.discard(old, id, time.Now())
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
	r.warn("the volumes are not all swept", r.Sweep(time.Now()))
	for {
		r.Watchdog(ctx)
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			r.warn("the volumes are not all swept", r.Sweep(time.Now()))
		case <-look.C:
		}
	}
}

func (r *Room) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		r.cfg.Log.Warn(what, append(args, "err", err)...)
	}
}
