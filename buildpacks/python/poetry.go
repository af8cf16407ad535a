package python

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// poetryLock exports what Poetry locked, by Poetry's own hand: which locked
// package belongs to the app and which to its development is Poetry's to say.
func (p *project) poetryLock() (*manifest, error) {
	if p.file == nil {
		p.tree.Note("poetry.lock without pyproject.toml is passed over")
		return nil, nil
	}
	var lock struct {
		Package []struct {
			Name string `toml:"name"`
		} `toml:"package"`
	}
	if err := p.tree.TOML(source.CodeProject, "poetry.lock", source.MaxLock, &lock); err != nil {
		return nil, err
	}
	m := &manifest{name: "poetry.lock", inputs: []string{"pyproject.toml", "poetry.lock"}, names: map[string]bool{}}
	for _, pkg := range lock.Package {
		m.names[normal(pkg.Name)] = true
	}
	if poetry := p.file.Tool.Poetry; poetry != nil {
		for _, dep := range poetry.Dependencies {
			m.local = m.local || hasKey(dep, "path")
		}
	}
	m.commands = []plan.Command{
		// It runs on the stack's Python, whatever the app wants.
		{Args: []string{"uv", "tool", "run", "--python", stackPython, "--from", "poetry>=2.1,<3", "--with", "poetry-plugin-export>=1.9,<2",
			"poetry", "--no-interaction", "export", "--without-hashes", "--format", "requirements.txt", "--output", "/tmp/requirements.txt"}},
		pipInstall("-r", "/tmp/requirements.txt"),
	}
	if p.programs() {
		m.local = true
		m.commands = append(m.commands, pipInstall("--no-deps", "-e", "."))
	}
	return m, nil
}

// poetryTable installs what the tables of Poetry list, when nothing is locked.
func (p *project) poetryTable(v pythonVersion) (*manifest, error) {
	m := &manifest{name: "pyproject.toml", inputs: []string{"pyproject.toml"}, names: map[string]bool{}}
	var args []string
	dependencies := p.file.Tool.Poetry.Dependencies
	for _, name := range source.SortedKeys(dependencies) {
		if name == "python" {
			continue
		}
		if !distName.MatchString(name) {
			return nil, source.Problemf(source.CodeProject, "pyproject.toml: %q is not the name of a package", source.Printable(name))
		}
		m.names[normal(name)] = true
		entries := []any{dependencies[name]}
		switch list := dependencies[name].(type) {
		case []any:
			entries = list
		case []map[string]any:
			entries = nil
			for _, e := range list {
				entries = append(entries, e)
			}
		}
		for _, entry := range entries {
			req, local, err := poetryRequirement(name, entry, v)
			if err != nil {
				return nil, source.Problemf(source.CodeProject, "pyproject.toml: %s: %v", name, err).
					Hint("run poetry lock and commit poetry.lock")
			}
			m.local = m.local || local
			args = append(args, req...)
		}
	}
	if p.programs() {
		m.local = true
		args = append(args, "-e", ".")
	}
	if len(args) > 0 {
		m.commands = []plan.Command{pipInstall(args...)}
	}
	p.tree.Note("no poetry.lock: versions are chosen while building; run poetry lock and commit it")
	return m, nil
}

// poetryRequirement writes an entry of Poetry's dependencies as pip takes it.
// An entry that is optional or for another Python gives nothing.
func poetryRequirement(name string, entry any, v pythonVersion) (args []string, local bool, err error) {
	table, ok := entry.(map[string]any)
	if !ok {
		s, ok := entry.(string)
		if !ok {
			return nil, false, errors.New("neither a version nor a table")
		}
		table = map[string]any{"version": s}
	}
	if optional, _ := table["optional"].(bool); optional {
		return nil, false, nil
	}
	if python, ok := table["python"].(string); ok {
		clauses, err := parseSpecifiers(python)
		if err != nil {
			return nil, false, err
		}
		if !satisfies(clauses, v.minor, stackPatch) {
			return nil, false, nil
		}
	}
	pipenv := map[string]any{}
	for _, key := range []string{"extras", "markers", "path", "git"} {
		if value, ok := table[key]; ok {
			pipenv[key] = value
		}
	}
	for _, key := range []string{"branch", "tag", "rev"} {
		if value, ok := table[key]; ok {
			pipenv["ref"] = value
		}
	}
	if url, ok := table["url"]; ok {
		pipenv["file"] = url
	}
	if version, ok := table["version"].(string); ok {
		if pipenv["version"], err = poetryVersion(version); err != nil {
			return nil, false, err
		}
	}
	return pipenvRequirement(name, pipenv)
}

// poetryClause is a clause with one of Poetry's own operators, or none.
var poetryClause = regexp.MustCompile(`^(\^|~)?\s*v?(\d{1,9}(?:\.\d{1,9}){0,3})([.*a-z0-9]*)$`)

// poetryVersion writes a constraint of Poetry by PEP 440: ^1.2 may grow up to
// the next number at its first digit that is not zero, ~1.2 at its second.
func poetryVersion(constraint string) (string, error) {
	if strings.Contains(constraint, "|") {
		return "", fmt.Errorf("%q is a choice, which pip cannot take", source.Printable(constraint))
	}
	var out []string
	for clause := range strings.SplitSeq(constraint, ",") {
		clause = strings.TrimSpace(clause)
		m := poetryClause.FindStringSubmatch(clause)
		switch {
		case clause == "" || clause == "*":
		case m == nil:
			out = append(out, clause) // >=1, ~=1.2, !=3.*: PEP 440 already
		case m[1] == "":
			out = append(out, "=="+clause)
		default:
			var parts []int
			for part := range strings.SplitSeq(m[2], ".") {
				n, _ := strconv.Atoi(part)
				parts = append(parts, n)
			}
			at := min(len(parts)-1, 1)
			if m[1] == "^" {
				for at = 0; at < len(parts)-1 && parts[at] == 0; at++ {
				}
			}
			next := ""
			for _, n := range parts[:at] {
				next += fmt.Sprintf("%d.", n)
			}
			out = append(out, ">="+m[2]+m[3], fmt.Sprintf("<%s%d", next, parts[at]+1))
		}
	}
	return strings.Join(out, ","), nil
}
