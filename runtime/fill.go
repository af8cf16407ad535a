package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Fill copies a directory tree of the host into dir in the container, owned by
// the container's user. It is for containers that were created before the tree
// existed.
func (c *Container) Fill(ctx context.Context, tree, dir string) error {
	// The first process's root is the container's filesystem, as it is mounted.
	err := copyTree(ctx, tree, fmt.Sprintf("/proc/%d/root", c.pid), dir, c.uid)
	if err != nil {
		return fmt.Errorf("fill container %s: %w", c.ID, err)
	}
	return nil
}

// copyTree copies a tree into dir below root, owned by uid: files, directories
// and symbolic links as they are. Both sides are os.Roots: whatever links are
// in either, none leads out.
func copyTree(ctx context.Context, tree, root, dir string, uid int) error {
	from, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer from.Close()
	return copyPath(ctx, from, root, ".", dir, uid)
}

// copyPath is copyTree for one file or directory of a tree, which is dir afterwards.
func copyPath(ctx context.Context, from *os.Root, root, start, dir string, uid int) error {
	to, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer to.Close()
	if dir = strings.TrimPrefix(path.Clean("/"+dir), "/"); dir == "" {
		dir = "."
	}
	if start == "." {
		err = ownDir(to, dir, uid)
	} else {
		err = ownDir(to, path.Dir(dir), uid)
	}
	if err != nil {
		return err
	}
	return fs.WalkDir(from.FS(), start, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		target := path.Join(dir, name)
		if start != "." {
			target = dir + strings.TrimPrefix(name, start)
		}
		if err := copyEntry(ctx, from, to, name, target, entry.Type(), uid); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
		return nil
	})
}

// ownDir makes a directory and those above it, as far as they are missing, and
// gives it to uid.
func ownDir(to *os.Root, dir string, uid int) error {
	if err := to.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return to.Lchown(dir, uid, uid)
}

func copyEntry(ctx context.Context, from, to *os.Root, name, target string, kind fs.FileMode, uid int) error {
	info, err := from.Lstat(name)
	if err != nil {
		return err
	}
	there, err := to.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case kind.IsDir() && there.IsDir():
		return errors.Join(to.Lchown(target, uid, uid), to.Chmod(target, info.Mode().Perm()))
	default: // of another kind, or a file to be replaced and not written through a link
		if err := to.RemoveAll(target); err != nil {
			return err
		}
	}
	switch {
	case kind.IsDir():
		if err := to.Mkdir(target, 0o755); err != nil {
			return err
		}
	case kind&fs.ModeSymlink != 0:
		link, err := from.Readlink(name)
		if err != nil {
			return err
		}
		if err := to.Symlink(link, target); err != nil {
			return err
		}
		return to.Lchown(target, uid, uid) // a link has no mode of its own
	case kind.IsRegular():
		if err := copyFile(ctx, from, to, name, target); err != nil {
			return err
		}
	default:
		return fmt.Errorf("neither a file, a directory nor a symbolic link: %s", kind)
	}
	if err := to.Lchown(target, uid, uid); err != nil {
		return err
	}
	if err := to.Chmod(target, info.Mode().Perm()); err != nil { // after the owner, whose change clears bits
		return err
	}
	if kind.IsRegular() { // compiled Python is valid for the source's time
		return to.Chtimes(target, info.ModTime(), info.ModTime())
	}
	return nil
}

func copyFile(ctx context.Context, from, to *os.Root, name, target string) error {
	src, err := from.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if info, e := src.Stat(); e == nil && info.Size() < largeFile {
		_, err = io.Copy(dst, src) // by the kernel, in one go
	} else {
		_, err = io.Copy(struct{ io.Writer }{dst}, cancellable{ctx, src})
	}
	return errors.Join(err, dst.Close())
}

// largeFile is what takes so long to copy that somebody may want it to end.
const largeFile = 64 << 20 // bytes

// cancellable is a reader that ends with its context.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.Reader.Read(p)
}
