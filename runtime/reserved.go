package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrLinkedTarget means that a volume would be mounted through a link of the
// image: it could lead to berth's own files, or into another volume.
var ErrLinkedTarget = errors.New("a volume cannot be mounted at a path with a link in it")

// checkTargets refuses a mount whose target, or a directory above it, is a link in
// a container's root. layers are the directories of the root, the uppermost first.
// An app owns its image and its volumes: with a link to /.berth, a file of the app
// would run as the first program of the container, which starts as root.
func checkTargets(layers []string, mounts []Mount) error {
	if len(mounts) == 0 {
		return nil
	}
	var roots []*os.Root
	for _, dir := range layers {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("look for links: %w", err)
		}
		defer root.Close()
		roots = append(roots, root)
	}
	for _, m := range mounts {
		place := ""
		for part := range strings.SplitSeq(strings.Trim(m.Target, "/"), "/") {
			place = path.Join(place, part)
			for _, root := range roots {
				info, err := root.Lstat(place)
				if err != nil { // not in this layer, or beneath what an upper one has replaced
					continue
				}
				if info.Mode()&fs.ModeSymlink != 0 {
					return fmt.Errorf("%w: /%s", ErrLinkedTarget, place)
				}
				break
			}
		}
	}
	return nil
}

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
