package buildpacks

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// What a Python app's layers are made of. Names and versions are parts of
// keys: a change rebuilds the layer for everybody.
const uvVersion = "0.13.9"

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
	venv        = "/app/" + ownDir + "/venv"
	pythonHome  = "/app/" + ownDir + "/python" // of versions that the stack does not have
	uvCache     = "/cache/uv"
)

// pythonFiles are the files that make a tree a Python app, besides sources.
var pythonFiles = []string{"requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock", "setup.py", "manage.py"}

// netPasses are the operator's variables that say where things come from.
var netPasses = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_PYTHON_INSTALL_MIRROR"}

// pyProject is a Python app as its tree shows it.
type pyProject struct {
	tree     *tree
	modules  map[string]*pyModule // by file
	file     *pyProjectFile       // pyproject.toml, nil when there is none
	commands []string             // that the app's files ask to be run: processes and jobs
}

// detectPython returns nil when the tree is no Python app.
func detectPython(t *tree) (*pyProject, error) {
	p := &pyProject{tree: t, modules: map[string]*pyModule{}}
	p.scan()
	if len(p.modules) == 0 && !slices.ContainsFunc(pythonFiles, t.has) {
		return nil, nil
	}
	var err error
	p.file, err = t.projectFile()
	return p, err
}

// scan reads the tree's modules.
func (p *pyProject) scan() {
	files := 0
	p.tree.walk(isForeign, func(name string) {
		if path.Ext(name) != ".py" {
			return
		}
		if files++; files > maxModules {
			p.tree.note("more than %d Python files; the rest was not read", maxModules)
			return
		}
		src, err := p.tree.read(name, maxModule)
		if err != nil {
			p.tree.note("%s was not read: %v", printable(name), err)
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
func (p *pyProject) plan(plan *Plan, c *chain) error {
	for i, proc := range plan.Processes {
		plan.Processes[i].Command = p.withoutRunner(proc)
		p.commands = append(p.commands, plan.Processes[i].Command)
	}
	for _, job := range plan.Manifest.Cron {
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
	if len(plan.Processes) == 0 {
		if !found {
			return p.noEntry()
		}
		plan.Processes = []Process{{Type: "web", Command: entry.command(), Inferred: true}}
		p.commands = append(p.commands, entry.command())
	}
	if err := p.shadows(entry, found); err != nil {
		return err
	}
	if found && entry.framework.name == "Django" {
		p.tree.note("Django: collectstatic and migrate are not run by this version of berth")
	}
	plan.Language = "python"
	plan.Summary = p.summary(version, manifest, entry, found)
	plan.Env = p.env(plan.Processes, entry)
	return p.layers(c, version, manifest, entry, found)
}

// runner is what starts a program in a development environment that does not
// exist here: everything is installed where programs are looked for.
var runner = regexp.MustCompile(`^(exec\s+)?(uv|poetry|pipenv|pdm|rye)\s+run\s+(?:--?[a-z-]+\s+)*`)

func (p *pyProject) withoutRunner(proc Process) string {
	m := runner.FindStringSubmatch(proc.Command)
	if m == nil {
		return proc.Command
	}
	p.tree.note("%s: runs without %q, which is for development", proc.Type, m[2]+" run")
	return m[1] + proc.Command[len(m[0]):]
}

// noEntry says what was looked for, and found wanting.
func (p *pyProject) noEntry() error {
	e := problem(codeNoProcess, "nothing says which process to start").
		with("looked for a Procfile, and for a Flask, FastAPI or Django app in the source")
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
		e.with("read " + printable(list))
	}
	e.with(p.tree.notes...)
	return e.hint("write a file named Procfile with the line: web: python %s", shellWord(guess)).
		hint("or assign the app at the top level of a module: app = Flask(__name__)")
}

// shadows refuses a module that hides the framework it imports, and warns of
// those that hide a part of Python.
func (p *pyProject) shadows(entry pyEntry, found bool) error {
	for _, m := range p.ranked() {
		if path.Dir(m.file) != "." {
			continue
		}
		name := strings.TrimSuffix(m.file, ".py")
		if pyStandard[name] && name != "this" {
			p.tree.note("%s hides Python's own module %s; give it another name if something fails to import", m.file, name)
		}
		for _, maker := range pyMakers {
			imports := m.requires(name) || found && entry.framework.module == name
			if maker.module == name && imports {
				return problem(codeShadow, "%s has the name of the package %s that the app imports", m.file, name).
					with("Python looks in the app's own folder first and finds "+m.file).
					hint("git mv %s app.py", m.file)
			}
		}
	}
	return nil
}

// summary is one line: "Python 3.13, Flask (web.py imports flask)".
func (p *pyProject) summary(v pyVersion, m *pyManifest, entry pyEntry, found bool) string {
	s := "Python " + v.String()
	if found {
		return fmt.Sprintf("%s, %s (%s)", s, entry.framework.name, printable(entry.why()))
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
func (p *pyProject) env(procs []Process, entry pyEntry) map[string]string {
	env := map[string]string{
		"PATH":             venv + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"VIRTUAL_ENV":      venv,
		"PYTHONUNBUFFERED": "1", // what is printed is in the log at once
		"LANG":             "C.UTF-8",
		// The router alone reaches the app, and it sets X-Forwarded-* itself:
		// gunicorn and uvicorn may believe it, whatever its address.
		"FORWARDED_ALLOW_IPS": "*",
	}
	if entry.path != "" || p.tree.isDir("src") && p.modules["src/__init__.py"] == nil {
		env["PYTHONPATH"] = "/app/src"
	}
	inferred := len(procs) == 1 && procs[0].Inferred && entry.framework.server == "gunicorn" && entry.object != ""
	if inferred && !p.tree.has("gunicorn.conf.py") {
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

// layers stacks the app's layers: the toolchain, the repository's packages, a
// Python of its own, the dependencies.
func (p *pyProject) layers(c *chain, v pyVersion, m *pyManifest, entry pyEntry, found bool) error {
	packages, aptFile, err := p.tree.aptPackages()
	if err != nil {
		return err
	}
	top, err := c.add(Layer{
		Name: "Python toolchain", Root: true, Commands: aptInstall(pythonRuntime), Env: aptEnv, Passes: netPasses,
		Failure: toolchainFailure(),
	}, c.stack)
	if err != nil {
		return err
	}
	tools := Layer{
		Name: "Python build tools", Root: true, Build: true, Commands: aptInstall(pythonBuild), Env: aptEnv, Passes: netPasses,
		Failure: toolchainFailure(),
	}
	tools.Commands = append(tools.Commands, Command{Args: []string{"pip", "install", "--break-system-packages", "--no-cache-dir", "--no-input",
		"--root-user-action=ignore", "--disable-pip-version-check", "--retries=5", "uv==" + uvVersion}})
	builder, err := c.add(tools, top)
	if err != nil {
		return err
	}
	if packages != nil {
		// Once for what runs and once for what builds, so that the build tools
		// below are everybody's.
		l := Layer{Name: aptFile, Root: true, Commands: aptInstall(packages), Env: aptEnv, Passes: netPasses, Failure: aptFailure(aptFile)}
		if top, err = c.add(l, top); err != nil {
			return err
		}
		l.Build = true
		if builder, err = c.add(l, builder); err != nil {
			return err
		}
	}
	env := uvEnv
	if !v.stack() {
		env = slices.Concat(env, []string{"UV_PYTHON_INSTALL_DIR=" + pythonHome, "UV_PYTHON_INSTALL_BIN=0"})
		top, err = c.add(Layer{
			Name: "Python " + v.String(), Builder: builder, Env: env, Passes: netPasses,
			Commands: []Command{{Args: []string{"uv", "python", "install", "--no-config", v.String()}, Dir: "/app"}},
			Caches:   []Cache{{Name: "uv", Target: uvCache}},
			Failure:  versionFailure(v),
		}, top)
		if err != nil {
			return err
		}
	}
	deps := p.dependencies(v, m, entry, found)
	deps.Builder, deps.Env = builder, slices.Concat(env, deps.Env, []string{"UV_PYTHON_DOWNLOADS=never"})
	_, err = c.add(deps, top)
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
func (p *pyProject) dependencies(v pyVersion, m *pyManifest, entry pyEntry, found bool) Layer {
	l := Layer{Name: "dependencies", Caches: []Cache{{Name: "uv", Target: uvCache}}, Passes: netPasses}
	l.Commands = []Command{{Args: []string{"uv", "venv", "--no-config", "--python", v.interpreter(), venv}}}
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
		if list := sortedKeys(wants); len(list) > 0 {
			p.tree.note("no requirements.txt; installed by what is imported: %s", strings.Join(list, ", "))
			p.tree.note("write that list into requirements.txt to choose versions")
			l.Commands = append(l.Commands, pipInstall(list...))
		}
		l.Failure = installFailure("what the source imports").
			hint("write requirements.txt with the packages that the app needs, one a line")
	case m.local:
		// Installed from where it will run, so that paths in it are true.
		l.Inputs = []string{"."}
		l.Commands = append([]Command{{Args: []string{"cp", "-rT", "/src", "/app"}}}, l.Commands...)
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
			p.tree.note("%s does not list %s, which is installed too", m.name, strings.Join(extra, ", "))
			l.Commands = append(l.Commands, pipInstall(extra...))
		}
	}
	for i := range l.Commands {
		l.Commands[i].Dir = dir
	}
	return l
}

// pyPrograms are the servers that a process may call without listing them, by
// the program's name.
var pyPrograms = map[string]string{
	"gunicorn": "gunicorn", "uvicorn": "uvicorn", "hypercorn": "hypercorn", "daphne": "daphne", "waitress-serve": "waitress",
}

// servers returns the servers that the app's commands call and that are not
// among the names.
func (p *pyProject) servers(names map[string]bool) []string {
	var list []string
	for _, command := range p.commands {
		for _, w := range words(command) {
			if strings.HasPrefix(w[0], "python") && len(w) > 2 && w[1] == "-m" {
				w = w[2:]
			}
			if dist, ok := pyPrograms[path.Base(w[0])]; ok && !names[dist] && !slices.Contains(list, dist) {
				list = append(list, dist)
			}
		}
	}
	slices.Sort(list)
	return list
}

func toolchainFailure() *Problem {
	return problem(codeToolchain, "the Python toolchain could not be installed").
		hint("this part is berth's: see whether this machine reaches Debian's archive and PyPI").
		hint("then push the same commit again")
}

func aptFailure(file string) *Problem {
	return problem(codeApt, "the packages of %s could not be installed", file).
		hint("are they named so in Debian 13? apt-cache search finds them")
}

func versionFailure(v pyVersion) *Problem {
	return problem(codeNoVersion, "Python %s could not be had", v).
		with(fmt.Sprintf("%s asks for it; the stack has 3.%d, uv has to download any other", v.from, stackMinor)).
		hint("ask for 3.%d, which is at hand", stackMinor).
		hint("or set UV_PYTHON_INSTALL_MIRROR for berth, where uv's own host is out of reach")
}

func installFailure(what string) *Problem {
	return problem(codeInstall, "the dependencies could not be installed (%s)", what)
}
