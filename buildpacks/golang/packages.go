package golang

import (
	"errors"
	"fmt"
	"go/build"
	"io"
	"io/fs"
	"path"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// What of a tree's Go is looked at.
const (
	maxSource  = 4 << 20 // bytes of a file
	maxEntries = 50_000  // files and directories
	maxInputs  = 5_000   // files that are named one by one; beyond, the whole tree is an input
)

// command is a package main: a program to build.
type command struct {
	dir  string // of the module: "." or "cmd/server"
	name string // "server"
	http bool   // it speaks HTTP itself: net/http or a framework is imported
}

// packages are the Go packages of a tree.
type packages struct {
	commands []command // nearest first, in the order of names
	inputs   []string  // the files that compiling may read
	any      bool      // there is a package at all
	http     bool      // one of them speaks HTTP itself

	lacks     []lack   // what they name and the tree has not
	templates []string // what generators read
	files     []string // all that is compiled, where inputs are "."
}

// compiled are the extensions of what the compiler and the assembler read
// besides Go. With cgo anything may be included: the whole tree is an input then.
var compiled = []string{".go", ".s", ".S", ".sx", ".h", ".syso"}

// scan reads the headers of the tree's packages: what they are called, what
// they import and what they embed.
func (p *project) scan(v version) (packages, error) {
	var found packages
	dirs := map[string]bool{}
	left, whole := maxEntries, false
	err := fs.WalkDir(p.tree.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // unreadable: as good as not there
		}
		if left--; left < 0 {
			whole = true
			p.tree.Note("the repository has more than %d entries; the rest is not examined", maxEntries)
			return fs.SkipAll
		}
		vendored := strings.HasPrefix(name, path.Join(p.base, "vendor")+"/")
		switch {
		case entry.IsDir():
			if !vendored && name != "." && isForeign(name) {
				return fs.SkipDir
			}
		case entry.Type()&fs.ModeSymlink != 0:
			// Whatever is behind it, only the tree as a whole has it.
			whole = whole || vendored || slices.Contains(compiled, path.Ext(name))
		case vendored:
			found.inputs = append(found.inputs, name)
		case slices.Contains(compiled, path.Ext(name)):
			if strings.HasSuffix(name, "_test.go") {
				break
			}
			found.inputs = append(found.inputs, name)
			if path.Ext(name) == ".go" {
				dirs[path.Dir(name)] = true
			}
		case slices.Contains(moduleFiles, path.Base(name)):
			found.inputs = append(found.inputs, name)
		case path.Ext(name) == ".templ":
			found.templates = append(found.templates, name)
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("walk the tree: %w", err)
	}

	ctx := p.context(v)
	for _, dir := range source.SortedKeys(dirs) {
		pkg, err := ctx.ImportDir(dir, 0)
		if _, none := errors.AsType[*build.NoGoError](err); none {
			continue
		}
		// What cannot be read for certain, or is compiled by C's rules, is given
		// all there is.
		whole = whole || err != nil || len(pkg.CgoFiles) > 0
		if pkg == nil {
			continue
		}
		found.any = true
		found.http = found.http || slices.ContainsFunc(pkg.Imports, speaksHTTP)
		found.inputs = append(found.inputs, p.embedded(dir, pkg.EmbedPatterns)...)
		found.lacks = append(found.lacks, p.lacking(dir, pkg.Imports, pkg.EmbedPatterns, dirs)...)
		if name, ok := p.programName(dir); ok && pkg.Name == "main" && len(pkg.GoFiles)+len(pkg.CgoFiles) > 0 {
			found.commands = append(found.commands, command{p.below(dir), name, slices.ContainsFunc(pkg.Imports, speaksHTTP)})
		}
	}
	slices.SortStableFunc(found.commands, func(a, b command) int { return depth(a.dir) - depth(b.dir) })
	found.files = found.inputs
	if whole || len(found.inputs) > maxInputs {
		found.inputs = []string{"."}
	}
	return found, nil
}

// below names a directory from the module that is built.
func (p *project) below(dir string) string {
	if dir == p.base {
		return "."
	}
	return strings.TrimPrefix(dir, p.base+"/")
}

// moduleFiles are read by Go besides sources.
var moduleFiles = []string{"go.mod", "go.sum", "go.work", "go.work.sum"}

// isForeign tells directories whose Go is not the app's own; Go itself passes
// over the first three kinds.
func isForeign(dir string) bool {
	base := path.Base(dir)
	return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules"
}

func depth(dir string) int {
	if dir == "." {
		return 0
	}
	return strings.Count(dir, "/") + 1
}

// context reads packages from the tree as Go does for the machine that berth
// runs on.
func (p *project) context(v version) *build.Context {
	ctx := &build.Context{
		GOOS: "linux", GOARCH: goruntime.GOARCH, Compiler: "gc", CgoEnabled: true,
		JoinPath:      path.Join,
		SplitPathList: func(string) []string { return nil },
		IsAbsPath:     path.IsAbs,
		IsDir:         p.tree.IsDir,
		HasSubdir:     func(root, dir string) (string, bool) { return "", false },
		ReadDir: func(dir string) ([]fs.FileInfo, error) {
			var infos []fs.FileInfo
			for _, e := range p.tree.Dir(dir) {
				if info, err := e.Info(); err == nil {
					infos = append(infos, info)
				}
			}
			return infos, nil
		},
		OpenFile: func(name string) (io.ReadCloser, error) {
			f, err := p.tree.FS.Open(name)
			if err != nil {
				return nil, err
			}
			return struct {
				io.Reader
				io.Closer
			}{io.LimitReader(f, maxSource), f}, nil
		},
	}
	for minor := 1; minor <= v.minor; minor++ {
		ctx.ReleaseTags = append(ctx.ReleaseTags, fmt.Sprintf("go1.%d", minor))
	}
	return ctx
}

// embedded returns the files that go:embed may take from the tree: for a
// directory all that is below it.
func (p *project) embedded(dir string, patterns []string) (files []string) {
	for _, pattern := range patterns {
		matches, err := p.tree.Glob(path.Join(dir, strings.TrimPrefix(pattern, "all:")))
		if err != nil {
			continue // the compiler will say so
		}
		for _, match := range matches {
			fs.WalkDir(p.tree.FS, match, func(name string, entry fs.DirEntry, err error) error {
				if len(files) > maxInputs {
					return fs.SkipAll
				}
				if err == nil && entry.Type().IsRegular() {
					files = append(files, name)
				}
				return nil
			})
		}
	}
	return files
}

// frameworks are modules that serve HTTP, with the names people know them by.
var frameworks = []struct{ module, title string }{
	{"github.com/gin-gonic/gin", "Gin"},
	{"github.com/labstack/echo", "Echo"},
	{"github.com/gofiber/fiber", "Fiber"},
	{"github.com/go-chi/chi", "chi"},
	{"github.com/gorilla/mux", "gorilla/mux"},
	{"github.com/beego/beego", "Beego"},
	{"github.com/valyala/fasthttp", "fasthttp"},
}

func speaksHTTP(imported string) bool {
	if imported == "net/http" {
		return true
	}
	for _, f := range frameworks {
		if imported == f.module || strings.HasPrefix(imported, f.module+"/") {
			return true
		}
	}
	return false
}
