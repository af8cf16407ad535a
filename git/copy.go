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
	source := filepath.Join(from.Path, "objects")
	err := filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		// What is on its way in is nobody's yet.
		unfinished := strings.HasPrefix(entry.Name(), "tmp_") || strings.HasPrefix(entry.Name(), ".tmp-")
		into := filepath.Join(r.Path, "objects", name)
		switch {
		case entry.IsDir() && unfinished:
			return fs.SkipDir
		case entry.IsDir():
			if err := os.Mkdir(into, 0o755); errors.Is(err, fs.ErrExist) {
				return nil
			} else if err != nil {
				return err
			}
			return r.own(into)
		case unfinished || !entry.Type().IsRegular():
			return nil
		}
		if err := os.Link(path, into); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	ends, err := os.ReadFile(filepath.Join(from.Path, "shallow")) // where its history is cut off
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	into := filepath.Join(r.Path, "shallow")
	if err := os.WriteFile(into, ends, 0o644); err != nil {
		return err
	}
	return r.own(into)
}

// SetBranch has a branch name a commit that the repository holds.
func (r Repository) SetBranch(ctx context.Context, branch, commit string) error {
	if err := checkID(commit); err != nil {
		return err
	}
	return r.run(ctx, "update-ref", "refs/heads/"+branch, commit)
}
