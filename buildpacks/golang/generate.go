package golang

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// preCompile is a script of the repository that runs before the compiler, as
// Heroku's buildpack has it.
const preCompile = "bin/go-pre-compile"

// lack is what the source names and the repository has not: it is made by a
// generator, or has been forgotten.
type lack struct {
	what string // "generated/schema"
	by   string // "api/handler.go imports"
}

// generators are programs whose output many keep out of their repositories, by
// the module which that output imports: its version is the one that fits.
var generators = []struct {
	module, program string
	args            string
	configs         []string // one of these is there; none is any
	source          string   // the extension of what it reads, each with an output of its own; "" is none
	output          string   // what that ends with instead
}{
	{module: "github.com/99designs/gqlgen", program: "github.com/99designs/gqlgen", configs: []string{"gqlgen.yml", "gqlgen.yaml", ".gqlgen.yml"}},
	{module: "github.com/a-h/templ", program: "github.com/a-h/templ/cmd/templ", args: " generate", source: ".templ", output: "_templ.go"},
}

// lacking returns what packages of the app import of the app and what they embed,
// where the repository has none of it. What builds may leave is not among it.
func (p *project) lacking(dir string, imports, embeds []string, dirs map[string]bool) (all []lack) {
	for _, imported := range imports {
		for _, at := range source.SortedKeys(p.members) {
			rest, ok := strings.CutPrefix(imported, p.members[at].path+"/")
			if !ok || p.members[at].path == "" {
				continue
			}
			if name := path.Join(at, rest); !dirs[name] && !p.otherModule(at, name) && !p.tree.IsDir(path.Join(p.base, "vendor", imported)) {
				all = append(all, lack{name, "the package " + dir + " imports"})
			}
		}
	}
	for _, pattern := range embeds {
		name := path.Join(dir, strings.TrimPrefix(pattern, "all:"))
		first, _, _ := strings.Cut(strings.TrimPrefix(pattern, "all:"), "/")
		if path.Ext(name) == "" || strings.ContainsAny(name, "*?[") || slices.Contains([]string{"dist", "build", "out", "public", "static", "embed", "assets"}, first) {
			continue
		}
		if !p.tree.Has(name) {
			all = append(all, lack{name, "the package " + dir + " embeds"})
		}
	}
	return all
}

// otherModule tells whether a directory is part of another module than the one
// at a directory above it.
func (p *project) otherModule(at, dir string) bool {
	for ; dir != at && dir != "."; dir = path.Dir(dir) {
		if p.tree.Has(path.Join(dir, "go.mod")) {
			return true
		}
	}
	return false
}

// generation returns the commands that make what the repository lacks: the hook,
// which runs in the root, or those that run where the module is. They are "" when
// there is nothing to make, or nothing says how. v is the Go that compiles.
func (p *project) generation(v version, found packages) (hook, commands string) {
	if p.tree.Has(preCompile) {
		p.tree.Note("%s runs before the programs are built", preCompile)
		return "bash " + preCompile + "\n", ""
	}
	for _, g := range generators {
		version, run := "", ""
		for _, at := range source.SortedKeys(p.members) {
			m := p.members[at]
			if slices.Contains(m.tools, g.program) {
				run = "go tool " + g.program
			}
			if v := m.versions[g.module]; v != "" && version == "" {
				version = v
			}
		}
		if run == "" && version != "" {
			run = "go run " + source.ShellWord(g.program+"@"+version)
		}
		what := ""
		switch {
		case run == "":
		case g.source != "":
			if i := slices.IndexFunc(found.templates, func(name string) bool {
				return path.Ext(name) == g.source && !p.tree.Has(strings.TrimSuffix(name, g.source)+g.output)
			}); i >= 0 {
				what = strings.TrimSuffix(found.templates[i], g.source) + g.output
			}
		case len(found.lacks) > 0 && slices.ContainsFunc(g.configs, func(name string) bool { return p.tree.Has(path.Join(p.base, name)) }):
			what = found.lacks[0].what
		}
		if what != "" {
			p.tree.Note("%s is not in the repository: %s generates it", source.Printable(what), path.Base(g.program))
			commands += run + g.args
			// One of before the newest Go may not read what that compiles, and says
			// nothing: gqlgen 0.17.85 does not with Go 1.27.
			if old := p.full(p.least()); old.minor >= 21 && old.less(v) {
				again := fmt.Sprintf("warning: %s failed with Go %s; once more with %s, of %s", path.Base(g.program), v, old, source.Printable(old.from))
				commands += " || { echo " + source.ShellWord(again) + "; GOTOOLCHAIN=go" + old.String() + " " + run + g.args + "; }"
			}
			commands += "\n"
		}
	}
	switch {
	case commands != "" || len(found.lacks) == 0:
	case p.generates(found.files):
		p.tree.Note("%s is not in the repository: trying go generate", source.Printable(found.lacks[0].what))
		// The compiler says it better than most generators.
		commands = `go generate ./... || echo "warning: go generate failed"` + "\n"
	default:
		p.tree.Note("%s", found.lacks[0])
		p.tree.Note("%s", itself)
	}
	return "", commands
}

// itself is what to do about what is lacking.
const itself = "commit it, or make it in a script " + preCompile + ", run before go build"

func (l lack) String() string {
	return source.Printable(fmt.Sprintf("%s %s, which is not in the repository", l.by, l.what))
}

// generates tells whether one of the files has a line for go generate.
func (p *project) generates(files []string) bool {
	left := 16 << 20 // bytes of all
	return slices.ContainsFunc(files, func(name string) bool {
		if path.Ext(name) != ".go" || left < 0 {
			return false
		}
		data, err := p.tree.Read(name, maxSource)
		left -= len(data)
		return err == nil && goGenerate.MatchString(string(data))
	})
}

var goGenerate = source.NewPattern(`(?m)^//go:generate\s`)
