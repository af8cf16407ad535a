package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	for _, dir := range []string{"pack", "info", "info/commit-graphs"} {
		files, err := os.ReadDir(filepath.Join(objects, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range files {
			if strings.HasPrefix(e.Name(), "tmp_") || strings.HasPrefix(e.Name(), ".tmp-") || strings.HasSuffix(e.Name(), ".lock") {
				errs = append(errs, os.Remove(filepath.Join(objects, dir, e.Name())))
			}
		}
	}
	top, err := os.ReadDir(r.Path)
	errs = append(errs, err)
	for _, e := range top {
		if strings.HasSuffix(e.Name(), ".lock") || strings.HasPrefix(e.Name(), ".new-") || e.Name() == "gc.pid" {
			errs = append(errs, os.Remove(filepath.Join(r.Path, e.Name())))
		}
	}
	for _, dir := range []string{"refs", "logs"} {
		errs = append(errs, removeLocks(filepath.Join(r.Path, dir)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep repository: %w", err)
	}
	return nil
}

// removeLocks removes the locks of refs. A ref cannot end in .lock, so whatever
// does is one.
func removeLocks(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && strings.HasSuffix(name, ".lock") && e.Type().IsRegular() {
			return os.Remove(name)
		}
		return err
	})
}

// Prune removes leftovers of killed pushes and unreferenced objects, and packs
// repositories with many files. It may take minutes, at low priority. If ctx
// ends, it leaves a valid repository, and files for Sweep. No push may run at
// the same time.
func (r Repository) Prune(ctx context.Context) error {
	if err := r.Sweep(); err != nil {
		return err
	}
	if err := r.runIdle(ctx, "prune", "--expire=now"); err != nil {
		return err
	}
	gc := []string{"-c", "gc.autoDetach=false", "-c", "gc.pruneExpire=now", "-c", "pack.threads=1"}
	mark := filepath.Join(r.Path, unfinished)
	if _, err := os.Stat(mark); err == nil {
		if err := r.runIdle(ctx, append(gc, "gc", "--quiet")...); err != nil {
			return err
		}
		return os.Remove(mark)
	}
	return r.runIdle(ctx, append(gc, "-c", "gc.auto=1000", "-c", "gc.autoPackLimit=20", "gc", "--auto", "--quiet")...)
}

// Untidy tells whether Prune would be worth its time. It guesses from one of
// the 256 object directories, as git itself does.
func (r Repository) Untidy() bool {
	loose, _ := os.ReadDir(filepath.Join(r.Path, "objects", "17"))
	packs := slices.DeleteFunc(r.packFiles(), func(name string) bool { return !strings.HasSuffix(name, ".pack") })
	_, err := os.Stat(filepath.Join(r.Path, unfinished))
	return len(loose) > 1000/256 || len(packs) > 20 || err == nil
}
