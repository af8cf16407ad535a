// Package packtest helps the tests of the languages: trees made of strings, and
// what came of planning them.
package packtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// Repo makes a tree of file names and contents.
func Repo(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

// App returns the tree of a directory of buildpacks/testdata/apps.
func App(t testing.TB, name string) fs.FS {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	root, err := os.OpenRoot(filepath.Join(filepath.Dir(self), "..", "testdata", "apps", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root.FS()
}

// Mirror makes a mirror of files, whose content is their name; {x64}, {amd64} and
// {x86_64} stand for this machine's.
func Mirror(t testing.TB, files ...string) (m *mirror.Dir, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range files {
		file := filepath.Join(dir, Here(name))
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err = errors.Join(err, os.WriteFile(file, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return mirror.Open(dir), dir
}

// Here puts this machine's words into the name of an archive.
func Here(name string) string {
	words := []string{"{x64}", "x64", "{amd64}", "amd64", "{x86_64}", "x86_64"}
	if runtime.GOARCH == "arm64" {
		words = []string{"{x64}", "arm64", "{amd64}", "arm64", "{x86_64}", "aarch64"}
	}
	return strings.NewReplacer(words...).Replace(name)
}

// Language fills in a plan.
type Language = func(*plan.Plan, *plan.Chain) error

// Request is the one that Plan makes: change it for what a test is about.
func Request(fsys fs.FS) plan.Request {
	return plan.Request{FS: fsys, Digest: "digest", Owner: "1000", Stack: "stack"}
}

// Make plans a request in a language.
func Make(language Language, r plan.Request) (*plan.Plan, error) {
	p, chain, err := plan.Begin(r)
	if err != nil {
		return nil, err
	}
	if err := language(p, chain); err != nil {
		return nil, err
	}
	p.End(chain)
	return p, nil
}

// Plan plans a tree in a language; that it cannot fails the test.
func Plan(t testing.TB, language Language, fsys fs.FS) *plan.Plan {
	t.Helper()
	p, err := Make(language, Request(fsys))
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return p
}

// Problem returns the problem that the tree has, and all of it as text.
func Problem(t testing.TB, language Language, fsys fs.FS) (*source.Problem, string) {
	t.Helper()
	made, err := Make(language, Request(fsys))
	return AsProblem(t, made, err)
}

// AsProblem returns the problem that an error is, and all of it as text.
func AsProblem(t testing.TB, made *plan.Plan, err error) (*source.Problem, string) {
	t.Helper()
	p, ok := errors.AsType[*source.Problem](err)
	if !ok {
		t.Fatalf("plan = %+v, %v; want a problem", made, err)
	}
	return p, strings.Join(slices.Concat([]string{p.Message}, p.Evidence, p.Hints), "\n")
}

// Command returns the command of a type of process; "" when there is none.
func Command(p *plan.Plan, kind string) string {
	for _, proc := range p.Processes {
		if proc.Type == kind {
			return proc.Command
		}
	}
	return ""
}

// Layer returns the layer of that name.
func Layer(t testing.TB, p *plan.Plan, name string) plan.Layer {
	t.Helper()
	for _, l := range p.Layers {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("the plan has no layer %q, but %q", name, Names(p))
	return plan.Layer{}
}

// Names returns the names of the plan's layers, those of Build marked.
func Names(p *plan.Plan) (names []string) {
	for _, l := range p.Layers {
		name := l.Name
		if l.Build && !strings.HasSuffix(name, "build tools") {
			name += " (build)"
		}
		names = append(names, name)
	}
	return names
}

// Rebuilt returns the names of the layers whose key a change of the request
// changes, in the order of the plan.
func Rebuilt(t testing.TB, language Language, before, after plan.Request) (names []string) {
	t.Helper()
	keys := map[string]bool{}
	for _, l := range mustMake(t, language, before).Layers {
		keys[l.Key] = true
	}
	made := mustMake(t, language, after)
	for i, name := range Names(made) {
		if !keys[made.Layers[i].Key] {
			names = append(names, name)
		}
	}
	return names
}

func mustMake(t testing.TB, language Language, r plan.Request) *plan.Plan {
	t.Helper()
	p, err := Make(language, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
