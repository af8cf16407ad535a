package python

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// poetryLock exports what Poetry locked, by Poetry's own hand: which locked
// package belongs to the app and which to its development is Poetry's to say.
func (p *project) poetryLock(v pythonVersion) (*manifest, error) {
	if p.file == nil {
		p.tree.Note("poetry.lock without pyproject.toml is ignored")
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
	m.commands = []plan.Command{poetryInstall(nil, p.listed(v))}
	if p.programs() {
		m.local = true
		m.commands = append(m.commands, pipInstall("--no-deps", "-e", "."))
	}
	return m, nil
}

// poetryScript installs what is locked, of the app and of the groups, from a list
// that Poetry writes. When the lock does not fit the project any more, it
// installs what the project lists, and says so. Poetry runs on the stack's
// Python, whatever the app wants.
const poetryScript = `python=$1 groups=$2; shift 2
if uv tool run --python "$python" --from "poetry>=2.1,<3" --with "poetry-plugin-export>=1.9,<2" poetry --no-interaction export \
	--without-hashes --format requirements.txt --output /tmp/requirements.txt ${groups:+--with "$groups"} 2>/tmp/said; then
	exec uv pip install --compile-bytecode -r /tmp/requirements.txt
fi
cat /tmp/said
[ $# -gt 0 ] && grep -q "poetry lock" /tmp/said || exit 1
echo "warning: poetry.lock does not fit pyproject.toml; versions are chosen again: run poetry lock, commit it"
exec uv pip install --compile-bytecode "$@"`

// poetryInstall returns the command that installs what is locked, else what is
// listed, as pip takes it.
func poetryInstall(groups, listed []string) plan.Command {
	return plan.Command{Args: slices.Concat([]string{"sh", "-c", poetryScript, "sh", stackPython, strings.Join(groups, ",")}, listed)}
}

// listed returns what pyproject.toml lists for the app itself, as pip takes it;
// nothing when pip cannot take it.
func (p *project) listed(v pythonVersion) []string {
	if p.file.Project != nil {
		return []string{"-r", "pyproject.toml"}
	}
	if p.file.Tool.Poetry == nil {
		return nil
	}
	args, err := p.poetryRequirements(&manifest{names: map[string]bool{}}, v, p.file.Tool.Poetry.Dependencies)
	if err != nil {
		return nil
	}
	return args
}

// poetryTable installs what the tables of Poetry list, when nothing is locked.
func (p *project) poetryTable(v pythonVersion) (*manifest, error) {
	m := &manifest{name: "pyproject.toml", inputs: []string{"pyproject.toml"}, names: map[string]bool{}}
	args, err := p.poetryRequirements(m, v, p.file.Tool.Poetry.Dependencies)
	if err != nil {
		return nil, err
	}
	if p.programs() {
		m.local = true
		args = append(args, "-e", ".")
	}
	if len(args) > 0 {
		m.commands = []plan.Command{pipInstall(args...)}
	}
	p.tree.Note("no poetry.lock: versions are chosen during the build; run poetry lock and commit it")
	return m, nil
}

// poetryRequirements writes a table of Poetry's dependencies as pip takes them,
// and notes their names in the manifest.
func (p *project) poetryRequirements(m *manifest, v pythonVersion, dependencies map[string]any) (args []string, err error) {
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
	return args, nil
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
		required, err := parseRequirement(python)
		if err != nil {
			return nil, false, err
		}
		if !required.allow(v) {
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
var poetryClause = source.NewPattern(`^(\^|~)?\s*v?(\d{1,9}(?:\.\d{1,9}){0,3})([.*a-z0-9]*)$`)

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
