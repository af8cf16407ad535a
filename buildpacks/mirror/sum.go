package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// Sum returns the archive's digest, which identifies the toolchain made of it:
// a copy of the same file is the same toolchain, a changed file is another one,
// whatever their times are. The file is read once, until it changes. A digest
// that contradicts SHA256SUMS, and a missing file, are problems.
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
		return "", source.Problemf(source.CodeMirror, "the mirror's %s does not match its checksum", a.File()).
			With(SumsFile+" says "+want, "the file has   "+now.sum).
			Hint("copy the archive to %s again, or correct %s beside it", filepath.Join(d.path, a.Tool), SumsFile)
	}
	return now.sum, nil
}

// Path returns the path of the archive on this machine, if it exists and has
// not changed since it was planned.
func (d *Dir) Path(a Archive) (string, error) {
	sum, err := d.Sum(a)
	if err != nil {
		return "", err
	}
	if a.Sum != "" && a.Sum != sum {
		return "", source.Problemf(source.CodeMirror, "the mirror's %s changed after this build was planned", a.File()).
			Hint("push the same commit again when the copy is complete")
	}
	return filepath.Join(d.path, a.File()), nil
}

// open returns what the archive's file is, and what opens it.
func (d *Dir) open(a Archive) (info fs.FileInfo, open func() (io.ReadCloser, error), err error) {
	gone := source.Problemf(source.CodeMirror, "the mirror no longer has %s", a.File())
	if d == nil || d.path == "" {
		return nil, nil, gone.Hint("this machine has no mirror: berth serve --mirror DIR")
	}
	gone.Hint("put it back: %s", filepath.Join(d.path, a.File())).
		Hint("or ask for another version; builder:set APP versions latest chooses one again")
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

var sumLine = source.NewPattern(`^([0-9A-Fa-f]{64}) [ *](?:\./)?(.+)$`)

func parseSums(text string) map[string]string {
	sums := map[string]string{}
	for _, line := range source.Lines(text) {
		if m := sumLine.FindStringSubmatch(line); m != nil {
			sums[m[2]] = strings.ToLower(m[1])
		}
	}
	return sums
}
