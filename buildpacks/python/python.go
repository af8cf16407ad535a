// Package python plans Python apps: which Python, what it needs, what it starts.
package python

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

const (
	stackPython = "/usr/bin/python3"
	venv        = "/app/" + source.OwnDir + "/venv"
	pythonHome  = "/app/" + source.OwnDir + "/python" // of versions that the stack does not have
	mirrorHome  = "/opt/python"                       // of those that the mirror has
	uvCache     = "/cache/uv"
)

// pythonFiles are the files that make a tree a Python app, besides sources.
var pythonFiles = []string{"requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock", "setup.py", "manage.py"}

// project is a Python app as its tree shows it.
type project struct {
	tree     *source.Tree
	code     *code
	mirror   mirror.Archives // of Python
	django   *django         // nil when it is no Django project
	file     *tomlFile       // pyproject.toml, nil when there is none
	frontend *node.Frontend  // what Node builds; nil is nothing
	commands []string        // that the app's files ask to be run: processes and jobs
}

func newProject(tree *source.Tree) *project { return &project{tree: tree, code: readCode(tree)} }

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

// App names the file of a web app that is found by reading the tree's sources;
// "" is none.
func App(t *source.Tree) string {
	entry, _ := newProject(&source.Tree{FS: t.FS}).findEntry()
	return entry.file
}

// Plan fills in the plan of a Python app.
func Plan(out *plan.Plan, c *plan.Chain) error {
	p := newProject(c.Tree)
	p.mirror = c.Mirrored("python")
	p.django = p.readDjango()
	var err error
	if p.file, err = readProjectFile(c.Tree); err != nil {
		return err
	}
	return p.plan(out, c)
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
	version, err := p.findVersion(c.Versions["python"])
	if err != nil {
		return err
	}
	out.Versions["python"] = version.String()
	manifest, err := p.findManifest(version)
	if err != nil {
		return err
	}
	entry, found := p.findEntry()
	switch bot := p.code.bot(); {
	case len(out.Processes) > 0:
	case found:
		out.Infer("web", entry.command())
	case bot != nil:
		out.Infer("worker", "python "+source.ShellWord(bot.file))
		p.tree.Note("%s is a bot: it runs as a worker, and nothing answers requests", bot.file)
	default:
		return p.noEntry(manifest)
	}
	if last := out.Processes[len(out.Processes)-1]; last.Inferred {
		p.commands = append(p.commands, last.Command)
	}
	if err := p.shadows(entry, found); err != nil {
		return err
	}
	if p.django != nil {
		p.django.migrate(p, out)
	}
	out.Summary = p.summary(version, manifest, entry, found)
	if p.frontend, err = node.FindFrontend(c); err != nil {
		return err
	}
	p.frontend.Announce(out, c)
	out.Env = p.env(out.Processes, entry)
	return p.layers(out, c, version, manifest, entry, found)
}

// runner is what starts a program in a development environment that does not
// exist here: everything is installed where programs are looked for.
var runner = source.NewPattern(`^(exec\s+)?(uv|poetry|pipenv|pdm|rye)\s+run\s+(?:--?[a-z-]+\s+)*`)

func (p *project) withoutRunner(proc plan.Process) string {
	m := runner.FindStringSubmatch(proc.Command)
	if m == nil {
		return proc.Command
	}
	p.tree.Note("%s: runs without %q, which is for development", proc.Type, m[2]+" run")
	return m[1] + proc.Command[len(m[0]):]
}

// shadows refuses a module that hides the framework it imports, and warns of
// those that hide a part of Python.
func (p *project) shadows(entry entryPoint, found bool) error {
	for _, m := range p.code.ranked() {
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
				return source.Problemf(source.CodeShadow, "%s has the same name as the package %s that the app imports", m.file, name).
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
	if v.archive != nil {
		s += " from the mirror"
	}
	if found {
		return fmt.Sprintf("%s, %s (%s)", s, entry.framework.name, source.Printable(entry.why()))
	}
	if m == nil {
		return s
	}
	for _, name := range []string{"django", "flask", "fastapi", "starlette", "quart", "litestar", "streamlit", "celery"} {
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
	if entry.path != "" || p.tree.IsDir("src") && p.code.modules["src/__init__.py"] == nil {
		env["PYTHONPATH"] = "/app/src"
	}
	if d := p.django; d != nil && d.settings != d.managed {
		// What migrates and collects is to have the settings that serve.
		env["DJANGO_SETTINGS_MODULE"] = d.settings
	}
	if entry.framework.server == "streamlit" {
		env["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"
	}
	web := slices.IndexFunc(procs, func(proc plan.Process) bool { return proc.Type == "web" })
	inferred := web >= 0 && procs[web].Inferred && entry.framework.server == "gunicorn" && entry.object != ""
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
