// Package mirror reads the directory in which an operator keeps archives of tools,
// for versions that no registry has or that a machine cannot download. Each tool
// has a folder, and archives have their upstream names:
//
//	node/node-v22.9.0-linux-x64.tar.xz
//	go/go1.23.4.linux-amd64.tar.gz
//	go/SHA256SUMS                          checked where it is there
//
// It knows the names of archives, and neither uses a network nor unpacks anything.
// The operator owns the directory; still, its content cannot point outside of it,
// and reading it is bounded.
package mirror

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/units"
)

// What of a mirror is read.
const (
	maxEntries = 10_000  // of a tool's folder; Node has had some 800 releases
	maxArchive = 4 << 30 // bytes; a JDK has a twentieth of it
	maxSums    = 1 << 20 // bytes of checksums
)

// Dir is a mirror. nil, and one whose directory there is not, has nothing. Its
// methods are safe for concurrent use.
type Dir struct {
	path string

	mu   sync.Mutex        // guards sums; held for memory only
	sums map[string]summed // by file
}

// summed is what a file was when it was last read to its end.
type summed struct {
	size     int64
	modified time.Time
	sum      string
}

// Open returns the mirror of a directory, which is read again each time.
func Open(dir string) *Dir { return &Dir{path: dir, sums: map[string]summed{}} }

// List returns what the mirror has of a tool for this machine, the newest
// version first.
func (d *Dir) List(tool string) (list Archives, err error) {
	err = d.walk(tool, func(e fs.DirEntry) {
		if version, why := usable(tool, e); why == "" {
			list = append(list, Archive{Tool: tool, Version: version, Name: e.Name()})
		}
	})
	slices.SortFunc(list, func(a, b Archive) int {
		return cmp.Or(source.CompareVersions(numbers(b), numbers(a)), strings.Compare(a.Name, b.Name))
	})
	return list, err
}

// Entry is a file of the mirror, as operators see it.
type Entry struct {
	Tool    string `json:"tool"`
	File    string `json:"file"`
	Version string `json:"version,omitempty"`
	Checked bool   `json:"checked"`       // SHA256SUMS names it
	Why     string `json:"why,omitempty"` // it is ignored
}

// Report describes the mirror for operators.
type Report struct {
	Dir     string  `json:"dir"`
	Entries []Entry `json:"entries"`
}

// Report lists all that is in the mirror, and what of it is ignored.
func (d *Dir) Report() (Report, error) {
	r := Report{Entries: []Entry{}}
	if d == nil {
		return r, nil
	}
	r.Dir = d.path
	for _, t := range tools {
		checked, err := d.checksums(t.name)
		if err != nil {
			return r, err
		}
		err = d.walk(t.name, func(e fs.DirEntry) {
			if e.Name() == SumsFile {
				return
			}
			version, why := usable(t.name, e)
			r.Entries = append(r.Entries, Entry{t.name, e.Name(), version, checked[e.Name()] != "", why})
		})
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// walk calls fn with the entries of a tool's folder, in the order of names.
func (d *Dir) walk(tool string, fn func(fs.DirEntry)) error {
	entries, err := d.entries(tool)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the mirror: %w", err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		fn(e)
	}
	return nil
}

func (d *Dir) entries(tool string) ([]fs.DirEntry, error) {
	if d == nil || d.path == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(tool)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxEntries)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

// usable returns the version that a file of a tool's folder is, or why it is
// ignored. Links are: what they lead to may be anything of the machine's.
func usable(tool string, e fs.DirEntry) (version, why string) {
	version, ok := parse(tool, e.Name(), goruntime.GOARCH)
	if !ok {
		return "", "not an upstream file name for this machine"
	}
	info, err := e.Info()
	switch {
	case err != nil || !info.Mode().IsRegular():
		return "", "not a regular file"
	case info.Size() > maxArchive:
		return "", "larger than " + units.Bytes(maxArchive)
	}
	return version, ""
}
