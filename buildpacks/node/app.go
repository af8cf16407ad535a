package node

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/buildpacks/static"
)

// app is what comes of a Node app: what it takes to build it, and what runs.
type app struct {
	title string // "Next.js"

	build  []string // what builds it, in words; none when nothing does
	caches []string // directories that a build is faster with
	start  string   // the command of web; "" when a Procfile has it or files are served
	env    map[string]string

	// site has the folders in which a build may leave the files that are to be
	// served, when nothing starts a server: the first that has a page is it.
	site     []string
	fallback string // the page for what is not there: "index.html"
	missing  bool   // a site whose folder could not be read from a configuration

	asIs    string // the page of a site that is in the repository already
	keepDev string // the devDependency that what runs needs
}

func (a app) folder() string { return path.Dir(a.asIs) }

// findApp reads how the app is built and what it starts.
func (p *project) findApp(out *plan.Plan) (app, error) {
	f := p.findFramework()
	a := app{title: f.title, build: p.buildScript(), caches: f.caches, env: f.env}
	if a.build == nil && f.builds != "" {
		a.build = strings.Fields(f.builds)
	}
	switch {
	case out.Has("web") || len(out.Processes) > 0:
		// The Procfile says it all.
	case p.startScript(f) != "":
		a.start = p.startScript(f)
	case f.starts != "":
		a.start = f.starts
	case f.lacks != "" && !p.hasServer():
		return a, p.noEntry(f)
	case len(f.site) > 0 && a.build != nil && !p.hasServer():
		a.site, a.fallback = append(f.site, usualSites...), f.fallback
	case p.entryFile(a.build != nil) != "":
		a.start = "node " + source.ShellWord(p.entryFile(a.build != nil))
		if p.manager.pnp {
			a.start = "yarn " + a.start
		}
	case a.build != nil && f.title == "" && static.Pages(p.tree) != "":
		// The build makes parts of a page that is there: bundles, styles.
		a.start = static.Command("--root", path.Dir(static.Pages(p.tree)))
	case a.build != nil:
		a.site, a.missing = usualSites, true
	case static.Pages(p.tree) != "":
		a.asIs = static.Pages(p.tree)
	default:
		return a, p.noEntry(f)
	}
	a.keepDev = p.runningTool(out, a.start)
	return a, nil
}

// runningTool names a devDependency that what runs needs; "" is none.
func (p *project) runningTool(out *plan.Plan, start string) string {
	commands := []string{start}
	for _, proc := range out.Processes {
		commands = append(commands, proc.Command)
	}
	for _, job := range out.Manifest.Cron {
		commands = append(commands, job.Command)
	}
	for _, command := range commands {
		if pkg := p.file.needsDev(command); pkg != "" {
			p.tree.Note("the app needs %s at run time, from devDependencies: all of them are kept", source.Printable(pkg))
			p.tree.Note("move %s to dependencies to leave the others out", source.Printable(pkg))
			return pkg
		}
	}
	return ""
}

// usualSites are where build tools leave a site unless they are told otherwise.
var usualSites = []string{"dist", "build", "out", "_site", "www"}

// buildScript returns the words that run the app's own build: Heroku's script
// for it is for platforms, and comes instead.
func (p *project) buildScript() []string {
	for _, name := range []string{"heroku-postbuild", "build"} {
		if p.file.scripts[name] != "" {
			return p.manager.run(name)
		}
	}
	return nil
}

// startScript returns the command of the script that starts the app. A script
// that starts a server for development is none, and neither is one that starts
// the framework's server where the build leaves none.
func (p *project) startScript(f framework) string {
	names := []string{"start"}
	if p.file.has("@nestjs/core") || p.isDevServer("start", f) {
		names = []string{"start:prod", "start:production", "start"}
	}
	for _, name := range names {
		script := p.file.scripts[name]
		if script == "" || p.isDevServer(name, f) {
			continue
		}
		// npm is not started for it: it would stand between the app and its
		// signals, and take 60 MB. What it does besides is its pre and post
		// scripts and variables of its own.
		_, pre := p.file.scripts["pre"+name]
		_, post := p.file.scripts["post"+name]
		if pre || post || p.manager.pnp || strings.Contains(script, "npm_") {
			return strings.Join(p.manager.run(name), " ")
		}
		return script
	}
	return ""
}

// devServers are programs that serve an app while it is written, with the
// arguments that make them do so; "" is none or any other.
var devServers = map[string][]string{
	"vite": {"", "dev", "serve", "preview"}, "next": {"", "dev"}, "nuxt": {"", "dev", "preview"}, "nuxi": {"dev", "preview"},
	"astro": {"dev", "preview", ""}, "react-scripts": {"start"}, "ng": {"serve", "s", "start"}, "vue-cli-service": {"serve"},
	"gatsby": {"develop", "serve"}, "webpack": {"serve"}, "webpack-dev-server": {""}, "parcel": {"", "serve", "watch"},
	"svelte-kit": {"dev", "preview"}, "docusaurus": {"start", "serve"}, "vitepress": {"", "dev", "preview", "serve"},
	"vuepress": {"dev"}, "remix": {"dev", "vite:dev"}, "react-router": {"dev"}, "snowpack": {"dev"}, "craco": {"start"},
	"eleventy": {"", "--serve"}, "nest": {"start"}, "rsbuild": {"", "dev", "preview"}, "live-server": {""},
	"expo": {"", "start"}, "react-native": {"start"}, "react-app-rewired": {"start"}, "ember": {"serve", "server", "s"},
	"rspack": {"serve", "dev"}, "vinxi": {"dev"}, "umi": {"dev"}, "max": {"dev"}, "ionic": {"serve"}, "quasar": {"dev"}, "vike": {"", "dev", "preview"},
	"farm": {"", "dev", "start", "preview"}, "preact": {"watch"}, "slidev": {""}, "storybook": {"dev"}, "lite-server": {""}, "browser-sync": {"start"},
	"start-storybook": {""}, "stencil": {"dev"}, "waku": {"dev"},
}

// builtServers are programs that serve what their framework has built, where
// that is a server; where it is files they end or answer nothing.
var builtServers = []string{"next", "nuxt", "nuxi", "remix-serve", "react-router-serve", "waku"}

// isDevServer tells whether a script starts one and nothing else that lasts.
func (p *project) isDevServer(name string, f framework) bool {
	for _, w := range p.file.expand(p.file.scripts[name]) {
		if len(f.site) > 0 && f.starts == "" && slices.Contains(builtServers, path.Base(w[0])) {
			return true
		}
		modes, ok := devServers[path.Base(w[0])]
		if !ok {
			continue
		}
		mode := ""
		if len(w) > 1 && (!strings.HasPrefix(w[1], "-") || slices.Contains(modes, w[1])) {
			mode = w[1]
		}
		if slices.Contains(modes, mode) || mode != "build" && w[0] == "parcel" {
			return true
		}
	}
	return false
}

// hasServer tells whether a program at the root serves what a build leaves.
func (p *project) hasServer() bool {
	return slices.ContainsFunc([]string{"server.js", "server.mjs", "server.cjs"}, p.tree.Has)
}

// entries are files that usually are what an app starts with.
var entries = []string{"server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs", "app.mjs", "main.mjs", "server.cjs", "index.cjs",
	"src/server.js", "src/index.js", "src/app.js", "src/main.js"}

// entryFile returns the file that node is to be started with; "" is none. What
// main names may come of the build.
func (p *project) entryFile(built bool) string {
	if main := path.Clean(p.file.main); p.file.main != "" && inside(main) {
		for _, name := range []string{main, main + ".js", path.Join(main, "index.js")} {
			if p.tree.Has(name) {
				return name
			}
		}
		if dir, _, nested := strings.Cut(main, "/"); built && nested && !p.tree.IsDir(dir) {
			return main
		}
	}
	if i := slices.IndexFunc(entries, p.tree.Has); i >= 0 {
		return entries[i]
	}
	return ""
}

// inside tells whether a clean path stays in the repository and is no option.
func inside(name string) bool {
	return name != ".." && !strings.HasPrefix(name, "../") && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "-") && !strings.ContainsAny(name, "\x00\n")
}

// noEntry says what was looked for.
func (p *project) noEntry(f framework) error {
	e := source.Problemf(source.CodeNoProcess, "found no process to start").
		With("looked for a Procfile, for start, build and main in package.json, for server.js, index.js and app.js, and for index.html")
	if p.file.scripts["start"] != "" {
		e.With("start is " + source.Printable(p.file.scripts["start"]) + ", a development server, or a file that the build does not create")
	}
	if f.lacks != "" {
		return e.Hint("%s", f.lacks)
	}
	return e.Hint(`add to package.json: "scripts": {"start": "node FILE"}`).
		Hint("or write a file named Procfile with the line: web: node FILE")
}
