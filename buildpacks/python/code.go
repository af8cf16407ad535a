package python

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// What of a tree's Python is read.
const (
	maxModule  = 512 << 10 // bytes of a file
	maxModules = 500       // files
)

// code is the Python of a tree, as far as it is read.
type code struct {
	tree    *source.Tree
	modules map[string]*module // by file
}

// readCode reads the modules of a tree.
func readCode(tree *source.Tree) *code {
	c := &code{tree, map[string]*module{}}
	files := 0
	tree.Walk(isForeign, func(name string) {
		if path.Ext(name) != ".py" {
			return
		}
		if files++; files > maxModules {
			tree.Note("more than %d Python files; the rest is not read", maxModules)
			return
		}
		src, err := tree.Read(name, maxModule)
		if err != nil {
			tree.Note("%s was not read: %v", source.Printable(name), err)
			return
		}
		if !slices.Contains(src, 0) {
			c.modules[name] = parsePython(name, string(src))
		}
	})
	return c
}

// isForeign tells directories whose Python is not the app's own.
func isForeign(dir string) bool {
	switch base := path.Base(dir); base {
	case "venv", "env", "node_modules", "site-packages", "__pycache__", "__pypackages__", "build", "dist",
		"docs", "doc", "examples", "example", "tests", "test":
		return true
	default:
		return strings.HasPrefix(base, ".")
	}
}

// preferred are the files that usually hold the app, first the most usual.
var preferred = []string{"app.py", "wsgi.py", "main.py", "web.py", "streamlit_app.py", "server.py", "asgi.py"}

// moduleName is what an import can name, and what no program takes for an option.
var moduleName = source.NewPattern(`^[\pL_][\pL\pN_-]*\.py$`)

// ranked returns the modules in the order in which an app is looked for: the
// preferred names, the others of the root, the packages, whatever lies deeper.
func (c *code) ranked() []*module {
	var mods []*module
	for _, file := range source.SortedKeys(c.modules) {
		ok := true
		for _, part := range strings.Split(strings.TrimSuffix(file, ".py"), "/") {
			ok = ok && moduleName.MatchString(part+".py")
		}
		if ok {
			mods = append(mods, c.modules[file])
		}
	}
	rank := func(m *module) int {
		base := path.Base(m.file)
		r := strings.Count(m.file, "/") * 1000
		if base == "__init__.py" {
			r -= 500 // a package stands for its directory
		} else if i := slices.Index(preferred, base); i >= 0 {
			return r + i
		}
		return r + 100
	}
	slices.SortStableFunc(mods, func(a, b *module) int { return rank(a) - rank(b) })
	return mods
}

// importable returns the name by which a file is imported, and from where. A
// folder that is no package is started in, since that is how its author runs
// it; src is a root of packages.
func (c *code) importable(file string) (module, dir, pythonPath string) {
	name := strings.TrimSuffix(file, ".py")
	root := path.Dir(name)
	for root != "." && c.modules[root+"/__init__.py"] != nil {
		root = path.Dir(root)
	}
	if root != "." {
		name = strings.TrimPrefix(name, root+"/")
		if root == "src" {
			pythonPath = root
		} else {
			dir = root
		}
	}
	name = strings.TrimSuffix(name, "/__init__")
	return strings.ReplaceAll(name, "/", "."), dir, pythonPath
}

// split finds the module of a full name and the name within it.
func (c *code) split(full string) (*module, string) {
	dot := strings.LastIndexByte(full, '.')
	if dot < 0 {
		return nil, ""
	}
	file := strings.ReplaceAll(full[:dot], ".", "/")
	for _, name := range []string{file + ".py", file + "/__init__.py", "src/" + file + ".py", "src/" + file + "/__init__.py"} {
		if m := c.modules[name]; m != nil {
			return m, full[dot+1:]
		}
	}
	return nil, ""
}

// ownNames returns the top-level names that imports find in the repository, from
// its root and from where the app is started.
func (c *code) ownNames(start string) map[string]bool {
	own := map[string]bool{}
	add := func(file string) {
		first, _, _ := strings.Cut(file, "/")
		own[strings.TrimSuffix(first, ".py")] = true
	}
	for file := range c.modules {
		add(strings.TrimPrefix(file, "src/"))
		if below, ok := strings.CutPrefix(file, start+"/"); ok {
			add(below)
		}
	}
	return own
}

// sibling tells whether a module is found beside the file that imports it, as
// a script finds it.
func (c *code) sibling(file, name string) bool {
	dir := path.Dir(file)
	return c.modules[path.Join(dir, name+".py")] != nil || c.modules[path.Join(dir, name, "__init__.py")] != nil
}
