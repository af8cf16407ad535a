package python

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

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

// together returns a command that runs several one after the other, up to the
// first that fails. A container for each would cost more than what most do.
func together(commands ...plan.Command) plan.Command {
	const end = ";" // between two commands
	all := plan.Command{Args: []string{"bash", "-ec",
		`c=(); for a; do if [ "$a" = ";" ]; then "${c[@]}"; c=(); else c+=("$a"); fi; done; "${c[@]}"`, "bash"}}
	for i, c := range commands {
		if i > 0 {
			all.Args = append(all.Args, end)
		}
		all.Args = append(all.Args, c.Args...)
		all.Dir = c.Dir
	}
	if len(commands) == 1 {
		return commands[0]
	}
	return all
}

// dependencies returns the layer that holds the app's virtual environment. Its
// key follows from the manifest alone, unless a part of the tree is installed.
// Where no versions are written down, those that were the newest when the layer
// was made stay for as long as the list does.
func (p *project) dependencies(v pythonVersion, m *manifest, entry entryPoint, found bool) plan.Layer {
	l := plan.Layer{Name: "dependencies", Caches: []plan.Cache{{Name: "uv", Target: uvCache}}, Passes: netPasses}
	commands := []plan.Command{{Args: []string{"uv", "venv", "--no-config", "--python", v.interpreter(), venv}}}
	dir := "/app"
	switch {
	case m == nil:
		if list := p.imported(v, entry, found); len(list) > 0 {
			p.tree.Note("no requirements.txt; installed what the source imports: %s", strings.Join(list, ", "))
			p.tree.Note("write that list into requirements.txt to choose versions")
			commands = append(commands, pipInstall(list...))
		}
		l.Failure = installFailure("what the source imports").
			Hint("write requirements.txt with the packages that the app needs, one a line")
	case m.local:
		// Installed from where it will run, so that paths in it are true.
		l.Inputs = []string{"."}
		commands = append([]plan.Command{{Args: []string{"cp", "-rT", "/src", "/app"}}}, commands...)
		l.Failure = installFailure(m.name)
	default:
		l.Inputs = m.inputs
		if len(m.inputs) > 0 {
			dir = "/src"
		}
		l.Failure = installFailure(m.name)
	}
	if m != nil {
		commands = append(commands, m.commands...)
		if extra := p.servers(m.names); len(extra) > 0 {
			p.tree.Note("%s does not list %s, which is installed as well", m.name, strings.Join(extra, ", "))
			commands = append(commands, pipInstall(extra...))
		}
	}
	all := together(commands...)
	all.Dir = dir
	l.Commands = []plan.Command{all}
	return l
}

// imported returns what is to be installed where nothing lists it.
func (p *project) imported(v pythonVersion, entry entryPoint, found bool) []string {
	wants := map[string]bool{}
	for _, dist := range p.thirdParty(v, entry) {
		wants[dist] = true
	}
	if found && entry.object != "" && entry.framework.module != "" {
		wants[distribution(importation{module: entry.framework.module})] = true
	}
	for _, dist := range p.servers(wants) {
		wants[dist] = true
	}
	return source.SortedKeys(wants)
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

// libraries are Debian's packages that distributions load while they run and do
// not bring along, beyond those of the toolchain.
var libraries = map[string][]string{
	"cairocffi":             {"libcairo2"},
	"cairosvg":              {"libcairo2"},
	"graphviz":              {"graphviz"},
	"opencv-contrib-python": {"libgl1", "libglib2.0-0t64"},
	"opencv-python":         {"libgl1", "libglib2.0-0t64"},
	"pdf2image":             {"poppler-utils"},
	"pydub":                 {"ffmpeg"},
	"pytesseract":           {"tesseract-ocr"},
	"pyzbar":                {"libzbar0t64"},
	"weasyprint":            {"libharfbuzz-subset0", "libpango-1.0-0", "libpangoft2-1.0-0"},
}

// libraries adds the layer with what the dependencies load of the system.
func (p *project) libraries(c *plan.Chain, top string, m *manifest) (string, error) {
	if m == nil {
		return top, nil
	}
	var packages []string
	for _, name := range source.SortedKeys(libraries) {
		if m.names[name] {
			packages = append(packages, libraries[name]...)
		}
	}
	if len(packages) == 0 {
		return top, nil
	}
	slices.Sort(packages)
	return c.Add(plan.Layer{
		Name: "libraries", Root: true, Commands: plan.AptInstall(slices.Compact(packages)...), Env: plan.AptEnv, Passes: plan.NetPasses,
		Failure: source.Problemf(source.CodeToolchain, "the libraries that the dependencies load could not be installed").
			Hint("check that this machine can reach Debian's archive, and push the same commit again"),
	}, top)
}

func installFailure(what string) *source.Problem {
	return source.Problemf(source.CodeInstall, "the dependencies could not be installed (%s)", what)
}
