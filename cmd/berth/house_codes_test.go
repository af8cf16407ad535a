package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berthd/berth/store/fault/code"
)

const (
	// codeRoom has the table. sourceRoom names its codes itself, because
	// buildpacks must not know store.
	codeRoom   = "store/fault/code"
	sourceRoom = "buildpacks/source"
)

var (
	codeInText = regexp.MustCompile(`\bE[1-9][0-9]{2}\b`)
	codeWhole  = regexp.MustCompile(`^E[1-9][0-9]{2}$`)
)

// goFile is a file of ours that is no test.
type goFile struct {
	name, dir string // from the root
	fset      *token.FileSet
	*ast.File
}

func goFiles(t *testing.T) (files []goFile) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() {
			if p != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		} else if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		files = append(files, goFile{rel, path.Dir(rel), fset, parsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("found %d files: does this test look at the right place?", len(files))
	}
	return files
}

// called is the name by which a file knows a package of ours, "" for not at all.
func (f goFile) called(dir string) string {
	for _, spec := range f.Imports {
		if spec.Path.Value == strconv.Quote(module+"/"+dir) {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(dir)
		}
	}
	return ""
}

// constantsIn returns the constants of a package that are strings, by name.
func constantsIn(files []goFile, dir string) map[string]string {
	found := map[string]string{}
	for _, f := range files {
		if f.dir != dir {
			continue
		}
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				for i, value := range spec.(*ast.ValueSpec).Values {
					if lit, ok := value.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						found[spec.(*ast.ValueSpec).Names[i].Name], _ = strconv.Unquote(lit.Value)
					}
				}
			}
		}
	}
	return found
}

// walk visits the nodes of a file with those that they stand in, the innermost
// last.
func (f goFile) walk(visit func(n ast.Node, within []ast.Node)) {
	var within []ast.Node
	ast.Inspect(f.File, func(n ast.Node) bool {
		if n == nil {
			within = within[:len(within)-1]
			return true
		}
		visit(n, within)
		within = append(within, n)
		return true
	})
}

func TestHouse_CodesAreConstants(t *testing.T) {
	own := constantsIn(goFiles(t), sourceRoom)
	for _, f := range goFiles(t) {
		if f.dir == codeRoom {
			continue
		}
		f.walk(func(n ast.Node, within []ast.Node) {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return
			}
			switch within[len(within)-1].(type) {
			case *ast.Field, *ast.ImportSpec: // a tag, a path
				return
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !codeInText.MatchString(text) {
				return
			}
			if f.dir == sourceRoom && slices.Contains(slices.Collect(maps.Values(own)), text) {
				if _, isConst := within[len(within)-1].(*ast.ValueSpec); isConst {
					if _, known := code.Find(text); !known {
						t.Errorf("%s: %s is not in the table of %s", f.name, text, codeRoom)
					}
					return
				}
			}
			t.Errorf("%s: %s stands here as a text; %s has constants", f.fset.Position(lit.Pos()), lit.Value, codeRoom)
		})
	}
}

func TestHouse_EachCodeIsMadeInOnePackage(t *testing.T) {
	files := goFiles(t)
	made := map[string]map[string]bool{}
	make1 := func(code, dir string) {
		if made[code] == nil {
			made[code] = map[string]bool{}
		}
		made[code][dir] = true
	}
	table, own := constantsIn(files, codeRoom), constantsIn(files, sourceRoom)
	for _, value := range own {
		if codeWhole.MatchString(value) {
			make1(value, "buildpacks") // one room: its languages share the constants
		}
	}
	for _, f := range files {
		inTable, inSource := f.called(codeRoom), f.called(sourceRoom)
		f.walk(func(n ast.Node, within []ast.Node) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || onlyRead(sel, within) {
				return
			}
			name, ok := sel.X.(*ast.Ident)
			if !ok {
				return
			}
			if value := table[sel.Sel.Name]; value != "" && name.Name == inTable {
				make1(value, f.dir)
			}
			if value := own[sel.Sel.Name]; codeWhole.MatchString(value) && name.Name == inSource && room(module+"/"+f.dir) != "buildpacks" {
				make1(value, f.dir)
			}
		})
	}
	for _, e := range code.All() {
		switch dirs := slices.Sorted(maps.Keys(made[e.Code])); len(dirs) {
		case 0:
			t.Errorf("%s is made nowhere: remove it from %s", e.Code, codeRoom)
		case 1:
		default:
			t.Errorf("%s is made in %s: one of them owns it, and offers the others a function", e.Code, strings.Join(dirs, " and "))
		}
	}
}

// onlyRead tells whether a code is compared with, or is part of a text that
// speaks of it without being its message.
func onlyRead(n ast.Node, within []ast.Node) bool {
	for _, outer := range slices.Backward(within) {
		switch outer := outer.(type) {
		case *ast.BinaryExpr:
			if outer.Op == token.EQL || outer.Op == token.NEQ {
				return true
			}
			if outer.Op != token.ADD {
				return false
			}
			if outer.Y != n {
				return true
			}
			before := outer.X // "error: ... [" + code.Name + "]" is a message
			if sum, ok := before.(*ast.BinaryExpr); ok {
				before = sum.Y
			}
			lit, ok := before.(*ast.BasicLit)
			return !ok || !strings.HasSuffix(lit.Value, `["`)
		case *ast.CaseClause:
			return slices.Contains(outer.List, n.(ast.Expr))
		case *ast.ParenExpr:
		default:
			return false
		}
	}
	return false
}

// What a shell script prints is in the table, and the table says so.
func TestHouse_ScriptsPrintCodesOfTheTable(t *testing.T) {
	printed := map[string]map[string]bool{}
	root := filepath.Join("..", "..")
	for _, pattern := range []string{"*.sh", "packaging/*"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil || !strings.HasPrefix(string(text), "#!") || strings.HasPrefix(filepath.Base(name), "test") {
				continue // a directory, or a test
			}
			for _, m := range regexp.MustCompile(`\[(E[1-9][0-9]{2})\]`).FindAllStringSubmatch(string(text), -1) {
				if printed[m[1]] == nil {
					printed[m[1]] = map[string]bool{}
				}
				printed[m[1]][filepath.Base(name)] = true
			}
		}
	}
	if len(printed) == 0 {
		t.Fatal("no script prints a code: does this test look at the right files?")
	}
	for value := range printed {
		if _, known := code.Find(value); !known {
			t.Errorf("%s of %v is not in the table", value, slices.Collect(maps.Keys(printed[value])))
		}
	}
	for _, e := range code.All() {
		if script := code.Script(e.Code); script != "" && !printed[e.Code][script] || script == "" && len(printed[e.Code]) > 0 {
			t.Errorf("%s: the table says that %q prints it, and %v do", e.Code, script, slices.Collect(maps.Keys(printed[e.Code])))
		}
	}
}
