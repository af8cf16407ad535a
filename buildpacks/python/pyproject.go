package python

import (
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// manifest is the file, or the pair of files, that says what an app needs,
// and how that is installed.
type manifest struct {
	name     string          // as it is told of: "requirements.txt", "uv.lock"
	inputs   []string        // that decide what is installed
	names    map[string]bool // distributions that are asked for, normalised
	local    bool            // the tree itself, or a part of it, is installed
	commands []plan.Command  // run where the inputs are

	indexes []string       // options of pip, of a Pipfile
	develop map[string]any // packages for development, of a Pipfile
}

// tomlFile is the part of pyproject.toml that is acted on.
type tomlFile struct {
	Project *struct {
		RequiresPython string            `toml:"requires-python"`
		Dependencies   []string          `toml:"dependencies"`
		Dynamic        []string          `toml:"dynamic"`
		Scripts        map[string]string `toml:"scripts"`

		Optional map[string][]string `toml:"optional-dependencies"`
	} `toml:"project"`
	Groups      map[string][]any `toml:"dependency-groups"`
	BuildSystem map[string]any   `toml:"build-system"`
	Tool        struct {
		Poetry *struct {
			Dependencies map[string]any `toml:"dependencies"`
			Development  map[string]any `toml:"dev-dependencies"`
			Scripts      map[string]any `toml:"scripts"`

			Groups map[string]struct {
				Dependencies map[string]any `toml:"dependencies"`
			} `toml:"group"`
		} `toml:"poetry"`
		UV struct {
			Development []string `toml:"dev-dependencies"`

			Sources   map[string]any `toml:"sources"`
			Workspace map[string]any `toml:"workspace"`
		} `toml:"uv"`
	} `toml:"tool"`
}

// projectFile reads pyproject.toml; nil when there is none.
func readProjectFile(t *source.Tree) (*tomlFile, error) {
	var p tomlFile
	if err := t.TOML(source.CodeProject, "pyproject.toml", source.MaxManifest, &p); source.Missing(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &p, nil
}

// findManifest finds what says what the app needs: a lock file before a list, a list
// before a package. nil when there is nothing.
func (p *project) findManifest(v pythonVersion) (*manifest, error) {
	makers := []struct {
		file string
		read func() (*manifest, error)
	}{
		{"uv.lock", func() (*manifest, error) { return p.uvLock(v) }},
		{"poetry.lock", func() (*manifest, error) { return p.poetryLock(v) }},
		{"Pipfile.lock", p.pipfileLock},
		{"requirements.txt", p.requirementsFile},
		{"pyproject.toml", func() (*manifest, error) { return p.projectTable(v) }},
		{"Pipfile", p.pipfile},
		{"setup.py", p.setup},
	}
	var chosen *manifest
	for _, maker := range makers {
		if !p.tree.Has(maker.file) {
			continue
		}
		if chosen != nil {
			if maker.file != "pyproject.toml" && maker.file != "setup.py" && !slices.Contains(chosen.inputs, maker.file) {
				p.tree.Note("%s is used, %s is ignored", chosen.name, maker.file)
			}
			continue
		}
		m, err := maker.read()
		if err != nil {
			return nil, err
		}
		chosen = m // may still be nil: a pyproject.toml that only sets up a linter
	}
	return chosen, nil
}

// uvLock installs a uv project as it is locked. The project itself is
// installed only when it has programs to be called by name: otherwise the
// source alone is enough, and a change of it installs nothing.
func (p *project) uvLock(v pythonVersion) (*manifest, error) {
	if p.file == nil {
		p.tree.Note("uv.lock without pyproject.toml is ignored")
		return nil, nil
	}
	var lock struct {
		Package []struct {
			Name string `toml:"name"`
		} `toml:"package"`
	}
	if err := p.tree.TOML(source.CodeProject, "uv.lock", source.MaxLock, &lock); err != nil {
		return nil, err
	}
	m := &manifest{name: "uv.lock", inputs: []string{"pyproject.toml", "uv.lock"}, names: map[string]bool{}}
	for _, pkg := range lock.Package {
		m.names[normal(pkg.Name)] = true
	}
	m.local = p.localSources() || p.programs()
	m.commands = []plan.Command{p.uvSync(v, "--no-dev")}
	return m, nil
}

// syncScript installs what is locked; when the lock does not fit the project any
// more, what it would be now, and says so. The lock is written anew where it
// can be, in a copy.
const syncScript = `if uv lock --check --quiet --python "$1" 2>/dev/null; then exec uv sync --frozen --python "$@"; fi
echo "warning: uv.lock does not fit pyproject.toml; versions are chosen again: run uv lock, commit it"
[ -w . ] || { cp -r . /tmp/project; cd /tmp/project; }
exec uv sync --python "$@"`

// uvSync returns the command that installs a uv project.
func (p *project) uvSync(v pythonVersion, options ...string) plan.Command {
	options = slices.Concat([]string{v.interpreter(), "--compile-bytecode"}, options)
	if !p.programs() {
		options = append(options, "--no-install-project")
	}
	if p.file.Project != nil && len(p.file.Project.Dynamic) > 0 {
		// What the lock has to fit is known only by building the project.
		return plan.Command{Args: slices.Concat([]string{"uv", "sync", "--frozen", "--python"}, options)}
	}
	return plan.Command{Args: slices.Concat([]string{"sh", "-c", syncScript, "sh"}, options)}
}

// localSources tells whether a dependency is a part of the tree.
func (p *project) localSources() bool {
	uv := p.file.Tool.UV
	if uv.Workspace != nil {
		return true
	}
	for _, source := range uv.Sources {
		if hasKey(source, "path", "workspace") {
			return true
		}
	}
	return false
}

// hasKey tells whether a table, or one of a list of tables, has one of the keys.
func hasKey(v any, keys ...string) bool {
	switch v := v.(type) {
	case map[string]any:
		return slices.ContainsFunc(keys, func(k string) bool { _, ok := v[k]; return ok })
	case []map[string]any:
		return slices.ContainsFunc(v, func(m map[string]any) bool { return hasKey(m, keys...) })
	case []any:
		return slices.ContainsFunc(v, func(m any) bool { return hasKey(m, keys...) })
	}
	return false
}

// programs tells whether the project, once installed, has programs of its own
// that a process calls.
func (p *project) programs() bool {
	if p.file == nil || p.file.BuildSystem == nil {
		return false
	}
	names := map[string]bool{}
	if p.file.Project != nil {
		for name := range p.file.Project.Scripts {
			names[name] = true
		}
	}
	if p.file.Tool.Poetry != nil {
		for name := range p.file.Tool.Poetry.Scripts {
			names[name] = true
		}
	}
	for _, command := range p.commands {
		for _, w := range source.Words(command) {
			if names[w[0]] {
				return true
			}
		}
	}
	return false
}

// requirementsFile installs what requirements.txt lists.
func (p *project) requirementsFile() (*manifest, error) {
	r, err := requirementsFrom(p.tree, "requirements.txt")
	if err != nil {
		return nil, err
	}
	m := &manifest{name: "requirements.txt", inputs: r.files, names: r.names, local: r.local}
	file := "requirements.txt"
	if r.utf16 {
		p.tree.Note("requirements.txt is UTF-16, as PowerShell writes it; save it as UTF-8")
		m.commands = []plan.Command{{Args: []string{"iconv", "-f", "UTF-16", "-t", "UTF-8", "-o", "/tmp/requirements.txt", file}}}
		file = "/tmp/requirements.txt"
	}
	m.commands = append(m.commands, pipInstall("-r", file))
	return m, nil
}

func pipInstall(args ...string) plan.Command {
	return plan.Command{Args: append([]string{"uv", "pip", "install", "--compile-bytecode"}, args...)}
}

// projectTable installs what pyproject.toml lists. A file that lists nothing
// (it sets up a linter) is no manifest.
func (p *project) projectTable(v pythonVersion) (*manifest, error) {
	project, poetry := p.file.Project, p.file.Tool.Poetry
	switch {
	case project == nil && poetry != nil && len(poetry.Dependencies) > 0:
		return p.poetryTable(v)
	case project == nil:
		return nil, nil
	}
	m := &manifest{name: "pyproject.toml", inputs: []string{"pyproject.toml"}, names: map[string]bool{}}
	for _, dep := range project.Dependencies {
		m.names[nameOf(dep)] = true
		m.local = m.local || strings.Contains(dep, "@ file:") || strings.Contains(dep, "@file:")
	}
	if slices.Contains(project.Dynamic, "dependencies") || p.programs() {
		m.local = true
		m.commands = []plan.Command{pipInstall("-e", ".")}
		return m, nil
	}
	m.local = m.local || p.localSources()
	m.commands = []plan.Command{pipInstall("-r", "pyproject.toml")}
	return m, nil
}

// setup installs a package that says what it needs by running setup.py.
func (p *project) setup() (*manifest, error) {
	return &manifest{name: "setup.py", local: true, names: map[string]bool{}, commands: []plan.Command{pipInstall("-e", ".")}}, nil
}

// requiresPython returns what pyproject.toml says of the Python it needs.
func (p *project) requiresPython() (spec, file string) {
	if p.file != nil {
		if p.file.Project != nil && p.file.Project.RequiresPython != "" {
			return p.file.Project.RequiresPython, "pyproject.toml"
		}
		if poetry := p.file.Tool.Poetry; poetry != nil {
			if s, ok := poetry.Dependencies["python"].(string); ok {
				return s, "pyproject.toml"
			}
		}
	}
	return "", ""
}
