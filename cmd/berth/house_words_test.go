package main

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// idioms are what an engineer reads twice whose first language is another one,
// and what is said in their place.
var idioms = map[string]*regexp.Regexp{
	"ignored":                     regexp.MustCompile(`\bpassed over\b`),
	"fix":                         regexp.MustCompile(`\bmend(s|ed|ing)?\b`),
	"is not available":            regexp.MustCompile(`\b(cannot|could not|can) be had\b`),
	"does not exist":              regexp.MustCompile(`\bwhich there is not\b|\bwhich are not there\b`),
	"another owner's":             regexp.MustCompile(`\b(nobody|somebody|whoever)'s\b|\bof (theirs|ours|yours)\b`),
	"is not a":                    regexp.MustCompile(`\bis no (version|port|host|address|branch|file|app|job|user|key|name|number|status|path|archive|certificate|domain|package|public key)\b`),
	"at least, the maximum is":    regexp.MustCompile(`\bat the (least|most)\b|\bmay have no more\b|%d is the (most|least)\b`),
	"no longer":                   regexp.MustCompile(`\bno more\b|\bgood any more\b`),
	"for example":                 regexp.MustCompile(`, as [\w-]+ say\b`),
	"units.Duration, units.Bytes": regexp.MustCompile(`\b\d+m0s\b|%d ?(KB|MB|GB|KiB|MiB|GiB)\b|%\.\df ?(KB|MB|GB|KiB|MiB|GiB)\b`),
	"again":                       regexp.MustCompile(`\banew\b`),
}

// TestHouse_MessagesAreInPlainEnglish looks at the strings of the program that
// are sentences, at the texts of the admin pages and at the documentation.
func TestHouse_MessagesAreInPlainEnglish(t *testing.T) {
	refuse := func(where, text string) {
		text = strings.ReplaceAll(text, "there is no ", "") // which is plain
		for better, idiom := range idioms {
			if found := idiom.FindString(text); found != "" {
				t.Errorf("%s: %q: say it in plain English: %s", where, found, better)
			}
		}
	}
	for _, f := range goFiles(t) {
		if f.dir == "units" || strings.HasPrefix(f.dir, "packaging") {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			lit, is := n.(*ast.BasicLit)
			if !is || lit.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(lit.Value); err == nil && strings.Count(text, " ") > 0 {
				refuse(f.fset.Position(lit.Pos()).String(), text)
			}
			return true
		})
	}
	for _, pattern := range []string{"web/admin/templates/*.html", "docs/*.md", "docs/languages/*.md"} {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(data), "\n") {
				refuse(file+":"+strconv.Itoa(i+1), line)
			}
		}
	}
}

// The test would find each of its idioms.
func TestIdioms_AreFound(t *testing.T) {
	for _, text := range []string{
		"links are passed over", "mend the app", "PHP 5 cannot be had", "a builder which there is not", "an app of somebody's",
		"this is no version of Go", "5 at the least", "may have no more", "let Prometheus in no more", "encode it, as base64 say",
		"longer than 15m0s", "%d MB are free", "make it anew",
	} {
		found := false
		for _, idiom := range idioms {
			found = found || idiom.MatchString(text)
		}
		if !found {
			t.Errorf("%q is not found", text)
		}
	}
}
