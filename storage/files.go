package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// mostListed is how many entries of a directory are listed.
const mostListed = 1000

// File is an entry of a directory of a volume.
type File struct {
	Name string    `json:"name"`
	Kind string    `json:"kind"` // "file", "dir", "link" or "other"
	Size int64     `json:"size"`
	Mode string    `json:"mode"`
	At   time.Time `json:"modified_at"`
	Link string    `json:"link,omitempty"` // where a link leads
}

// filePath checks a path within a volume, and returns it clean.
func filePath(name string) (string, error) {
	bad := func(why string) error {
		return fault.New(fault.Usage, code.FilePathInvalid, "%.100q is not the path of a file in a volume: %s", name, why)
	}
	switch {
	case name == "":
		return "", bad("it is empty")
	case len(name) > 4096:
		return "", bad("it is longer than 4096 bytes")
	case path.IsAbs(name):
		return "", bad("it must be relative to the volume, without a leading /")
	case hasDots(name) || !filepath.IsLocal(name):
		return "", bad("it leads out of the volume")
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", bad("it has control characters")
	}
	return path.Clean(name), nil
}

// explain makes a fault of what opening a path failed with.
func explain(name string, err error) error {
	switch {
	case err == nil || fault.From(err) != nil:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, code.FileUnknown, "the volume has no %.100q", name)
	case errors.Is(err, syscall.ENOTDIR):
		return fault.New(fault.NotFound, code.FileUnknown, "the volume has no %.100q: a parent of it is a file", name)
	case errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fault.New(fault.Conflict, code.FileNotRegular, "%.100q is not a plain file", name)
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP), isEscape(err):
		return fault.New(fault.Usage, code.FilePathInvalid, "%.100q does not lead to a file in the volume: %w", name, err)
	}
	return fault.ExplainDiskFull(err)
}

// isEscape tells the error of os.Root for a link that leads out. It has no value
// of its own.
func isEscape(err error) bool {
	bad, ok := errors.AsType[*fs.PathError](err)
	return ok && strings.Contains(bad.Err.Error(), "escapes")
}

func notRegular(name string, info fs.FileInfo) error {
	what := "not a plain file"
	if info.IsDir() {
		what = "a directory"
	}
	return fault.New(fault.Conflict, code.FileNotRegular, "%.100q is %s", name, what)
}

// List returns the entries of a directory of a volume by name, at most
// mostListed; more is set when there are others.
func (r *Room) List(_ context.Context, id, dir string) (files []File, more bool, err error) {
	v, name, root, err := r.at(id, cmp.Or(dir, "."))
	if err != nil {
		return nil, false, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if err == nil && !info.IsDir() && info.Mode()&fs.ModeSymlink == 0 {
		return []File{describe(root, name, path.Base(name), info)}, false, nil
	}
	below := root
	if err == nil && name != "." {
		if below, err = root.OpenRoot(name); err == nil {
			defer below.Close()
		}
	}
	if err != nil {
		return nil, false, explain(name, fmt.Errorf("list the volume %s: %w", v.Name, err))
	}
	list, err := below.Open(".")
	if err != nil {
		return nil, false, explain(name, err)
	}
	defer list.Close()
	names, err := list.Readdirnames(mostListed + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if more = len(names) > mostListed; more {
		names = names[:mostListed]
	}
	slices.Sort(names)
	for _, entry := range names {
		if info, err := below.Lstat(entry); err == nil {
			files = append(files, describe(below, entry, entry, info))
		}
	}
	return files, more, nil
}

func describe(dir *os.Root, name, shown string, info fs.FileInfo) File {
	f := File{Name: fault.Printable(shown), Kind: "other", Size: info.Size(), Mode: info.Mode().String(), At: info.ModTime().UTC()}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		f.Kind = "file"
	case mode.IsDir():
		f.Kind, f.Size = "dir", 0
	case mode&fs.ModeSymlink != 0:
		f.Kind = "link"
		if to, err := dir.Readlink(name); err == nil {
			f.Link = fault.Printable(to)
		}
	}
	return f
}

// at opens a volume for work on a path of it.
func (r *Room) at(id, name string) (v store.Volume, clean string, root *os.Root, err error) {
	if clean, err = filePath(name); err != nil {
		return v, "", nil, err
	}
	if v, err = r.Volume(id); err != nil {
		return v, "", nil, err
	}
	root, err = r.open(v)
	return v, clean, root, err
}

// Cat copies a plain file of a volume to w, as long as it was when it was opened.
func (r *Room) Cat(ctx context.Context, id, name string, w io.Writer) error {
	_, name, root, err := r.at(id, name)
	if err != nil {
		return err
	}
	defer root.Close()
	f, info, err := openFile(root, name, name)
	if err != nil {
		return explain(name, err)
	}
	defer f.Close()
	_, err = io.Copy(w, io.LimitReader(reader{ctx, f}, info.Size()))
	return err
}

// leaves is how long Put waits for word that whoever sends has left: the end of
// what was sent, and the end of the connection, come by different ways.
const leaves = 100 * time.Millisecond

// Put writes a plain file into a volume, in place of what has the name, and makes
// the directories that are missing. The file appears when all of it is there.
func (r *Room) Put(ctx context.Context, id, name string, in io.Reader, by store.User) (int64, error) {
	v, name, root, err := r.at(id, name)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if name == "." {
		return 0, fault.New(fault.Usage, code.FilePathInvalid, "the path must name a file")
	}
	uid, err := r.uidOf(v.App)
	if err != nil {
		return 0, err
	}
	if info, err := root.Lstat(name); err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
		return 0, notRegular(name, info)
	}
	room := r.roomFor(v, 0)
	if v.Size > 0 {
		if room.used, err = r.Used(ctx, v); err != nil {
			return 0, err
		}
	}
	if err := room.take(4096); err != nil {
		return 0, err
	}
	dir, done, err := r.begin(v.ID, "put-")
	if err != nil {
		return 0, fault.ExplainDiskFull(err)
	}
	defer done()
	defer os.RemoveAll(dir)
	n, err := writeFile(filepath.Join(dir, "file"), metered{reader{ctx, in}, room}, uid)
	if err != nil {
		return 0, fault.ExplainDiskFull(err)
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(leaves):
	}
	parent, err := makeDirs(root, path.Dir(name), uid)
	if err != nil {
		return 0, explain(name, err)
	}
	defer parent.Close()
	if err := unix.Renameat(unix.AT_FDCWD, filepath.Join(dir, "file"), int(parent.Fd()), path.Base(name)); err != nil {
		return 0, explain(name, err)
	}
	return n, errors.Join(parent.Sync(), r.tell(v, by, fmt.Sprintf("wrote %.100s of the volume %s", name, v.Name)))
}

// tell remembers what somebody did to the files of a volume.
func (r *Room) tell(v store.Volume, by store.User, what string) error {
	return fault.ExplainDiskFull(r.db.Update(func(tx *store.Tx) error {
		return tx.AddEvent(store.Event{App: v.App, By: by.Name, Kind: "storage", Text: what})
	}))
}

func writeFile(name string, in io.Reader, uid int) (n int64, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, in)
	return n, errors.Join(err, f.Chown(uid, uid), f.Chmod(0o644), f.Sync(), f.Close())
}

// makeDirs opens a directory of a volume, and makes what is missing of it.
func makeDirs(root *os.Root, dir string, uid int) (*os.File, error) {
	made := "."
	for part := range strings.SplitSeq(dir, "/") {
		made = path.Join(made, part)
		err := root.Mkdir(made, 0o755)
		if err == nil {
			err = root.Lchown(made, uid, uid)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// Remove removes a file of a volume, or with recursive a directory with all that
// is in it. What it was is gone: a snapshot or an export keeps it.
func (r *Room) Remove(ctx context.Context, id, name string, recursive bool, by store.User) error {
	v, name, root, err := r.at(id, name)
	if err != nil {
		return err
	}
	defer root.Close()
	if name == "." {
		return fault.New(fault.Usage, code.FilePathInvalid, "storage:destroy removes the volume itself")
	}
	info, err := root.Lstat(name)
	if err != nil {
		return explain(name, err)
	}
	if info.IsDir() && !recursive {
		return fault.New(fault.Conflict, code.FileNotRegular, "%.100q is a directory", name).
			Hint("--recursive removes it with its contents")
	}
	if info.IsDir() {
		err = root.RemoveAll(name)
	} else {
		err = root.Remove(name)
	}
	if err != nil {
		return explain(name, err)
	}
	if v.Full {
		used, err := r.Used(ctx, v)
		if err == nil {
			err = r.enforce(ctx, v, used)
		}
		r.warn("a volume is not opened again", err, "volume", v.Name)
	}
	return r.tell(v, by, fmt.Sprintf("removed %.100s of the volume %s", name, v.Name))
}
