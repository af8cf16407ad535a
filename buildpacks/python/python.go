// Package python plans Python apps: which Python, what it needs, what it starts.
package python

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// What a Python app's layers are made of. Names and versions are parts of
// keys: a change rebuilds the layer for everybody.
const uvVersion = "0.13.9"

// What of a tree's Python is read.
const (
	maxModule  = 512 << 10 // bytes of a file
	maxModules = 500       // files
)

var (
	// pythonRuntime is Python and the libraries that packages built from source
	// usually need while they run: database clients, XML, images, OpenMP.
	pythonRuntime = []string{"ca-certificates", "libffi8", "libgomp1", "libjpeg62-turbo", "libmagic1", "libmariadb3",
		"libpq5", "libxml2", "libxslt1.1", "media-types", "python3", "tzdata"}

	// pythonBuild is what it takes to build such packages, and pip to get uv.
	pythonBuild = []string{"g++", "gcc", "git", "libffi-dev", "libjpeg62-turbo-dev", "libmariadb-dev", "libpq-dev",
		"libssl-dev", "libxml2-dev", "libxslt1-dev", "make", "pkg-config", "python3-dev", "python3-pip", "zlib1g-dev"}
)

const (
	stackPython = "/usr/bin/python3"
	venv        = "/app/" + source.OwnDir + "/venv"
	pythonHome  = "/app/" + source.OwnDir + "/python" // of versions that the stack does not have
	uvCache     = "/cache/uv"
)

// pythonFiles are the files that make a tree a Python app, besides sources.
var pythonFiles = []string{"requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock", "setup.py", "manage.py"}

// netPasses are the operator's variables that say where things come from.
var netPasses = slices.Concat(plan.NetPasses, indexPasses)

var indexPasses = []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_PYTHON_INSTALL_MIRROR"}

// project is a Python app as its tree shows it.
type project struct {
	tree     *source.Tree
	modules  map[string]*module // by file
	file     *tomlFile          // pyproject.toml, nil when there is none
	commands []string           // that the app's files ask to be run: processes and jobs
}

// Manifest names the file by which a tree says that it is a Python app; "" is none.
func Manifest(t *source.Tree) string {
	if i := slices.IndexFunc(pythonFiles, t.Has); i >= 0 {
		return pythonFiles[i]
	}
	return ""
}

// Sources names the first Python file of a tree; "" is none. It is a weaker
// word than Manifest: most languages' repositories have a script in Python.
func Sources(t *source.Tree) (found string) {
	t.Walk(isForeign, func(name string) {
		if found == "" && path.Ext(name) == ".py" {
			found = name
		}
	})
	return found
}

// Plan fills in the plan of a Python app.
func Plan(out *plan.Plan, c *plan.Chain) error {
	p := &project{tree: c.Tree, modules: map[string]*module{}}
	p.scan()
	var err error
	if p.file, err = readProjectFile(c.Tree); err != nil {
		return err
	}
	return p.plan(out, c)
}

// scan reads the tree's modules.
func (p *project) scan() {
	files := 0
	p.tree.Walk(isForeign, func(name string) {
		if path.Ext(name) != ".py" {
			return
		}
		if files++; files > maxModules {
			p.tree.Note("more than %d Python files; the rest was not read", maxModules)
			return
		}
		src, err := p.tree.Read(name, maxModule)
		if err != nil {
			p.tree.Note("%s was not read: %v", source.Printable(name), err)
			return
		}
		if !slices.Contains(src, 0) {
			p.modules[name] = parsePython(name, string(src))
		}
	})
}

// isForeign tells directories whose Python is not the app's own.
func isForeign(dir string) bool {
	switch base := path.Base(dir); base {
	case "venv", "env", "node_modules", "site-packages", "__pycache__", "__pypackages__", "build", "dist",
		"docs", "doc", "examples", "example", "tests", "test":
		return true
	default:
		return strings.HasPrefix(base, ".")
	}
}

// plan fills in the plan: processes, layers, environment, summary.
func (p *project) plan(out *plan.Plan, c *plan.Chain) error {
	for i, proc := range out.Processes {
		out.Processes[i].Command = p.withoutRunner(proc)
		p.commands = append(p.commands, out.Processes[i].Command)
	}
	for _, job := range out.Manifest.Cron {
		p.commands = append(p.commands, job.Command)
	}
	version, err := p.findVersion()
	if err != nil {
		return err
	}
	manifest, err := p.findManifest(version)
	if err != nil {
		return err
	}
	entry, found := p.findEntry()
	if len(out.Processes) == 0 {
		if !found {
			return p.noEntry()
		}
		out.Infer("web", entry.command())
		p.commands = append(p.commands, entry.command())
	}
	if err := p.shadows(entry, found); err != nil {
		return err
	}
	if found && entry.framework.name == "Django" {
		p.tree.Note("Django: collectstatic and migrate are not run by this version of berth")
	}
	out.Summary = p.summary(version, manifest, entry, found)
	out.Env = p.env(out.Processes, entry)
	return p.layers(c, version, manifest, entry, found)
}

// runner is what starts a program in a development environment that does not
// exist here: everything is installed where programs are looked for.
var runner = regexp.MustCompile(`^(exec\s+)?(uv|poetry|pipenv|pdm|rye)\s+run\s+(?:--?[a-z-]+\s+)*`)

func (p *project) withoutRunner(proc plan.Process) string {
	m := runner.FindStringSubmatch(proc.Command)
	if m == nil {
		return proc.Command
	}
	p.tree.Note("%s: runs without %q, which is for development", proc.Type, m[2]+" run")
	return m[1] + proc.Command[len(m[0]):]
}

// noEntry says what was looked for, and found wanting.
func (p *project) noEntry() error {
	e := source.Problemf(source.CodeNoProcess, "nothing says which process to start").
		With("looked for a Procfile, and for a Flask, FastAPI or Django app in the source")
	var files []string
	guess := "main.py"
	for _, m := range p.ranked() {
		if files = append(files, m.file); len(files) == 1 {
			guess = m.file
		}
	}
	if n := len(files); n > 0 {
		list := strings.Join(files[:min(n, 8)], ", ")
		if n > 8 {
			list += fmt.Sprintf(" and %d more", n-8)
		}
		e.With("read " + source.Printable(list))
	}
	e.With(p.tree.Notes...)
	return e.Hint("write a file named Procfile with the line: web: python %s", source.ShellWord(guess)).
		Hint("or assign the app at the top level of a module: app = Flask(__name__)")
}

// shadows refuses a module that hides the framework it imports, and warns of
// those that hide a part of Python.
func (p *project) shadows(entry entryPoint, found bool) error {
	for _, m := range p.ranked() {
		if path.Dir(m.file) != "." {
			continue
		}
		name := strings.TrimSuffix(m.file, ".py")
		if standardLibrary[name] && name != "this" {
			p.tree.Note("%s hides Python's own module %s; give it another name if something fails to import", m.file, name)
		}
		for _, maker := range appMakers {
			imports := m.requires(name) || found && entry.framework.module == name
			if maker.module == name && imports {
				return source.Problemf(source.CodeShadow, "%s has the name of the package %s that the app imports", m.file, name).
					With("Python looks in the app's own folder first and finds "+m.file).
					Hint("git mv %s app.py", m.file)
			}
		}
	}
	return nil
}

// summary is one line: "Python 3.13, Flask (web.py imports flask)".
func (p *project) summary(v pythonVersion, m *manifest, entry entryPoint, found bool) string {
	s := "Python " + v.String()
	if found {
		return fmt.Sprintf("%s, %s (%s)", s, entry.framework.name, source.Printable(entry.why()))
	}
	if m == nil {
		return s
	}
	for _, name := range []string{"django", "flask", "fastapi", "starlette", "quart", "streamlit", "celery"} {
		if m.names[name] {
			title := strings.ToUpper(name[:1]) + name[1:]
			if name == "fastapi" {
				title = "FastAPI"
			}
			return fmt.Sprintf("%s, %s (%s lists %s)", s, title, m.name, name)
		}
	}
	return fmt.Sprintf("%s (%s)", s, m.name)
}

// env is the environment of the running processes.
func (p *project) env(procs []plan.Process, entry entryPoint) map[string]string {
	env := map[string]string{
		"PATH":             venv + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"VIRTUAL_ENV":      venv,
		"PYTHONUNBUFFERED": "1", // what is printed is in the log at once
		"LANG":             "C.UTF-8",
		// The router alone reaches the app, and it sets X-Forwarded-* itself:
		// gunicorn and uvicorn may believe it, whatever its address.
		"FORWARDED_ALLOW_IPS": "*",
	}
	if entry.path != "" || p.tree.IsDir("src") && p.modules["src/__init__.py"] == nil {
		env["PYTHONPATH"] = "/app/src"
	}
	inferred := len(procs) == 1 && procs[0].Inferred && entry.framework.server == "gunicorn" && entry.object != ""
	if inferred && !p.tree.Has("gunicorn.conf.py") {
		// One worker with threads, as Flask's own server has them: what an app
		// keeps in memory is there for every request, it starts fastest and
		// takes the least memory; ps:scale makes use of further cores. Idle
		// connections outlive the router's, so that none is reset under a
		// request. Heartbeats stay off the disk. There is no access log: the
		// router sees every request.
		env["GUNICORN_CMD_ARGS"] = "--threads 8 --keep-alive 75 --worker-tmp-dir /dev/shm"
	}
	return env
}

// layers stacks the app's layers: the toolchain, a Python of its own, the
// dependencies.
func (p *project) layers(c *plan.Chain, v pythonVersion, m *manifest, entry entryPoint, found bool) error {
	pipUV := plan.Command{Args: []string{"pip", "install", "--break-system-packages", "--no-cache-dir", "--no-input",
		"--root-user-action=ignore", "--disable-pip-version-check", "--retries=5", "uv==" + uvVersion}}
	top, builder, err := c.Toolchain(plan.Toolchain{
		Title:   "Python",
		Runtime: plan.AptInstall(pythonRuntime...),
		Build:   append(plan.AptInstall(pythonBuild...), pipUV),
		Passes:  indexPasses,
		Hints: []string{"this part is berth's: see whether this machine reaches Debian's archive and PyPI",
			"then push the same commit again"},
	})
	if err != nil {
		return err
	}
	env := uvEnv
	if !v.stack() {
		env = slices.Concat(env, []string{"UV_PYTHON_INSTALL_DIR=" + pythonHome, "UV_PYTHON_INSTALL_BIN=0"})
		top, err = c.Add(plan.Layer{
			Name: "Python " + v.String(), Builder: builder, Env: env, Passes: netPasses,
			Commands: []plan.Command{{Args: []string{"uv", "python", "install", "--no-config", v.String()}, Dir: "/app"}},
			Caches:   []plan.Cache{{Name: "uv", Target: uvCache}},
			Failure:  versionFailure(v),
		}, top)
		if err != nil {
			return err
		}
	}
	deps := p.dependencies(v, m, entry, found)
	deps.Builder, deps.Env = builder, slices.Concat(env, deps.Env, []string{"UV_PYTHON_DOWNLOADS=never"})
	_, err = c.Add(deps, top)
	return err
}

// uvEnv is the environment of every layer that uv makes.
var uvEnv = []string{
	"HOME=/tmp",
	"LANG=C.UTF-8",
	"NO_COLOR=1",
	"UV_NO_PROGRESS=1",
	"UV_CACHE_DIR=" + uvCache,
	"UV_LINK_MODE=copy", // the cache is another filesystem
	"UV_PROJECT_ENVIRONMENT=" + venv,
	"VIRTUAL_ENV=" + venv,
}

// dependencies returns the layer that holds the app's virtual environment. Its
// key follows from the manifest alone, unless a part of the tree is installed.
func (p *project) dependencies(v pythonVersion, m *manifest, entry entryPoint, found bool) plan.Layer {
	l := plan.Layer{Name: "dependencies", Caches: []plan.Cache{{Name: "uv", Target: uvCache}}, Passes: netPasses}
	l.Commands = []plan.Command{{Args: []string{"uv", "venv", "--no-config", "--python", v.interpreter(), venv}}}
	dir := "/app"
	switch {
	case m == nil:
		wants := map[string]bool{}
		for _, dist := range p.thirdParty() {
			wants[dist] = true
		}
		if found && entry.framework.server != "" {
			wants[normal(entry.framework.module)] = true
		}
		for _, dist := range p.servers(wants) {
			wants[dist] = true
		}
		if list := source.SortedKeys(wants); len(list) > 0 {
			p.tree.Note("no requirements.txt; installed by what is imported: %s", strings.Join(list, ", "))
			p.tree.Note("write that list into requirements.txt to choose versions")
			l.Commands = append(l.Commands, pipInstall(list...))
		}
		l.Failure = installFailure("what the source imports").
			Hint("write requirements.txt with the packages that the app needs, one a line")
	case m.local:
		// Installed from where it will run, so that paths in it are true.
		l.Inputs = []string{"."}
		l.Commands = append([]plan.Command{{Args: []string{"cp", "-rT", "/src", "/app"}}}, l.Commands...)
		l.Failure = installFailure(m.name)
	default:
		l.Inputs = m.inputs
		if len(m.inputs) > 0 {
			dir = "/src"
		}
		l.Failure = installFailure(m.name)
	}
	if m != nil {
		l.Commands = append(l.Commands, m.commands...)
		if extra := p.servers(m.names); len(extra) > 0 {
			p.tree.Note("%s does not list %s, which is installed too", m.name, strings.Join(extra, ", "))
			l.Commands = append(l.Commands, pipInstall(extra...))
		}
	}
	for i := range l.Commands {
		l.Commands[i].Dir = dir
	}
	return l
}

// serverPrograms are the servers that a process may call without listing them, by
// the program's name.
var serverPrograms = map[string]string{
	"gunicorn": "gunicorn", "uvicorn": "uvicorn", "hypercorn": "hypercorn", "daphne": "daphne", "waitress-serve": "waitress",
}

// servers returns the servers that the app's commands call and that are not
// among the names.
func (p *project) servers(names map[string]bool) []string {
	var list []string
	for _, command := range p.commands {
		for _, w := range source.Words(command) {
			if strings.HasPrefix(w[0], "python") && len(w) > 2 && w[1] == "-m" {
				w = w[2:]
			}
			if dist, ok := serverPrograms[path.Base(w[0])]; ok && !names[dist] && !slices.Contains(list, dist) {
				list = append(list, dist)
			}
		}
	}
	slices.Sort(list)
	return list
}

func versionFailure(v pythonVersion) *source.Problem {
	return source.Problemf(source.CodeNoVersion, "Python %s could not be had", v).
		With(fmt.Sprintf("%s asks for it; the stack has 3.%d, uv has to download any other", v.from, stackMinor)).
		Hint("ask for 3.%d, which is at hand", stackMinor).
		Hint("or set UV_PYTHON_INSTALL_MIRROR for berth, where uv's own host is out of reach")
}

func installFailure(what string) *source.Problem {
	return source.Problemf(source.CodeInstall, "the dependencies could not be installed (%s)", what)
}
