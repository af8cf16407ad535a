package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// ErrReserved means that an image has something else where berth's own files
// are mounted in a container: the mounts would fail, or land elsewhere.
var ErrReserved = errors.New("the image has something where berth keeps its own files")

// CheckReserved refuses a root in which a place of berth's is a link, or of
// another kind. That it is not there, or as a build's steps leave it, is right.
func CheckReserved(root string) error {
	for _, place := range []struct {
		path string
		dir  bool
	}{{path.Dir(initPath), true}, {controlPath, true}, {logPath, true}, {initPath, false}} {
		info, err := os.Lstat(filepath.Join(root, place.path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, syscall.ENOTDIR): // above it, which was looked at
			continue
		case err != nil:
			return err
		}
		if place.dir && !info.IsDir() || !place.dir && !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s", ErrReserved, place.path)
		}
	}
	return nil
}
