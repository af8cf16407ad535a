package git

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// TreeLimits bound what a commit may unpack to.
type TreeLimits struct {
	Bytes int64
	Files int // directories and links included
	Depth int
}

// DefaultTreeLimits are far above any application's source and far below what
// would hurt: a tree of a hundred objects can unpack to more files than the
// disk has inodes.
var DefaultTreeLimits = TreeLimits{Bytes: 1 << 30, Files: 100_000, Depth: 64}

const (
	maxName   = 255      // bytes of one name; file systems take no more
	maxPath   = 4000     // bytes of a whole path, below PATH_MAX
	maxTree   = 64 << 20 // bytes of one tree object
	maxTarget = 4000     // bytes of a symbolic link's target
)

// TreeError is a tree that berth does not unpack. It is the pusher's to mend.
type TreeError struct {
	Path   string // in the repository
	Reason string
}

func (e *TreeError) Error() string {
	if e.Path == "" {
		return "the commit " + e.Reason
	}
	return fmt.Sprintf("%q %s", Printable(e.Path, maxSubject), e.Reason)
}

// FaultCode, FaultEvidence and FaultHints let a door show the error as a fault.
func (e *TreeError) FaultCode() string       { return code.TreeRefused }
func (e *TreeError) FaultEvidence() []string { return nil }
func (e *TreeError) FaultHints() []string {
	return []string{"remove it from the commit (git rm --cached), amend and push again"}
}

// Extract is ExtractDir for the commit's whole tree.
func (r Repository) Extract(ctx context.Context, id string, root *os.Root, limits TreeLimits) (notes []string, err error) {
	_, notes, err = r.ExtractDir(ctx, id, ".", root, limits)
	return notes, err
}

// ExtractDir writes a directory of the commit's tree into root, after checking
// it against the limits before a byte is written, and returns the object id of
// that directory: the digest of what was written. A directory that the commit
// does not have is a *NoDirError. Files keep their executable bit, get the
// commit's time, and nothing is ever written outside root. Symbolic links are
// made as they are and never followed. What did not come along is said in
// notes, for the pusher: submodules, and files that are Git LFS pointers.
func (r Repository) ExtractDir(ctx context.Context, id, dir string, root *os.Root, limits TreeLimits) (tree string, notes []string, err error) {
	if err := checkID(id); err != nil {
		return "", nil, err
	}
	objects, err := r.objects(ctx)
	if err != nil {
		return "", nil, err
	}
	defer objects.close()
	commit, err := objects.commit(id)
	if err != nil {
		return "", nil, err
	}
	tree, err = objects.subtree(commit.Tree, dir)
	if err != nil {
		return "", nil, fmt.Errorf("read the tree of %s: %w", id, err)
	}
	entries, err := objects.walk(tree, limits)
	if err != nil {
		return "", nil, fmt.Errorf("read the tree of %s: %w", id, err)
	}
	if err := objects.measure(entries, limits.Bytes); err != nil {
		return "", nil, fmt.Errorf("read the tree of %s: %w", id, err)
	}
	notes, err = objects.unpack(entries, root, commit.Time)
	if err != nil {
		return "", nil, fmt.Errorf("unpack %s: %w", id, err)
	}
	return tree, notes, nil
}

// NoDirError is a directory that a commit does not have.
type NoDirError struct {
	Path string   // as it was asked for
	In   string   // the last directory on the way to it that is there, "." for the root
	Have []string // the directories in that, at most mostNames
}

func (e *NoDirError) Error() string {
	return fmt.Sprintf("there is no directory %s in the commit", Printable(e.Path, maxSubject))
}

// mostNames bounds the directories that a NoDirError lists.
const mostNames = 10

// subtree returns the object id of a directory below a tree; "." is the tree.
// Links are not followed.
func (o *objects) subtree(tree, dir string) (string, error) {
	in := "."
	for _, name := range strings.Split(path.Clean(dir), "/") {
		if name == "." {
			continue
		}
		data, err := o.one(tree, "tree", maxTree)
		if err != nil {
			return "", err
		}
		entries, err := parseTree(data, len(tree)/2)
		if err != nil {
			return "", err
		}
		missing := &NoDirError{Path: dir, In: in}
		found := ""
		for _, e := range entries {
			switch {
			case e.mode != modeTree:
			case e.path == name:
				found = e.id
			case len(missing.Have) < mostNames:
				missing.Have = append(missing.Have, Printable(e.path, maxSubject))
			}
		}
		if found == "" {
			return "", missing
		}
		tree, in = found, path.Join(in, name)
	}
	return tree, nil
}

// entry is one line of a tree, with its whole path.
type entry struct {
	path string
	mode string // as git writes it
	id   string
}

// The modes that git knows.
const (
	modeTree       = "40000"
	modeFile       = "100644"
	modeShared     = "100664" // written by very old gits
	modeExecutable = "100755"
	modeLink       = "120000"
	modeSubmodule  = "160000"
)

// walk returns all entries below the tree, directories before what they hold.
// It asks for a level of directories at a time.
func (o *objects) walk(tree string, limits TreeLimits) ([]entry, error) {
	var all []entry
	read := map[string][]entry{} // by id: the same tree may stand in many places
	level := []entry{{mode: modeTree, id: tree}}
	for depth := 0; len(level) > 0; depth++ {
		if depth > limits.Depth {
			return nil, &TreeError{level[0].path, fmt.Sprintf("is nested deeper than %d directories", limits.Depth)}
		}
		if err := o.readTrees(level, read); err != nil {
			return nil, err
		}
		var next []entry
		for _, dir := range level {
			for _, e := range read[dir.id] {
				e.path = path.Join(dir.path, e.path)
				if len(e.path) > maxPath {
					return nil, &TreeError{e.path, fmt.Sprintf("is a path of more than %d bytes", maxPath)}
				}
				if len(all) == limits.Files {
					return nil, &TreeError{"", fmt.Sprintf("has more than %d files", limits.Files)}
				}
				all = append(all, e)
				if e.mode == modeTree {
					next = append(next, e)
				}
			}
		}
		level = next
	}
	return all, nil
}

func (o *objects) readTrees(dirs []entry, read map[string][]entry) error {
	var ids []string
	for _, dir := range dirs {
		if _, ok := read[dir.id]; !ok {
			read[dir.id] = nil
			ids = append(ids, dir.id)
		}
	}
	defer o.ask("contents", ids)()
	for _, id := range ids {
		data, err := o.content("tree", maxTree)
		if err != nil {
			o.cancel() // or the asker would wait for answers to be taken
			return err
		}
		if read[id], err = parseTree(data, len(id)/2); err != nil {
			o.cancel()
			return err
		}
	}
	return nil
}

// parseTree reads a tree object: "MODE NAME\0" and the raw id, again and again.
// fsck has refused what is malformed; this is the second lock on the same door.
func parseTree(data []byte, idBytes int) ([]entry, error) {
	var entries []entry
	seen := map[string]bool{}
	for len(data) > 0 {
		head, rest, ok := bytes.Cut(data, []byte{0})
		mode, name, spaced := strings.Cut(string(head), " ")
		if !ok || !spaced || len(rest) < idBytes {
			return nil, &TreeError{"", "has a malformed tree"}
		}
		mode = strings.TrimLeft(mode, "0")
		switch mode {
		case modeTree, modeFile, modeShared, modeExecutable, modeLink, modeSubmodule:
		default:
			return nil, &TreeError{name, "has the unknown mode " + Printable(mode, 20)}
		}
		switch {
		case name == "" || name == "." || name == ".." || strings.Contains(name, "/"):
			return nil, &TreeError{name, "is not a file name"}
		case strings.EqualFold(name, ".git"):
			return nil, &TreeError{name, "is git's own directory and cannot be part of a commit"}
		case len(name) > maxName:
			return nil, &TreeError{name, fmt.Sprintf("is a name of more than %d bytes", maxName)}
		case seen[name]:
			return nil, &TreeError{name, "appears twice in its directory"}
		}
		seen[name] = true
		entries = append(entries, entry{path: name, mode: mode, id: hex.EncodeToString(rest[:idBytes])})
		data = rest[idBytes:]
	}
	return entries, nil
}

// measure checks what all files together unpack to.
func (o *objects) measure(entries []entry, limit int64) error {
	times := map[string]int64{}
	var ids []string
	for _, e := range entries {
		if e.mode == modeTree || e.mode == modeSubmodule {
			continue
		}
		if times[e.id]++; times[e.id] == 1 {
			ids = append(ids, e.id)
		}
	}
	defer o.ask("info", ids)()
	var total int64
	for _, id := range ids {
		kind, size, err := o.header()
		if err == nil && kind != "blob" {
			err = &TreeError{"", "has a " + kind + " where a file should be"}
		}
		// Not size*times: the product of two hostile numbers can overflow.
		if err == nil && size > (limit-total)/times[id] {
			err = &TreeError{"", fmt.Sprintf("unpacks to more than %s", units.Bytes(limit))}
		}
		if err != nil {
			o.cancel()
			return err
		}
		total += size * times[id]
	}
	return nil
}

// unpack writes the entries. Directories come first, files follow in one
// stream of answers.
func (o *objects) unpack(entries []entry, root *os.Root, at time.Time) (notes []string, err error) {
	var ids []string
	var files []entry
	for _, e := range entries {
		switch e.mode {
		case modeTree:
			if err := root.Mkdir(e.path, 0o755); err != nil {
				return nil, err
			}
		case modeSubmodule:
			notes = append(notes, Printable(e.path, maxSubject)+" is a submodule and is not included")
			if err := root.Mkdir(e.path, 0o755); err != nil {
				return nil, err
			}
		default:
			files = append(files, e)
			ids = append(ids, e.id)
		}
	}
	defer o.ask("contents", ids)()
	defer func() {
		if err != nil {
			o.cancel()
		}
	}()
	dirs := &directories{root: root}
	defer dirs.close()
	var links []link
	for _, e := range files {
		if e.mode == modeLink {
			target, err := o.content("blob", maxTarget)
			if err != nil {
				return nil, fmt.Errorf("symbolic link %s: %w", Printable(e.path, maxSubject), err)
			}
			links = append(links, link{e.path, string(target)})
			continue
		}
		pointer, err := o.writeFile(dirs, e, at)
		if err != nil {
			return nil, err
		}
		if pointer {
			notes = append(notes, Printable(e.path, maxSubject)+" is a Git LFS pointer, not the file itself")
		}
	}
	// Links come last, so that no file is ever written while there is one
	// that could be followed.
	for _, l := range links {
		if err := root.Symlink(l.target, l.path); err != nil {
			return nil, err
		}
	}
	slices.Sort(notes)
	return notes, nil
}

type link struct{ path, target string }

// lfsPointer is how the file begins that Git LFS commits in place of a large one.
const lfsPointer = "version https://git-lfs.github.com/spec/v1\n"

// writeFile writes the next answer to the entry's file.
func (o *objects) writeFile(dirs *directories, e entry, at time.Time) (lfs bool, err error) {
	kind, size, err := o.header()
	if err != nil {
		return false, err
	}
	if kind != "blob" {
		return false, &TreeError{e.path, "is a " + kind + ", not a file"}
	}
	dir, err := dirs.open(path.Dir(e.path))
	if err != nil {
		return false, err
	}
	perm := os.FileMode(0o644)
	if e.mode == modeExecutable {
		perm = 0o755
	}
	name := path.Base(e.path)
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return false, err
	}
	if size < 1024 { // the size of a pointer, by its specification
		start, _ := o.out.Peek(int(min(size, int64(len(lfsPointer)))))
		lfs = string(start) == lfsPointer
	}
	_, err = io.CopyN(f, o.out, size)
	if err := errors.Join(err, setTime(f, at), f.Close()); err != nil {
		return false, err
	}
	return lfs, o.endOfAnswer()
}

// directories keeps the last directory open: files come sorted by directory,
// and walking down from the root for each would cost more than writing it.
type directories struct {
	root *os.Root
	path string
	last *os.Root
}

func (d *directories) open(dir string) (*os.Root, error) {
	if dir == "." {
		return d.root, nil
	}
	if d.last != nil && d.path == dir {
		return d.last, nil
	}
	d.close()
	last, err := d.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d.path, d.last = dir, last
	return last, nil
}

func (d *directories) close() {
	if d.last != nil {
		d.last.Close()
		d.last = nil
	}
}
