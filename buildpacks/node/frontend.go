package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// Frontend is the part of an app that Node builds, where another language
// serves: a single-page app that is embedded, the styles and scripts of pages.
//
// It is built in a branch of its own, so that neither its dependencies are
// installed again when those of the serving language change, nor the other way
// round:
//
//	stack (or the build tools of the serving language)
//	└─ Node                      root, build
//	   └─ frontend dependencies  build
//	      └─ frontend            build: the files that the build has written, and nothing else
//
// "frontend files" then copies these files to where the serving language has
// its own. A nil Frontend is none, and adds nothing.
type Frontend struct {
	*project
	// whole tells that the build reads files outside of the folder. What it
	// writes lies over the source then, since it may write anywhere.
	whole bool

	tools, made string // keys, once they are built
}

// Written is the list of the files that a frontend's build has written, in /app.
const Written = source.OwnDir + "/frontend"

// Ground is what a frontend's build may use of the serving language.
type Ground struct {
	Builder string   // the layer with the build tools that the build calls; "" is none
	Layer   string   // the layer whose files the build reads; "" is none
	Keep    []string // these files: "vendor"
}

// buildsAssets tells whether a package.json has anything to build.
func buildsAssets(t *source.Tree, name string) bool {
	m, err := readManifestFile(t, name)
	return err == nil && (m.scripts["build"] != "" || m.scripts["heroku-postbuild"] != "")
}

// Bundles tells whether the package.json in the root of a tree is a frontend's,
// if another language serves.
func Bundles(t *source.Tree) bool { return buildsAssets(t, packageJSON) }

// FindFrontend finds the Node part of a tree that another language serves; nil
// is none. The package.json of the root comes first; then that of a folder whose
// output the source names. What is not built is noted.
func FindFrontend(c *plan.Chain) (*Frontend, error) {
	root := Bundles(c.Tree)
	folders := frontendFolders(c.Tree)
	if root {
		folders = slices.Insert(folders, 0, ".")
	}
	switch {
	case len(folders) == 0:
		if c.Asks("node") {
			c.Tree.Note("the Node buildpack is ignored: no %s has a build script", packageJSON)
		}
		return nil, nil
	case !c.Wants("node"):
		c.Tree.Note("%s is ignored: Node is not among the buildpacks that the repository names", source.Printable(path.Join(folders[0], packageJSON)))
		return nil, nil
	case root:
		return readFrontend(c, ".", true)
	}
	use := findUse(c.Tree, folders)
	if use.dir == "" && c.Asks("node") {
		use.dir = folders[0]
	}
	folders = slices.DeleteFunc(folders, func(dir string) bool { return dir == use.dir })
	for _, dir := range folders[:min(len(folders), 3)] {
		c.Tree.Note("%s is ignored: nothing in the source names what it builds", source.Printable(path.Join(dir, packageJSON)))
	}
	if use.dir == "" {
		return nil, nil
	}
	return readFrontend(c, use.dir, use.outside)
}

// FindTools finds the Node and the package manager of a tree whose build calls
// them by itself: by a gem, by a plugin of Gradle. nil is none.
func FindTools(c *plan.Chain) (*Frontend, error) {
	dirs := frontendFolders(c.Tree)
	if c.Tree.Has(packageJSON) {
		dirs = []string{"."}
	}
	if len(dirs) == 0 || !c.Wants("node") {
		return nil, nil
	}
	if use := findUse(c.Tree, dirs); use.dir != "" {
		dirs[0] = use.dir
	}
	return readFrontend(c, dirs[0], true)
}

// readFrontend reads the frontend of a folder.
func readFrontend(c *plan.Chain, dir string, whole bool) (*Frontend, error) {
	tree := c.Tree
	if dir != "." {
		var err error
		if tree, err = c.Tree.Sub(dir); err != nil {
			return nil, err
		}
	}
	p, err := readProject(c, tree, dir)
	if problem, ok := errors.AsType[*source.Problem](err); ok && dir != "." {
		problem.With("in the folder " + source.Printable(dir))
	}
	if err != nil {
		return nil, err
	}
	f := p.findFramework()
	p.app = app{title: f.title, build: p.buildScript(), caches: f.caches, env: f.env}
	if name := p.embedding(); name != "" {
		p.tree.Note("%s runs instead of build: it writes to the directory that the app serves", source.Printable(name))
		p.app.build = p.manager.run(name)
	}
	if !whole {
		_, whole = p.allFiles()
	}
	found := &Frontend{project: p, whole: whole}
	found.tell(c)
	return found, nil
}

// tell hands the notes about a folder on to the repository's.
func (f *Frontend) tell(c *plan.Chain) {
	if f.dir == "." {
		return
	}
	for _, note := range f.tree.Notes {
		c.Tree.Note("%s: %s", source.Printable(f.dir), note)
	}
	f.tree.Notes = nil
}

// Announce adds the frontend to what a plan says of itself.
func (f *Frontend) Announce(out *plan.Plan, c *plan.Chain) {
	if f == nil {
		return
	}
	out.Summary += fmt.Sprintf(", Node %s (%s)", f.node.version, source.Printable(path.Join(f.dir, packageJSON)))
	out.Versions["node"] = f.node.version
	if !f.bundled() {
		out.Versions[f.manager.name] = f.manager.version
	}
	for _, proc := range out.Processes {
		for _, w := range source.Words(proc.Command) {
			if slices.Contains(programs, w[0]) {
				c.Tree.Note("%s runs %s, which is there only while the frontend is built", proc.Type, w[0])
			}
		}
	}
}

// programs are those of Node and its package managers.
var programs = []string{"node", "npm", "npx", "yarn", "pnpm", "bun"}

// Tools adds Node and the package manager to the layer of build tools.
func (f *Frontend) Tools(c *plan.Chain, builder string) (string, error) {
	if f == nil {
		return builder, nil
	}
	t := f.toolchain()
	t.BuildOnly, t.On = true, builder
	_, top, err := c.Toolchain(t)
	return top, err
}

// Equip lets a layer's commands call Node and the package manager, which its
// builder has by Tools.
func (f *Frontend) Equip(l *plan.Layer) {
	if f == nil {
		return
	}
	bin := nodeHome + "/bin:"
	if f.manager.bin != "" {
		bin = f.manager.bin + ":" + bin
	}
	set := map[string]bool{}
	for i, kv := range l.Env {
		name, value, _ := strings.Cut(kv, "=")
		if set[name] = true; name == "PATH" {
			l.Env[i] = "PATH=" + bin + value
		}
	}
	for _, kv := range append(f.buildEnv(), noBrowsers...) {
		if name, _, _ := strings.Cut(kv, "="); !set[name] {
			l.Env = append(l.Env, kv)
		}
	}
	l.Passes = append(slices.Clone(l.Passes), registryPasses...)
	l.PassesFiles = append(slices.Clone(l.PassesFiles), registryFiles...)
	l.Caches = append(slices.Clone(l.Caches), plan.Cache{Name: f.manager.name, Target: downloads})
}

// Lay adds what the frontend's build leaves to top. Where the build may write
// anywhere, what it writes lies over the source, which the plan then holds.
func (f *Frontend) Lay(out *plan.Plan, c *plan.Chain, top string, g Ground) (_ string, err error) {
	if f == nil {
		return top, nil
	}
	if err := f.build(c, g); err != nil {
		return "", err
	}
	if f.whole {
		if top, err = c.Add(plan.Layer{Name: "source", Source: true}, top); err != nil {
			return "", err
		}
		out.Sealed = true
	}
	return f.Files(c, top, false)
}

// Files adds a layer with what the frontend's build leaves, without the source.
// build tells that it is there for later layers alone.
func (f *Frontend) Files(c *plan.Chain, top string, build bool) (string, error) {
	if f == nil {
		return top, nil
	}
	if err := f.build(c, Ground{}); err != nil {
		return "", err
	}
	return c.Add(plan.Layer{Name: "frontend files", Build: build, Builder: f.made, Keep: []string{"*"}}, top)
}

// build adds the layers of the branch, once.
func (f *Frontend) build(c *plan.Chain, g Ground) error {
	if f.made != "" {
		return nil
	}
	installed, err := f.Tools(c, g.Builder)
	if err != nil {
		return err
	}
	if f.needsPackages() {
		deps := f.dependencies(true, true)
		deps.Name, deps.Build, deps.Builder = "frontend dependencies", true, installed
		deps.Env = append(deps.Env, noBrowsers...)
		f.place(&deps)
		if installed, err = c.Add(deps, installed); err != nil {
			return err
		}
	}
	if g.Layer != "" {
		l := plan.Layer{Name: "frontend surroundings", Build: true, Builder: g.Layer, Keep: g.Keep}
		if installed, err = c.Add(l, installed); err != nil {
			return err
		}
	}
	l := f.output()
	l.Name, l.Build, l.Builder, l.Keep = "frontend", true, installed, []string{"*"}
	if !f.whole {
		l.Source = false
		l.Inputs, _ = f.allFiles()
	}
	kept := ""
	if f.readsModules(c.Tree) {
		kept = "node_modules"
	}
	words := l.Commands[0].Args
	l.Commands = []plan.Command{{Args: slices.Concat([]string{"bash", "-c", bundle, "bash", f.dir, kept}, words)}}
	l.Failure = source.Problemf(source.CodeOutput, "the frontend's build failed (%s, %s)", source.Printable(path.Join(f.dir, packageJSON)), strings.Join(f.app.build, " ")).
		Hint("to leave it out, write a file .buildpacks that names only the other language")
	f.tell(c)
	f.made, err = c.Add(l, c.Stack)
	return err
}

// noBrowsers keeps packages that test in browsers from downloading some: nothing
// is tested here.
var noBrowsers = []string{"PUPPETEER_SKIP_DOWNLOAD=true", "PUPPETEER_SKIP_CHROMIUM_DOWNLOAD=true", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1", "CYPRESS_INSTALL_BINARY=0"}

// place has a layer's commands run in the frontend's folder, and names its inputs
// from the root.
func (f *Frontend) place(l *plan.Layer) {
	if f.dir == "." {
		return
	}
	if slices.Contains(l.Inputs, ".") {
		l.Inputs, _ = f.allFiles()
	} else {
		for i, name := range l.Inputs {
			l.Inputs[i] = path.Join(f.dir, name)
		}
	}
	const inside = `mkdir -p "/app/$1" && cd "/app/$1" && shift && exec "$@"`
	for i, command := range l.Commands {
		l.Commands[i].Args = slices.Concat([]string{"bash", "-c", inside, "bash", f.dir}, command.Args)
	}
}

// bundle runs the words from $3 on in the folder $1 and leaves of /app what they
// have written: the files whose inode has changed since. Modules stay where $2
// says so.
const bundle = `dir=$1 kept=$2; shift 2
if [ -d /src ]; then cp -rT /src /app || exit; fi
cd "/app/$dir" || exit
touch /tmp/before
"$@" || exit
cd /app || exit
if [ -z "$kept" ]; then find . -name node_modules -prune -exec rm -rf {} +; fi
find . -name node_modules -prune -o ! -type d ! -cnewer /tmp/before -exec rm -f {} +
find . -depth -type d -empty -delete
mkdir -p ` + source.OwnDir + `
find . -path ./` + source.OwnDir + ` -prune -o -name node_modules -prune -o ! -type d -print | sort >` + Written + `
echo "the build wrote $(wc -l <` + Written + `) files"`

// readsModules tells whether the serving language takes files out of
// node_modules, as Django's collectstatic may.
func (f *Frontend) readsModules(t *source.Tree) bool {
	found := false
	scanSources(t, func(_, text string) { found = found || strings.Contains(text, "node_modules") })
	return found
}

// allFiles returns the files of the frontend's folder, named from the root;
// whole tells that they are not all: there are too many, or links.
func (p *project) allFiles() (files []string, whole bool) {
	err := fs.WalkDir(p.tree.FS, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "node_modules" || e.Name() == ".git"):
			return fs.SkipDir
		case e.Type().IsRegular():
			files = append(files, path.Join(p.dir, name))
		case !e.IsDir():
			whole = true
		}
		if len(files) > maxInputs {
			return fs.SkipAll
		}
		return nil
	})
	if whole = whole || err != nil || len(files) > maxInputs; whole {
		return []string{"."}, true
	}
	return files, false
}
