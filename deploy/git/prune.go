package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes what a killed push left on disk: quarantines, half-written
// packs, locks. It runs no program and takes well below a millisecond, so it
// can stand before every push. The caller holds the app's lock.
func (r Repository) Sweep() error {
	var errs []error
	objects := filepath.Join(r.Path, "objects")
	entries, err := os.ReadDir(objects)
	if err != nil {
		return fmt.Errorf("sweep repository: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tmp_objdir-") || strings.HasPrefix(e.Name(), "tmp_obj_") {
			errs = append(errs, os.RemoveAll(filepath.Join(objects, e.Name())))
		}
	}
	packs, err := os.ReadDir(filepath.Join(objects, "pack"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range packs {
		if strings.HasPrefix(e.Name(), "tmp_") || strings.HasPrefix(e.Name(), ".tmp-") {
			errs = append(errs, os.Remove(filepath.Join(objects, "pack", e.Name())))
		}
	}
	top, err := os.ReadDir(r.Path)
	errs = append(errs, err)
	for _, e := range top {
		if strings.HasSuffix(e.Name(), ".lock") || strings.HasPrefix(e.Name(), ".new-") {
			errs = append(errs, os.Remove(filepath.Join(r.Path, e.Name())))
		}
	}
	// A ref cannot end in .lock, so whatever does is one.
	errs = append(errs, filepath.WalkDir(filepath.Join(r.Path, "refs"), func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".lock") && e.Type().IsRegular() {
			return os.Remove(name)
		}
		return nil
	}))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep repository: %w", err)
	}
	return nil
}

// Prune removes what a killed push left, the objects that nothing refers to,
// and packs what has become many files. The caller holds the app's lock.
func (r Repository) Prune(ctx context.Context) error {
	if err := r.Sweep(); err != nil {
		return err
	}
	if err := r.run(ctx, "prune", "--expire=now"); err != nil {
		return err
	}
	return r.run(ctx, "-c", "gc.auto=1000", "-c", "gc.autoPackLimit=20", "-c", "gc.autoDetach=false",
		"-c", "gc.pruneExpire=now", "gc", "--auto", "--quiet")
}

// Untidy tells whether Prune would be worth its time. It guesses from one of
// the 256 object directories, as git itself does.
func (r Repository) Untidy() bool {
	loose, _ := os.ReadDir(filepath.Join(r.Path, "objects", "17"))
	packs, _ := filepath.Glob(filepath.Join(r.Path, "objects", "pack", "*.pack"))
	return len(loose) > 1000/256 || len(packs) > 20
}
