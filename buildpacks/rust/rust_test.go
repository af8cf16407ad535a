package rust

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

const (
	cargo = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\n"
	main  = "fn main() {}\n"
)

func repo(files ...string) fstest.MapFS { return packtest.Repo(files...) }

func web(p *plan.Plan) string { return packtest.Command(p, "web") }

// builds returns what the plan has Cargo build, in one line.
func builds(t *testing.T, p *plan.Plan) string {
	t.Helper()
	return strings.Join(packtest.Layer(t, p, "programs").Commands[0].Args[7:], " ")
}

func TestPlan_Apps(t *testing.T) {
	for _, c := range []struct{ app, summary, web, builds string }{
		{"rust-procfile", "Rust 1.96 (Cargo.toml)", "./target/release/tiny", "--package=tiny --bin=tiny"},
		{"rust-workspace", "Rust 1.96 (Cargo.toml)", "target/release/front", "--package=shop --bin=front --bin=migrate"},
		{"rust-axum", "Rust 1.96, axum (Cargo.toml)", "target/release/hello", "--package=hello --bin=hello"},
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
			if got, want := packtest.Names(made), []string{"Rust toolchain", "Rust build tools", "Rust 1.96 (build)", "programs"}; !slices.Equal(got, want) {
				t.Errorf("layers: got %q, want %q", got, want)
			}
			if len(made.Notes) > 0 {
				t.Errorf("notes: got %q", made.Notes)
			}
		})
	}
}

func TestPlan_Programs(t *testing.T) {
	virtual := "[workspace]\nmembers = [\"crates/*\"]\n"
	named := func(name, more string) string { return "[package]\nname = \"" + name + "\"\n" + more }
	for name, c := range map[string]struct {
		tree        fs.FS
		builds, web string
	}{
		"one of its name":   {repo("Cargo.toml", cargo, "src/main.rs", main, "src/bin/job.rs", main, "src/bin/tool/main.rs", main), "--package=shop --bin=shop --bin=job --bin=tool", "target/release/shop"},
		"default-run":       {repo("Cargo.toml", cargo+"default-run = \"job\"\n", "src/main.rs", main, "src/bin/job.rs", main), "--package=shop --bin=shop --bin=job", "target/release/job"},
		"listed":            {repo("Cargo.toml", cargo+"[[bin]]\nname = \"x\"\npath = \"src/main.rs\"\n", "src/main.rs", main), "--package=shop --bin=x", "target/release/x"},
		"none by itself":    {repo("Cargo.toml", cargo+"autobins = false\n[[bin]]\nname = \"x\"\n", "src/main.rs", main, "src/bin/x.rs", main), "--package=shop --bin=x", "target/release/x"},
		"a feature is off":  {repo("Cargo.toml", cargo+"[[bin]]\nname = \"cli\"\nrequired-features = [\"cli\"]\n", "src/main.rs", main, "src/bin/cli.rs", main), "--package=shop --bin=shop", "target/release/shop"},
		"a feature is on":   {repo("Cargo.toml", cargo+"[features]\ndefault = [\"cli\"]\n[[bin]]\nname = \"cli\"\nrequired-features = [\"cli\"]\n"), "--package=shop --bin=cli", "target/release/cli"},
		"Rocket":            {repo("Cargo.toml", cargo+"[dependencies]\nrocket = \"0.5\"\n", "src/main.rs", main), "--package=shop --bin=shop", "ROCKET_PORT=$PORT target/release/shop"},
		"a target of its":   {repo("Cargo.toml", cargo, "src/main.rs", main, "target/x", ""), "--package=shop --bin=shop", ".berth/bin/shop"},
		"members":           {repo("Cargo.toml", virtual, "crates/a/Cargo.toml", named("a", ""), "crates/a/src/main.rs", main, "crates/server/Cargo.toml", named("server", ""), "crates/server/src/main.rs", main, "crates/lib/Cargo.toml", named("lib", "")), "--package=a --package=server --bin=a --bin=server", "target/release/server"},
		"the one with axum": {repo("Cargo.toml", virtual, "crates/a/Cargo.toml", named("a", ""), "crates/a/src/main.rs", main, "crates/b/Cargo.toml", named("b", "[dependencies]\nw = {package = \"axum\", version = \"1\"}\n"), "crates/b/src/main.rs", main), "--package=a --package=b --bin=a --bin=b", "target/release/b"},
		"default-members":   {repo("Cargo.toml", virtual+"default-members = [\"crates/b\"]\n", "crates/a/Cargo.toml", named("a", ""), "crates/a/src/main.rs", main, "crates/b/Cargo.toml", named("b", ""), "crates/b/src/main.rs", main), "--package=b --bin=b", "target/release/b"},
		"excluded":          {repo("Cargo.toml", virtual+"exclude = [\"crates/a\"]\n", "crates/a/Cargo.toml", named("a", ""), "crates/a/src/main.rs", main, "crates/b/Cargo.toml", named("b", ""), "crates/b/src/main.rs", main), "--package=b --bin=b", "target/release/b"},
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

func TestPlan_WhatCannotBeBuiltIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		tree fs.FS
		code string
		says []string
	}{
		"malformed":     {repo("Cargo.toml", "[package\n"), "E222", []string{"Cargo.toml", "line 2"}},
		"neither":       {repo("Cargo.toml", "[dependencies]\n"), "E222", []string{"neither a package nor a workspace"}},
		"a wrong name":  {repo("Cargo.toml", "[package]\nname = \"-rf\"\n"), "E222", []string{"-rf"}},
		"a library":     {repo("Cargo.toml", cargo, "src/lib.rs", ""), "E202", []string{"no package has a src/main.rs", "read Cargo.toml"}},
		"which of them": {repo("Cargo.toml", cargo, "src/bin/a.rs", main, "src/bin/b.rs", main), "E202", []string{"2 programs", "a, b", "default-run"}},
		"no version":    {repo("Cargo.toml", cargo, "src/main.rs", main, "rust-toolchain", "newest"), "E211", []string{"rust-toolchain", "newest"}},
		"a path":        {repo("Cargo.toml", cargo, "src/main.rs", main, "rust-toolchain.toml", "[toolchain]\npath = '/x'\n"), "E211", []string{"not in the repository"}},
		"too old":       {repo("Cargo.toml", cargo+"rust-version = \"1.90\"\n", "src/main.rs", main, ".tool-versions", "rust 1.85.1"), "E211", []string{".tool-versions, line 1", "1.90"}},
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

func TestVersion(t *testing.T) {
	for name, c := range map[string]struct {
		more       string // of Cargo.toml
		files      []string
		remembered string
		want       string
		remembers  string
		downloaded bool
	}{
		"nobody asks":        {"", nil, "", "1.96", "1.96", false},
		"before":             {"", nil, "1.85", "1.85", "1.85", false},
		"before, too old":    {"rust-version = \"1.88.0\"\n", nil, "1.85", "1.96", "1.96", false},
		"at least 1.97":      {"rust-version = \"1.97\"\n", nil, "", "1.97", "", true},
		"at least 1.120":     {"rust-version = \"1.120\"\n", nil, "", "1.120", "", true},
		"stable":             {"", []string{"rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"\n"}, "", "1.96", "1.96", false},
		"Debian's":           {"", []string{"rust-toolchain.toml", "[toolchain]\nchannel = \"1.85\"\n"}, "", "1.85", "", false},
		"Debian's patch":     {"", []string{"rust-toolchain", "1.85.0\n"}, "", "1.85", "", false},
		"another":            {"", []string{"rust-toolchain", "1.92.0\n"}, "", "1.92.0", "", true},
		"nightly":            {"", []string{"rust-toolchain", "nightly-2026-01-31-x86_64-unknown-linux-gnu"}, "", "nightly-2026-01-31", "", true},
		"a table in the old": {"", []string{"rust-toolchain", "[toolchain]\nchannel = '1.97'\n"}, "", "1.97", "", true},
		"asdf":               {"", []string{".tool-versions", "rust 1.85.1\n"}, "", "1.85", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(repo(append(c.files, "Cargo.toml", cargo+c.more, "src/main.rs", main)...))
			r.Versions = map[string]string{"rust": c.remembered}
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			l := packtest.Layer(t, made, "Rust "+c.want)
			if got := made.Versions["rust"]; got != c.remembers {
				t.Errorf("remembers %q, want %q", got, c.remembers)
			}
			if got := l.Failure.Code == "E212"; got != c.downloaded {
				t.Errorf("downloaded: got %t, want %t", got, c.downloaded)
			}
		})
	}
	made := packtest.Plan(t, Plan, repo("Cargo.toml", cargo, "src/main.rs", main, "rust-toolchain", "1.85.0"))
	if notes := strings.Join(made.Notes, "\n"); !strings.Contains(notes, "asks for Rust 1.85.0; it is built with Debian's 1.85.1") {
		t.Errorf("another patch release goes unsaid: %q", notes)
	}
}

// A tree with everything that decides of a layer.
func keyed() fstest.MapFS {
	return repo("Cargo.toml", cargo, "Cargo.lock", "version = 4\n", "src/main.rs", main+"const TEXT: &str = include_str!(\"../NOTICE.md\");\n",
		"templates/index.html", "a", "README.md", "hi", "NOTICE.md", "hi", "docs/a.md", "hi", "apt-packages", "ffmpeg\n", "rust-toolchain", "1.85\n", "Procfile", "web: shop\n")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	programs := []string{"programs"}
	change := func(name, content string) func(fstest.MapFS, *plan.Request) {
		return func(m fstest.MapFS, r *plan.Request) {
			m[name] = &fstest.MapFile{Data: []byte(content)}
			r.Digest = "other"
		}
	}
	config := func(_ fstest.MapFS, r *plan.Request) { r.Owner = "1001" }
	for name, c := range map[string]struct {
		change func(fstest.MapFS, *plan.Request)
		want   []string
	}{
		"nothing":          {func(fstest.MapFS, *plan.Request) {}, nil},
		"a source line":    {change("src/main.rs", main), programs},
		"a readme":         {change("README.md", "ho"), nil},
		"an included text": {change("NOTICE.md", "ho"), programs},
		"a deeper text":    {change("docs/a.md", "ho"), programs},
		"a template":       {change("templates/index.html", "b"), programs},
		"the lock":         {change("Cargo.lock", "version = 3\n"), programs},
		"the manifest":     {change("Cargo.toml", cargo+"edition = \"2021\"\n"), programs},
		"the Procfile":     {change("Procfile", "web: shop -v\n"), nil},
		"the packages":     {change("apt-packages", "imagemagick\n"), []string{"apt-packages", "apt-packages (build)", "programs"}},
		"the pin":          {change("rust-toolchain", "1.96\n"), []string{"Rust 1.96 (build)", "apt-packages (build)", "programs"}},
		"the owner":        {config, programs},
	} {
		t.Run(name, func(t *testing.T) {
			m := keyed()
			r := packtest.Request(m)
			c.change(m, &r)
			if got := packtest.Rebuilt(t, Plan, packtest.Request(keyed()), r); !slices.Equal(got, c.want) {
				t.Errorf("rebuilt: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestInputs_ABuildScriptHasTheWholeTree(t *testing.T) {
	for name, tree := range map[string]fs.FS{
		"build.rs":  repo("Cargo.toml", cargo, "src/main.rs", main, "build.rs", main),
		"its name":  repo("Cargo.toml", cargo+"build = \"make.rs\"\n", "src/main.rs", main, "make.rs", main),
		"a symlink": fstest.MapFS{"Cargo.toml": {Data: []byte(cargo)}, "src/main.rs": {Data: []byte(main)}, "x": {Data: []byte("y"), Mode: fs.ModeSymlink}},
	} {
		if got := packtest.Layer(t, packtest.Plan(t, Plan, tree), "programs").Inputs; !slices.Equal(got, []string{"."}) {
			t.Errorf("%s: inputs: got %q, want the tree", name, got)
		}
	}
}

func TestPlan_TestsHaveTheSource(t *testing.T) {
	r := packtest.Request(keyed())
	r.Test = true
	made, err := packtest.Make(Plan, r)
	if err != nil {
		t.Fatal(err)
	}
	l := packtest.Layer(t, made, "test dependencies")
	if made.Test == nil || made.Test.Layer != l.Key || !made.Test.Whole || !l.Source || !l.Build {
		t.Errorf("got %+v in %+v", made.Test, l)
	}
	if made.Base() != packtest.Layer(t, made, "programs").Key {
		t.Errorf("the tests' layer is what runs")
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(cargo+"[[bin]]\nname = \"x\"\nrequired-features = [\"a\"]\n[features]\ndefault = 1\n", "[toolchain]\nchannel = \"stable\"\n")
	f.Add("[workspace]\nmembers = [\"*\", \"[\", \"../..\"]\ndefault-members = [\".\"]\n", "1.85.0")
	f.Fuzz(func(t *testing.T, toml, toolchain string) {
		made, err := packtest.Make(Plan, packtest.Request(repo("Cargo.toml", toml, "x/Cargo.toml", toml, "src/main.rs", main, "rust-toolchain", toolchain)))
		if err == nil && made.Summary == "" {
			t.Error("a plan without a summary")
		}
	})
}

// target/ of the root is Cargo's; a module may have the same name.
func TestInputs_AModuleCalledTargetIsOne(t *testing.T) {
	made := packtest.Plan(t, Plan, packtest.Repo("Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\n",
		"src/main.rs", "mod target;\nfn main() {}\n", "src/target/mod.rs", "", "target/debug/x.rs", ""))
	got := packtest.Layer(t, made, "programs").Inputs
	if !slices.Contains(got, "src/target/mod.rs") || slices.Contains(got, "target/debug/x.rs") {
		t.Errorf("inputs: got %q", got)
	}
}
