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
		"empty":           {repo(), "E201", []string{"empty"}},
		"readme only":     {repo("README.md", "hi"), "E201", []string{"looked for Python", "requirements.txt"}},
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
