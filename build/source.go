package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Source is a commit's tree on disk.
type source struct {
	root   *os.Root
	path   string // of the tree
	dir    string // of all that is scratch
	digest string
	commit string // that it is of; "" for a tree of none
}

func (s *source) remove() {
	if s.root != nil {
		s.root.Close()
	}
	os.RemoveAll(s.dir)
}

// checkout writes the directory of the commit that is built to disk: the whole
// tree, unless the app's build-dir says otherwise.
func (b *Builder) checkout(ctx context.Context, record store.App, commit git.Commit, repo git.Repository, out *progress.Report) (s *source, err error) {
	how, err := b.of(record)
	if err != nil {
		return nil, err
	}
	dir, err := b.engine.Scratch()
	if err != nil {
		return nil, fault.ExplainDiskFull(fmt.Errorf("make a directory for the source: %w", err))
	}
	s = &source{dir: dir, path: filepath.Join(dir, "source"), commit: commit.ID}
	defer func() {
		if err != nil && s != nil {
			s.remove()
			s = nil
		} else if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if err := os.Mkdir(s.path, 0o755); err != nil {
		return nil, fault.ExplainDiskFull(err)
	}
	if s.root, err = os.OpenRoot(s.path); err != nil {
		return nil, err
	}
	err = out.Timed("checkout", func() error {
		var notes []string
		s.digest, notes, err = repo.ExtractDir(ctx, commit.ID, cmp.Or(how.BuildDir, "."), s.root, git.DefaultTreeLimits)
		for _, note := range notes {
			out.Line("warning: %s", note)
		}
		return fault.ExplainDiskFull(err)
	})
	if missing, ok := errors.AsType[*git.NoDirError](err); ok {
		err = b.noBuildDir(record, missing)
	}
	return s, err
}

// noBuildDir names what a commit has in the place of the directory that is to
// be built.
func (b *Builder) noBuildDir(record store.App, missing *git.NoDirError) error {
	where, what := "at the root", "no directories"
	if missing.In != "." {
		where = "in " + missing.In
	}
	if len(missing.Have) > 0 {
		what = strings.Join(missing.Have, ", ")
	}
	f := fault.New(fault.Failed, code.BuildDirMissing, "the commit has no directory %s", missing.Path).
		With(fmt.Sprintf("it is the build-dir of %s; %s there are %s", record.Name, where, what))
	return f.Hint("%s builder:set %s build-dir PATH chooses another", b.deploys.SSHCommand(), record.Name).
		Hint("%s builder:set %s build-dir . builds the whole", b.deploys.SSHCommand(), record.Name)
}
