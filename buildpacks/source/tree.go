// Package source reads a repository's tree: files of bounded size, JSON and TOML
// with the line of each error, and problems in words that the owner can act on.
// It knows no language.
package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/berthd/berth/units"
)

// What of a tree is read. A repository is somebody else's: nothing in it may
// cost more memory or time than this.
const (
	MaxManifest = 1 << 20   // bytes of Procfile, requirements.txt and their like
	MaxLock     = 16 << 20  // bytes of a lock file
	MaxInput    = 256 << 20 // bytes of a file that goes into a key
	maxEntries  = 20_000    // directory entries
	maxDepth    = 8         // directories
)

// OwnDir is where layers put what the repository does not have, under /app.
const OwnDir = ".berth"

// Tree reads a repository's tree within bounds, and notes what it passes over.
type Tree struct {
	FS    fs.FS    // that cannot be left, as os.Root's
	Notes []string // for the push's output, in the order in which they came up

	globbed int // entries that Glob has looked at
}

// Note adds a note, once.
func (t *Tree) Note(format string, args ...any) {
	s := Visible(fmt.Sprintf(format, args...))
	if !slices.Contains(t.Notes, s) {
		t.Notes = append(t.Notes, s)
	}
}

// Sub returns the tree of a directory. Its notes are its own.
func (t *Tree) Sub(dir string) (*Tree, error) {
	sub, err := fs.Sub(t.FS, dir)
	return &Tree{FS: sub}, err
}

// Has tells whether name is a file that can be read.
func (t *Tree) Has(name string) bool {
	info, err := fs.Stat(t.FS, name)
	if err != nil {
		// Not a missing file: a symlink that leaves the tree or leads nowhere.
		if _, lerr := fs.Lstat(t.FS, name); lerr == nil {
			t.Note("%s points outside the repository or to nothing and is ignored", Printable(name))
		}
		return false
	}
	return info.Mode().IsRegular()
}

// IsDir tells whether name is a directory.
func (t *Tree) IsDir(name string) bool {
	info, err := fs.Stat(t.FS, name)
	return err == nil && info.IsDir()
}

// Dir lists a directory; nil when there is none.
func (t *Tree) Dir(name string) []fs.DirEntry {
	entries, err := fs.ReadDir(t.FS, name)
	if err != nil {
		return nil
	}
	return entries
}

// Read returns the content of a file. The error is fs.ErrNotExist when there
// is no file that can be read, a *Problem when it is too large.
func (t *Tree) Read(name string, limit int64) ([]byte, error) {
	if !t.Has(name) {
		return nil, fs.ErrNotExist
	}
	f, err := t.FS.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, Problemf(CodeFile, "%s is larger than %s", Printable(name), units.Bytes(limit))
	}
	return data, nil
}

// Text is read for a text in UTF-8, without its byte order mark.
func (t *Tree) Text(name string, limit int64) (string, error) {
	data, err := t.Read(name, limit)
	if err != nil {
		return "", err
	}
	return plain(name, data)
}

// plain checks that data is text in UTF-8 and takes off the byte order mark.
func plain(name string, data []byte) (string, error) {
	s := string(data)
	if IsUTF16(s) {
		return "", Problemf(CodeFile, "%s is UTF-16, not UTF-8", name).
			Hint("PowerShell's > writes UTF-16; save the file as UTF-8")
	}
	s = strings.TrimPrefix(s, "\ufeff")
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		for i, line := range strings.Split(s, "\n") {
			if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
				return "", Problemf(CodeFile, "%s, line %d is not UTF-8 text", name, i+1).
					With(fmt.Sprintf("%d | %s", i+1, Printable(line))).
					Hint("save the file as UTF-8")
			}
		}
	}
	return s, nil
}

// IsUTF16 tells a text in UTF-16 by its byte order mark.
func IsUTF16(s string) bool {
	return strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff")
}

// Missing tells a file that is not there from one that cannot be used.
func Missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Walk calls fn with each file below the root, nearest first and in the order
// of names, leaving out the directories that skip names. It follows no links.
func (t *Tree) Walk(skip func(dir string) bool, fn func(name string)) {
	left := maxEntries
	level := []string{"."}
	for depth := 0; depth <= maxDepth && len(level) > 0; depth++ {
		var below []string
		for _, dir := range level {
			for _, e := range t.Dir(dir) {
				if left--; left < 0 {
					t.Note("the repository has more than %d entries; the rest is not examined", maxEntries)
					return
				}
				name := path.Join(dir, e.Name())
				switch {
				case e.IsDir() && !skip(name):
					below = append(below, name)
				case e.Type().IsRegular():
					fn(name)
				}
			}
		}
		level = below
	}
}

// maxGlobbed bounds the directory entries that all patterns of a repository may
// have looked at.
const maxGlobbed = 10 * maxEntries

// Glob returns the names that fit a pattern of path.Match's, in order. Unlike
// fs.Glob it follows no links, so that a tree that leads back into itself has an
// end, and looks at so many entries in all.
func (t *Tree) Glob(pattern string) (names []string, err error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, err
	}
	names = []string{"."}
	elements := strings.Split(path.Clean(pattern), "/")
	for i, element := range elements {
		var found []string
		fits := func(dir string, e fs.DirEntry) {
			if i == len(elements)-1 || e.IsDir() {
				found = append(found, path.Join(dir, e.Name()))
			}
		}
		for _, dir := range names {
			if !strings.ContainsAny(element, `*?[\`) {
				if info, err := fs.Lstat(t.FS, path.Join(dir, element)); err == nil {
					fits(dir, named{fs.FileInfoToDirEntry(info), element})
				}
				t.globbed++
				continue
			}
			for _, e := range t.Dir(dir) {
				if t.globbed++; t.globbed > maxGlobbed {
					t.Note("the repository's patterns fit more than %d entries; the rest is not examined", maxGlobbed)
					return found, nil
				}
				if ok, _ := path.Match(element, e.Name()); ok {
					fits(dir, e)
				}
			}
		}
		names = found
	}
	return names, nil
}

// named is an entry under the name by which it was asked for: "." and ".." too.
type named struct {
	fs.DirEntry
	name string
}

func (n named) Name() string { return n.name }

// Lines splits a text at any of the three line ends.
func Lines(s string) []string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(s, "\r", "\n"), "\n")
}

// Printable returns s as it can be shown: short and visible.
func Printable(s string) string { return Clip(Visible(s), 100) }

// Clip shortens s to width letters.
func Clip(s string, width int) string {
	if r := []rune(s); width > 3 && len(r) > width {
		return string(r[:width-3]) + "..."
	}
	return s
}

// Visible returns s without the characters that move a terminal's cursor or
// turn its direction.
func Visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// DecodeUTF16 decodes a text that begins with a byte order mark.
func DecodeUTF16(data []byte) string {
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 0xfe {
		order = binary.BigEndian
	}
	units := make([]uint16, 0, len(data)/2)
	for data = data[2:]; len(data) >= 2; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return string(utf16.Decode(units))
}
