package rust

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// cargoToml is the part of a Cargo.toml that is acted on.
type cargoToml struct {
	Package *struct {
		Name        string `toml:"name"`
		DefaultRun  string `toml:"default-run"`
		RustVersion any    `toml:"rust-version"` // or {workspace = true}
		Autobins    *bool  `toml:"autobins"`
		Build       any    `toml:"build"`
	} `toml:"package"`
	Bin []struct {
		Name     string   `toml:"name"`
		Path     string   `toml:"path"`
		Features []string `toml:"required-features"`
	} `toml:"bin"`
	Features     map[string]any `toml:"features"`
	Dependencies map[string]any `toml:"dependencies"`
	Workspace    *struct {
		Members        []string `toml:"members"`
		DefaultMembers []string `toml:"default-members"`
		Exclude        []string `toml:"exclude"`
		Package        struct {
			RustVersion any `toml:"rust-version"`
		} `toml:"package"`
		Dependencies map[string]any `toml:"dependencies"`
	} `toml:"workspace"`
}

// crate is a package of the repository.
type crate struct {
	dir  string // "." or "crates/web"
	name string
	toml cargoToml
	bins []string // the programs that a plain build makes
}

// maxCrates bounds the members of a workspace; the largest real ones have
// a few hundred.
const maxCrates = 500

// crateName is what Cargo lets packages and programs be called.
var crateName = source.NewPattern(`^[\pL_][\pL\pN_-]*$`)

// readCrates reads the root's Cargo.toml and those of its workspace's members.
func (p *project) readCrates() error {
	var root cargoToml
	if err := p.tree.TOML(source.CodeProject, "Cargo.toml", source.MaxManifest, &root); err != nil {
		return err
	}
	p.root = root
	if root.Package == nil && root.Workspace == nil {
		return source.Problemf(source.CodeProject, "Cargo.toml describes neither a package nor a workspace").
			Hint("cargo init writes one that does")
	}
	dirs := []string{"."}
	if w := root.Workspace; w != nil {
		p.atLeast(w.Package.RustVersion)
		members := p.directories(w.Members)
		excluded := p.directories(w.Exclude)
		for _, dir := range members {
			if !slices.Contains(excluded, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		if len(p.crates) == maxCrates {
			p.tree.Note("the workspace has more than %d members; the rest is not read", maxCrates)
			break
		}
		c := crate{dir: dir}
		if err := p.tree.TOML(source.CodeProject, path.Join(dir, "Cargo.toml"), source.MaxManifest, &c.toml); source.Missing(err) {
			continue // Cargo passes over what a pattern finds besides
		} else if err != nil {
			return err
		}
		if c.toml.Package == nil {
			continue
		}
		c.name = c.toml.Package.Name
		if !crateName.MatchString(c.name) {
			return source.Problemf(source.CodeProject, "%s: %q cannot be the name of a package", source.Printable(path.Join(dir, "Cargo.toml")), source.Printable(c.name))
		}
		p.atLeast(c.toml.Package.RustVersion)
		c.bins = p.bins(c)
		p.crates = append(p.crates, c)
	}
	return nil
}

// directories returns what the patterns of a workspace find.
func (p *project) directories(patterns []string) (dirs []string) {
	for _, pattern := range patterns {
		found, err := p.tree.Glob(path.Clean(pattern))
		if err != nil {
			continue // Cargo will say so
		}
		for _, dir := range found {
			if len(dirs) <= maxCrates && p.tree.Has(path.Join(dir, "Cargo.toml")) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

var leastText = source.NewPattern(`^1\.(\d{1,3})(\.\d{1,3})?$`)

// atLeast takes a rust-version into account.
func (p *project) atLeast(rustVersion any) {
	text, _ := rustVersion.(string)
	if m := leastText.FindStringSubmatch(text); m != nil {
		minor, _ := strconv.Atoi(m[1])
		p.least = max(p.least, minor)
	}
}

// bins returns the programs of a package by Cargo's rules: those it lists, and
// src/main.rs, src/bin/NAME.rs and src/bin/NAME/main.rs. One that needs features
// which are off by default is not built.
func (p *project) bins(c crate) (names []string) {
	listed := map[string]bool{} // names and files that are spoken for
	on, _ := c.toml.Features["default"].([]any)
	for _, bin := range c.toml.Bin {
		if !crateName.MatchString(bin.Name) {
			continue
		}
		listed[bin.Name] = true
		if bin.Path != "" {
			listed[path.Clean(bin.Path)] = true
		}
		off := slices.ContainsFunc(bin.Features, func(f string) bool { return !slices.Contains(on, any(f)) })
		if !off {
			names = append(names, bin.Name)
		}
	}
	if auto := c.toml.Package.Autobins; auto != nil && !*auto {
		return names
	}
	add := func(name, file string) {
		if crateName.MatchString(name) && !listed[name] && !listed[file] && p.tree.Has(path.Join(c.dir, file)) {
			names = append(names, name)
		}
	}
	add(c.name, "src/main.rs")
	for _, e := range p.tree.Dir(path.Join(c.dir, "src/bin")) {
		if name, ok := strings.CutSuffix(e.Name(), ".rs"); ok {
			add(name, "src/bin/"+e.Name())
		} else {
			add(e.Name(), "src/bin/"+e.Name()+"/main.rs")
		}
	}
	return names
}

// needs tells whether a package lists a dependency, under whatever name.
func (c crate) needs(name string) bool {
	for key, value := range c.toml.Dependencies {
		if table, ok := value.(map[string]any); ok {
			if renamed, ok := table["package"].(string); ok {
				key = renamed
			}
		}
		if key == name {
			return true
		}
	}
	return false
}
