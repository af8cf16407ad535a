package buildpacks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// repo makes a tree of file names and contents.
func repo(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

func detect(t *testing.T, fsys fs.FS) *Plan {
	t.Helper()
	plan, err := Detect(Source{FS: fsys, Digest: "digest", Owner: "1000"}, "stack")
	if err != nil {
		t.Fatalf("Detect: %v", err)
	}
	return plan
}

// problemOf returns the problem that the tree has, whole, as text.
func problemOf(t *testing.T, fsys fs.FS) (*Problem, string) {
	t.Helper()
	plan, err := Detect(Source{FS: fsys, Digest: "digest", Owner: "1000"}, "stack")
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		t.Fatalf("Detect = %+v, %v; want a problem", plan, err)
	}
	return p, strings.Join(slices.Concat([]string{p.Message}, p.Evidence, p.Hints), "\n")
}

func app(t *testing.T, name string) fs.FS {
	t.Helper()
	root, err := os.OpenRoot(filepath.Join("testdata", "apps", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root.FS()
}

func web(p *Plan) string {
	for _, proc := range p.Processes {
		if proc.Type == "web" {
			return proc.Command
		}
	}
	return ""
}

func layer(t *testing.T, p *Plan, name string) Layer {
	t.Helper()
	for _, l := range p.Layers {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("the plan has no layer %q", name)
	return Layer{}
}

// installs returns what the plan's pip commands install, in one line.
func installs(t *testing.T, p *Plan) string {
	t.Helper()
	var all []string
	for _, c := range layer(t, p, "dependencies").Commands {
		if len(c.Args) > 2 && c.Args[1] == "pip" {
			all = append(all, c.Args[4:]...)
		}
	}
	return strings.Join(all, " ")
}

const flaskApp = "from flask import Flask\napp = Flask(__name__)\n"

func TestDetect_SeedAppNeedsNoFileOfOurs(t *testing.T) {
	plan := detect(t, app(t, "flask-seed"))
	want := []Process{{Type: "web", Command: "gunicorn web:app", Inferred: true}}
	if !slices.Equal(plan.Processes, want) {
		t.Errorf("processes: got %+v, want %+v", plan.Processes, want)
	}
	if got, want := plan.Summary, "Python 3.13, Flask (web.py imports flask)"; got != want {
		t.Errorf("summary: got %q, want %q", got, want)
	}
	if got, want := installs(t, plan), "flask gunicorn"; got != want {
		t.Errorf("installs: got %q, want %q", got, want)
	}
	if !slices.ContainsFunc(plan.Notes, func(n string) bool { return strings.Contains(n, "flask, gunicorn") }) {
		t.Errorf("no note lists what is installed: %q", plan.Notes)
	}
	if got := plan.Env["PATH"]; !strings.HasPrefix(got, "/app/.berth/venv/bin:") {
		t.Errorf("PATH: got %q, want the virtual environment first", got)
	}
}

func TestDetect_Apps(t *testing.T) {
	for _, c := range []struct{ app, summary, web, installs string }{
		{"flask-requirements", "Python 3.13, Flask (shop.py imports flask)", "gunicorn shop:app --access-logfile -", "-r requirements.txt"},
		{"flask-factory", "Python 3.13, Flask (blog/__init__.py imports flask)", "gunicorn 'blog:create_app()'", "-r pyproject.toml gunicorn"},
		{"fastapi", "Python 3.13, FastAPI (main.py imports fastapi)", "uvicorn main:app --host 0.0.0.0 --port $PORT", "fastapi uvicorn"},
		{"django", "Python 3.13, Django (site1/wsgi.py imports django)", "gunicorn site1.wsgi:application", "django gunicorn"},
		{"imports", "Python 3.13, Flask (app.py imports flask)", "gunicorn app:app", "flask gunicorn pillow python-dotenv pyyaml"},
		{"local", "Python 3.13, Flask (web.py imports flask)", "gunicorn web:app", "-r requirements.txt gunicorn"},
		{"poetry", "Python 3.13, Flask (app.py imports flask)", "gunicorn app:app", "flask>=3.0,<4 gunicorn"},
		{"pipenv", "Python 3.13, Flask (app.py imports flask)", "gunicorn app:app", "flask itsdangerous>=2 gunicorn"},
		{"plain", "Python 3.13, a server of its own (main.py imports http.server)", "python main.py", ""},
		{"pinned", "Python 3.12, Flask (app.py imports flask)", "gunicorn app:app", "flask gunicorn"},
	} {
		t.Run(c.app, func(t *testing.T) {
			plan := detect(t, app(t, c.app))
			if plan.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", plan.Summary, c.summary)
			}
			if got := web(plan); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := installs(t, plan); got != c.installs {
				t.Errorf("installs: got %q, want %q", got, c.installs)
			}
		})
	}
}

func TestDetect_WhatCannotBeBuiltIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		tree fstest.MapFS
		code string
		says []string
	}{
		"empty":           {repo(), "E201", []string{"empty"}},
		"readme only":     {repo("README.md", "hi"), "E201", []string{"requirements.txt", "gunicorn web:app"}},
		"node":            {repo("package.json", "{}"), "E201", []string{"Node", "package.json"}},
		"in a folder":     {repo("README.md", "hi", "api/requirements.txt", "flask"), "E201", []string{"api looks like an app"}},
		"no web app":      {repo("hello.py", "print(1)"), "E202", []string{"read hello.py", "Procfile", "web: python hello.py"}},
		"only in strings": {repo("a.py", "'''\n"+flaskApp+"'''\n# app = Flask(__name__)\n"), "E202", []string{"read a.py"}},
		"reserved":        {repo("web.py", flaskApp, ".berth/x", "1"), "E206", []string{".berth"}},
		"shadow":          {repo("flask.py", flaskApp), "E207", []string{"flask.py", "git mv flask.py app.py"}},
		"factory's arguments": {repo("app.py", "from flask import Flask\ndef create_app(config):\n return Flask(config)\n"), "E202",
			[]string{"create_app() needs arguments"}},
		"binary requirements": {repo("web.py", flaskApp, "requirements.txt", "flask\n\xff\xfe\x00"), "E205", []string{"line 2"}},
		"bad apt package":     {repo("web.py", flaskApp, "apt-packages", "ffmpeg\n-o=Dpkg::x"), "E223", []string{"line 2"}},
		"apt removal":         {repo("web.py", flaskApp, "Aptfile", "bash-"), "E223", []string{"line 1"}},
		"apt address":         {repo("web.py", flaskApp, "Aptfile", "http://example/x.deb"), "E223", []string{"line 1"}},
		"huge requirements":   {repo("web.py", flaskApp, "requirements.txt", strings.Repeat("#", maxManifest+1)), "E205", []string{"1 MiB"}},
		"malformed pyproject": {repo("web.py", flaskApp, "pyproject.toml", "[project]\nname = \n"), "E222", []string{"pyproject.toml", "line 2"}},
		"deep pyproject":      {repo("web.py", flaskApp, "pyproject.toml", "a = "+strings.Repeat("[", 100_000)), "E222", []string{"deep"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, text := problemOf(t, c.tree)
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

func TestDetect_SymlinksOutOfTheTreeCountAsAbsent(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{"requirements.txt": "secret\n", "Procfile": "web: secret\n", "evil.py": flaskApp} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(outside, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/", filepath.Join(dir, "rootdir")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "web.py"), []byte(flaskApp), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	plan := detect(t, root.FS())
	if got := web(plan); got != "gunicorn web:app" {
		t.Errorf("web: got %q, want the app of the tree itself", got)
	}
	if got := installs(t, plan); strings.Contains(got, "secret") {
		t.Errorf("installs %q, which stands outside of the tree", got)
	}
	if !slices.ContainsFunc(plan.Notes, func(n string) bool { return strings.HasPrefix(n, "requirements.txt leads out") }) {
		t.Errorf("notes: got %q, want one about requirements.txt", plan.Notes)
	}
}

func TestDetect_HostileTreeIsReadWithinBounds(t *testing.T) {
	tree := repo("web.py", flaskApp, "esc\x1b[2J\n.py", "import win32api", "-rf.py", flaskApp, "a b.py", flaskApp, "größe.py", "x = 1", "\xff.py", "\x00\x01")
	for _, name := range []string{"big.py"} {
		tree[name] = &fstest.MapFile{Data: make([]byte, maxModule+1)}
	}
	deep := strings.Repeat("d/", 100)
	tree[deep+"x.py"] = &fstest.MapFile{Data: []byte(flaskApp)}
	for i := range 2 * maxModules {
		tree["z/"+strings.Repeat("x", i%50)+string(rune('a'+i%26))+strings.Repeat("y", i/50)+".py"] = &fstest.MapFile{Data: []byte("import os")}
	}
	plan := detect(t, tree)
	if got := web(plan); got != "gunicorn web:app" {
		t.Errorf("web: got %q", got)
	}
	for _, n := range plan.Notes {
		if strings.ContainsAny(n, "\x1b\n") {
			t.Errorf("a note moves the cursor: %q", n)
		}
	}
	if text := strings.Join(plan.Notes, "\n"); !strings.Contains(text, "big.py was not read") || !strings.Contains(text, "more than 500 Python files") {
		t.Errorf("notes: got %q", text)
	}
}

func TestOverview_FitsTheWidth(t *testing.T) {
	plan := &Plan{Processes: []Process{{Type: "web", Command: "gunicorn web:app", Inferred: true}}}
	plan.Manifest.Cron = make([]CronEntry, 2)
	if got, want := plan.Overview(65), []string{"web: gunicorn web:app (inferred)   cron: 2 jobs (app.json)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	plan.Processes = append(plan.Processes, Process{Type: "worker", Command: strings.Repeat("x", 100)})
	for _, line := range plan.Overview(65) {
		if len(line) > 65 {
			t.Errorf("%q is %d wide", line, len(line))
		}
	}
}
