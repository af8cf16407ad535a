package python

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/source"
)

func TestRequirements_NamesAreParsedNeverSearchedFor(t *testing.T) {
	tr := &source.Tree{FS: repo("requirements.txt", strings.Join([]string{
		"# flask", "Flask_Login==1", "gunicorn-foo", "zope.interface>=1 ; python_version > '3'", "requests[socks] @ https://a.example/x.whl",
		"uvicorn[standard]>=0.1 \\", "  --hash=sha256:0123", "--no-binary :all:", "-i https://index.example/simple",
		"git+https://git.example/x.git@v1#egg=Some_Thing&subdirectory=y", "-e git+ssh://git@git.example/x#egg=editable", "numpy # scipy",
	}, "\n"))}
	r, err := requirementsFrom(tr, "requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"editable", "flask-login", "gunicorn-foo", "numpy", "requests", "some-thing", "uvicorn", "zope-interface"}
	if got := source.SortedKeys(r.names); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if r.local {
		t.Error("nothing here is of the tree itself")
	}
}

func TestRequirements_IncludesAreInputs(t *testing.T) {
	made := detect(t, repo("web.py", flaskApp, "requirements.txt", "-r req/base.txt\n-c req/pins.txt\n-r https://a.example/r.txt\n",
		"req/base.txt", "--requirement=more.txt\nflask\n", "req/more.txt", "-rbase.txt\n", "req/pins.txt", "flask==3\n"))
	want := []string{"req/base.txt", "req/more.txt", "req/pins.txt", "requirements.txt"}
	if got := packtest.Layer(t, made, "dependencies").Inputs; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRequirements_MistakesNameTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"flask\n-r ../secret.txt":     "requirements.txt, line 2: ../secret.txt is outside",
		"-r /etc/passwd":              "line 1: /etc/passwd is outside",
		"-r a/../../b":                "is outside",
		"\n-c none.txt":               "line 2: there is no file none.txt",
		"flask\n<<<<<<< HEAD\nflask2": "line 2: a merge conflict",
	} {
		p, all := problemOf(t, repo("web.py", flaskApp, "requirements.txt", text))
		if p.Code != "E221" || !strings.Contains(all, want) {
			t.Errorf("%q: got %s %q, want %q", text, p.Code, all, want)
		}
	}
	tree := fstest.MapFS{"web.py": {Data: []byte(flaskApp)}, "requirements.txt": {Data: []byte("-r 0.txt")}}
	for i := range maxIncludes {
		set(tree, strings.Repeat("0", i+1)+".txt", "-r "+strings.Repeat("0", i+2)+".txt")
	}
	if p, all := problemOf(t, tree); p.Code != "E221" || !strings.Contains(all, "include each other") {
		t.Errorf("a long chain: got %s %q", p.Code, all)
	}
}

func TestRequirements_UTF16IsConverted(t *testing.T) {
	data := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune("Flask==3\r\ngunicorn\r\n")) {
		data = append(data, byte(u), byte(u>>8))
	}
	made := detect(t, repo("web.py", flaskApp, "requirements.txt", string(data)))
	if got, want := installs(t, made), "-r /tmp/requirements.txt"; got != want {
		t.Errorf("installs %q, want %q (gunicorn is listed)", got, want)
	}
}

func TestManifests_LocksBeforeLists(t *testing.T) {
	const project = "[project]\nname='x'\nversion='1'\ndependencies=['flask']\n"
	lock := "version = 1\n[[package]]\nname = \"Flask\"\nversion = \"3\"\n[[package]]\nname = \"gunicorn\"\nversion = \"23\"\n"
	made := detect(t, repo("web.py", flaskApp, "pyproject.toml", project, "uv.lock", lock, "requirements.txt", "django"))
	l := packtest.Layer(t, made, "dependencies")
	if want := []string{"pyproject.toml", "uv.lock"}; !slices.Equal(l.Inputs, want) {
		t.Errorf("inputs: got %q, want %q", l.Inputs, want)
	}
	last := strings.Join(l.Commands[len(l.Commands)-1].Args, " ")
	if !strings.Contains(last, "uv lock --check") || !strings.HasSuffix(last, "--no-dev --no-install-project") {
		t.Errorf("got %q, want uv sync of what is locked", last)
	}
	if text := strings.Join(made.Notes, "\n"); !strings.Contains(text, "requirements.txt is ignored") {
		t.Errorf("notes: got %q", text)
	}
	for name, extra := range map[string]string{
		"workspace":   "[tool.uv.workspace]\nmembers=['lib/*']\n",
		"path source": "[tool.uv.sources]\nlib = {path='lib'}\n",
		"program":     "[build-system]\nrequires=[]\n[project.scripts]\nserve='x:y'\n",
	} {
		made := detect(t, repo("web.py", flaskApp, "pyproject.toml", project+extra, "uv.lock", lock, "Procfile", "web: serve"))
		if l := packtest.Layer(t, made, "dependencies"); !slices.Equal(l.Inputs, []string{"."}) || !strings.Contains(strings.Join(l.Commands[0].Args, " "), " cp -rT /src /app ; uv venv") {
			t.Errorf("%s: inputs %q, want the whole tree, where it will run", name, l.Inputs)
		}
	}
	made = detect(t, repo("web.py", flaskApp, "pyproject.toml", project+"dynamic=['version']\n", "uv.lock", lock))
	if args := strings.Join(packtest.Layer(t, made, "dependencies").Commands[0].Args, " "); !strings.Contains(args, "uv sync --frozen") || strings.Contains(args, "lock --check") {
		t.Errorf("a project that has to be built to be compared: got %q, want the lock as it is", args)
	}
	made = detect(t, repo("web.py", flaskApp, "pyproject.toml", "[tool.black]\nline-length=100\n"))
	if got, want := installs(t, made), "flask gunicorn"; got != want {
		t.Errorf("a pyproject.toml that lists nothing: installs %q, want %q", got, want)
	}
}

func TestPipenvAndPoetry_EntriesAsPipTakesThem(t *testing.T) {
	made := detect(t, repo("web.py", flaskApp, "Pipfile.lock", `{"_meta": {"sources": [{"name": "own", "url": "https://own.example/simple"}]}, "default": {
		"flask": {"version": "==3.1", "markers": "python_version >= '3.9'", "hashes": ["sha256:0"], "extras": ["async"]},
		"gunicorn": {"git": "https://git.example/g.git", "ref": "abc"}}, "develop": {"pytest": {"version": "==8"}}}`))
	if got, want := installs(t, made), "--index=https://own.example/simple flask[async]==3.1 ; python_version >= '3.9' gunicorn @ git+https://git.example/g.git@abc"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for constraint, want := range map[string]string{
		"^1.2.3": ">=1.2.3,<2", "^0.2.3": ">=0.2.3,<0.3", "^0.0.3": ">=0.0.3,<0.0.4", "^0": ">=0,<1", "~1.2.3": ">=1.2.3,<1.3", "~1": ">=1,<2",
		"1.2": "==1.2", "1.*": "==1.*", "*": "", ">=1,<2": ">=1,<2", "^1.0b2": ">=1.0b2,<2",
	} {
		if got, err := poetryVersion(constraint); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", constraint, got, err, want)
		}
	}
	made = detect(t, repo("web.py", flaskApp, "pyproject.toml", `[tool.poetry.dependencies]
python = "^3.11"
flask = {version = "^3", extras = ["async"]}
old = {version = "1", python = "<3.8"}
maybe = {version = "1", optional = true}
two = [{version = "1", python = "<3.10"}, {version = "2", python = ">=3.10"}]
lib = {git = "https://git.example/l.git", tag = "v1"}
`))
	if got, want := installs(t, made), "flask[async]>=3,<4 lib @ git+https://git.example/l.git@v1 two==2 gunicorn"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPipenvAndPoetry_NamesCannotBeOptions(t *testing.T) {
	for _, tree := range []fstest.MapFS{
		repo("web.py", flaskApp, "Pipfile", "[packages]\n\"--index-url=x\" = '*'\n"),
		repo("web.py", flaskApp, "Pipfile.lock", `{"default": {"-e": {"version": "x"}}}`),
		repo("web.py", flaskApp, "pyproject.toml", "[tool.poetry.dependencies]\n\"-rx\" = '*'\n"),
	} {
		if p, _ := problemOf(t, tree); p.Code != "E222" {
			t.Errorf("got %s, want E222", p.Code)
		}
	}
}

func FuzzRequirements(f *testing.F) {
	f.Add("flask==3 # x\n-r a.txt\n-e .\nx @ https://a/b \\\n --hash=x")
	f.Fuzz(func(t *testing.T, text string) {
		tr := &source.Tree{FS: repo("requirements.txt", text, "a.txt", text, "b/c.txt", text)}
		r, err := requirementsFrom(tr, "requirements.txt")
		if err != nil {
			return
		}
		for _, file := range r.files {
			if !slices.Contains([]string{"requirements.txt", "a.txt", "b/c.txt"}, file) {
				t.Errorf("reads %q", file)
			}
		}
	})
}

func FuzzProjectFile(f *testing.F) {
	f.Add("[project]\nrequires-python = '>=3'\ndependencies = ['flask']\n[tool.uv.sources]\nx = {path = 'y'}")
	f.Add("[tool.poetry.dependencies]\npython = '^3.8'\nflask = {version='^3', extras=['x']}")
	f.Fuzz(func(t *testing.T, text string) {
		packtest.Make(Plan, packtest.Request(repo("web.py", flaskApp, "pyproject.toml", text, "Pipfile", text)))
		packtest.Make(Plan, packtest.Request(repo("web.py", flaskApp, "pyproject.toml", text, "uv.lock", text)))
	})
}
