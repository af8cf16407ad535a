// Package node plans Node apps: the Node version, the package manager, what to
// build and what to start, or, if the build only creates files, what to serve.
package node

import (
	"fmt"
	"path"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/buildpacks/static"
)

// project is a Node app as its tree shows it.
type project struct {
	tree    *source.Tree // of its folder
	dir     string       // from the root of the repository: "." or "ui"
	above   *source.Tree // the repository's, when dir is another; else nil
	file    *manifest
	mirror  mirror.Archives // of Node
	node    release
	manager manager
	app     app
}

// Evidence names the file by which a tree says that it is a Node app; "" is none.
func Evidence(t *source.Tree) string {
	if t.Has(packageJSON) {
		return packageJSON
	}
	return ""
}

// readProject reads the package.json of a folder, and which Node and which
// package manager it takes.
func readProject(c *plan.Chain, tree *source.Tree, dir string) (p *project, err error) {
	p = &project{tree: tree, dir: dir}
	if dir != "." {
		p.above = c.Tree
	}
	if p.file, err = readManifest(tree); err != nil {
		return nil, err
	}
	p.mirror = c.Mirrored("node")
	if p.node, err = p.findNode(c.Versions["node"]); err != nil {
		return nil, err
	}
	if p.manager, err = p.findManager(c.Versions); err != nil {
		return nil, err
	}
	p.settleNPM()
	return p, nil
}

// Plan fills in the plan of a Node app.
func Plan(out *plan.Plan, c *plan.Chain) error {
	p, err := readProject(c, c.Tree, ".")
	if err != nil {
		return err
	}
	if p.app, err = p.findApp(out); err != nil {
		return err
	}
	if p.app.asIs != "" {
		// Nothing is built and nothing starts: the files are the site.
		out.Summary = fmt.Sprintf("static site (%s; %s starts nothing)", p.app.asIs, packageJSON)
		return static.Serve(out, c, static.Folder(p.app.folder())...)
	}
	out.Summary = p.summary()
	out.Versions["node"] = p.node.version
	if !p.bundled() {
		out.Versions[p.manager.name] = p.manager.version
	}
	switch {
	case p.app.start == "":
	case p.isBot():
		out.Infer("worker", p.app.start)
		c.Tree.Note("this is a bot: it runs as a worker, and nothing answers requests")
	default:
		out.Infer("web", p.app.start)
	}
	out.Env = p.env()
	return p.layers(out, c)
}

// summary is one line: "Node 24.21.0, Next.js (package.json)".
func (p *project) summary() string {
	s := "Node " + p.node.version
	if p.node.archive != nil {
		s += " from the mirror"
	}
	if p.app.title != "" {
		s += ", " + p.app.title
	}
	if len(p.app.site) > 0 {
		s += ", served as files"
	}
	return s + " (" + packageJSON + ")"
}

// env is the environment of the running processes.
func (p *project) env() map[string]string {
	if len(p.app.site) > 0 {
		return map[string]string{"PATH": static.Path}
	}
	env := map[string]string{
		"PATH":     p.path(),
		"NODE_ENV": "production",
		// Frameworks listen on 127.0.0.1 unless this says otherwise.
		"HOST": "0.0.0.0",
		"LANG": "C.UTF-8",
	}
	if p.manager.name == "pnpm" {
		env[pnpmCheck] = "false" // what is live has no devDependencies, and cannot be written
	}
	for name, value := range p.app.env {
		env[name] = value
	}
	return env
}

// path is the PATH of what builds and of what runs a Node app.
func (p *project) path() string {
	search := path.Join("/app", p.dir, "node_modules/.bin") + ":"
	if p.manager.bin != "" {
		search += p.manager.bin + ":"
	}
	return search + nodeHome + "/bin:" + static.Bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
