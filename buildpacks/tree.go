package buildpacks

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
)

// What of a tree is read. A repository is somebody else's: nothing in it may
// cost more memory or time than this.
const (
	maxManifest = 1 << 20   // bytes of Procfile, requirements.txt and their like
	maxLock     = 16 << 20  // bytes of a lock file
	maxInput    = 256 << 20 // bytes of a file that goes into a key
	maxModule   = 512 << 10 // bytes of a Python file
	maxModules  = 500       // Python files
	maxEntries  = 20_000    // directory entries
	maxDepth    = 8         // directories
)

// tree reads a source tree within bounds, and notes what it passes over.
type tree struct {
	fsys  fs.FS
	notes []string
}

func (t *tree) note(format string, args ...any) {
	s := visible(fmt.Sprintf(format, args...))
	if !slices.Contains(t.notes, s) {
		t.notes = append(t.notes, s)
	}
}

// has tells whether name is a file that can be read.
func (t *tree) has(name string) bool {
	info, err := fs.Stat(t.fsys, name)
	if err != nil {
		// Not a missing file: a symlink that leaves the tree or leads nowhere.
		if _, lerr := fs.Lstat(t.fsys, name); lerr == nil {
			t.note("%s leads out of the repository or to nothing and is passed over", printable(name))
		}
		return false
	}
	return info.Mode().IsRegular()
}

// isDir tells whether name is a directory.
func (t *tree) isDir(name string) bool {
	info, err := fs.Stat(t.fsys, name)
	return err == nil && info.IsDir()
}

// dir lists a directory; nil when there is none.
func (t *tree) dir(name string) []fs.DirEntry {
	entries, err := fs.ReadDir(t.fsys, name)
	if err != nil {
		return nil
	}
	return entries
}

// read returns the content of a file. The error is fs.ErrNotExist when there
// is no file that can be read, a *Problem when it is too large.
func (t *tree) read(name string, limit int64) ([]byte, error) {
	if !t.has(name) {
		return nil, fs.ErrNotExist
	}
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, problem(codeFile, "%s is larger than %s", printable(name), size(limit))
	}
	return data, nil
}

// text is read for a text in UTF-8, without its byte order mark.
func (t *tree) text(name string, limit int64) (string, error) {
	data, err := t.read(name, limit)
	if err != nil {
		return "", err
	}
	return plain(name, data)
}

// plain checks that data is text in UTF-8 and takes off the byte order mark.
func plain(name string, data []byte) (string, error) {
	s := string(data)
	if utf16Text(s) {
		return "", problem(codeFile, "%s is UTF-16, not UTF-8", name).
			hint("PowerShell's > writes UTF-16; save the file as UTF-8")
	}
	s = strings.TrimPrefix(s, "\ufeff")
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		for i, line := range strings.Split(s, "\n") {
			if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
				return "", problem(codeFile, "%s, line %d is no text in UTF-8", name, i+1).
					with(fmt.Sprintf("%d | %s", i+1, printable(line))).
					hint("save the file as UTF-8")
			}
		}
	}
	return s, nil
}

func utf16Text(s string) bool {
	return strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff")
}

// missing tells a file that is not there from one that cannot be used.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// walk calls fn with each file below the root, nearest first and in the order
// of names, leaving out the directories that skip names. It follows no links.
func (t *tree) walk(skip func(dir string) bool, fn func(name string)) {
	left := maxEntries
	level := []string{"."}
	for depth := 0; depth <= maxDepth && len(level) > 0; depth++ {
		var below []string
		for _, dir := range level {
			for _, e := range t.dir(dir) {
				if left--; left < 0 {
					t.note("the repository has more than %d entries; the rest was not looked at", maxEntries)
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

// lines splits a text at any of the three line ends.
func lines(s string) []string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(s, "\r", "\n"), "\n")
}

// printable returns s as it can be shown: short and visible.
func printable(s string) string { return clip(visible(s), 100) }

// visible returns s without the characters that move a terminal's cursor or
// turn its direction.
func visible(s string) string {
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

func size(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// decodeUTF16 decodes a text that begins with a byte order mark.
func decodeUTF16(data []byte) string {
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
