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

// copyTries is how often the objects are walked when git tidies them up
// meanwhile: a pack goes only once another one holds all that is in it.
const copyTries = 5

// Take gives the repository all objects of another one of the same
// Repositories, and none of its refs. Objects never change, so the files are
// shared, and each repository removes its own names of them.
func (r Repository) Take(ctx context.Context, from Repository) (err error) {
	for range copyTries {
		if err = r.take(ctx, from); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("copy the objects of a repository: %w", err)
	}
	return nil
}

func (r Repository) take(ctx context.Context, from Repository) error {
	// What is in the repositories is git's: nothing in them leads us out.
	dir, err := os.OpenRoot(filepath.Dir(r.Path))
	if err != nil {
		return err
	}
	defer dir.Close()
	here, there := filepath.Base(r.Path), filepath.Base(from.Path)
	err = fs.WalkDir(dir.FS(), there+"/objects", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// What is on its way in is nobody's yet.
		unfinished := strings.HasPrefix(entry.Name(), "tmp_") || strings.HasPrefix(entry.Name(), ".tmp-") ||
			strings.HasSuffix(entry.Name(), ".keep") || strings.HasSuffix(entry.Name(), ".lock")
		into := here + strings.TrimPrefix(name, there)
		switch {
		case entry.IsDir() && unfinished:
			return fs.SkipDir
		case entry.IsDir():
			if err := dir.Mkdir(into, 0o755); errors.Is(err, fs.ErrExist) {
				return nil
			} else if err != nil {
				return err
			}
			return r.ownIn(dir, into)
		case unfinished || !entry.Type().IsRegular():
			return nil
		}
		if err := dir.Link(name, into); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	ends, err := dir.ReadFile(there + "/shallow") // where its history is cut off
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := dir.WriteFile(here+"/shallow", ends, 0o644); err != nil {
		return err
	}
	return r.ownIn(dir, here+"/shallow")
}

// ownIn is own for a name within a directory.
func (r Repository) ownIn(dir *os.Root, name string) error {
	if r.uid == os.Getuid() {
		return nil
	}
	return dir.Lchown(name, r.uid, r.gid)
}

// SetBranch makes a branch that names a commit which the repository holds. One
// that is there stays where it is, and is an error.
func (r Repository) SetBranch(ctx context.Context, branch, commit string) error {
	if err := checkID(commit); err != nil {
		return err
	}
	return r.run(ctx, "update-ref", "refs/heads/"+branch, commit, strings.Repeat("0", len(commit)))
}
