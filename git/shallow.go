package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berthd/berth/store/fault/code"
)

// A shallow clone, as CI systems make them (--depth 1), lacks the parents of
// its oldest commits, and a push from it brings none. A repository that takes
// the push lists such commits in a file named shallow, and git then asks for
// nothing behind them.

// shallowFile is that list while a push is received: git's processes have it
// in place of the repository's own. Without any shallow commit there is none.
type shallowFile struct {
	repo Repository
	dir  *os.Root // the repository's, wherever it is moved
	own  []string // the repository's
}

// newShallow is the name of the file that git reads.
const newShallow = ".new-shallow"

// shallowFile begins with the repository's own list.
func (r Repository) shallowFile(dir *os.Root) (*shallowFile, error) {
	text, err := dir.ReadFile("shallow")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The directory is git's, and whoever has got hold of git may have put
	// anything there: what are no ids stays out.
	own := slices.DeleteFunc(strings.Fields(string(text)), func(id string) bool { return checkID(id) != nil })
	s := &shallowFile{repo: r, dir: dir, own: own}
	return s, s.write(nil)
}

// env makes git read the file.
func (s *shallowFile) env() string {
	return "GIT_SHALLOW_FILE=" + filepath.Join(s.repo.Path, newShallow)
}

// write makes the list the repository's own and these commits.
func (s *shallowFile) write(more []string) error {
	all := slices.Concat(s.own, more)
	if err := s.remove(); err != nil || len(all) == 0 {
		return err
	}
	slices.Sort(all)
	f, err := s.dir.OpenFile(newShallow, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(strings.Join(slices.Compact(all), "\n") + "\n")
		if s.repo.uid != os.Getuid() {
			err = errors.Join(err, f.Chown(s.repo.uid, s.repo.gid))
		}
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("write the list of shallow commits: %w", err)
	}
	return nil
}

// cut makes the list what the repository needs to hold the tips that were
// pushed from a clone that ends at the commits.
func (s *shallowFile) cut(ctx context.Context, ends, tips []string) error {
	if len(ends) == 0 {
		return nil
	}
	if len(ends) > maxShallow {
		return refusal(code.PushTooShallow, "this clone is shallow at more than %d commits", maxShallow).
			hint("run git fetch --unshallow, then push again")
	}
	come, err := s.met(ctx, ends, tips, "--not", "--all")
	if err != nil {
		return err
	}
	if err := s.write(nil); err != nil {
		return err
	}
	// A commit that the refs lead to stays as it is: the repository knows more
	// than the clone.
	have, err := s.met(ctx, ends, nil, "--all")
	if err != nil {
		return err
	}
	return s.write(slices.DeleteFunc(slices.Clone(ends), func(id string) bool { return !come[id] || have[id] }))
}

// met returns which of the commits git rev-list names.
func (s *shallowFile) met(ctx context.Context, ids, tips []string, options ...string) (map[string]bool, error) {
	met := map[string]bool{}
	if len(ids) == 0 {
		return met, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := s.repo.command(ctx, append([]string{"rev-list", "--stdin"}, options...)...)
	cmd.Env = append(cmd.Env, s.env())
	cmd.Stdin = strings.NewReader(strings.Join(tips, "\n"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("git rev-list: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("git rev-list: %w", err)
	}
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if wanted[lines.Text()] {
			met[lines.Text()] = true
		}
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return nil, failed(ctx, "rev-list", err, stderr.String())
	}
	return met, nil
}

// keep makes the list the repository's own.
func (s *shallowFile) keep() error {
	err := s.dir.Rename(newShallow, "shallow")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is shallow
	}
	return err
}

// remove drops the list.
func (s *shallowFile) remove() error {
	if err := s.dir.Remove(newShallow); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
