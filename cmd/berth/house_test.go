package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/berthd/berth"

// floors says on which floor each room stands.
var floors = map[string]int{
	"cmd": 9, "packaging": 9,
	"sshd": 8, "web": 8,
	"verbs": 7, "client": 7,
	"deploy": 6, "services": 6,
	"edge": 5, "jobs": 5, "storage": 5,
	"fleet": 4, "build": 4,
	"advice": 3, "git": 3, "property": 3,
	"buildpacks": 2, "store": 2,
	"router": 1, "runtime": 1, "access": 1, "names": 1,
	"units": 0,
}

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath   string
	Name         string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out := output(t, "go", "list", "-json=ImportPath,Name,Imports,TestImports,XTestImports", module+"/...")
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, &stderr)
	}
	return out
}

// room returns the top directory of a package of ours, and "" for others.
func room(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

func TestHouse_ImportsRunDownwards(t *testing.T) {
	for _, p := range listPackages(t) {
		from := room(p.ImportPath)
		if _, known := floors[from]; !known {
			t.Errorf("%s stands on no floor", p.ImportPath)
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			to := room(imported)
			if to != "" && to != from && floors[to] >= floors[from] {
				t.Errorf("%s imports %s, which is not below it", p.ImportPath, imported)
			}
		}
	}
}

// An interface of more methods than this is several rooms in one.
const mostMethods = 15

func TestHouse_InterfacesAreSmall(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testdata/") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if named, ok := n.(*ast.TypeSpec); ok {
				if i, ok := named.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > mostMethods && file.Name.Name != "verbstest" {
					t.Errorf("%s: %s has %d methods", path, named.Name, i.Methods.NumFields())
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A type of more methods than this is several rooms in one.
const mostMethodsOfAType = 60

func TestHouse_TypesAreSmall(t *testing.T) {
	methods := map[string]int{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testdata/") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			of := f.Recv.List[0].Type
			if star, ok := of.(*ast.StarExpr); ok {
				of = star.X
			}
			if name, ok := of.(*ast.Ident); ok {
				methods[file.Name.Name+"."+name.Name]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for of, n := range methods {
		if n > mostMethodsOfAType {
			t.Errorf("%s has %d methods, and may have %d", of, n, mostMethodsOfAType)
		}
	}
	if methods["build.Builder"] == 0 {
		t.Error("no methods were found")
	}
}

func TestHouse_OneRoomPerEngine(t *testing.T) {
	owners := map[string]string{
		"github.com/containerd/": "runtime",
		"go.etcd.io/bbolt":       "store",
	}
	for _, p := range listPackages(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for prefix, owner := range owners {
				if strings.HasPrefix(imported, prefix) && room(p.ImportPath) != owner {
					t.Errorf("%s imports %s, which is for %s alone", p.ImportPath, imported, owner)
				}
			}
		}
	}
}

func TestHouse_PackagesHaveNames(t *testing.T) {
	nameless := []string{"util", "utils", "common", "helpers", "misc", "base", "lib", "shared"}
	for _, p := range listPackages(t) {
		if slices.Contains(nameless, p.Name) || slices.Contains(nameless, path.Base(p.ImportPath)) {
			t.Errorf("%s: name it after what it does", p.ImportPath)
		}
	}
}

func TestHouse_ShippedBinaryLinksNoTesting(t *testing.T) {
	for imported := range strings.Lines(string(output(t, "go", "list", "-deps", "."))) {
		if imported = strings.TrimSpace(imported); imported == "testing" || strings.HasPrefix(imported, "testing/") {
			t.Errorf("cmd/berth links %s", imported)
		}
	}
}

// Registries are reached through the usual clients, by the configuration of
// the machine: an address of ours would bypass a mirror and a private network.
func TestHouse_NoRegistryIsNamed(t *testing.T) {
	registries := []string{ // written apart, or this file would name them
		"pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org", "proxy.go" + "lang.org",
		"deb.deb" + "ian.org", "security.deb" + "ian.org", "archive.ubun" + "tu.com", "crates" + ".io",
		"repo.maven" + ".apache.org", "repo1.mav" + "en.org", "rubygems" + ".org", "packagist" + ".org",
		"registry-1.dock" + "er.io", "gh" + "cr.io", "quay" + ".io",
	}
	args := []string{"-C", "../..", "grep", "--untracked", "-n", "-I", "-F"}
	for _, host := range registries {
		args = append(args, "-e", host)
	}
	// A lock file and a wrapper's properties are what a client wrote, of
	// whichever registry it was told.
	args = append(args, "--", ".", ":!*.lock", ":!*-wrapper.properties")
	cmd := exec.Command("git", args...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return // nothing found
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Errorf("a registry is named:\n%s", out)
}
