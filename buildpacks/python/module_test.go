package python

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/buildpacks/source"
)

// required returns the modules that a source imports and cannot do without.
func required(m *module) []string {
	var names []string
	for _, i := range m.imports {
		if !i.optional && i.level == 0 && !slices.Contains(names, i.module) {
			names = append(names, i.module)
		}
	}
	return names
}

func TestParsePython_ImportsAreStatementsOnly(t *testing.T) {
	for src, want := range map[string]string{
		"import a, b.c as d; from e.f import (g as h,\n  i)  # import no":    "a b.c e.f",
		"'''\nimport no\n'''\nimport yes":                                    "yes",
		`x = "\"; import no"; import yes`:                                    "yes",
		"x = r'\\'; import yes":                                              "",
		"x = rb\"\\\\\"; import yes":                                         "yes",
		"x = f\"{d[\"a\"]}; import no\"\nimport yes":                         "yes",
		"x = f'{a:{b}}}} {{' ; import yes":                                   "yes",
		"x = f'''{\n'}'\n} import no'''\nimport yes":                         "yes",
		"x = 'unclosed\nimport yes":                                          "yes",
		"if x: import yes":                                                   "yes",
		"if (lambda: 0)(): import yes":                                       "yes",
		"if lambda: 0: import yes":                                           "yes",
		"def f():\n\timport yes\n":                                           "yes",
		"x = (\nimport_me,\n'import no')\n":                                  "",
		"import a\\\n.b":                                                     "a.b",
		"import\\\n a":                                                       "a",
		"from . import no\nfrom .no import x\nfrom a import *":               "a",
		"try:\n import no\nexcept ImportError:\n no = None\nimport yes":      "yes",
		"try: import no\nexcept (KeyError, ModuleNotFoundError): import no2": "",
		"try:\n  import no\nexcept:\n  pass":                                 "",
		"try:\n  import yes\nexcept KeyError:\n  import yes2":                "yes yes2",
		"try:\n  if x:\n    import no\nexcept Exception as e:\n  pass":       "",
		"try:\n pass\nexcept ImportError:\n pass\nelse:\n import yes":        "yes",
		"if TYPE_CHECKING:\n import no\nelse:\n import yes":                  "yes",
		"if typing.TYPE_CHECKING:\n import no":                               "",
		"if not TYPE_CHECKING:\n import yes":                                 "yes",
		"if sys.version_info < (3, 11):\n import no\nelse:\n import no2":     "",
		"\ufeffimport yes":                                                   "yes",
		"import yes\r\nimport yes2\rimport yes3":                             "yes yes2 yes3",
		"class A:\n  import yes\n  x = 1":                                    "yes",
		"importx = 1\nfrom_ = 2\nimport":                                     "",
		"from a import":                                                      "",
		"import größe":                                                       "größe",
	} {
		if got := strings.Join(required(parsePython("m.py", src)), " "); got != want {
			t.Errorf("%q: got %q, want %q", src, got, want)
		}
	}
}

func TestFindEntry(t *testing.T) {
	const imp = "from flask import Flask\n"
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"alias":                     {[]string{"a.py", "from flask import Flask as F\nsite = F(__name__)"}, "gunicorn a:site"},
		"dotted":                    {[]string{"a.py", "import flask as fl\nx: fl.Flask = fl.Flask(__name__)"}, "gunicorn a:x"},
		"chain":                     {[]string{"a.py", imp + "app = application = Flask(__name__)"}, "gunicorn a:app"},
		"star":                      {[]string{"a.py", "from flask import *\napp = Flask(__name__)"}, "gunicorn a:app"},
		"many lines":                {[]string{"a.py", imp + "app = Flask(\n  __name__,\n)"}, "gunicorn a:app"},
		"in a try":                  {[]string{"a.py", imp + "try:\n  app = Flask('x')\nfinally:\n  pass"}, "gunicorn a:app"},
		"app is preferred":          {[]string{"a.py", imp + "api = Flask('x')\napp = Flask('y')"}, "gunicorn a:app"},
		"a comparison":              {[]string{"a.py", imp + "app == Flask('x')"}, ""},
		"own class named Flask":     {[]string{"a.py", "class Flask: pass\napp = Flask()"}, ""},
		"another module's Flask":    {[]string{"a.py", "from bottles import Flask\napp = Flask()"}, ""},
		"in a function":             {[]string{"a.py", imp + "def f():\n  app = Flask('x')"}, ""},
		"in a class":                {[]string{"a.py", imp + "class A:\n  app = Flask('x')"}, ""},
		"in main only":              {[]string{"a.py", imp + "if __name__ == '__main__':\n  app = Flask('x')\n  app.run()"}, "python a.py"},
		"preferred names":           {[]string{"zoo.py", flaskApp, "web.py", flaskApp, "main.py", flaskApp}, "gunicorn main:app"},
		"then the alphabet":         {[]string{"zoo.py", flaskApp, "bar.py", flaskApp}, "gunicorn bar:app"},
		"then packages":             {[]string{"pkg/__init__.py", flaskApp, "a.py", "import os"}, "gunicorn pkg:app"},
		"root before packages":      {[]string{"pkg/__init__.py", flaskApp, "z.py", "from pkg import app"}, "gunicorn z:app"},
		"module of a package":       {[]string{"pkg/__init__.py", "", "pkg/server.py", flaskApp}, "gunicorn pkg.server:app"},
		"folder that is none":       {[]string{"back end/app.py", flaskApp}, ""},
		"folder without init":       {[]string{"backend/app.py", flaskApp}, "gunicorn --chdir backend app:app"},
		"src":                       {[]string{"src/pkg/__init__.py", "", "src/pkg/web.py", flaskApp}, "gunicorn pkg.web:app"},
		"factory":                   {[]string{"a.py", imp + "def create_app(x=1, *a, y=2, **k) -> Flask:\n  return Flask('x')"}, "gunicorn 'a:create_app()'"},
		"factory, arguments":        {[]string{"a.py", imp + "def make_app(x):\n  return Flask('x')"}, ""},
		"factory, keyword needed":   {[]string{"a.py", imp + "def make_app(*, x):\n  return Flask('x')"}, ""},
		"instance before factory":   {[]string{"app.py", imp + "def create_app():\n  return Flask('x')", "wsgi.py", "from app import create_app\napp = create_app()"}, "gunicorn wsgi:app"},
		"factory of a package":      {[]string{"run.py", "from pkg import create_app\napp = create_app('dev')", "pkg/__init__.py", "from .core import create_app", "pkg/core.py", imp + "def create_app(c):\n  return Flask(c)"}, "gunicorn run:app"},
		"circle of imports":         {[]string{"a.py", "from b import app", "b.py", "from a import app"}, ""},
		"fastapi factory":           {[]string{"a.py", "from fastapi import FastAPI\ndef create_app():\n  return FastAPI()"}, "uvicorn --factory a:create_app --host 0.0.0.0 --port $PORT"},
		"dash":                      {[]string{"a.py", "import dash\napp = dash.Dash(__name__)\nserver = app.server"}, "gunicorn a:server"},
		"FLASK_APP file":            {[]string{"app.py", flaskApp, "other.py", imp + "site = Flask('x')", ".flaskenv", "# x\nexport FLASK_APP='other.py' # y\n"}, "gunicorn other:site"},
		"FLASK_APP object":          {[]string{"app.py", flaskApp, "pkg/__init__.py", "", ".flaskenv", `FLASK_APP=pkg:make("dev")`}, `gunicorn 'pkg:make("dev")'`},
		"FLASK_APP that is hostile": {[]string{"app.py", flaskApp, ".flaskenv", "FLASK_APP=app:x';id;'"}, "gunicorn app:app"},
		"FLASK_APP out of the tree": {[]string{"app.py", flaskApp, ".flaskenv", "FLASK_APP=../../etc/app.py"}, "gunicorn app:app"},
		"name like an option":       {[]string{"-rf.py", flaskApp}, ""},
		"tests do not count":        {[]string{"tests/app.py", flaskApp, "venv/app.py", flaskApp, "x.py", ""}, ""},
		"another syntax":            {[]string{"a.py", "print 'python 2'\n" + flaskApp}, "gunicorn a:app"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(&source.Tree{FS: repo(c.files...)})
			got := ""
			if e, ok := p.findEntry(); ok {
				got = e.command()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestThirdParty_LeavesOutOwnAndStandardModules(t *testing.T) {
	p := newProject(&source.Tree{FS: repo(
		"web.py", "import os, web, helpers, pkg.sub, google.cloud.storage, cgi\nfrom google.cloud import vision\nfrom xml.dom import minidom\nimport cv2, jwt, Flask_Login, psycopg\nimport azure.unknown",
		"helpers.py", "from . import x\nimport __future__",
		"pkg/sub.py", "import beside\nimport numpy.linalg",
		"pkg/beside.py", "",
		"src/inner/__init__.py", "import inner",
		"test_web.py", "import pytest",
		"setup.py", "import wheel",
	)})
	got := strings.Join(p.thirdParty(pythonVersion{minor: stackMinor}, entryPoint{}), " ")
	if want := "flask-login google-cloud-storage google-cloud-vision numpy opencv-python-headless psycopg[binary] pyjwt"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if notes := strings.Join(p.tree.Notes, "\n"); !strings.Contains(notes, "imports cgi") || !strings.Contains(notes, "azure.unknown") {
		t.Errorf("notes: got %q, want cgi and azure.unknown", notes)
	}
}

// Python's own library is read as Python itself reads it.
func TestParsePython_AgreesWithPythonOnItsLibrary(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	const script = `
import ast, glob, os, sys, sysconfig, tokenize, warnings
warnings.simplefilter("ignore")
lib = sysconfig.get_path("stdlib")
for name in sorted(glob.glob(lib + "/*.py") + glob.glob(lib + "/importlib/*.py")):
    if os.path.getsize(name) > 50_000:
        continue
    try:
        with tokenize.open(name) as f:
            tree = ast.parse(f.read())
    except Exception:
        continue
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    print(name, *sorted(names))
`
	out, err := exec.Command(python, "-c", script).Output()
	if err != nil {
		t.Skipf("python3: %v", err)
	}
	files := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		src, err := os.ReadFile(fields[0])
		if err != nil || len(src) > maxModule {
			continue
		}
		m := parsePython("m.py", string(src))
		if len(m.imports) > maxStatements || len(m.assigns) > maxStatements {
			continue
		}
		names := map[string]bool{}
		for _, i := range m.imports {
			if i.level == 0 {
				names[i.module] = true
			}
		}
		if got := source.SortedKeys(names); !slices.Equal(got, fields[1:]) {
			t.Errorf("%s: got %q, want %q", fields[0], got, fields[1:])
		}
		files++
	}
	if files < 100 {
		t.Fatalf("only %d files compared", files)
	}
}

func TestParsePython_TimeGrowsWithLengthOnly(t *testing.T) {
	for _, unit := range []string{"a.", "(", "f'{", "f\"{x:{", "a = a.server\n", "a = create_app()\n", "from a import app\n", "if x:\n", "lambda:", "\\\n", "'''", "a: ", "try:\n import a\nexcept:", "def create_app("} {
		src := strings.Repeat(unit, maxModule/len(unit))
		start := time.Now()
		p := newProject(&source.Tree{FS: repo("a.py", src)})
		p.findEntry()
		p.thirdParty(pythonVersion{minor: stackMinor}, entryPoint{})
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%q repeated took %v", unit, d)
		}
	}
}

func FuzzParsePython(f *testing.F) {
	for _, s := range []string{flaskApp, "f'{a!r:{b}}' '''", "try:\n\timport a\nexcept ImportError: pass", "def f(a, *, b=[1]): return 1", "from ..a import (b as c, *)", "app: X[1] = y = Flask(x)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		p := newProject(&source.Tree{FS: repo("a.py", src, "pkg/__init__.py", src)})
		if e, ok := p.findEntry(); ok && strings.ContainsAny(e.command(), "\n\x00") {
			t.Errorf("the command is %q", e.command())
		}
		for _, dist := range p.thirdParty(pythonVersion{minor: stackMinor}, entryPoint{}) {
			if strings.HasPrefix(dist, "-") || strings.ContainsAny(dist, " /:@") {
				t.Errorf("would install %q", fmt.Sprint(dist))
			}
		}
	})
}
