package git

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unfinished is a file that is there while a push is. Found by another push, it
// says that one was killed, whose objects nothing refers to.
const unfinished = "berth-unfinished"

// arrival remembers which packs were there before a push.
type arrival struct {
	repo   Repository
	before []string // the names of their files
	stale  bool     // an earlier push never ended
}

func (r Repository) arrive() (*arrival, error) {
	a := &arrival{repo: r, before: r.packFiles()}
	f, err := os.OpenFile(filepath.Join(r.Path, unfinished), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if a.stale = errors.Is(err, fs.ErrExist); a.stale {
		return a, nil
	}
	return a, errors.Join(err, f.Close())
}

// end removes the packs that a refused push has brought.
func (a *arrival) end(accepted bool) error {
	var errs []error
	if !accepted {
		for _, file := range a.repo.packFiles() {
			stem, _, _ := strings.Cut(file, ".")
			if !slices.Contains(a.before, stem+".pack") {
				errs = append(errs, os.Remove(filepath.Join(a.repo.packDir(), file)))
			}
		}
	}
	if err := errors.Join(errs...); err != nil || a.stale {
		return err
	}
	return os.Remove(filepath.Join(a.repo.Path, unfinished))
}

func (r Repository) packDir() string { return filepath.Join(r.Path, "objects", "pack") }

// packFiles returns the names of the packs' files. Without a directory there
// are none.
func (r Repository) packFiles() (names []string) {
	entries, _ := os.ReadDir(r.packDir())
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "pack-") {
			names = append(names, e.Name())
		}
	}
	return names
}
