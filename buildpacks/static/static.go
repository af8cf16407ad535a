// Package static plans sites that are served as they are: a folder of files
// and berth's file server before it.
package static

import (
	"path"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/buildpacks/static/server"
)

// The file server, by a name of its own: the first process of every container
// is the same program.
const (
	binary = "/.berth/berth-init"
	binDir = source.OwnDir + "/bin"
)

// Bin is where the file server is found.
const Bin = "/app/" + binDir

// Path is the PATH of what runs, with the file server on it.
const Path = Bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Kept is what a layer with Keep has to keep of the file server.
const Kept = binDir

// Link is the command that puts the file server on the PATH.
func Link() plan.Command {
	return plan.Run("sh", "-c", `mkdir -p "$1" && ln -sfn "$2" "$1/$3"`, "sh", binDir, binary, server.Name)
}

// folders are where a site is looked for, and what speaks for it.
var folders = []string{".", "public", "_site"}

// Declared names the file by which a tree says that it is a static site; "" is none.
func Declared(t *source.Tree) string {
	for _, name := range []string{staticfile, staticJSON} {
		if t.Has(name) {
			return name
		}
	}
	return ""
}

// Pages names the page that a site begins with; "" is none. It is a weaker
// word: most languages' repositories may have a page, so programs beside it count.
func Pages(t *source.Tree) string {
	for _, e := range t.Dir(".") {
		switch path.Ext(e.Name()) {
		case ".py", ".rb", ".php", ".go", ".java", ".jar", ".rs", ".ts":
			return ""
		}
	}
	for _, dir := range folders {
		if name := path.Join(dir, "index.html"); t.Has(name) {
			return name
		}
	}
	return ""
}

// Plan fills in the plan of a static site.
func Plan(out *plan.Plan, c *plan.Chain) error {
	_, err := Site(out, c, false)
	return err
}

// Site is Plan for a site whose folder may come of a build, and returns the key
// of the topmost layer.
func Site(out *plan.Plan, c *plan.Chain, built bool) (top string, err error) {
	s, file, err := read(c.Tree, built)
	if err != nil {
		return "", err
	}
	if file == "" {
		file = Pages(c.Tree)
		s.root = path.Dir(file)
		if file == "" {
			return "", source.Problemf(source.CodeNoProcess, "found no start page").
				With("looked for index.html, public/index.html and _site/index.html, and for a "+staticfile).
				Hint("add index.html, or a %s with the line: root: FOLDER", staticfile)
		}
	}
	out.Summary = "static site (" + file + ")"
	return serve(out, c, s.flags()...)
}

// Serve has the file server serve the source itself, with flags of its own.
func Serve(out *plan.Plan, c *plan.Chain, flags ...string) error {
	_, err := serve(out, c, flags...)
	return err
}

func serve(out *plan.Plan, c *plan.Chain, flags ...string) (top string, err error) {
	out.Infer("web", Command(flags...))
	out.Env["PATH"] = Path
	return Layer(c, c.Stack)
}

// Layer adds a layer that has the file server and nothing else.
func Layer(c *plan.Chain, parent string) (key string, err error) {
	return c.Add(plan.Layer{
		Name: "file server", Commands: []plan.Command{Link()}, Offline: true,
		Failure: source.Problemf(source.CodeOutput, "the file server could not be installed"),
	}, parent)
}

// Called tells whether a process starts the file server by itself.
func Called(procs []plan.Process) bool {
	for _, proc := range procs {
		for _, w := range source.Words(proc.Command) {
			if w[0] == server.Name {
				return true
			}
		}
	}
	return false
}

// Command is the file server's, with flags.
func Command(flags ...string) string {
	words := []string{server.Name}
	for _, flag := range flags {
		words = append(words, source.ShellWord(flag))
	}
	return strings.Join(words, " ")
}

func (s site) flags() []string {
	flags := []string{"--root", s.root}
	if s.fallback != "" {
		flags = append(flags, "--fallback", s.fallback)
	}
	if s.missing != "" {
		flags = append(flags, "--error", s.missing)
	}
	return flags
}

// Folder has the flags that serve a folder of the source.
func Folder(dir string) []string { return site{root: dir}.flags() }
