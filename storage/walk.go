package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

const (
	// deepest is how far below a volume anything may lie: each level is an open
	// directory while a tree is walked.
	deepest = 512

	// batch is how many names of a directory are read at a time: an app may make
	// millions of files in one.
	batch = 512
)

// errTooDeep is a tree with more levels than deepest.
var errTooDeep = fmt.Errorf("it has more than %d levels of directories", deepest)

// found is a file of a tree, with the directory that it is in.
type found struct {
	dir  *os.Root
	name string // in dir
	path string // in the tree
	info fs.FileInfo
}

// stat is what the system says of the file.
func (f found) stat() syscall.Stat_t {
	if st, ok := f.info.Sys().(*syscall.Stat_t); ok {
		return *st
	}
	return syscall.Stat_t{}
}

// walk calls fn with everything below a directory, a directory before what is in
// it. It follows no links, and takes no more memory for a directory of millions.
// What vanishes meanwhile is passed over.
func walk(ctx context.Context, root *os.Root, fn func(found) error) error {
	return walkIn(ctx, root, "", 0, fn)
}

func walkIn(ctx context.Context, dir *os.Root, at string, depth int, fn func(found) error) error {
	if depth > deepest {
		return errTooDeep
	}
	list, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer list.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := list.Readdirnames(batch)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			info, err := dir.Lstat(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			one := found{dir, name, path.Join(at, name), info}
			if err := fn(one); err != nil {
				return err
			}
			if !info.IsDir() {
				continue
			}
			below, err := dir.OpenRoot(name)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
				continue
			}
			if err != nil {
				return err
			}
			err = walkIn(ctx, below, one.path, depth+1, fn)
			below.Close()
			if err != nil {
				return err
			}
		}
	}
}

// openFile opens a plain file for reading. What is no plain file by now, as a pipe
// that would block, is a fault.
func openFile(dir *os.Root, name, shown string) (*os.File, fs.FileInfo, error) {
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(shown, info)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// inode identifies a file, whatever its names are.
type inode struct{ dev, ino uint64 }

func inodeOf(st syscall.Stat_t) inode { return inode{uint64(st.Dev), st.Ino} }

// links remembers the first names of files that have several, within bounds: a
// file that is not remembered is copied under each of its names.
type links struct {
	names map[inode]string
	bytes int // of the names
}

const (
	mostLinked      = 100_000
	mostLinkedBytes = 16 << 20 // an app can make names of 130 KB
)

// first returns the name under which a file was met before, or "". It remembers
// the present one.
func (l *links) first(f found) string {
	st := f.stat()
	if st.Nlink < 2 {
		return ""
	}
	at := inodeOf(st)
	if first, seen := l.names[at]; seen {
		return first
	}
	if len(l.names) < mostLinked && l.bytes+len(f.path) <= mostLinkedBytes {
		if l.names == nil {
			l.names = map[inode]string{}
		}
		l.names[at] = f.path
		l.bytes += len(f.path)
	}
	return ""
}
