package golang

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/berthd/berth/buildpacks/source"
)

// goModule is what a go.mod says, as far as it is acted on.
type goModule struct {
	path     string
	least    version // of the lines go and toolchain
	requires []string
	versions map[string]string // of what it requires
	tools    []string          // packages that `go tool` runs

	// Heroku's comments: "// +heroku install ./cmd/..." and "goVersion go1.22".
	herokuInstall []string
	herokuVersion string
}

// maxModules bounds the modules of a workspace; real ones have fewer than 50.
const maxModules = 200

// readModule reads the go.mod of a directory; nil when there is none.
func (p *project) readModule(dir string) (*goModule, error) {
	name := path.Join(dir, "go.mod")
	text, err := p.tree.Text(name, source.MaxManifest)
	if source.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse(name, []byte(text), nil)
	if err != nil {
		// A newer Go may have words that this reader does not know. It reads what
		// a module says to those that depend on it then, which is all but toolchain.
		if file, _ = modfile.ParseLax(name, []byte(text), nil); file == nil {
			return nil, malformed(name, text, err)
		}
	}
	m := &goModule{versions: map[string]string{}}
	if file.Module != nil {
		m.path = file.Module.Mod.Path
	}
	if m.path == "" {
		return nil, source.Problemf(source.CodeProject, "%s does not name its module", source.Printable(name)).
			Hint("go mod init example.com/app writes one that does")
	}
	var goLine, toolchain string
	if file.Go != nil {
		goLine = file.Go.Version
	}
	if file.Toolchain != nil {
		toolchain = file.Toolchain.Name
	}
	m.least = atLeast(name, goLine, toolchain)
	for _, r := range file.Require {
		m.requires = append(m.requires, r.Mod.Path)
		m.versions[r.Mod.Path] = r.Mod.Version
	}
	for _, t := range file.Tool {
		m.tools = append(m.tools, t.Path)
	}
	m.heroku(text)
	return m, nil
}

// atLeast returns the later of what the two lines of go.mod or go.work name.
func atLeast(file, goLine, toolchain string) version {
	least := version{patch: -1, from: file}
	if v, ok := parseVersion(goLine); ok {
		least, least.from = v, file
	}
	if v, ok := parseVersion(toolchain); ok && least.less(v) {
		least, least.from = v, file
	}
	return least
}

var herokuComment = source.NewPattern(`^//\s*\+heroku\s+(\S+)\s*(.*)$`)

// heroku reads the comments that Heroku's buildpack takes its settings from.
func (m *goModule) heroku(text string) {
	for _, line := range source.Lines(text) {
		found := herokuComment.FindStringSubmatch(strings.TrimSpace(line))
		switch {
		case found == nil:
		case found[1] == "install":
			m.herokuInstall = strings.Fields(found[2])
		case found[1] == "goVersion":
			m.herokuVersion = strings.TrimSpace(found[2])
		}
	}
}

// program returns the name that Go gives to the program in a module's own
// directory: the last element of its path that is no major version.
func (m *goModule) program() string {
	prefix, _, ok := module.SplitPathVersion(m.path)
	if !ok || strings.HasPrefix(m.path, "gopkg.in/") {
		prefix = m.path
	}
	return path.Base(prefix)
}

// readWorkspace reads go.work: the directories of its modules; nil when there
// is none.
func (p *project) readWorkspace() (dirs []string, least version, err error) {
	text, err := p.tree.Text("go.work", source.MaxManifest)
	if source.Missing(err) {
		return nil, least, nil
	}
	if err != nil {
		return nil, least, err
	}
	file, err := modfile.ParseWork("go.work", []byte(text), nil)
	if err != nil {
		return nil, least, malformed("go.work", text, err)
	}
	var goLine, toolchain string
	if file.Go != nil {
		goLine = file.Go.Version
	}
	if file.Toolchain != nil {
		toolchain = file.Toolchain.Name
	}
	for _, use := range file.Use {
		if dir := path.Clean(use.Path); !path.IsAbs(dir) && dir != ".." && !strings.HasPrefix(dir, "../") {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) > maxModules {
		return nil, least, source.Problemf(source.CodeProject, "go.work uses %d modules; the maximum is %d", len(dirs), maxModules)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), atLeast("go.work", goLine, toolchain), nil
}

// malformed tells of the first mistake in a go.mod or go.work.
func malformed(name, text string, err error) *source.Problem {
	list, ok := errors.AsType[modfile.ErrorList](err)
	if !ok || len(list) == 0 {
		return source.Problemf(source.CodeProject, "%s: %s", source.Printable(name), source.Printable(err.Error()))
	}
	line := list[0].Pos.Line
	p := source.Problemf(source.CodeProject, "%s, line %d: %s", source.Printable(name), line, source.Printable(list[0].Err.Error()))
	if all := source.Lines(text); line > 0 && line <= len(all) {
		p.With(fmt.Sprintf("%d | %s", line, source.Printable(all[line-1])))
	}
	return p
}
