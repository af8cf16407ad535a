package python

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// developmentFiles are the lists of what it takes to test, beside requirements.txt.
var developmentFiles = []string{"requirements-dev.txt", "requirements-test.txt", "requirements-tests.txt", "requirements_dev.txt", "requirements_test.txt",
	"dev-requirements.txt", "test-requirements.txt", "requirements/dev.txt", "requirements/development.txt", "requirements/local.txt", "requirements/test.txt", "requirements/tests.txt", "requirements/testing.txt"}

// developmentGroups are the usual names of groups and extras for development.
var developmentGroups = []string{"dev", "develop", "development", "test", "tests", "testing"}

// test plans the usual tests: pytest where it is listed, else what Django or
// Python itself has for it; and the layer with what is listed for development.
func (p *project) test(out *plan.Plan, c *plan.Chain, v pythonVersion, m *manifest, builder string, env []string, top string) error {
	files, unpacked := p.testFiles()
	if files == nil && p.django == nil {
		p.tree.Note("there are no tests to run: no file is named test_*.py or *_test.py")
		return nil
	}
	dev, err := p.development(v, m)
	if err != nil {
		return err
	}
	for _, file := range files {
		// A list that forgets pytest is no reason to test by other means.
		if src, err := p.tree.Read(file, maxModule); err == nil && !dev.names["pytest"] && parsePython(file, string(src)).requires("pytest") {
			dev.names["pytest"] = true
			dev.commands = append(dev.commands, pipInstall("pytest"))
		}
	}
	command := "python -m unittest"
	switch {
	case dev.names["pytest"] || dev.names["pytest-django"]:
		command = "python -m pytest"
	case p.django != nil:
		command = "python " + source.ShellWord(p.django.manage) + " test --noinput"
	case unpacked != "":
		command = "python -m unittest discover -s " + source.ShellWord(unpacked)
	}
	out.Test = &plan.Test{Command: command, Layer: top}
	if len(dev.commands) == 0 {
		return nil
	}
	l := plan.Layer{
		Name: "test dependencies", Build: true, Builder: builder, Env: env, Inputs: dev.inputs, Passes: netPasses,
		Caches:   []plan.Cache{{Name: "uv", Target: uvCache}},
		Commands: []plan.Command{together(dev.commands...)},
		Failure:  source.Problemf(source.CodeInstall, "what the tests need could not be installed (%s)", dev.name),
	}
	if l.Commands[0].Dir = "/app"; len(dev.inputs) > 0 {
		l.Commands[0].Dir = "/src"
	}
	out.Test.Layer, err = c.Add(l, top)
	return err
}

// testFiles returns the files that hold tests, and the directory of them that
// has to be named to unittest, since it is no package; "" is none.
func (p *project) testFiles() (files []string, unpacked string) {
	skip := func(dir string) bool {
		return isForeign(dir) && !slices.Contains([]string{"tests", "test"}, path.Base(dir))
	}
	p.tree.Walk(skip, func(name string) {
		base := path.Base(name)
		if path.Ext(base) != ".py" || !strings.HasPrefix(base, "test") && !strings.HasSuffix(base, "_test.py") || len(files) == maxModules {
			return
		}
		files = append(files, name)
		if dir := path.Dir(name); unpacked == "" && dir != "." && !strings.Contains(dir, "/") && !p.tree.Has(dir+"/__init__.py") {
			unpacked = dir
		}
	})
	return files, unpacked
}

// development returns what the repository lists for its development, beyond
// what the app needs, by the same manifest.
func (p *project) development(v pythonVersion, m *manifest) (*manifest, error) {
	dev := &manifest{name: "development", names: map[string]bool{}}
	if m == nil {
		return dev, nil
	}
	dev.name, dev.inputs = m.name, m.inputs
	if m.local {
		dev.inputs = []string{"."}
	}
	for name := range m.names {
		dev.names[name] = true // pytest may stand among the rest
	}
	var err error
	switch m.name {
	case "uv.lock":
		dev.commands = []plan.Command{p.uvSync(v, append([]string{"--inexact"}, p.groupOptions()...)...)}
	case "poetry.lock":
		if groups := p.poetryGroups(dev); len(groups) > 0 {
			dev.commands = []plan.Command{poetryInstall(groups, nil)}
		}
	case "Pipfile.lock", "Pipfile":
		var args []string
		if args, err = p.pipenvRequirements(dev, m.develop); len(args) > 0 {
			dev.commands = []plan.Command{pipInstall(slices.Concat(m.indexes, args)...)}
		}
	case "pyproject.toml":
		err = p.developmentTables(v, dev)
	}
	if err != nil || len(dev.commands) > 0 {
		return dev, err
	}
	return dev, p.developmentFile(dev)
}

// developmentFile adds the first list for development that there is.
func (p *project) developmentFile(dev *manifest) error {
	for _, file := range developmentFiles {
		if !p.tree.Has(file) {
			continue
		}
		r, err := requirementsFrom(p.tree, file)
		if err != nil {
			return err
		}
		dev.name, dev.inputs = file, r.files
		if r.local {
			dev.inputs = []string{"."}
		}
		for name := range r.names {
			dev.names[name] = true
		}
		dev.commands = []plan.Command{pipInstall("-r", file)}
		return nil
	}
	return nil
}

// groupOptions returns uv's options for the groups and extras of development
// that pyproject.toml has, of those that it does not install by default.
func (p *project) groupOptions() (options []string) {
	for _, name := range developmentGroups {
		if _, ok := p.file.Groups[name]; ok {
			options = append(options, "--group", name)
		}
		if p.file.Project != nil && p.file.Project.Optional[name] != nil {
			options = append(options, "--extra", name)
		}
	}
	return options
}

// developmentTables adds the groups and extras of pyproject.toml.
func (p *project) developmentTables(v pythonVersion, dev *manifest) error {
	var args []string
	for _, name := range developmentGroups {
		if group, ok := p.file.Groups[name]; ok {
			args = append(args, "--group", name)
			for _, entry := range group {
				if s, ok := entry.(string); ok {
					dev.names[nameOf(s)] = true
				}
			}
		}
	}
	if p.file.Project != nil {
		extras := false
		for _, name := range developmentGroups {
			if list, ok := p.file.Project.Optional[name]; ok {
				args, extras = append(args, "--extra", name), true
				for _, dep := range list {
					dev.names[nameOf(dep)] = true
				}
			}
		}
		if extras {
			args = append(args, "-r", "pyproject.toml")
		}
	}
	for _, dep := range p.file.Tool.UV.Development {
		dev.names[nameOf(dep)] = true
		args = append(args, dep)
	}
	if poetry := p.file.Tool.Poetry; poetry != nil {
		for _, name := range p.poetryGroups(dev) {
			table := poetry.Groups[name].Dependencies
			if name == "dev" && table == nil {
				table = poetry.Development
			}
			list, err := p.poetryRequirements(dev, v, table)
			if err != nil {
				return err
			}
			args = append(args, list...)
		}
	}
	if len(args) > 0 {
		dev.commands = []plan.Command{pipInstall(args...)}
	}
	return nil
}

// poetryGroups returns Poetry's groups of development, and notes their names.
func (p *project) poetryGroups(dev *manifest) (groups []string) {
	poetry := p.file.Tool.Poetry
	if poetry == nil {
		return nil
	}
	for _, name := range developmentGroups {
		table := poetry.Groups[name].Dependencies
		if name == "dev" && table == nil {
			table = poetry.Development
		}
		if len(table) > 0 {
			groups = append(groups, name)
			for dep := range table {
				dev.names[normal(dep)] = true
			}
		}
	}
	return groups
}
