package static

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/source"
)

func TestPlan_Sites(t *testing.T) {
	for name, c := range map[string]struct {
		tree         fstest.MapFS
		summary, web string
	}{
		"root":        {packtest.Repo("index.html", "x"), "static site (index.html)", "static-server --root ."},
		"public":      {packtest.Repo("public/index.html", "x", "README.md", "x"), "static site (public/index.html)", "static-server --root public"},
		"jekyll":      {packtest.Repo("_site/index.html", "x"), "static site (_site/index.html)", "static-server --root _site"},
		"Staticfile":  {packtest.Repo("Staticfile", "# a site\nroot: dist\npushstate: enabled\n", "dist/index.html", "x"), "static site (Staticfile)", "static-server --root dist --fallback index.html"},
		"empty one":   {packtest.Repo("Staticfile", "", "public/index.html", "x"), "static site (Staticfile)", "static-server --root public"},
		"its 404":     {packtest.Repo("Staticfile", "root: public\nstatus_codes:\n  404: /oops.html\n", "public/index.html", "x"), "static site (Staticfile)", "static-server --root public --error oops.html"},
		"static.json": {packtest.Repo("static.json", `{"root": "build/", "routes": {"/**": "index.html"}}`, "build/index.html", "x"), "static site (static.json)", "static-server --root build --fallback index.html"},
		"odd folder":  {packtest.Repo("Staticfile", "root: my site\n", "my site/index.html", "x"), "static site (Staticfile)", "static-server --root 'my site'"},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, c.tree)
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := packtest.Command(made, "web"); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := packtest.Names(made); !slices.Equal(got, []string{"file server"}) {
				t.Errorf("layers: got %q", got)
			}
		})
	}
}

func TestPlan_MistakesAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		tree fstest.MapFS
		says string
	}{
		"out of the tree": {packtest.Repo("Staticfile", "root: ../other\n", "index.html", "x"), "not a path in the repository"},
		"an option":       {packtest.Repo("Staticfile", "root: --x\n", "index.html", "x"), "not a path in the repository"},
		"no folder":       {packtest.Repo("Staticfile", "root: dist\n", "index.html", "x"), `the folder "dist", which does not exist`},
		"no colon":        {packtest.Repo("Staticfile", "root dist\n", "index.html", "x"), "line 1"},
		"bad JSON":        {packtest.Repo("static.json", "{", "index.html", "x"), "static.json"},
		"no page":         {packtest.Repo("README.md", "x"), "index.html"},
	} {
		if _, text := packtest.Problem(t, Plan, c.tree); !strings.Contains(text, c.says) {
			t.Errorf("%s: got %q, want %q in it", name, text, c.says)
		}
	}
}

func TestPages_ProgramsBesideThemCount(t *testing.T) {
	for name, want := range map[string]string{"about.html": "index.html", "app.py": "", "index.php": "", "main.js": "index.html"} {
		tree := &source.Tree{FS: packtest.Repo("index.html", "x", name, "x")}
		if got := Pages(tree); got != want {
			t.Errorf("index.html beside %s: got %q, want %q", name, got, want)
		}
	}
}

func TestKeys_NothingOfASiteIsBuiltAgain(t *testing.T) {
	before := packtest.Request(packtest.Repo("index.html", "x"))
	after := packtest.Request(packtest.Repo("index.html", "y", "style.css", "z"))
	after.Digest = "other"
	if got := packtest.Rebuilt(t, Plan, before, after); len(got) > 0 {
		t.Errorf("rebuilt %q", got)
	}
}

func FuzzStaticfile(f *testing.F) {
	f.Add("root: public\npushstate: enabled\n", `{"root": "x"}`)
	f.Fuzz(func(t *testing.T, text, json string) {
		for name, content := range map[string]string{staticfile: text, staticJSON: json} {
			tree := packtest.Repo("index.html", "x", "public/index.html", "x", name, content)
			made, err := packtest.Make(Plan, packtest.Request(tree))
			if err == nil && strings.Contains(packtest.Command(made, "web"), "..") && !strings.Contains(content, "...") {
				t.Errorf("%q: %q", content, packtest.Command(made, "web"))
			}
		}
	})
}
