package rust

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// What of a tree is looked at to tell what may be left out.
const (
	maxEntries = 50_000   // files and directories
	maxInputs  = 5_000    // files that are named one by one
	maxSource  = 64 << 20 // bytes of all sources
)

// A file of the root that is for people, or for berth: a program is compiled
// from it only if its source names it.
var aside = source.NewPattern(`(?i)^([^/]+\.(md|adoc|rst)|(readme|license|licence|copying|notice|authors|changelog)[^/]*|` +
	`procfile|app\.json|apt-packages|aptfile|\.buildpacks|\.git(ignore|attributes|lab-ci\.yml)|\.dockerignore|(docker-)?compose\.ya?ml|dockerfile)$`)

// inputs returns the files that the programs may be compiled from. A macro can
// include any file, so that is all but what is plainly for others; a build
// script can do whatever it wants, and has the whole tree.
func (p *project) inputs() []string {
	whole := []string{"."}
	for _, c := range p.crates {
		if off, ok := c.toml.Package.Build.(bool); ok && !off {
			continue
		}
		if c.toml.Package.Build != nil || p.tree.Has(path.Join(c.dir, "build.rs")) {
			return whole
		}
	}
	var kept, left []string
	var sources [][]byte
	entries, size := 0, 0
	err := fs.WalkDir(p.tree.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		entries++
		switch {
		case entries > maxEntries || len(kept) > maxInputs || size > maxSource:
			return fs.ErrInvalid
		case entry.IsDir():
			if base := path.Base(name); name == ".github" || name == "target" || base == "node_modules" {
				return fs.SkipDir
			}
		case !entry.Type().IsRegular():
			return fs.ErrInvalid // a link: only the tree as a whole has what is behind it
		case aside.MatchString(name):
			left = append(left, name)
		default:
			kept = append(kept, name)
			if path.Ext(name) == ".rs" {
				text, err := p.tree.Read(name, maxSource)
				if err != nil {
					return err
				}
				size += len(text)
				sources = append(sources, text)
			}
		}
		return nil
	})
	if err != nil {
		return whole
	}
	for _, name := range left {
		if slices.ContainsFunc(sources, func(text []byte) bool { return bytes.Contains(text, []byte(name)) }) {
			kept = append(kept, name)
		}
	}
	return kept
}

// exists tells whether the root has an entry of that name.
func exists(t *source.Tree, name string) bool {
	return slices.ContainsFunc(t.Dir("."), func(e fs.DirEntry) bool { return strings.EqualFold(e.Name(), name) })
}
