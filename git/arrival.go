package git

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// unfinished is a file that is there while a push is. Found by another push, it
// says that one was killed, whose objects nothing refers to.
const unfinished = "berth-unfinished"

// arrival remembers which packs were there before a push.
type arrival struct {
	// dir is the repository's directory. A rename of its app may move it while
	// the push comes in, and another app's repository take its path, whose packs
	// are none of ours to remove.
	dir    *os.Root
	before []string // the names of their files
	stale  bool     // an earlier push never ended
}

// arrive begins an arrival. The caller closes its dir.
func (r Repository) arrive() (*arrival, error) {
	dir, err := os.OpenRoot(r.Path)
	if err != nil {
		return nil, err
	}
	a := &arrival{dir: dir, before: packFiles(dir.FS())}
	f, err := dir.OpenFile(unfinished, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if a.stale = errors.Is(err, fs.ErrExist); a.stale {
		return a, nil
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		dir.Close()
	}
	return a, err
}

// end removes the packs that a refused push has brought. What Take has brought
// meanwhile is another repository's too, and stays.
func (a *arrival) end(accepted bool) error {
	var errs []error
	if !accepted {
		for _, file := range packFiles(a.dir.FS()) {
			stem, _, _ := strings.Cut(file, ".")
			if !slices.Contains(a.before, stem+".pack") && !a.shared(file) {
				errs = append(errs, a.dir.Remove(packDir+"/"+file))
			}
		}
	}
	if err := errors.Join(errs...); err != nil || a.stale {
		return err
	}
	return a.dir.Remove(unfinished)
}

// shared tells whether a pack's file has another name.
func (a *arrival) shared(file string) bool {
	info, err := a.dir.Lstat(packDir + "/" + file)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}

const packDir = "objects/pack"

// packFiles returns the names of the packs' files. Without a directory there
// are none.
func (r Repository) packFiles() []string { return packFiles(os.DirFS(r.Path)) }

func packFiles(repo fs.FS) (names []string) {
	entries, _ := fs.ReadDir(repo, packDir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "pack-") {
			names = append(names, e.Name())
		}
	}
	return names
}
