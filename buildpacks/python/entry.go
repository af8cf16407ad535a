package python

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// framework is a way to write a web app in Python.
type framework struct {
	name   string // "Flask"
	module string // that is imported: "flask"; "" is none
	server string // "gunicorn" for WSGI, "uvicorn" for ASGI, else the framework's own; "" is the script itself
}

// appMakers tells the framework of an app by what is called to make one.
var appMakers = map[string]framework{
	"flask.Flask":                           {"Flask", "flask", "gunicorn"},
	"flask.app.Flask":                       {"Flask", "flask", "gunicorn"},
	"apiflask.APIFlask":                     {"APIFlask", "apiflask", "gunicorn"},
	"flask_openapi3.OpenAPI":                {"Flask", "flask_openapi3", "gunicorn"},
	"dash.Dash":                             {"Dash", "dash", "gunicorn"},
	"bottle.Bottle":                         {"Bottle", "bottle", "gunicorn"},
	"bottle.default_app":                    {"Bottle", "bottle", "gunicorn"},
	"falcon.App":                            {"Falcon", "falcon", "gunicorn"},
	"django.core.wsgi.get_wsgi_application": {"Django", "django", "gunicorn"},
	"django.core.asgi.get_asgi_application": {"Django", "django", "uvicorn"},
	"channels.routing.ProtocolTypeRouter":   {"Django", "channels", "uvicorn"},
	"fastapi.FastAPI":                       {"FastAPI", "fastapi", "uvicorn"},
	"fastapi.applications.FastAPI":          {"FastAPI", "fastapi", "uvicorn"},
	"starlette.applications.Starlette":      {"Starlette", "starlette", "uvicorn"},
	"fasthtml.common.FastHTML":              {"FastHTML", "fasthtml", "uvicorn"},
	"fasthtml.common.fast_app":              {"FastHTML", "fasthtml", "uvicorn"},
	"fasthtml.core.FastHTML":                {"FastHTML", "fasthtml", "uvicorn"},
	"fasthtml.fastapp.fast_app":             {"FastHTML", "fasthtml", "uvicorn"},
	"fasthtml.FastHTML":                     {"FastHTML", "fasthtml", "uvicorn"},
	"fasthtml.fast_app":                     {"FastHTML", "fasthtml", "uvicorn"},
	"quart.Quart":                           {"Quart", "quart", "uvicorn"},
	"litestar.Litestar":                     {"Litestar", "litestar", "uvicorn"},
	"litestar.app.Litestar":                 {"Litestar", "litestar", "uvicorn"},
	"aiohttp.web.Application":               {"aiohttp", "aiohttp", "aiohttp"},
	"sanic.Sanic":                           {"Sanic", "sanic", "sanic"},
	"sanic.app.Sanic":                       {"Sanic", "sanic", "sanic"},
}

// The interfaces themselves, for apps that are written without a framework.
var (
	plainWSGI = framework{"WSGI", "", "gunicorn"}
	plainASGI = framework{"ASGI", "", "uvicorn"}
)

// scripted are frameworks whose apps are scripts, run by a program of theirs
// or by Python, first the one that shows what the others serve.
var scripted = []framework{
	{"Streamlit", "streamlit", "streamlit"},
	{"Gradio", "gradio", "gradio"},
	{"NiceGUI", "nicegui", ""},
}

// dash is no WSGI app itself; its attribute server is.
const dash, dashServer = "dash.Dash", ".server"

// serverModules are modules whose import makes a script a server of its own.
var serverModules = []string{"http.server", "socketserver", "wsgiref.simple_server", "aiohttp.web", "tornado.web", "tornado.httpserver",
	"waitress", "uvicorn", "hypercorn", "cherrypy", "sanic", "websockets", "flask", "fastapi", "dash", "bottle"}

// serverNames are the names of frameworks whose scripts serve by themselves.
var serverNames = map[string]string{"tornado.web": "Tornado", "tornado.httpserver": "Tornado", "dash": "Dash", "aiohttp.web": "aiohttp"}

// serving are the names of what a script calls in order to serve.
var serving = nameSet("serve serve_forever run run_app run_server start launch quickstart")

// entryPoint is where a web app begins.
type entryPoint struct {
	framework framework
	file      string // "web.py"
	module    string // "web"
	dir       string // to start in, "" is the root
	object    string // "app", "create_app()"; "" when the file is run as a script
	path      string // directory to put on PYTHONPATH, "" is none
	evidence  string // what tells that it is one; "" is the import of the framework
}

// command returns the command that serves the app.
func (e entryPoint) command() string {
	target := e.module + ":" + e.object
	switch {
	case e.framework.server == "streamlit":
		return "streamlit run " + source.ShellWord(e.file) + " --server.port $PORT --server.address 0.0.0.0 --server.headless true"
	case e.framework.server == "gradio":
		return "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python " + source.ShellWord(e.file)
	case e.object == "":
		return "python " + source.ShellWord(e.file)
	case e.framework.server == "sanic":
		cmd := "sanic " + source.ShellWord(strings.TrimSuffix(target, "()"))
		if strings.HasSuffix(target, "()") {
			cmd += " --factory"
		}
		if e.dir != "" {
			cmd = "cd " + source.ShellWord(e.dir) + " && exec " + cmd
		}
		return cmd + " --host 0.0.0.0 --port $PORT"
	case e.framework.server == "uvicorn":
		cmd := "uvicorn "
		if strings.HasSuffix(target, "()") {
			target = strings.TrimSuffix(target, "()")
			cmd += "--factory "
		}
		if e.dir != "" {
			cmd += "--app-dir " + source.ShellWord(e.dir) + " "
		}
		return cmd + source.ShellWord(target) + " --host 0.0.0.0 --port $PORT"
	}
	// gunicorn binds to 0.0.0.0:$PORT by itself when PORT is set.
	cmd := "gunicorn "
	if e.framework.server == "aiohttp" {
		cmd += "--worker-class aiohttp.GunicornWebWorker "
	}
	if e.dir != "" {
		cmd += "--chdir " + source.ShellWord(e.dir) + " "
	}
	return cmd + source.ShellWord(target)
}

// why tells how the entry was found, for the plan's summary.
func (e entryPoint) why() string {
	if e.evidence != "" {
		return e.file + " " + e.evidence
	}
	return e.file + " imports " + e.framework.module
}

// findEntry finds the web app in the sources. What settings name comes first;
// then the module that holds an app comes before one that has a function to
// make one, and that before a script that serves by itself.
func (p *project) findEntry() (entryPoint, bool) {
	if e, ok := p.code.flaskEnv(); ok {
		return e, true
	}
	if e, ok := p.django.asgi(p); ok {
		return e, true
	}
	modules := p.code.ranked()
	for _, m := range modules {
		if name, maker, ok := p.code.instance(m); ok {
			return p.code.entry(m, name, appMakers[maker]), true
		}
	}
	for _, m := range modules {
		if name, maker, ok := p.code.factory(m); ok {
			return p.code.entry(m, name+"()", appMakers[maker]), true
		}
	}
	for _, m := range modules {
		if e, ok := p.code.callable(m); ok {
			return e, true
		}
	}
	for _, f := range scripted {
		for _, m := range modules {
			if !strings.Contains(m.file, "/") && m.requires(f.module) {
				return p.code.entry(m, "", f), true
			}
		}
	}
	for _, m := range modules {
		if strings.Contains(m.file, "/") || !m.script && !m.serves() {
			continue
		}
		for _, server := range serverModules {
			if m.requires(server) {
				name := serverNames[server]
				if name == "" {
					name = "a server of its own"
				}
				e := p.code.entry(m, "", framework{name: name, module: server})
				for _, maker := range m.makers() {
					e.framework.name = appMakers[maker].name
				}
				return e, true
			}
		}
	}
	return entryPoint{}, false
}

// serves tells whether a module calls something by which a script serves.
func (m *module) serves() bool {
	return slices.ContainsFunc(m.calls, func(call string) bool { return serving[call[strings.LastIndexByte(call, '.')+1:]] })
}

// callable finds an app that is written to the interface itself: a function
// with its parameters, or whatever wsgi.py or asgi.py calls the application.
func (c *code) callable(m *module) (entryPoint, bool) {
	found := func(name string, f framework) (entryPoint, bool) {
		e := c.entry(m, name, f)
		e.evidence = "has " + name
		return e, true
	}
	for _, d := range m.defs {
		switch {
		case d.async && slices.Equal(d.params, []string{"scope", "receive", "send"}):
			return found(d.name, plainASGI)
		case !d.async && len(d.params) == 2 && d.params[1] == "start_response":
			return found(d.name, plainWSGI)
		}
	}
	f, ok := map[string]framework{"wsgi.py": plainWSGI, "asgi.py": plainASGI}[path.Base(m.file)]
	for _, name := range []string{"application", "app"} {
		_, imported := m.names[name]
		if ok && (imported || slices.ContainsFunc(m.assigns, func(a assign) bool { return a.name == name })) {
			return found(name, f)
		}
	}
	return entryPoint{}, false
}

// requires tells whether the module imports another, or something from it.
func (m *module) requires(module string) bool {
	return slices.ContainsFunc(m.imports, func(i importation) bool {
		full := i.module
		if i.name != "" {
			full += "." + i.name
		}
		return i.level == 0 && (full == module || strings.HasPrefix(full, module+"."))
	})
}

func (c *code) entry(m *module, object string, f framework) entryPoint {
	e := entryPoint{framework: f, file: m.file, object: object}
	e.module, e.dir, e.path = c.importable(m.file)
	return e
}

// instance returns the name of an app that a module has at its top level.
func (c *code) instance(m *module) (name, maker string, ok bool) {
	found := map[string]string{}
	var order []string
	add := func(name, maker string) {
		if _, ok := found[name]; !ok {
			found[name] = maker
			order = append(order, name)
		}
	}
	for _, a := range m.assigns {
		if maker, ok := c.value(m, a, 0); ok {
			add(a.name, maker)
		}
	}
	for _, local := range source.SortedKeys(m.names) {
		meaning := m.names[local]
		switch meaning[strings.LastIndexByte(meaning, '.')+1:] {
		case "app", "application", "server":
			if maker, ok := c.object(meaning, 0); ok {
				add(local, maker)
			}
		}
	}
	for _, name := range append([]string{"app", "application"}, order...) {
		if maker, ok := found[name]; ok && maker != dash {
			return name, maker, true
		}
	}
	return "", "", false
}

// maxHops bounds how far a name is followed from module to module; a circle of
// imports has no end.
const maxHops = 8

// value tells what the right side of an assignment makes, if it makes an app.
func (c *code) value(m *module, a assign, hops int) (maker string, ok bool) {
	if hops > maxHops {
		return "", false
	}
	if !a.call {
		owner, isServer := strings.CutSuffix(a.value, dashServer)
		for _, b := range m.assigns {
			if isServer && b.name == owner && b.call && m.meaning(b.value) == dash {
				return "flask.Flask", true
			}
		}
		return "", false
	}
	meaning := m.meaning(a.value)
	if _, ok := appMakers[meaning]; ok {
		return meaning, true
	}
	for _, star := range m.stars {
		if _, ok := appMakers[star+"."+a.value]; ok {
			return star + "." + a.value, true
		}
	}
	if !strings.Contains(strings.ToLower(path.Base(strings.ReplaceAll(meaning, ".", "/"))), "app") {
		return "", false
	}
	if meaning == a.value && !strings.Contains(meaning, ".") {
		return m.made(meaning)
	}
	return c.function(meaning, hops+1)
}

// object tells what app a full name such as "pkg.app" stands for.
func (c *code) object(full string, hops int) (maker string, ok bool) {
	m, name := c.split(full)
	if m == nil || hops > maxHops {
		return "", false
	}
	for _, a := range m.assigns {
		if a.name == name {
			if maker, ok := c.value(m, a, hops+1); ok && maker != dash {
				return maker, true
			}
		}
	}
	if meaning, ok := m.names[name]; ok && meaning != full {
		return c.object(meaning, hops+1)
	}
	return "", false
}

// function tells what app a function of the repository makes.
func (c *code) function(full string, hops int) (maker string, ok bool) {
	m, name := c.split(full)
	if m == nil || hops > maxHops {
		return "", false
	}
	if maker, ok := m.made(name); ok {
		return maker, true
	}
	if meaning, ok := m.names[name]; ok && meaning != full {
		return c.function(meaning, hops+1)
	}
	return "", false
}

// made tells what app the function of that name in the module makes: the one
// whose maker the module calls.
func (m *module) made(name string) (maker string, ok bool) {
	if !slices.ContainsFunc(m.defs, func(d definition) bool { return d.name == name }) {
		return "", false
	}
	makers := m.makers()
	if len(makers) == 0 {
		return "", false
	}
	return makers[0], true
}

// makers returns the makers of apps that the module calls anywhere.
func (m *module) makers() []string {
	var makers []string
	for _, call := range m.calls {
		meaning := m.meaning(call)
		if _, ok := appMakers[meaning]; ok && meaning != dash {
			makers = append(makers, meaning)
		}
	}
	return makers
}

// factory returns a function of the module that makes an app, by Flask's own
// convention for its name.
func (c *code) factory(m *module) (name, maker string, ok bool) {
	for _, want := range []string{"create_app", "make_app"} {
		for _, d := range m.defs {
			if d.name != want {
				continue
			}
			if maker, ok := m.made(want); ok {
				if d.async {
					c.tree.Note("%s: %s() is a coroutine: name its server in a Procfile", m.file, want)
					continue
				}
				if d.bare {
					return want, maker, true
				}
				c.tree.Note("%s: %s() needs arguments: name the command in a Procfile", m.file, want)
			}
		}
	}
	return "", "", false
}

// flaskEnv follows FLASK_APP of .flaskenv, the file of the flask command.
func (c *code) flaskEnv() (entryPoint, bool) {
	text, err := c.tree.Text(".flaskenv", source.MaxManifest)
	if err != nil {
		return entryPoint{}, false
	}
	value := ""
	for _, line := range source.Lines(text) {
		name, v, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if strings.TrimSpace(name) == "FLASK_APP" {
			v, _, _ = strings.Cut(v, " #")
			value = strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	if value == "" {
		return entryPoint{}, false
	}
	file, object, _ := strings.Cut(value, ":")
	file = path.Clean(strings.ReplaceAll(strings.TrimSuffix(file, ".py"), ".", "/"))
	for _, name := range []string{file + ".py", file + "/__init__.py"} {
		m := c.modules[name]
		if m == nil {
			continue
		}
		if flaskObject.MatchString(object) {
			return c.entry(m, object, appMakers["flask.Flask"]), true
		}
		if found, maker, ok := c.instance(m); ok && object == "" {
			return c.entry(m, found, appMakers[maker]), true
		}
		if found, maker, ok := c.factory(m); ok && object == "" {
			return c.entry(m, found+"()", appMakers[maker]), true
		}
	}
	c.tree.Note(".flaskenv: FLASK_APP=%s names no app that was found", source.Printable(value))
	return entryPoint{}, false
}

// flaskObject is what may follow the colon of FLASK_APP: a name, or the call of one.
var flaskObject = source.NewPattern(`^[\pL_][\pL\pN_]*(\([\pL\pN_='", ]*\))?$`)
