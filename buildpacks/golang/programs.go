package golang

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// programName is the name of the program in a directory, as Go gives it. ok is
// false where the directory is part of no module that is built.
func (p *project) programName(dir string) (name string, ok bool) {
	if p.mod == nil && len(p.members) == 0 {
		if dir == "." {
			return madeModule, true
		}
		return path.Base(dir), true
	}
	// The nearest go.mod above decides whose it is.
	for at := dir; ; at = path.Dir(at) {
		if m := p.members[at]; m != nil {
			if at == dir {
				return m.program(), true
			}
			return path.Base(dir), true
		}
		if at == "." || p.tree.Has(path.Join(at, "go.mod")) {
			return "", false
		}
	}
}

// aside are directories whose programs are for those who work on the app.
var aside = source.NewPattern(`(^|/)(examples?|tools?|scripts?|hack|docs?|tests?|e2e|bench(mark)?s?|contrib|third_party|magefiles)(/|$)`)

// parts are directories whose programs are parts of others: what plugins are
// made of, what is generated.
var parts = source.NewPattern(`(^|/)(internal|plugins?)(/|$)`)

// chosen returns the programs to build: those that are asked for, else the one
// in the root and those in cmd, else those that are no tools, examples or parts
// of others; else, where no other language may be meant, whatever there is.
func (p *project) chosen(all []command) (build []command, err error) {
	if spec, by := p.installSpec(); len(spec) > 0 {
		for _, pattern := range spec {
			before := len(build)
			for _, c := range all {
				if p.matches(pattern, c.dir) {
					build = append(build, c)
				}
			}
			if len(build) == before {
				return nil, source.Problemf(source.CodeNoProcess, "%s names %q, which has no package main", by, source.Printable(pattern)).
					With("there are " + list(all))
			}
		}
		return p.distinct(build), nil
	}
	for _, c := range all {
		if c.dir == "." || c.dir == "cmd" || strings.HasPrefix(c.dir, "cmd/") {
			build = append(build, c)
		}
	}
	others := []func(dir string) bool{
		func(dir string) bool { return aside.MatchString(dir) || parts.MatchString(dir) },
		func(dir string) bool { return parts.MatchString(dir) },
		func(string) bool { return false },
	}
	if p.contested {
		others = others[:1]
	}
	for _, out := range others {
		if len(build) == 0 {
			build = slices.DeleteFunc(slices.Clone(all), func(c command) bool { return out(c.dir) })
		}
	}
	return p.distinct(build), nil
}

// installSpec returns the packages that a repository made for Heroku asks for,
// and by what.
func (p *project) installSpec() (patterns []string, by string) {
	if spec := strings.Fields(p.setting("GO_INSTALL_PACKAGE_SPEC")); len(spec) > 0 {
		return spec, "app.json, GO_INSTALL_PACKAGE_SPEC"
	}
	if p.mod != nil {
		return p.mod.herokuInstall, "go.mod, +heroku install"
	}
	return nil, ""
}

// matches tells whether a pattern as `go install` takes it names a directory.
func (p *project) matches(pattern, dir string) bool {
	if p.mod != nil {
		if rest, ok := strings.CutPrefix(pattern, p.mod.path); ok && (rest == "" || rest[0] == '/') {
			pattern = "." + rest
		}
	}
	if parent, ok := strings.CutSuffix(pattern, "..."); ok {
		parent = path.Clean(parent)
		return parent == "." || dir == parent || strings.HasPrefix(dir, parent+"/")
	}
	return path.Clean(pattern) == dir
}

// distinct leaves out programs whose name an earlier one has.
func (p *project) distinct(commands []command) (kept []command) {
	for _, c := range commands {
		i := slices.IndexFunc(kept, func(k command) bool { return k.name == c.name })
		switch {
		case i < 0:
			kept = append(kept, c)
		case kept[i].dir != c.dir:
			p.tree.Note("%s and %s have the same name %s; only the first is built", kept[i].dir, c.dir, c.name)
		}
	}
	return kept
}

// web returns the program that answers requests: the only one, the one in the
// root, the one whose name says so, the only one that speaks HTTP.
func (p *project) web(build []command) (command, bool) {
	if len(build) == 1 || len(build) > 0 && build[0].dir == "." {
		return build[0], true
	}
	names := []string{"web", "server"}
	for _, dir := range source.SortedKeys(p.members) {
		app := p.members[dir].program()
		names = append(names, app, app+"-server", app+"d")
	}
	for _, name := range append(names, "api", "http", "app") {
		if i := slices.IndexFunc(build, func(c command) bool { return c.name == name }); i >= 0 {
			return build[i], true
		}
	}
	var http []command
	for _, c := range build {
		if c.http {
			http = append(http, c)
		}
	}
	if len(http) == 1 {
		return http[0], true
	}
	return command{}, false
}

// list names programs for an error, not too many of them.
func list(commands []command) string {
	var dirs []string
	for _, c := range commands[:min(len(commands), 8)] {
		dirs = append(dirs, source.Printable(c.pattern()))
	}
	if len(commands) > 8 {
		dirs = append(dirs, "...")
	}
	if len(dirs) == 0 {
		return "none"
	}
	return strings.Join(dirs, ", ")
}

// pattern is the package as an argument of the go command, which never takes it
// for an option.
func (c command) pattern() string {
	if c.dir == "." {
		return "."
	}
	return "./" + c.dir
}
