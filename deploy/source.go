package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berthd/berth/deploy/git"
)

// source is a commit's tree on disk.
type source struct {
	root   *os.Root
	path   string // of the tree
	dir    string // of all that is scratch
	digest string
}

func (s *source) remove() {
	s.root.Close()
	os.RemoveAll(s.dir)
}

// checkout writes the pushed tree to disk.
func (d *Deployer) checkout(ctx context.Context, commit git.Commit, repo git.Repository, out *report) (s *source, err error) {
	dir, err := d.engine.Scratch()
	if err != nil {
		return nil, d.full(fmt.Errorf("make a directory for the source: %w", err))
	}
	s = &source{dir: dir, path: filepath.Join(dir, "source"), digest: commit.Tree}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if err := os.Mkdir(s.path, 0o755); err != nil {
		return nil, d.full(err)
	}
	if s.root, err = os.OpenRoot(s.path); err != nil {
		return nil, err
	}
	err = out.timed("checkout", func() error {
		notes, err := repo.Extract(ctx, commit.ID, s.root, git.DefaultTreeLimits)
		for _, note := range notes {
			out.Line("warning: %s", note)
		}
		return d.full(err)
	})
	return s, err
}
