package python

import (
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
)

func TestEntry_FrameworksAndWhatServesThem(t *testing.T) {
	for name, c := range map[string]struct{ file, source, summary, web string }{
		"WSGI":        {"wsgi.py", "def application(environ, start_response):\n    pass\n", "WSGI (wsgi.py has application)", "gunicorn wsgi:application"},
		"WSGI, named": {"site.py", "def simple(env, start_response): pass\n", "WSGI (site.py has simple)", "gunicorn site:simple"},
		"WSGI, made":  {"wsgi.py", "from pyramid.config import Configurator\napplication = Configurator().make_wsgi_app()\n", "WSGI (wsgi.py has application)", "gunicorn wsgi:application"},
		"ASGI":        {"main.py", "async def app(scope, receive, send):\n    pass\n", "ASGI (main.py has app)", "uvicorn main:app --host 0.0.0.0 --port $PORT"},
		"Starlette":   {"main.py", "from starlette.applications import Starlette\napp = Starlette()\n", "Starlette (main.py imports starlette)", "uvicorn main:app --host 0.0.0.0 --port $PORT"},
		"Litestar":    {"main.py", "from litestar import Litestar\napp = Litestar([])\n", "Litestar (main.py imports litestar)", "uvicorn main:app --host 0.0.0.0 --port $PORT"},
		"Sanic":       {"srv/main.py", "from sanic import Sanic\napp = Sanic('x')\n", "Sanic (srv/main.py imports sanic)", "cd srv && exec sanic main:app --host 0.0.0.0 --port $PORT"},
		"aiohttp":     {"main.py", "from aiohttp import web\napp = web.Application()\nweb.run_app(app)\n", "aiohttp (main.py imports aiohttp)", "gunicorn --worker-class aiohttp.GunicornWebWorker main:app"},
		"aiohttp, in a function": {"main.py", "from aiohttp import web\nasync def init():\n    app = web.Application()\n    return app\nweb.run_app(init())\n",
			"aiohttp (main.py imports aiohttp.web)", "python main.py"},
		"Tornado":              {"main.py", "import asyncio, tornado.web\nasync def main():\n    tornado.web.Application([]).listen(8888)\nasyncio.run(main())\n", "Tornado (main.py imports tornado.web)", "python main.py"},
		"Dash, server":         {"app.py", "from dash import Dash\napp = Dash()\nserver = app.server\n", "Flask (app.py imports flask)", "gunicorn app:server"},
		"Dash":                 {"app.py", "from dash import Dash\napp = Dash()\nif __name__ == '__main__':\n    app.run()\n", "Dash (app.py imports dash)", "python app.py"},
		"Streamlit":            {"Home.py", "import streamlit as st\nst.title('x')\n", "Streamlit (Home.py imports streamlit)", "streamlit run Home.py --server.port $PORT --server.address 0.0.0.0 --server.headless true"},
		"Gradio":               {"app.py", "import gradio as gr\ngr.Interface(f, 'text', 'text').launch()\n", "Gradio (app.py imports gradio)", "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python app.py"},
		"FastHTML":             {"main.py", "from fasthtml.common import *\n\napp, rt = fast_app()\n\n@rt('/')\ndef get(): return Titled('x')\n\nserve()\n", "FastHTML (main.py imports fasthtml)", "uvicorn main:app --host 0.0.0.0 --port $PORT"},
		"FastHTML, plain":      {"main.py", "from fasthtml.common import FastHTML, serve\napp = FastHTML()\nrt = app.route\nserve()\n", "FastHTML (main.py imports fasthtml)", "uvicorn main:app --host 0.0.0.0 --port $PORT"},
		"FastHTML, a database": {"app.py", "from fasthtml.common import *\n\napp, rt, todos, Todo = fast_app('todos.db', id=int, pk='id')\nserve()\n", "FastHTML (app.py imports fasthtml)", "uvicorn app:app --host 0.0.0.0 --port $PORT"},
		"NiceGUI":              {"main.py", "from nicegui import ui\nui.label('x')\nui.run()\n", "NiceGUI (main.py imports nicegui)", "python main.py"},
		"a script":             {"main.py", "import http.server\nhttp.server.HTTPServer(('', 1), None).serve_forever()\n", "a server of its own (main.py imports http.server)", "python main.py"},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, repo(c.file, c.source, "requirements.txt", "x"))
			if want := "Python 3.13, " + c.summary; made.Summary != want {
				t.Errorf("summary: got %q, want %q", made.Summary, want)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
		})
	}
	for name, source := range map[string]string{
		"a coroutine that makes the app": "from fastapi import FastAPI\nasync def create_app():\n    return FastAPI()\n",
		"a library":                      "import aiohttp\nprint(1)\n",
		"a method":                       "class A:\n    async def app(scope, receive, send): pass\n",
	} {
		if p, text := problemOf(t, repo("main.py", source)); p.Code != "E202" {
			t.Errorf("%s: got %s, want E202", name, text)
		}
	}
}

func TestLibraries_OfTheSystemComeWithTheirPackages(t *testing.T) {
	made := detect(t, repo("web.py", flaskApp, "requirements.txt", "opencv_python==4\nweasyprint\n"))
	l := packtest.Layer(t, made, "libraries")
	text := ""
	for _, c := range l.Commands {
		text += strings.Join(c.Args, " ") + "\n"
	}
	if !l.Root || !strings.Contains(text, "-- libgl1 libglib2.0-0t64 libharfbuzz-subset0 libpango-1.0-0 libpangoft2-1.0-0\n") {
		t.Errorf("got root %t: %s", l.Root, text)
	}
	if got, want := strings.Join(packtest.Names(made), ", "), "Python toolchain, Python build tools, libraries, dependencies"; got != want {
		t.Errorf("layers: got %q, want %q", got, want)
	}
}

func TestTests_WhatRunsThemAndWhatTheyNeed(t *testing.T) {
	const project = "[project]\nname='x'\nversion='1'\ndependencies=['flask']\n"
	for name, c := range map[string]struct {
		files    []string
		command  string
		installs string // of the layer for tests; "" is no such layer
	}{
		"no tests":         {[]string{"requirements.txt", "flask"}, "", ""},
		"unittest":         {[]string{"requirements.txt", "flask", "test_web.py", "import unittest"}, "python -m unittest", ""},
		"a directory":      {[]string{"requirements.txt", "flask", "tests/test_web.py", ""}, "python -m unittest discover -s tests", ""},
		"a package":        {[]string{"requirements.txt", "flask", "tests/__init__.py", "", "tests/test_web.py", ""}, "python -m unittest", ""},
		"listed":           {[]string{"requirements.txt", "flask\npytest", "test_web.py", ""}, "python -m pytest", ""},
		"a second list":    {[]string{"requirements.txt", "flask", "requirements-dev.txt", "-r requirements.txt\npytest\n", "test_web.py", ""}, "python -m pytest", "-r requirements-dev.txt"},
		"imported":         {[]string{"requirements.txt", "flask", "tests/test_web.py", "import pytest"}, "python -m pytest", "pytest"},
		"no list":          {[]string{"tests/test_web.py", "import pytest"}, "python -m pytest", "pytest"},
		"an extra":         {[]string{"pyproject.toml", project + "[project.optional-dependencies]\ntest=['pytest>=8']\n", "test_web.py", ""}, "python -m pytest", "--extra test -r pyproject.toml"},
		"a group":          {[]string{"pyproject.toml", project + "[dependency-groups]\ndev=['pytest']\n", "test_web.py", ""}, "python -m pytest", "--group dev"},
		"Poetry's group":   {[]string{"pyproject.toml", "[tool.poetry.dependencies]\nflask='*'\n[tool.poetry.group.dev.dependencies]\npytest='^8.1'\n", "test_web.py", ""}, "python -m pytest", "pytest>=8.1,<9"},
		"a Pipfile":        {[]string{"Pipfile", "[packages]\nflask='*'\n[dev-packages]\npytest='*'\n", "test_web.py", ""}, "python -m pytest", "pytest"},
		"Django's":         {[]string{"requirements.txt", "django", "manage.py", "x('DJANGO_SETTINGS_MODULE', 'a.b')"}, "python manage.py test --noinput", ""},
		"Django by pytest": {[]string{"requirements.txt", "django\npytest-django", "manage.py", "x('DJANGO_SETTINGS_MODULE', 'a.b')"}, "python -m pytest", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(repo(append([]string{"web.py", flaskApp}, c.files...)...))
			without, err := packtest.Make(Plan, r)
			if err != nil || without.Test != nil {
				t.Fatalf("a test that nobody asked for: %+v, %v", without.Test, err)
			}
			r.Test = true
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			if made.Base() != without.Base() {
				t.Error("what is for tests went into what runs")
			}
			if made.Test == nil || c.command == "" {
				if made.Test != nil || c.command != "" {
					t.Errorf("got %+v, want %q", made.Test, c.command)
				}
				return
			}
			if made.Test.Command != c.command {
				t.Errorf("command: got %q, want %q", made.Test.Command, c.command)
			}
			dependencies := packtest.Layer(t, made, "dependencies").Key
			if c.installs == "" {
				if made.Test.Layer != dependencies {
					t.Error("a layer for tests that need nothing of their own")
				}
				return
			}
			l := packtest.Layer(t, made, "test dependencies")
			if got := strings.Join(l.Commands[0].Args[4:], " "); got != c.installs || !l.Build || l.Parent != dependencies || made.Test.Layer != l.Key {
				t.Errorf("installs %q on %s; want %q on the dependencies", got, l.Parent, c.installs)
			}
		})
	}
}
