package buildpacks

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Detect reads the tree and returns the plan. stack is the key of the base
// layer. An error that the pusher can act on is a *Problem; any other is a
// failure to read the tree.
func Detect(src Source, stack string) (*Plan, error) {
	t := &tree{fsys: src.FS}
	if err := t.check(); err != nil {
		return nil, err
	}
	procs, err := t.procfile()
	if err != nil {
		return nil, err
	}
	manifest, err := t.manifest()
	if err != nil {
		return nil, err
	}
	plan := &Plan{Processes: procs, Manifest: manifest, stack: stack}
	app, err := detectPython(t)
	if err != nil {
		return nil, err
	}
	if app == nil {
		return nil, t.unknown(procs)
	}
	if err := app.plan(plan, &chain{src: src, plan: plan, stack: stack}); err != nil {
		return nil, err
	}
	plan.compare(t)
	plan.Notes = slices.Concat(t.notes, plan.Notes)
	return plan, nil
}

// check refuses a tree that has nothing in it or stands in berth's way.
func (t *tree) check() error {
	entries, err := fs.ReadDir(t.fsys, ".")
	if err != nil {
		return fmt.Errorf("read the source tree: %w", err)
	}
	if len(entries) == 0 {
		return problem(codeUnknown, "the repository is empty").
			hint("add the app's files, commit them and push again")
	}
	if _, err := fs.Stat(t.fsys, ownDir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return problem(codeReserved, "the repository has an entry %s, the place of what berth installs", ownDir).
			hint("git rm -r --cached %s", ownDir)
	}
	return nil
}

// ownDir is where layers put what the repository does not have, under /app.
const ownDir = ".berth"

// unknown says what was looked for, and what else the tree looks like.
func (t *tree) unknown(procs []Process) error {
	p := problem(codeUnknown, "nothing here says how to build this app")
	others := []struct{ file, language string }{
		{"package.json", "Node"}, {"go.mod", "Go"}, {"pom.xml", "Java"}, {"build.gradle", "Java"},
		{"build.gradle.kts", "Java"}, {"Cargo.toml", "Rust"}, {"Gemfile", "Ruby"}, {"composer.json", "PHP"},
		{"Dockerfile", "a Dockerfile"}, {"index.html", "a static site"},
	}
	for _, o := range others {
		if t.has(o.file) {
			p.Message = fmt.Sprintf("this looks like %s (%s), which this version of berth does not build", o.language, o.file)
			break
		}
	}
	p.with("looked for Python: "+strings.Join(pythonFiles, ", "),
		"and for files named *.py, also in the folders below")
	if len(procs) > 0 {
		p.with("Procfile is there, but it says what to run, not how to build it")
	}
	if dirs := t.projectDirs(); len(dirs) > 0 {
		return p.hint("%s looks like an app; push that folder as a repository of its own", strings.Join(dirs, " or "))
	}
	return p.hint("push a Python app: web.py with a Flask app in it is enough").
		hint("requirements.txt lists what it needs, Procfile what it runs: web: gunicorn web:app")
}

// projectDirs names folders that look like an app although the root does not.
func (t *tree) projectDirs() []string {
	var dirs []string
	for _, e := range t.dir(".") {
		if e.IsDir() && slices.ContainsFunc(pythonFiles, func(f string) bool { return t.has(e.Name() + "/" + f) }) {
			dirs = append(dirs, e.Name())
		}
	}
	return dirs[:min(len(dirs), 3)]
}

// compare notes what the plan's parts say differently about one thing.
func (p *Plan) compare(t *tree) {
	types := map[string]bool{}
	for _, proc := range p.Processes {
		types[proc.Type] = true
	}
	if !types["web"] && len(p.Processes) > 0 {
		p.Notes = append(p.Notes, "Procfile has no web process: nothing will answer requests")
		for _, proc := range p.Processes {
			if strings.EqualFold(proc.Type, "web") {
				p.Notes = append(p.Notes, fmt.Sprintf("Procfile: %q is not web, names are case-sensitive", proc.Type))
			}
		}
	}
	named := map[string]string{}
	for name := range p.Manifest.Formation {
		named[name] = "formation"
	}
	for name := range p.Manifest.Health {
		named[name] = "healthchecks"
	}
	for _, name := range sortedKeys(named) {
		if !types[name] {
			p.Notes = append(p.Notes, fmt.Sprintf("app.json: %s names %q, which is no process of this app", named[name], name))
		}
	}
}
