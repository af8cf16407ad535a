package python

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// detect plans a tree as a Python app.
func detect(t *testing.T, fsys fs.FS) *plan.Plan {
	t.Helper()
	return packtest.Plan(t, Plan, fsys)
}

func problemOf(t *testing.T, fsys fs.FS) (*source.Problem, string) {
	t.Helper()
	return packtest.Problem(t, Plan, fsys)
}

func repo(files ...string) fstest.MapFS { return packtest.Repo(files...) }

func web(p *plan.Plan) string { return packtest.Command(p, "web") }

// installs returns what the plan's pip commands install, in one line.
func installs(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var all []string
	for _, c := range packtest.Layer(t, p, "dependencies").Commands {
		var words []string
		for _, word := range append(c.Args, ";") {
			if word != ";" {
				words = append(words, word)
				continue
			}
			if len(words) > 2 && words[1] == "pip" {
				all = append(all, words[4:]...)
			}
			words = nil
		}
	}
	return strings.Join(all, " ")
}

const flaskApp = "from flask import Flask\napp = Flask(__name__)\n"

func TestPlan_SeedAppNeedsNoFileOfOurs(t *testing.T) {
	made := detect(t, packtest.App(t, "flask-seed"))
	want := []plan.Process{{Type: "web", Command: "gunicorn web:app", Inferred: true}}
	if !slices.Equal(made.Processes, want) {
		t.Errorf("processes: got %+v, want %+v", made.Processes, want)
	}
	if got, want := made.Summary, "Python 3.13, Flask (web.py imports flask)"; got != want {
		t.Errorf("summary: got %q, want %q", got, want)
	}
	if got, want := installs(t, made), "flask gunicorn"; got != want {
		t.Errorf("installs: got %q, want %q", got, want)
	}
	if !slices.ContainsFunc(made.Notes, func(n string) bool { return strings.Contains(n, "flask, gunicorn") }) {
		t.Errorf("no note lists what is installed: %q", made.Notes)
	}
	if got := made.Env["PATH"]; !strings.HasPrefix(got, "/app/.berth/venv/bin:") {
		t.Errorf("PATH: got %q, want the virtual environment first", got)
	}
}

func TestPlan_Apps(t *testing.T) {
	for _, c := range []struct{ app, summary, web, installs string }{
		{"flask-requirements", "Python 3.13, Flask (shop.py imports flask)", "gunicorn shop:app --access-logfile -", "-r requirements.txt"},
		{"flask-factory", "Python 3.13, Flask (blog/__init__.py imports flask)", "gunicorn 'blog:create_app()'", "-r pyproject.toml gunicorn"},
		{"fastapi", "Python 3.13, FastAPI (main.py imports fastapi)", "uvicorn main:app --host 0.0.0.0 --port $PORT", "fastapi uvicorn"},
		{"django", "Python 3.13, Django (site1/wsgi.py imports django)", "gunicorn site1.wsgi:application", "django gunicorn"},
		{"python-starlette", "Python 3.13, Starlette (main.py imports starlette)", "uvicorn main:app --host 0.0.0.0 --port $PORT", "-r requirements.txt uvicorn"},
		{"python-streamlit", "Python 3.13, Streamlit (streamlit_app.py imports streamlit)",
			"streamlit run streamlit_app.py --server.port $PORT --server.address 0.0.0.0 --server.headless true", "-r requirements.txt"},
		{"imports", "Python 3.13, Flask (app.py imports flask)", "gunicorn app:app", "flask gunicorn pillow python-dotenv pyyaml"},
		{"local", "Python 3.13, Flask (web.py imports flask)", "gunicorn web:app", "-r requirements.txt gunicorn"},
		{"poetry", "Python 3.13, Flask (app.py imports flask)", "gunicorn app:app", "flask>=3.0,<4 gunicorn"},
		{"pipenv", "Python 3.13, Flask (app.py imports flask)", "gunicorn app:app", "flask itsdangerous>=2 gunicorn"},
		{"plain", "Python 3.13, a server of its own (main.py imports http.server)", "python main.py", ""},
		{"pinned", "Python 3.12, Flask (app.py imports flask)", "gunicorn app:app", "flask gunicorn"},
	} {
		t.Run(c.app, func(t *testing.T) {
			made := detect(t, packtest.App(t, c.app))
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := installs(t, made); got != c.installs {
				t.Errorf("installs: got %q, want %q", got, c.installs)
			}
		})
	}
}

func TestPlan_SymlinksOutOfTheTreeCountAsAbsent(t *testing.T) {
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
	made := detect(t, root.FS())
	if got := web(made); got != "gunicorn web:app" {
		t.Errorf("web: got %q, want the app of the tree itself", got)
	}
	if got := installs(t, made); strings.Contains(got, "secret") {
		t.Errorf("installs %q, which stands outside of the tree", got)
	}
	if !slices.ContainsFunc(made.Notes, func(n string) bool { return strings.HasPrefix(n, "requirements.txt points outside") }) {
		t.Errorf("notes: got %q, want one about requirements.txt", made.Notes)
	}
}

func TestPlan_HostileTreeIsReadWithinBounds(t *testing.T) {
	tree := repo("web.py", flaskApp, "esc\x1b[2J\n.py", "import win32api", "-rf.py", flaskApp, "a b.py", flaskApp, "größe.py", "x = 1", "\xff.py", "\x00\x01")
	for _, name := range []string{"big.py"} {
		tree[name] = &fstest.MapFile{Data: make([]byte, maxModule+1)}
	}
	deep := strings.Repeat("d/", 100)
	tree[deep+"x.py"] = &fstest.MapFile{Data: []byte(flaskApp)}
	for i := range 2 * maxModules {
		tree["z/"+strings.Repeat("x", i%50)+string(rune('a'+i%26))+strings.Repeat("y", i/50)+".py"] = &fstest.MapFile{Data: []byte("import os")}
	}
	made := detect(t, tree)
	if got := web(made); got != "gunicorn web:app" {
		t.Errorf("web: got %q", got)
	}
	for _, n := range made.Notes {
		if strings.ContainsAny(n, "\x1b\n") {
			t.Errorf("a note moves the cursor: %q", n)
		}
	}
	if text := strings.Join(made.Notes, "\n"); !strings.Contains(text, "big.py was not read") || !strings.Contains(text, "more than 500 Python files") {
		t.Errorf("notes: got %q", text)
	}
}

// A tree with everything that decides of a layer.
func keyed() fstest.MapFS {
	return repo("web.py", flaskApp, "requirements.txt", "flask\n-r extra.txt\n", "extra.txt", "gunicorn\n",
		"Procfile", "web: gunicorn web:app\n", "apt-packages", "ffmpeg\n", ".python-version", "3.12\n", "README.md", "hi")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	all := []string{"Python toolchain", "Python build tools", "apt-packages", "apt-packages (build)", "Python 3.12", "dependencies"}
	above := func(name string) []string { return all[slices.Index(all, name):] }
	for name, c := range map[string]struct {
		change func(fstest.MapFS, *plan.Request)
		stack  string
		want   []string
	}{
		"nothing":          {func(fstest.MapFS, *plan.Request) {}, "stack", nil},
		"a source line":    {func(m fstest.MapFS, s *plan.Request) { set(m, "web.py", flaskApp+"x = 1\n"); s.Digest = "other" }, "stack", nil},
		"a readme":         {func(m fstest.MapFS, s *plan.Request) { set(m, "README.md", "ho"); s.Digest = "other" }, "stack", nil},
		"requirements":     {func(m fstest.MapFS, s *plan.Request) { set(m, "requirements.txt", "flask==3\n-r extra.txt\n") }, "stack", above("dependencies")},
		"an included file": {func(m fstest.MapFS, s *plan.Request) { set(m, "extra.txt", "gunicorn==23\n") }, "stack", above("dependencies")},
		"the packages":     {func(m fstest.MapFS, s *plan.Request) { set(m, "apt-packages", "ffmpeg\nimagemagick\n") }, "stack", above("apt-packages")},
		"their order":      {func(m fstest.MapFS, s *plan.Request) { set(m, "apt-packages", "# same\n  ffmpeg ffmpeg\n") }, "stack", nil},
		"the version":      {func(m fstest.MapFS, s *plan.Request) { set(m, ".python-version", "3.10\n") }, "stack", []string{"Python 3.10", "dependencies"}},
		"another suite":    {func(m fstest.MapFS, s *plan.Request) { set(m, ".python-version", "3.11\n") }, "stack", []string{"Python 3.11 build tools", "Python 3.11 toolchain", "apt-packages", "apt-packages (build)", "dependencies"}},
		"the owner":        {func(m fstest.MapFS, s *plan.Request) { s.Owner = "1001" }, "stack", above("Python 3.12")},
		"the stack":        {func(m fstest.MapFS, s *plan.Request) {}, "other stack", all},
		"the Procfile":     {func(m fstest.MapFS, s *plan.Request) { set(m, "Procfile", "web: gunicorn -w 2 web:app\n") }, "stack", nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := keys(t, keyed(), plan.Request{Digest: "digest", Owner: "1000"}, "stack")
			m, src := keyed(), plan.Request{Digest: "digest", Owner: "1000"}
			c.change(m, &src)
			var changed []string
			after := keys(t, m, src, c.stack)
			for name, key := range after {
				if !slices.Contains(slices.Collect(maps.Values(before)), key) {
					changed = append(changed, name)
				}
			}
			slices.Sort(changed)
			want := slices.Sorted(slices.Values(c.want))
			if !slices.Equal(changed, want) {
				t.Errorf("rebuilt: got %q, want %q", changed, want)
			}
		})
	}
}

func set(m fstest.MapFS, name, content string) { m[name] = &fstest.MapFile{Data: []byte(content)} }

// keys returns the key of each layer by its name.
func keys(t *testing.T, m fstest.MapFS, src plan.Request, stack string) map[string]string {
	t.Helper()
	src.FS = m
	src.Stack = stack
	made, err := packtest.Make(Plan, src)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]string{}
	for _, l := range made.Layers {
		name := l.Name
		if l.Build && name == "apt-packages" {
			name += " (build)"
		}
		byName[name] = l.Key
	}
	if len(byName) != len(made.Layers) {
		t.Fatalf("two layers share a name: %d names of %d layers", len(byName), len(made.Layers))
	}
	return byName
}

func TestKeys_LocalRequirementMakesTheWholeTreeAnInput(t *testing.T) {
	for _, requirement := range []string{"-e .", "./lib", ".", "lib/x", "mylib @ file:///src/lib", "wheels/x-1-py3-none-any.whl", "-f wheels"} {
		m := repo("web.py", flaskApp, "requirements.txt", "flask\n"+requirement+"\n")
		one := keys(t, m, plan.Request{Digest: "one"}, "stack")
		two := keys(t, m, plan.Request{Digest: "two"}, "stack")
		if one["dependencies"] == two["dependencies"] {
			t.Errorf("%s: a change of the tree left the dependencies as they were", requirement)
		}
		if one["Python build tools"] != two["Python build tools"] {
			t.Errorf("%s: a change of the tree changed the build tools", requirement)
		}
	}
}

func TestLayers_TwoBranches(t *testing.T) {
	made := detect(t, keyed())
	byKey := map[string]plan.Layer{"stack": {Name: "stack"}}
	for _, l := range made.Layers {
		parent, ok := byKey[l.Parent]
		if !ok {
			t.Fatalf("%s stands on %s, which is not made before it", l.Name, l.Parent)
		}
		if parent.Build && !l.Build {
			t.Errorf("%s, which runs, stands on %s, which only builds", l.Name, parent.Name)
		}
		if !l.Root && !byKey[l.Builder].Build {
			t.Errorf("%s is not built by a Build layer", l.Name)
		}
		byKey[l.Key] = l
	}
	if got := byKey[made.Base()].Name; got != "dependencies" {
		t.Errorf("the source stands on %q, want the dependencies", got)
	}
	for _, l := range made.Layers {
		if l.Failure == nil || !strings.HasPrefix(l.Failure.Code, "E2") {
			t.Errorf("%s does not say what its failure means", l.Name)
		}
	}
}

func TestProcfile_EmptyOneLeavesTheChoiceToUs(t *testing.T) {
	made := detect(t, repo("web.py", flaskApp, "Procfile", "# later\n"))
	if got := web(made); got != "gunicorn web:app" {
		t.Errorf("web: got %q, want the inferred one", got)
	}
	made = detect(t, repo("web.py", flaskApp, "procfile", "web: x\n"))
	if !slices.ContainsFunc(made.Notes, func(n string) bool { return strings.Contains(n, "exactly Procfile") }) {
		t.Errorf("notes: got %q, want one about the name", made.Notes)
	}
}

func TestProcfile_ServerThatIsNotListedIsInstalled(t *testing.T) {
	for command, want := range map[string]string{
		"gunicorn web:app":                      "-r requirements.txt gunicorn",
		"WEB=1 exec gunicorn web:app":           "-r requirements.txt gunicorn",
		"python -m uvicorn web:app":             "-r requirements.txt uvicorn",
		"python migrate.py && gunicorn web:app": "-r requirements.txt gunicorn",
		"python web.py gunicorn":                "-r requirements.txt",
		"uv run gunicorn web:app":               "-r requirements.txt gunicorn",
	} {
		made := detect(t, repo("web.py", flaskApp, "requirements.txt", "flask # gunicorn\ngunicorn-foo\n", "Procfile", "web: "+command))
		if got := installs(t, made); got != want {
			t.Errorf("%s: installs %q, want %q", command, got, want)
		}
	}
	made := detect(t, repo("web.py", flaskApp, "Procfile", "web: exec poetry run --quiet gunicorn web:app"))
	if got, want := web(made), "exec gunicorn web:app"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPlan_NamesOfNoProcessAreNoted(t *testing.T) {
	made := detect(t, repo("web.py", flaskApp, "app.json", `{"formation": {"worker": {"quantity": 1}}}`))
	if text := strings.Join(made.Notes, "\n"); !strings.Contains(text, `formation names "worker"`) {
		t.Errorf("notes: got %q", text)
	}
}
