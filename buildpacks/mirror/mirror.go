// Package mirror reads the directory in which an operator keeps archives of
// tools for versions that no registry has, or that a machine does not reach. A
// tool has a folder of its name, and an archive the name that upstream gives it:
//
//	node/node-v22.9.0-linux-x64.tar.xz
//	go/go1.23.4.linux-amd64.tar.gz
//	go/SHA256SUMS                          checked where it is there
//
// It knows what archives are called, and neither asks a network nor unpacks
// anything. The directory is the operator's; but whoever may write into it
// cannot lead out of it, and what is in it costs no more than its bounds.
package mirror

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/buildpacks/source"
)

// What of a mirror is read.
const (
	maxEntries = 10_000  // of a tool's folder; Node has had some 800 releases
	maxArchive = 4 << 30 // bytes; a JDK has a twentieth of it
	maxSums    = 1 << 20 // bytes of checksums
)

// Archive is a version of a tool as the mirror has it.
type Archive struct {
	Tool    string `json:"tool"`    // "node"
	Version string `json:"version"` // "22.9.0", as upstream writes it
	Name    string `json:"name"`    // "node-v22.9.0-linux-x64.tar.xz"

	// Sum is the SHA-256 of its content, in hex; "" where nobody has asked yet.
	Sum string `json:"sum,omitempty"`

	// Kept tells that the app was built with it the last time.
	Kept bool `json:"-"`
}

// File is the archive's path in the mirror.
func (a Archive) File() string { return path.Join(a.Tool, a.Name) }

// String is what an app remembers of the archive it was built with:
// "node-v22.9.0-linux-x64.tar.xz@sha256:5d0f...".
func (a Archive) String() string { return a.Name + "@sha256:" + a.Sum }

var remembered = regexp.MustCompile(`^([^/@]{1,255})@sha256:([0-9a-f]{64})$`)

// Remembered returns the archive that an app remembers; ok is false when the
// text is none's, or it was for another machine.
func Remembered(tool, text string) (a Archive, ok bool) {
	m := remembered.FindStringSubmatch(text)
	if m == nil {
		return Archive{}, false
	}
	version, ok := parse(tool, m[1], goruntime.GOARCH)
	return Archive{Tool: tool, Version: version, Name: m[1], Sum: m[2], Kept: true}, ok
}

// Archives are those of one tool.
type Archives []Archive

// Find returns the first whose version is wanted.
func (all Archives) Find(wanted func(version string) bool) (Archive, bool) {
	for _, a := range all {
		if wanted(a.Version) {
			return a, true
		}
	}
	return Archive{}, false
}

// Tell adds to a problem which versions the mirror has, if it has any.
func (all Archives) Tell(e *source.Problem) *source.Problem {
	const most = 10
	var versions []string
	for _, a := range all {
		if !slices.Contains(versions, a.Version) {
			versions = append(versions, a.Version)
		}
	}
	if len(versions) == 0 {
		return e
	}
	more := ""
	if n := len(versions) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return e.Hint("the mirror of this machine has %s%s", strings.Join(versions[:min(len(versions), most)], ", "), more)
}

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

// Open returns the mirror of a directory, which is read anew each time.
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

// Entry is a file of the mirror, as the operator is told of it.
type Entry struct {
	Tool    string `json:"tool"`
	File    string `json:"file"`
	Version string `json:"version,omitempty"`
	Checked bool   `json:"checked"`       // SHA256SUMS names it
	Why     string `json:"why,omitempty"` // it is passed over
}

// Report is what the operator is told of the mirror.
type Report struct {
	Dir     string  `json:"dir"`
	Entries []Entry `json:"entries"`
}

// Report lists all that is in the mirror, and what of it is passed over.
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
// passed over. Links are: what they lead to may be anything of the machine's.
func usable(tool string, e fs.DirEntry) (version, why string) {
	version, ok := parse(tool, e.Name(), goruntime.GOARCH)
	if !ok {
		return "", "no name of upstream's for this machine"
	}
	info, err := e.Info()
	switch {
	case err != nil || !info.Mode().IsRegular():
		return "", "no plain file"
	case info.Size() > maxArchive:
		return "", "larger than " + source.Size(maxArchive)
	}
	return version, ""
}

// Sum returns the archive's digest, which what is made of it goes by: a file
// that is copied anew is the same, one that was mended is another, whatever
// their times say. It is read once, until it changes. What SHA256SUMS says
// otherwise, and a file that is gone, are problems.
func (d *Dir) Sum(a Archive) (string, error) {
	info, open, err := d.open(a)
	if err != nil {
		return "", err
	}
	now := summed{size: info.Size(), modified: info.ModTime()}
	d.mu.Lock()
	was := d.sums[a.File()]
	d.mu.Unlock()
	if now.sum = was.sum; was != now || was.sum == "" {
		if now.sum, err = digest(open); err != nil {
			return "", fmt.Errorf("read %s of the mirror: %w", a.File(), err)
		}
		d.mu.Lock()
		d.sums[a.File()] = now
		d.mu.Unlock()
	}
	said, err := d.checksums(a.Tool)
	if err != nil {
		return "", err
	}
	if want := said[a.Name]; want != "" && want != now.sum {
		return "", source.Problemf(source.CodeMirror, "the mirror's %s is not what its checksum says", a.File()).
			With(SumsFile+" says "+want, "the file has   "+now.sum).
			Hint("copy the archive to %s again, or mend %s beside it", filepath.Join(d.path, a.Tool), SumsFile)
	}
	return now.sum, nil
}

// Path returns where the archive is on this machine, if it is there and is what
// was planned with.
func (d *Dir) Path(a Archive) (string, error) {
	sum, err := d.Sum(a)
	if err != nil {
		return "", err
	}
	if a.Sum != "" && a.Sum != sum {
		return "", source.Problemf(source.CodeMirror, "the mirror's %s is another one than when this was planned", a.File()).
			Hint("push the same commit again, once it is whole")
	}
	return filepath.Join(d.path, a.File()), nil
}

// open returns what the archive's file is, and what opens it.
func (d *Dir) open(a Archive) (info fs.FileInfo, open func() (io.ReadCloser, error), err error) {
	gone := source.Problemf(source.CodeMirror, "the mirror has no %s any more", a.File())
	if d == nil || d.path == "" {
		return nil, nil, gone.Hint("this machine has no mirror: berth serve --mirror DIR")
	}
	gone.Hint("put it back: %s", filepath.Join(d.path, a.File())).
		Hint("or ask for another version; builder:set APP versions latest chooses one where several will do")
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, nil, gone
	}
	defer root.Close()
	if info, err = root.Lstat(a.File()); err != nil || !info.Mode().IsRegular() {
		return nil, nil, gone
	}
	return info, func() (io.ReadCloser, error) { return os.OpenInRoot(d.path, a.File()) }, nil
}

func digest(open func() (io.ReadCloser, error)) (string, error) {
	f, err := open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// SumsFile has the checksums of a tool's folder, as sha256sum * >SHA256SUMS writes.
const SumsFile = "SHA256SUMS"

// checksums returns what a tool's folder says of its files, by their names.
func (d *Dir) checksums(tool string) (map[string]string, error) {
	if d == nil || d.path == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the mirror: %w", err)
	}
	defer root.Close()
	t := source.Tree{FS: root.FS()}
	text, err := t.Text(path.Join(tool, SumsFile), maxSums)
	if source.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseSums(text), nil
}

var sumLine = regexp.MustCompile(`^([0-9A-Fa-f]{64}) [ *](?:\./)?(.+)$`)

func parseSums(text string) map[string]string {
	sums := map[string]string{}
	for _, line := range source.Lines(text) {
		if m := sumLine.FindStringSubmatch(line); m != nil {
			sums[m[2]] = strings.ToLower(m[1])
		}
	}
	return sums
}
