package code

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// constants returns the codes that this package declares, by name.
func constants(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.CONST {
				return true
			}
			for _, spec := range decl.Specs {
				spec := spec.(*ast.ValueSpec)
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found[spec.Names[0].Name] = value
			}
			return true
		})
	}
	return found
}

func TestTable_HasEachConstantOnce(t *testing.T) {
	form := regexp.MustCompile(`^E[1-6][0-9]{2}$`)
	names, times := map[string]string{}, map[string]int{}
	for _, entry := range All() {
		times[entry.Code]++
	}
	for name, value := range constants(t) {
		if !form.MatchString(value) {
			t.Errorf("%s is %q, which is not the form of a code", name, value)
		}
		if other, taken := names[value]; taken {
			t.Errorf("%s and %s are both %s", name, other, value)
		}
		names[value] = name
		if times[value] != 1 {
			t.Errorf("%s (%s) has %d entries in the table, want 1", name, value, times[value])
		}
	}
	for value := range times {
		if names[value] == "" {
			t.Errorf("%s is in the table and has no constant", value)
		}
	}
	if len(names) < 100 {
		t.Errorf("found %d codes: does this test read the right files?", len(names))
	}
}

func TestTable_SaysSomethingOfEach(t *testing.T) {
	sentences := map[string]string{}
	end := regexp.MustCompile(`[.?]( |$)`)
	for _, e := range All() {
		if n := len([]rune(e.Sentence)); n < 15 || n > 75 || !strings.HasSuffix(e.Sentence, ".") || strings.Count(e.Sentence, ". ") > 0 {
			t.Errorf("%s: %q is not one sentence of 15 to 75 characters", e.Code, e.Sentence)
		}
		if other := sentences[e.Sentence]; other != "" {
			t.Errorf("%s and %s have the same sentence", e.Code, other)
		}
		sentences[e.Sentence] = e.Code
		if n := len(end.FindAllString(e.Help, -1)); n < 2 || n > 7 || !end.MatchString(e.Help[len(e.Help)-1:]) {
			t.Errorf("%s: its help has %d sentences, want 2 to 7", e.Code, n)
		}
		if strings.Count(e.Help, "`")%2 != 0 || strings.Contains(e.Help, "  ") || strings.TrimSpace(e.Help) != e.Help {
			t.Errorf("%s: its help has a quote that is never closed, or blanks too many: %q", e.Code, e.Help)
		}
	}
}

func TestAll_IsInOrder(t *testing.T) {
	var codes []string
	for _, e := range All() {
		codes = append(codes, e.Code)
	}
	if !slices.IsSorted(codes) {
		t.Errorf("got %v", codes)
	}
}

func TestFind_TakesACodeAsPeopleWriteIt(t *testing.T) {
	for _, word := range []string{"E301", "e301", "301", "[E301]", " E301 "} {
		if e, ok := Find(word); !ok || e.Code != InstanceUnhealthy {
			t.Errorf("%q: got %q, %v", word, e.Code, ok)
		}
	}
	for _, word := range []string{"", "E", "E999", "E30", "E3011", "EE301", "shop", "[]"} {
		if e, ok := Find(word); ok {
			t.Errorf("%q: got %s, want none", word, e.Code)
		}
	}
}

func TestScripts_AreOfCodesThatThereAre(t *testing.T) {
	for code := range scripts {
		if _, ok := Find(code); !ok {
			t.Errorf("%s is not in the table", code)
		}
	}
}
