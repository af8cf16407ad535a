package golang

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

const (
	server = "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\"\", nil) }\n"
	tool   = "package main\nfunc main() {}\n"
	goMod  = "module example.com/shop\n\ngo 1.22\n"
)

func repo(files ...string) fstest.MapFS { return packtest.Repo(files...) }

func web(p *plan.Plan) string { return packtest.Command(p, "web") }

// builds returns the packages that the plan builds, in one line.
func builds(t *testing.T, p *plan.Plan) string {
	t.Helper()
	return strings.Join(packtest.Layer(t, p, "programs").Commands[0].Args[7:], " ")
}

func TestPlan_Apps(t *testing.T) {
	for _, c := range []struct{ app, summary, web, builds, layer string }{
		{"go-root", "Go 1.27.4 (go.mod)", "bin/hello", ".", "Go 1.27.4"},
		{"go-cmd", "Go 1.27.4 (go.mod)", "bin/server", "./cmd/migrate ./cmd/server", "Go 1.27.4"},
		{"go-cgo", "Go 1.27.4 (go.mod)", "bin/sum", ".", "Go 1.27.4"},
		{"go-bare", "Go 1.27.4 (main.go)", "bin/app", ".", "Go 1.27.4"},
		{"go-toolchain", "Go 1.25.14 (go.mod)", "bin/pinned", ".", "Go 1.25.14"},
		{"go-procfile", "Go 1.27.4 (go.mod)", "web -greeting hello", "./cmd/clock ./cmd/web", "Go 1.27.4"},
	} {
		t.Run(c.app, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.App(t, c.app))
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := builds(t, made); got != c.builds {
				t.Errorf("builds: got %q, want %q", got, c.builds)
			}
			if got, want := packtest.Names(made), []string{"Go build tools", c.layer + " (build)", "programs"}; !slices.Equal(got, want) {
				t.Errorf("layers: got %q, want %q", got, want)
			}
		})
	}
}

func TestPlan_Programs(t *testing.T) {
	for name, c := range map[string]struct {
		tree        fs.FS
		builds, web string
	}{
		"the root's is the app": {repo("go.mod", goMod, "main.go", tool, "cmd/server/main.go", server), ". ./cmd/server", "bin/shop"},
		"a major version":       {repo("go.mod", "module example.com/shop/v2\n", "main.go", tool), ".", "bin/shop"},
		"named like the module": {repo("go.mod", goMod, "cmd/shop/main.go", tool, "cmd/admin/main.go", server), "./cmd/admin ./cmd/shop", "bin/shop"},
		"the one with HTTP":     {repo("go.mod", goMod, "cmd/front/main.go", server, "cmd/admin/main.go", tool), "./cmd/admin ./cmd/front", "bin/front"},
		"a bin of its own":      {repo("go.mod", goMod, "main.go", tool, "bin/deploy", "#!/bin/sh"), ".", ".berth/bin/shop"},
		"somewhere else":        {repo("go.mod", goMod, "services/front/main.go", server, "tools/gen/main.go", tool), "./services/front", "bin/front"},
		"another system's": {repo("go.mod", goMod, "cmd/web/main.go", server, "cmd/win/main_windows.go", tool, "cmd/gen/gen.go", "//go:build ignore\n\n"+tool),
			"./cmd/web", "bin/web"},
		"another module's": {repo("go.mod", goMod, "cmd/web/main.go", server, "cmd/x/go.mod", "module x\n", "cmd/x/main.go", tool), "./cmd/web", "bin/web"},
		"a newer Go's":     {repo("go.mod", goMod, "cmd/web/main.go", "//go:build go1.27\n\n"+server, "cmd/web/old.go", "//go:build !go1.27\n\npackage old\n"), "./cmd/web", "bin/web"},
		"a workspace": {repo("go.work", "go 1.22\nuse (\n\t./api\n\t./lib\n)\n", "api/go.mod", "module example.com/api\n", "api/main.go", server,
			"lib/go.mod", "module example.com/lib\n", "lib/lib.go", "package lib\n", "other/go.mod", "module o\n", "other/main.go", tool), "./api", "bin/api"},
		"Heroku's comment": {repo("go.mod", goMod+"// +heroku install example.com/shop/cmd/b ./cmd/c/...\n", "cmd/a/a.go", tool, "cmd/b/b.go", server, "cmd/c/d/d.go", tool),
			"./cmd/b ./cmd/c/d", "bin/b"},
		"Heroku's variable":        {repo("go.mod", goMod, "app.json", `{"env": {"GO_INSTALL_PACKAGE_SPEC": {"value": "./srv"}}}`, "main.go", tool, "srv/srv.go", server), "./srv", "bin/srv"},
		"an example, not a plugin": {repo("go.mod", goMod, "internal/gen/main.go", server, "plugins/echo/main.go", server, "plugin/a/main.go", server, "examples/basic/main.go", tool), "./examples/basic", "bin/basic"},
		"a command, not a part":    {repo("go.mod", goMod, "internal/app/main.go", server, "cmd/front/main.go", tool), "./cmd/front", "bin/front"},
		"a folder, not a part":     {repo("go.mod", goMod, "plugins/web/main.go", server, "daemon/main.go", tool), "./daemon", "bin/daemon"},
		"nothing but a part":       {repo("go.mod", goMod, "internal/app/main.go", server), "./internal/app", "bin/app"},
		"a name to quote":          {repo("go.mod", goMod, "cmd/a b/main.go", server), "./cmd/a b", "'bin/a b'"},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, c.tree)
			if got := builds(t, made); got != c.builds {
				t.Errorf("builds: got %q, want %q", got, c.builds)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
		})
	}
}

// What a repository leaves out is made before it is compiled, where something
// says how.
func TestPlan_WhatIsGenerated(t *testing.T) {
	const (
		gql  = goMod + "require github.com/99designs/gqlgen v0.17.85\n"
		main = "package main\nimport _ \"example.com/shop/generated/schema\"\nfunc main() {}\n"
	)
	for name, c := range map[string]struct {
		tree     fs.FS
		runs     string // "" is nothing
		note     string
		evidence string
	}{
		"gqlgen":              {repo("go.mod", gql, "go.sum", "", "gqlgen.yml", "", "main.go", main), "\ngo run github.com/99designs/gqlgen@v0.17.85 || ", "generated/schema is not in the repository: gqlgen generates it", "which is not"},
		"gqlgen, a tool":      {repo("go.mod", gql+"tool github.com/99designs/gqlgen\n", "go.sum", "", "gqlgen.yml", "", "main.go", main), "\ngo tool github.com/99designs/gqlgen || ", "gqlgen generates it", "which is not"},
		"gqlgen, all there":   {repo("go.mod", gql, "go.sum", "", "gqlgen.yml", "", "main.go", main, "generated/schema/x.go", "package schema\n"), "", "", ""},
		"templ":               {repo("go.mod", goMod+"require github.com/a-h/templ v0.3.1\n", "go.sum", "", "main.go", tool, "pages/a.templ", "x"), "\ngo run github.com/a-h/templ/cmd/templ@v0.3.1 generate || ", "pages/a_templ.go is not in the repository", ""},
		"templ, all there":    {repo("go.mod", goMod+"require github.com/a-h/templ v0.3.1\n", "go.sum", "", "main.go", tool, "pages/a.templ", "x", "pages/a_templ.go", "package pages\n"), "", "", ""},
		"go generate":         {repo("go.mod", goMod, "gen.go", "package main\n\n//go:generate go run ./gen\n", "main.go", main), "\ngo generate ./... ||", "trying go generate", "which is not"},
		"go generate, unused": {repo("go.mod", goMod, "gen.go", "package main\n\n//go:generate go run ./gen\n", "main.go", tool), "", "", ""},
		"a hook":              {repo("go.mod", gql, "go.sum", "", "gqlgen.yml", "", "main.go", main, "bin/go-pre-compile", "make"), "\nbash bin/go-pre-compile\n", "runs before the programs", "which is not"},
		"nobody's":            {repo("go.mod", goMod, "main.go", main), "", "imports generated/schema, which is not", "which is not"},
		"an embedded file":    {repo("go.mod", goMod, "main.go", "package main\nimport _ \"embed\"\n//go:embed key.pem\nvar key string\nfunc main() {}\n"), "", "embeds key.pem, which is not", "which is not"},
		"a frontend's":        {repo("go.mod", goMod, "main.go", "package main\nimport \"embed\"\n//go:embed dist/index.html build\nvar key embed.FS\nfunc main() {}\n"), "", "", ""},
		"another module's":    {repo("go.mod", goMod, "generated/schema/go.mod", "module example.com/shop/generated/schema\n", "main.go", main), "", "", ""},
		"a folder of Cgo":     {repo("go.mod", goMod, "main.go", "package main\nimport _ \"example.com/shop/c\"\nfunc main() {}\n", "c/c.go", "package c\nimport \"C\"\n"), "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, c.tree)
			l := packtest.Layer(t, made, "programs")
			script := l.Commands[0].Args[2]
			if c.runs != "" && (!strings.Contains(script, c.runs) || !slices.Equal(l.Inputs, []string{"."})) {
				t.Errorf("got %q with %q, want %q in it", script, l.Inputs, c.runs)
			}
			if ran := strings.Contains(script, "go run") || strings.Contains(script, "go tool") || strings.Contains(script, "generate") || strings.Contains(script, "bash"); ran != (c.runs != "") {
				t.Errorf("got %q", script)
			}
			if notes := strings.Join(made.Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes: got %q, want %q", notes, c.note)
			}
			evidence, hints := strings.Join(l.Failure.Evidence, "\n"), strings.Join(l.Failure.Hints, "\n")
			if !strings.Contains(evidence, c.evidence) || (c.evidence != "") != strings.Contains(hints, "bin/go-pre-compile") {
				t.Errorf("failure: got %q and %q, want %q", evidence, hints, c.evidence)
			}
		})
	}
}

// A generator may not read what a Go that came after it compiles, and has a second
// try with the one that go.mod names.
func TestPlan_GeneratorFailsWithTheNewestGo(t *testing.T) {
	const (
		first   = "local run github.com/99designs/gqlgen@v0.17.85\n"
		program = "package main\nimport _ \"example.com/shop/generated/schema\"\nfunc main() {}\n"
	)
	for name, c := range map[string]struct {
		line, pinned string // of go.mod, in .go-version
		works        string // the Go that the generator works with
		says         string
		fails        bool
	}{
		"works with the newest": {"go 1.24.0", "", "local", first, false},
		"works with go.mod's":   {"go 1.24.0", "", "go1.24.0", first + "warning: gqlgen failed with Go 1.27.4; once more with 1.24.0, of go.mod\ngo1.24.0 run github.com/99designs/gqlgen@v0.17.85\n", false},
		"no release is named":   {"go 1.24", "", fmt.Sprintf("go1.24.%d", newestPatch[24]), "\ngo1.24." + strconv.Itoa(newestPatch[24]) + " run github.com", false},
		"works with none":       {"go 1.24.0", "", "none", "\ngo1.24.0 run github.com", true},
		"it is the same":        {"go 1.24.0", "1.24.0", "none", first, true},
		"cannot be chosen":      {"go 1.20", "", "none", first, true},
	} {
		t.Run(name, func(t *testing.T) {
			mod := strings.Replace(goMod, "go 1.22", c.line, 1) + "require github.com/99designs/gqlgen v0.17.85\n"
			files := []string{"go.mod", mod, "go.sum", "", "gqlgen.yml", "", "main.go", program}
			if c.pinned != "" {
				files = append(files, ".go-version", c.pinned)
			}
			_, rest, _ := strings.Cut(packtest.Layer(t, packtest.Plan(t, Plan, repo(files...)), "programs").Commands[0].Args[2], "\ngo run ")
			line, _, _ := strings.Cut(rest, "\n")
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\necho $GOTOOLCHAIN \"$@\"\n[ $GOTOOLCHAIN = "+c.works+" ]\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-ec", "go run "+line+"\necho generated\n")
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "GOTOOLCHAIN=local")
			out, err := cmd.CombinedOutput()
			got, generated := strings.CutSuffix(string(out), "generated\n")
			if (err != nil) != c.fails || generated == c.fails || !strings.Contains(got, c.says) || c.says == first && got != first {
				t.Errorf("got %q (%v), want %q", out, err, c.says)
			}
		})
	}
}

// A repository with its Go in one folder, and a frontend in another.
func TestPlan_OneFolderHasTheModule(t *testing.T) {
	tree := repo("backend/go.mod", goMod, "backend/main.go", server, "backend/cmd/job/main.go", tool, "backend/tools/gen/main.go", tool, "backend/go.sum", "",
		"frontend/src/x.ts", "", "tools/go.mod", "module x\n", "README.md", "")
	r := packtest.Request(tree)
	r.Test = true
	made, err := packtest.Make(Plan, r)
	if err != nil {
		t.Fatal(err)
	}
	l := packtest.Layer(t, made, "programs")
	if web(made) != "bin/shop" || builds(t, made) != ". ./cmd/job" || !strings.Contains(l.Commands[0].Args[2], "\ncd backend\n") || !slices.Contains(l.Inputs, "backend/main.go") {
		t.Errorf("starts %q, builds %q of %q by %q", web(made), builds(t, made), l.Inputs, l.Commands[0].Args[2])
	}
	if made.Summary != "Go 1.27.4 (backend/go.mod)" || !strings.Contains(strings.Join(made.Notes, "\n"), "the app is backend") || made.Test.Command != "cd backend && go test ./..." {
		t.Errorf("summary %q, notes %q, test %q", made.Summary, made.Notes, made.Test.Command)
	}
	if deps := packtest.Layer(t, made, "test dependencies"); deps.Commands[0].Dir != "/src/backend" {
		t.Errorf("the modules of the tests are downloaded in %s", deps.Commands[0].Dir)
	}
	for name, files := range map[string][]string{
		"two":            {"api/go.mod", goMod, "api/main.go", server, "worker/go.mod", goMod},
		"another app":    {"api/go.mod", goMod, "api/main.go", server, "ml/requirements.txt", "flask"},
		"a tool's alone": {"tools/go.mod", goMod, "tools/main.go", server},
	} {
		if got := Nested(&source.Tree{FS: repo(files...)}); got != "" {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// Two large packages at once may want more memory than a build has.
func TestCompile_WhatWasKilledIsCompiledAlone(t *testing.T) {
	for name, c := range map[string]struct {
		program string // that go is
		fails   bool
		says    string
	}{
		"all is well":       {`echo "$@"`, false, "build -o out .\n"},
		"killed, then well": {`if [ "$2" = -p ]; then echo "$@"; else echo 'x: compile: signal: killed' >&2; exit 1; fi`, false, "build -p 1 -o out .\n"},
		"killed twice":      {`echo 'x: compile: signal: killed' >&2; exit 1`, true, "one package at a time"},
		"a mistake":         {`echo 'main.go:1: undefined: x' >&2; exit 2`, true, "main.go:1: undefined: x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\n"+c.program+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			script := "set -e\n" + strings.ReplaceAll(compile, "/tmp/", dir+"/") + "compile -o out .\necho compiled\n"
			cmd := exec.Command("sh", "-c", script)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.fails || strings.Contains(string(out), "compiled") == c.fails || !strings.Contains(string(out), c.says) {
				t.Errorf("got %v, %q; want %q", err, out, c.says)
			}
		})
	}
}

func TestPlan_ABotIsAWorker(t *testing.T) {
	const bot = goMod + "require github.com/bwmarrin/discordgo v0.28.1\n"
	for name, c := range map[string]struct {
		tree fs.FS
		kind string
	}{
		"Discord":         {repo("go.mod", bot, "go.sum", "", "main.go", tool), "worker"},
		"with a page":     {repo("go.mod", bot, "go.sum", "", "main.go", server), "web"},
		"with a package":  {repo("go.mod", bot, "go.sum", "", "main.go", tool, "api/api.go", "package api\n\nimport \"net/http\"\n\nvar X http.Server\n"), "web"},
		"no bot, no HTTP": {repo("go.mod", goMod, "main.go", tool), "web"},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, c.tree)
			if len(made.Processes) != 1 || made.Processes[0].Type != c.kind {
				t.Errorf("got %+v, want one %s", made.Processes, c.kind)
			}
		})
	}
}

func TestPlan_WhatCannotBeBuiltIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		tree fs.FS
		code string
		says []string
	}{
		"a library":         {repo("go.mod", goMod, "lib.go", "package shop\n"), "E202", []string{"no package main"}},
		"which of them":     {repo("go.mod", goMod, "cmd/a/a.go", tool, "cmd/b/b.go", tool), "E202", []string{"2 programs", "./cmd/a, ./cmd/b", "web: bin/a"}},
		"malformed":         {repo("go.mod", "module example.com/shop\nrequire\n", "main.go", tool), "E222", []string{"go.mod, line 2", "2 | require"}},
		"no module":         {repo("go.mod", "go 1.22\n", "main.go", tool), "E222", []string{"go mod init"}},
		"malformed work":    {repo("go.work", "use (\n", "main.go", tool), "E222", []string{"go.work, line"}},
		"an empty use":      {repo("go.work", "use ./x\n", "main.go", tool), "E222", []string{"go.work uses x", "dropuse=x"}},
		"no version":        {repo("go.mod", goMod, "main.go", tool, ".go-version", "\nnewest\n"), "E211", []string{".go-version, line 2", "1.27"}},
		"too old":           {repo("go.mod", goMod, "main.go", tool, ".tool-versions", "golang 1.4.2"), "E212", []string{".tool-versions, line 1", "1.13 to 1.27"}},
		"two that differ":   {repo("go.mod", goMod+"toolchain go1.25.3\n", "main.go", tool, ".go-version", "1.24.1"), "E211", []string{".go-version, line 1", "go.mod for at least 1.25.3"}},
		"install of naught": {repo("go.mod", goMod+"// +heroku install ./srv\n", "main.go", tool), "E202", []string{"+heroku install", "./srv", "there are ."}},
	} {
		t.Run(name, func(t *testing.T) {
			p, text := packtest.Problem(t, Plan, c.tree)
			if p.Code != c.code {
				t.Errorf("code: got %s, want %s", p.Code, c.code)
			}
			for _, s := range c.says {
				if !strings.Contains(text, s) {
					t.Errorf("got %q, want %q in it", text, s)
				}
			}
		})
	}
}

func TestVersion_GoModNamesTheLeastThatWillDo(t *testing.T) {
	for name, c := range map[string]struct {
		files      []string
		remembered string
		want       string
		remembers  string
	}{
		"no line":             {[]string{"go.mod", "module m\n"}, "", "1.27.4", "1.27.4"},
		"an old line":         {[]string{"go.mod", "module m\ngo 1.12\n"}, "", "1.27.4", "1.27.4"},
		"a toolchain":         {[]string{"go.mod", "module m\ngo 1.22\ntoolchain go1.24.1\n"}, "", "1.27.4", "1.27.4"},
		"what was before":     {[]string{"go.mod", "module m\ngo 1.22\n"}, "1.26.8", "1.26.8", "1.26.8"},
		"before is too old":   {[]string{"go.mod", "module m\ngo 1.26.9\n"}, "1.26.8", "1.27.4", "1.27.4"},
		"newer than is known": {[]string{"go.mod", "module m\ngo 1.28.1\n"}, "", "1.28.1", "1.28.1"},
		"a new minor":         {[]string{"go.mod", "module m\ngo 1.28\n"}, "", "1.28.0", "1.28.0"},
		"a candidate":         {[]string{"go.mod", "module m\ngo 1.28rc1\n"}, "", "1.28rc1", "1.28rc1"},
		"a workspace":         {[]string{"go.mod", "module m\n", "go.work", "go 1.28.2\nuse .\n"}, "", "1.28.2", "1.28.2"},
		"goenv":               {[]string{"go.mod", "module m\n", ".go-version", "# team's\n1.23.4\n"}, "1.26.8", "1.23.4", ""},
		"goenv, minor":        {[]string{"go.mod", "module m\n", ".go-version", "go1.24"}, "", "1.24.13", ""},
		"asdf":                {[]string{"go.mod", "module m\n", ".tool-versions", "golang 1.22.5"}, "", "1.22.5", ""},
		"mise":                {[]string{"go.mod", "module m\n", "mise.toml", "[tools]\ngo = 'prefix:1.22'"}, "", "1.22.12", ""},
		"the latest":          {[]string{"go.mod", "module m\n", "mise.toml", "[tools]\ngo = 'latest'"}, "", "1.27.4", "1.27.4"},
		"Heroku's comment":    {[]string{"go.mod", "module m\n// +heroku goVersion go1.20\n"}, "", "1.20.14", ""},
		"Heroku's variable":   {[]string{"go.mod", "module m\n", "app.json", `{"env": {"GOVERSION": "go1.19.1"}}`}, "", "1.19.1", ""},
		"the first of all":    {[]string{"go.mod", "module m\n", ".go-version", "1.23.4", ".tool-versions", "golang 1.22.5"}, "", "1.23.4", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(repo(append(c.files, "main.go", tool)...))
			r.Versions = map[string]string{"go": c.remembered}
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			packtest.Layer(t, made, "Go "+c.want)
			if got := made.Versions["go"]; got != c.remembers {
				t.Errorf("remembers %q, want %q", got, c.remembers)
			}
		})
	}
}

func TestVersion_OneThatIsNotThereSaysWhoAsked(t *testing.T) {
	made := packtest.Plan(t, Plan, repo("go.mod", goMod, "main.go", tool, ".go-version", "1.99.3"))
	failure := packtest.Layer(t, made, "Go 1.99.3").Failure
	if failure.Code != "E212" || !strings.Contains(strings.Join(failure.Evidence, ""), ".go-version, line 1") || !strings.Contains(strings.Join(failure.Hints, ""), "1.27.4") {
		t.Errorf("got %+v", failure)
	}
}

// A tree with everything that decides of a layer.
func keyed() fstest.MapFS {
	return repo("go.mod", goMod+"require example.com/x v1.0.0\n", "go.sum", "example.com/x v1.0.0 h1:x\n", "cmd/web/main.go", server, "cmd/web/main_test.go", "package main\n",
		"pages/pages.go", "package pages\nimport \"embed\"\n//go:embed static *.tmpl\nvar FS embed.FS\n", "pages/static/css/site.css", "a", "pages/a.tmpl", "a",
		"pages/other.txt", "a", "vendor/example.com/x/LICENSE", "a", "templates/index.html", "a", "README.md", "hi", "apt-packages", "ffmpeg\n",
		".go-version", "1.26.1\n", "Procfile", "web: web\n")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	programs := []string{"programs"}
	change := func(name, content string) func(fstest.MapFS, *plan.Request) {
		return func(m fstest.MapFS, r *plan.Request) {
			m[name] = &fstest.MapFile{Data: []byte(content)}
			r.Digest = "other"
		}
	}
	for name, c := range map[string]struct {
		change func(fstest.MapFS, *plan.Request)
		want   []string
	}{
		"nothing":            {func(fstest.MapFS, *plan.Request) {}, nil},
		"a source line":      {change("cmd/web/main.go", server+"var x int\n"), programs},
		"a test":             {change("cmd/web/main_test.go", "package main\nvar x int\n"), nil},
		"a readme":           {change("README.md", "ho"), nil},
		"a template":         {change("templates/index.html", "b"), nil},
		"what is embedded":   {change("pages/static/css/site.css", "b"), programs},
		"what a glob embeds": {change("pages/b.tmpl", "b"), programs},
		"what stands beside": {change("pages/other.txt", "b"), nil},
		"what is vendored":   {change("vendor/example.com/x/LICENSE", "b"), programs},
		"go.sum":             {change("go.sum", "example.com/x v1.0.0 h1:y\n"), programs},
		"go.mod":             {change("go.mod", goMod), programs},
		"another program":    {change("cmd/job/main.go", tool), programs},
		"an entry bin":       {change("bin/x", "x"), programs},
		"the Procfile":       {change("Procfile", "web: web -v\n"), nil},
		"the packages":       {change("apt-packages", "imagemagick\n"), []string{"apt-packages", "apt-packages (build)", "programs"}},
		"the pin":            {change(".go-version", "1.26.2\n"), []string{"Go 1.26.2 (build)", "apt-packages (build)", "programs"}},
		"the owner":          {func(_ fstest.MapFS, r *plan.Request) { r.Owner = "1001" }, programs},
		"the stack":          {func(_ fstest.MapFS, r *plan.Request) { r.Stack = "other" }, []string{"Go build tools", "Go 1.26.1 (build)", "apt-packages", "apt-packages (build)", "programs"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := keyed()
			r := packtest.Request(m)
			c.change(m, &r)
			got := packtest.Rebuilt(t, Plan, packtest.Request(keyed()), r)
			if !slices.Equal(got, c.want) {
				t.Errorf("rebuilt: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestInputs_WithCTheWholeTreeIsOne(t *testing.T) {
	for name, tree := range map[string]fs.FS{
		"cgo":         packtest.App(t, "go-cgo"),
		"a symlink":   fstest.MapFS{"go.mod": {Data: []byte(goMod)}, "main.go": {Data: []byte(tool)}, "x.go": {Data: []byte("other/x.go"), Mode: fs.ModeSymlink}},
		"a wrong one": repo("go.mod", goMod, "main.go", tool, "x/x.go", "package x\nimport \"\n"),
	} {
		if got := packtest.Layer(t, packtest.Plan(t, Plan, tree), "programs").Inputs; !slices.Equal(got, []string{"."}) {
			t.Errorf("%s: inputs: got %q, want the tree", name, got)
		}
	}
}

func TestPlan_TestsHaveTheirModules(t *testing.T) {
	r := packtest.Request(keyed())
	if made, err := packtest.Make(Plan, r); err != nil || made.Test != nil {
		t.Fatalf("nobody asked for tests: got %+v, %v", made.Test, err)
	}
	r.Test = true
	made, err := packtest.Make(Plan, r)
	if err != nil {
		t.Fatal(err)
	}
	l := packtest.Layer(t, made, "test dependencies")
	if made.Test == nil || made.Test.Layer != l.Key || made.Test.Command != "go test ./..." || !l.Build || l.Root {
		t.Errorf("got %+v in %+v", made.Test, l)
	}
	if made.Base() != packtest.Layer(t, made, "programs").Key {
		t.Errorf("the tests' layer is what runs")
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(goMod+"toolchain go1.24.1\n// +heroku install ./...\n", "go 1.22\nuse .\n", "package main\nimport \"embed\"\n//go:embed *\nvar x embed.FS\n", "1.22")
	f.Add("module x/v2\nreplace a => ../b\nrequire (\n", "", "//go:build ignore\npackage", "go1.x")
	f.Fuzz(func(t *testing.T, mod, work, source, version string) {
		tree := repo("go.mod", mod, "main.go", source, ".go-version", version)
		if work != "" {
			tree["go.work"] = &fstest.MapFile{Data: []byte(work)}
		}
		made, err := packtest.Make(Plan, packtest.Request(tree))
		if err == nil && made.Summary == "" {
			t.Error("a plan without a summary")
		}
	})
}
