package python

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/source"
)

func TestVersionFailure_NamesTheFileOfTheMirror(t *testing.T) {
	for exact, want := range map[string]string{"3.10.4": "put cpython-3.10.4+DATE-", "": "put cpython-3.10.PATCH+DATE-"} {
		if got := strings.Join(versionFailure(pythonVersion{minor: 10, exact: exact}).Hints, "\n"); !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", exact, got, want)
		}
	}
}

func TestVersion_WhatFilesAskFor(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"nothing":                               {nil, "3.13"},
		"python-version":                        {[]string{".python-version", "# mine\n\n3.12 # newer breaks\n3.11\n"}, "3.12"},
		"exact":                                 {[]string{".python-version", "3.12.4\r\n"}, "3.12.4"},
		"of the stack":                          {[]string{".python-version", "3.13.1"}, "3.13"},
		"runtime.txt":                           {[]string{"runtime.txt", "python-3.12.4\n"}, "3.12.4"},
		"partial":                               {[]string{"runtime.txt", "python-3.13"}, "3.13"},
		"byte order mark":                       {[]string{"runtime.txt", "\ufeffpython-3.11"}, "3.11"},
		"any Python 3":                          {[]string{".python-version", "3"}, "3.13"},
		"system":                                {[]string{".python-version", "system"}, "3.13"},
		"both":                                  {[]string{".python-version", "3.12", "runtime.txt", "python-3.11.1"}, "3.12"},
		"requires, stack":                       {[]string{"pyproject.toml", "[project]\nrequires-python = '>=3.9'"}, "3.13"},
		"requires, older":                       {[]string{"pyproject.toml", "[project]\nrequires-python = '>=3.9,<3.12'"}, "3.11"},
		"requires, newer":                       {[]string{"pyproject.toml", "[project]\nrequires-python = '>3.13'\n"}, "3.13"},
		"requires, next":                        {[]string{"pyproject.toml", "[project]\nrequires-python = '>=3.14'\n"}, "3.14"},
		"requires, wildcard":                    {[]string{"pyproject.toml", "[project]\nrequires-python = '==3.10.*'"}, "3.10"},
		"requires, exact":                       {[]string{"pyproject.toml", "[project]\nrequires-python = '==3.10.4'"}, "3.10.4"},
		"requires, tilde":                       {[]string{"pyproject.toml", "[project]\nrequires-python = '~=3.11.2'"}, "3.11"},
		"requires, the next":                    {[]string{"pyproject.toml", "[project]\nrequires-python = '>=3.15'"}, "3.15"},
		"requires, not":                         {[]string{"pyproject.toml", "[project]\nrequires-python = '!=3.13.*,>=3.8,<3.14'"}, "3.11"},
		"requires, no Debian":                   {[]string{"pyproject.toml", "[project]\nrequires-python = '>=3.12,<3.13'"}, "3.12"},
		"requires, a patch of Debian's minor":   {[]string{"pyproject.toml", "[project]\nrequires-python = '==3.11.4'"}, "3.11.4"},
		"or":                                    {[]string{"pyproject.toml", "[tool.poetry.dependencies]\npython = '~3.10 || ~3.11'"}, "3.11"},
		"pin of Debian's minor":                 {[]string{".python-version", "3.11.9"}, "3.11"},
		"the manifest wants more than Debian's": {[]string{".python-version", "3.11.9", "pyproject.toml", "[project]\nrequires-python = '>=3.11.4'"}, "3.11.9"},
		"asdf":                                  {[]string{".tool-versions", "nodejs 22\npython 3.11.4\n"}, "3.11"},
		"mise":                                  {[]string{"mise.toml", "[tools]\npython = ['3.12', '3.11']\n"}, "3.12"},
		"latest":                                {[]string{"mise.toml", "[tools]\npython = 'latest'\n"}, "3.13"},
		"mise beside a range":                   {[]string{"mise.toml", "[tools]\npython = '3.11'\n", "pyproject.toml", "[project]\nrequires-python = '>=3.9'"}, "3.11"},
		"pipfile, full":                         {[]string{"Pipfile", "[requires]\npython_full_version = '3.12.4'\n"}, "3.12.4"},
		"file before table":                     {[]string{".python-version", "3.10", "pyproject.toml", "[project]\nrequires-python = '>=3.9'"}, "3.10"},
		"poetry":                                {[]string{"pyproject.toml", "[tool.poetry.dependencies]\npython = '~3.11'"}, "3.11"},
		"poetry, caret":                         {[]string{"pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.8'"}, "3.13"},
		"pipfile":                               {[]string{"Pipfile", "[requires]\npython_version = '3.12'\n"}, "3.12"},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, repo(append([]string{"web.py", flaskApp}, c.files...)...))
			if want := "Python " + c.want + ", "; !strings.HasPrefix(made.Summary, want) {
				t.Errorf("got %q, want %q", made.Summary, want)
			}
			names := strings.Join(packtest.Names(made), ", ")
			want := map[string]string{
				"3.13": "Python toolchain, Python build tools, dependencies",
				"3.14": "Python 3.14 toolchain, Python 3.14 build tools, dependencies",
				"3.11": "Python 3.11 toolchain, Python 3.11 build tools, dependencies",
				"3.9":  "Python 3.9 toolchain, Python 3.9 build tools, dependencies",
			}[c.want]
			if want == "" {
				want = "Python toolchain, Python build tools, Python " + c.want + ", dependencies"
			}
			if names != want {
				t.Errorf("layers: got %q, want %q", names, want)
			}
			if got := made.Versions["python"]; got != c.want {
				t.Errorf("remembered %q, want %q", got, c.want)
			}
		})
	}
}

func TestVersion_WhatCannotBeHadIsSaidWithItsLine(t *testing.T) {
	for name, c := range map[string]struct {
		tree fstest.MapFS
		code string
		want string
	}{
		"word":         {repo("a.py", "", "runtime.txt", "# x\npython three"), "E211", "runtime.txt, line 2"},
		"spelling":     {repo("a.py", "", "runtime.txt", "Python 3.8.5"), "E211", "python-3.13"},
		"pypy":         {repo("a.py", "", ".python-version", "pypy3.10-7.3"), "E211", "line 1"},
		"free threads": {repo("a.py", "", ".python-version", "3.13t"), "E211", "line 1"},
		"Python 2":     {repo("a.py", "", "runtime.txt", "python-2.7.18"), "E212", "Python 2.7.18 is not available"},
		"too old":      {repo("a.py", "", ".python-version", "3.5"), "E212", "3.8 to 3.15"},
		"too new":      {repo("a.py", "", ".python-version", "3.99"), "E212", "3.8 to 3.15"},
		"empty":        {repo("a.py", "", ".python-version", "\n"), "E211", "is empty"},
		"asdf":         {repo("a.py", "", ".tool-versions", "\npython 3.5.1\n"), "E212", ".tool-versions, line 2"},
		"mise":         {repo("a.py", "", "mise.toml", "[tools]\npython = 'new'\n"), "E211", "mise.toml, line 2"},
		"pipfile":      {repo("a.py", "", "Pipfile", "[requires]\npython_version = '2.7'\n"), "E212", "Pipfile, line 2"},
		"at hand":      {repo("a.py", "", ".python-version", "3.7"), "E212", "3.14, 3.13, 3.11, 3.9 come from Debian, uv downloads 3.15, 3.12, 3.10, 3.8"},
		"control":      {repo("a.py", "", ".python-version", "3.1\x1b[31m"), "E211", "line 1"},
		"impossible":   {repo("a.py", "", "pyproject.toml", "[project]\nrequires-python = '<3'"), "E212", "requires Python <3"},
		"no specifier": {repo("a.py", "", "pyproject.toml", "[project]\nrequires-python = 'new'"), "E211", `"new"`},
		"wrong type":   {repo("a.py", "", "pyproject.toml", "[project]\nrequires-python = 3.12"), "E222", "pyproject.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			p, text := problemOf(t, c.tree)
			if p.Code != c.code || !strings.Contains(text, c.want) {
				t.Errorf("got %s %q, want %s %q", p.Code, text, c.code, c.want)
			}
		})
	}
}

func TestVersion_FailedDownloadNamesWhatIsAtHand(t *testing.T) {
	l := packtest.Layer(t, detect(t, repo("web.py", flaskApp, "runtime.txt", "python-3.12.4")), "Python 3.12.4")
	if p := l.Failure; p == nil || p.Code != "E212" || !strings.Contains(strings.Join(p.Hints, " "), "3.13") || !strings.Contains(p.Evidence[0], "runtime.txt") {
		t.Errorf("got %+v, want E212 with the file and the version at hand", p)
	}
}

func TestVersion_IsKeptWhileItFits(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		files  []string
		want   string
	}{
		"no pin":             {"3.11", nil, "3.11"},
		"no pin, uv's":       {"3.12.4", nil, "3.12.4"},
		"the default":        {"3.13", nil, "3.13"},
		"a pin is stronger":  {"3.11", []string{".python-version", "3.12"}, "3.12"},
		"within a range":     {"3.12", []string{"pyproject.toml", "[project]\nrequires-python = '>=3.9'"}, "3.12"},
		"out of a range":     {"3.11", []string{"pyproject.toml", "[project]\nrequires-python = '>=3.12'"}, "3.13"},
		"not to be had":      {"3.7", nil, "3.13"},
		"what is no version": {"x; rm", nil, "3.13"},
		"any Python 3":       {"3.11", []string{".python-version", "3"}, "3.11"},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(repo(append([]string{"web.py", flaskApp}, c.files...)...))
			r.Versions = map[string]string{"python": c.before}
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			if got := made.Versions["python"]; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzVersionFile(f *testing.F) {
	f.Add("python-3.12.4\n")
	f.Add("# x\n3.13")
	f.Fuzz(func(t *testing.T, text string) {
		v, ok, err := parseVersionFile("runtime.txt", text)
		if err != nil {
			if _, isProblem := errors.AsType[*source.Problem](err); !isProblem {
				t.Errorf("got %v, want a problem", err)
			}
		} else if ok && (v.minor < oldestMinor || v.minor > newestMinor) {
			t.Errorf("let through %+v", v)
		}
	})
}

func FuzzSpecifiers(f *testing.F) {
	f.Add(">=3.9,<3.12")
	f.Add("^3.8,~3.9,~=3.8.1,==3.*")
	f.Fuzz(func(t *testing.T, spec string) {
		if required, err := parseRequirement(spec); err == nil {
			versionFor(required, spec, "pyproject.toml")
		}
		poetryVersion(spec)
	})
}
