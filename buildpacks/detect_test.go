package buildpacks

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/source"
)

const flaskApp = "from flask import Flask\napp = Flask(__name__)\n"

func repo(files ...string) fstest.MapFS { return packtest.Repo(files...) }

func TestDetect_WhatCannotBeBuiltIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		tree fstest.MapFS
		code string
		says []string
	}{
		"empty":           {repo(), "E210", []string{"empty"}},
		"readme only":     {repo("README.md", "hi"), "E201", []string{"looked for a Dockerfile, Ruby", "Python, Node", "requirements.txt"}},
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
		"huge requirements":   {repo("web.py", flaskApp, "requirements.txt", strings.Repeat("#", source.MaxManifest+1)), "E205", []string{"1 MiB"}},
		"malformed pyproject": {repo("web.py", flaskApp, "pyproject.toml", "[project]\nname = \n"), "E222", []string{"pyproject.toml", "line 2"}},
		"deep pyproject":      {repo("web.py", flaskApp, "pyproject.toml", "a = "+strings.Repeat("[", 100_000)), "E222", []string{"deep"}},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(c.tree))
			p, text := packtest.AsProblem(t, made, err)
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

func TestDetect_OneLanguageWins(t *testing.T) {
	for name, c := range map[string]struct {
		tree     fstest.MapFS
		language string
		note     string
	}{
		"Node":                      {repo("package.json", `{"scripts": {"start": "node web.js"}}`), "node", ""},
		"Node beside a script":      {repo("package.json", `{"scripts": {"start": "node web.js"}}`, "tools/x.py", "1"), "node", ""},
		"Node and its page":         {repo("package.json", `{"scripts": {"start": "node web.js"}}`, "index.html", "x"), "node", ""},
		"Python and Node":           {repo("requirements.txt", "flask", "web.py", flaskApp, "package.json", "{}"), "python", "it also looks like Node (package.json)"},
		"a site":                    {repo("index.html", "x"), "static", ""},
		"a site beside a script":    {repo("index.html", "x", "tools/x.py", "1"), "static", ""},
		"Python and its page":       {repo("index.html", "x", "web.py", flaskApp), "python", ""},
		"a site that says that":     {repo("Staticfile", "", "index.html", "x", "web.py", flaskApp), "static", ""},
		"Node, chosen as a site":    {repo("app.json", `{"buildpack": "static"}`, "package.json", "{}", "public/index.html", "x"), "static", ""},
		"tools of Go":               {repo("go.mod", "module x\n\ngo 1.24\n\ntool golang.org/x/tools/cmd/stringer\n", "requirements.txt", "flask", "web.py", flaskApp), "python", "Go was ignored (go.mod): found no program to run: go.mod has no package"},
		"tools in Go":               {repo("go.mod", "module x\n", "tools/gen/main.go", "package main\nfunc main() {}\n", "requirements.txt", "flask", "web.py", flaskApp), "python", "Go was ignored (go.mod): found no program to run: its programs are tools and examples (./tools/gen)"},
		"tools in Go alone":         {repo("go.mod", "module x\n", "tools/gen/main.go", "package main\nfunc main() {}\n"), "go", ""},
		"tools in Go, no manifest":  {repo("go.mod", "module x\n", "web.py", flaskApp), "python", "Go was ignored"},
		"tools of Ruby":             {repo("Gemfile", "gem 'fastlane'\n", "package.json", `{"scripts": {"start": "node web.js"}}`), "node", "Ruby was ignored (Gemfile): found no process to start"},
		"tools of PHP":              {repo("composer.json", `{"require-dev": {"friendsofphp/php-cs-fixer": "*"}}`, "go.mod", "module x\n", "main.go", "package main\nfunc main() {}\n"), "go", "PHP was ignored (composer.json)"},
		"tools of Rust":             {repo("Cargo.toml", "[workspace]\nmembers = ['xtask']\n", "xtask/Cargo.toml", "[package]\nname = 'xtask'\nversion = '0.1.0'\n", "xtask/src/main.rs", "fn main() {}", "requirements.txt", "flask", "web.py", flaskApp), "python", "Rust was ignored (Cargo.toml)"},
		"tools of Python":           {repo("pyproject.toml", "[tool.black]\nline-length = 100\n", "package.json", `{"scripts": {"start": "node web.js"}}`), "node", "Python was ignored (pyproject.toml)"},
		"tools of Node":             {repo("package.json", `{"devDependencies": {"prettier": "3", "husky": "9"}}`, "web.py", flaskApp), "python", "Node was ignored (package.json)"},
		"tools of three":            {repo("go.mod", "module x\n", "Gemfile", "gem 'fastlane'\n", "requirements.txt", "flask", "web.py", flaskApp), "python", "Go was ignored"},
		"tools, and a Procfile":     {repo("Gemfile", "gem 'fastlane'\n", "package.json", `{}`, "web.js", "", "Procfile", "web: node web.js"), "node", "built as Node, which the Procfile starts"},
		"a Procfile of the first":   {repo("Gemfile", "gem 'puma'\n", "config.ru", "", "package.json", `{}`, "Procfile", "web: bundle exec puma"), "ruby", "it also looks like Node (package.json)"},
		"a worker that is another":  {repo("requirements.txt", "flask", "web.py", flaskApp, "package.json", `{}`, "Procfile", "worker: node w.js\nweb: gunicorn web:app"), "python", ""},
		"a site that says so twice": {repo("Staticfile", "", "public/index.html", "x", "package.json", `{"scripts": {"start": "x"}}`), "node", "it also looks like a static site (Staticfile)"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(c.tree))
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(made.Notes, "\n"); made.Language != c.language || !strings.Contains(notes, c.note) {
				t.Errorf("got %s, notes %q; want %s and %q", made.Language, notes, c.language, c.note)
			}
		})
	}
}

// Where no language has anything to start, the first one's reasons come with
// those of the others. What is malformed is nobody else's to build.
func TestDetect_NothingToStartInAnyLanguage(t *testing.T) {
	for name, c := range map[string]struct {
		tree fstest.MapFS
		code string
		says []string
	}{
		"two":              {repo("go.mod", "module x\n", "requirements.txt", "requests\n"), "E202", []string{"found no program to run", "Python was ignored (requirements.txt)"}},
		"malformed":        {repo("go.mod", "module\n", "requirements.txt", "flask", "web.py", flaskApp), "E222", []string{"go.mod"}},
		"a version":        {repo("Gemfile", "ruby '1.8.7'\n", "package.json", `{"scripts": {"start": "node x"}}`), "E212", []string{"Ruby"}},
		"a page to build":  {repo("Cargo.toml", "[package]\nname = 'x'\nversion = '0.1.0'\n", "src/lib.rs", "", "index.html", "<link data-trunk>"), "E202", []string{"no program"}},
		"chosen by hand":   {repo("app.json", `{"buildpack": "go"}`, "go.mod", "module x\n", "requirements.txt", "flask", "web.py", flaskApp), "E202", []string{"no program"}},
		"chosen by Heroku": {repo(".buildpacks", "heroku/go\n", "go.mod", "module x\n", "requirements.txt", "flask", "web.py", flaskApp), "E202", []string{"no program"}},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(c.tree))
			p, text := packtest.AsProblem(t, made, err)
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
