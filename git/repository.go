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

// DefaultMaxPack is the most bytes that a push may send: enough for a
// repository with its history, too little to fill a small server's disk.
const DefaultMaxPack = 512 << 20

// Repositories is the directory that holds an app's repository each.
type Repositories struct {
	Dir string // UID must be able to enter it and what is above it
	UID int    // owner of the files and user of git's processes; 0 is root
	GID int

	// MaxPack is the most bytes that one push may send, packed; 0 is DefaultMaxPack.
	MaxPack int64
}

// Repository is a bare repository on disk. Git runs in it as the owner of the
// Repositories it is one of, not as root.
type Repository struct {
	Path string

	uid, gid int
}

// Open returns the repository of that name, made with the right configuration
// when it is missing and put right when it is not. A repository that is right
// costs no process.
func (rs Repositories) Open(ctx context.Context, name string) (Repository, error) {
	path, err := rs.path(name)
	if err != nil {
		return Repository{}, err
	}
	repo := Repository{Path: path, uid: rs.UID, gid: rs.GID}
	_, err = os.Stat(filepath.Join(path, "HEAD"))
	switch {
	case err == nil:
		err = rs.furnish(repo)
	case errors.Is(err, fs.ErrNotExist):
		err = rs.create(ctx, repo)
	}
	if err != nil {
		return Repository{}, fmt.Errorf("open repository %s: %w", name, err)
	}
	return repo, nil
}

// create makes the repository under another name and moves it into place
// whole, so that a crash never leaves half of one.
func (rs Repositories) create(ctx context.Context, repo Repository) error {
	if err := os.MkdirAll(rs.Dir, 0o711); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(rs.Dir, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := rs.own(temp); err != nil {
		return err
	}
	fresh := repo
	fresh.Path = temp
	err = fresh.run(ctx, "-c", "init.defaultBranch=main", "init", "--quiet", "--bare", "--template=", "--object-format=sha1")
	if err != nil {
		return err
	}
	if err := rs.furnish(fresh); err != nil {
		return err
	}
	err = os.Rename(temp, repo.Path)
	if errors.Is(err, fs.ErrExist) {
		return rs.furnish(repo) // somebody else was quicker, and theirs is as good
	}
	return err
}

// furnish writes the configuration and the hook unless they are there as they
// should be.
func (rs Repositories) furnish(repo Repository) error {
	if err := rs.keep(filepath.Join(repo.Path, "config"), rs.config(), 0o600); err != nil {
		return err
	}
	hooks := filepath.Join(repo.Path, "hooks")
	if err := os.Mkdir(hooks, 0o700); err == nil {
		err = rs.own(hooks)
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// An earlier berth decided in this hook, before git had made up its mind.
	if err := os.Remove(filepath.Join(hooks, "pre-receive")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return rs.keep(filepath.Join(hooks, hookName), hook, 0o700)
}

// keep makes the file hold the text.
func (rs Repositories) keep(name, text string, mode os.FileMode) error {
	if have, err := os.ReadFile(name); err == nil && string(have) == text {
		if info, err := os.Stat(name); err == nil && info.Mode().Perm() == mode {
			return nil
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), rs.own(f.Name()), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func (rs Repositories) own(name string) error { return Repository{uid: rs.UID, gid: rs.GID}.own(name) }

func (r Repository) own(name string) error {
	if r.uid == os.Getuid() {
		return nil
	}
	return os.Lchown(name, r.uid, r.gid)
}

// config is the whole configuration of a repository. It stands in the file
// and not on our command lines, so that somebody who pushes into the directory
// by hand meets the same checks.
func (rs Repositories) config() string {
	pack := rs.MaxPack
	if pack == 0 {
		pack = DefaultMaxPack
	}
	return fmt.Sprintf(`# Written by berth; changes are overwritten.
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
	logAllRefUpdates = always
	# Objects are on disk before a ref names them, and the ref before the
	# pusher is told.
	fsync = committed
[transfer]
	fsckObjects = true
[receive]
	fsckObjects = true
	maxInputSize = %d
	# A push stays one pack: three flushes instead of one per object, and the
	# quickest there is. Prune joins packs when they have become many.
	unpackLimit = 1
	# Tidying up is done by Prune, between pushes.
	autogc = false
	# Git checks a push, puts its objects in place and leaves all refs to
	# berth's hook: whatever it refuses, it refuses before anything is deployed.
	procReceiveRefs = refs
[gc]
	auto = 0
[maintenance]
	auto = false
[uploadpack]
	allowFilter = true
[protocol]
	# These repositories are never a client of anything.
	allow = never
`, pack)
}

// SetHead makes HEAD follow the branch, so that a clone checks out what is
// deployed. The branch need not exist yet.
func (r Repository) SetHead(ctx context.Context, branch string) error {
	ref := "refs/heads/" + branch
	head, err := os.ReadFile(filepath.Join(r.Path, "HEAD"))
	if err == nil && strings.TrimSpace(string(head)) == "ref: "+ref {
		return nil
	}
	return r.run(ctx, "symbolic-ref", "HEAD", ref)
}

// ValidBranch tells whether a branch may have the name.
func (r Repository) ValidBranch(ctx context.Context, name string) bool {
	return !strings.HasPrefix(name, "-") && !strings.ContainsRune(name, 0) &&
		r.run(ctx, "check-ref-format", "refs/heads/"+name) == nil
}

// DropBranch removes a branch; one that is missing is no error. While a push of
// it holds the ref, there is one.
func (r Repository) DropBranch(ctx context.Context, name string) error {
	return r.run(ctx, "update-ref", "-d", "refs/heads/"+name)
}

// SetAside renames a repository without an owner to a name that no app has. A
// missing one is no error.
func (rs Repositories) SetAside(name string) error {
	path, err := rs.path(name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	aside, err := os.MkdirTemp(rs.Dir, "left-"+name+"-")
	if err == nil {
		err = os.Rename(path, filepath.Join(aside, filepath.Base(path)))
	}
	if err != nil {
		return fmt.Errorf("set the repository %s aside: %w", name, err)
	}
	return nil
}

// Adopt gives the repository of one name another. One that has that name already
// is set aside: it is older. A missing repository is no error.
func (rs Repositories) Adopt(from, to string) error {
	old, err := rs.path(from)
	if err != nil {
		return err
	}
	now, err := rs.path(to)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := rs.SetAside(to); err != nil {
		return err
	}
	if err := os.Rename(old, now); err != nil {
		return fmt.Errorf("rename the repository %s to %s: %w", from, to, err)
	}
	return nil
}

// Remove removes the repository. A missing one is no error.
func (rs Repositories) Remove(name string) error {
	path, err := rs.path(name)
	if err != nil {
		return err
	}
	// Moved away first, and removed twice: git may be tidying up in it.
	gone := filepath.Join(rs.Dir, ".gone-"+name)
	err = errors.Join(os.RemoveAll(gone), os.Rename(path, gone))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && os.RemoveAll(gone) != nil {
		err = os.RemoveAll(gone)
	}
	if err != nil {
		return fmt.Errorf("remove repository %s: %w", name, err)
	}
	return nil
}

func (rs Repositories) path(name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("%q is not a repository name", Printable(name, 80))
	}
	return filepath.Join(rs.Dir, name+".git"), nil
}
