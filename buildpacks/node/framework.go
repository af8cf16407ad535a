package node

import (
	"path"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// framework is what is known of an app by the packages that it depends on.
type framework struct {
	title    string
	builds   string   // what builds it when no script does
	starts   string   // what starts it when no script does
	site     []string // where its build leaves files that need no server
	fallback string   // the page for what is not there, where routes are the browser's
	caches   []string
	env      map[string]string
	lacks    string // what to do about an app that can be neither started nor served
}

// frameworks by the package that tells them, in the order in which they are
// asked: those that are built with another come before it.
var frameworks = []struct {
	pkg  string
	read func(*project) framework
}{
	{"next", (*project).next},
	{"nuxt", (*project).nuxt},
	{"nuxt3", (*project).nuxt},
	{"astro", (*project).astro},
	{"@sveltejs/kit", (*project).svelteKit},
	{"@react-router/dev", (*project).reactRouter},
	{"@remix-run/dev", (*project).remix},
	{"expo", (*project).expo},
	{"@nestjs/core", (*project).nest},
	{"gatsby", fixed(framework{title: "Gatsby", builds: "gatsby build", site: []string{"public"}, caches: []string{".cache"}})},
	{"@docusaurus/core", fixed(framework{title: "Docusaurus", builds: "docusaurus build", site: []string{"build"}})},
	{"vitepress", (*project).vitePress},
	{"@11ty/eleventy", (*project).eleventy},
	{"@angular/core", (*project).angular},
	{"@vue/cli-service", (*project).vueCLI},
	{"react-scripts", (*project).createReactApp},
	{"vite", (*project).vite},
	{"parcel", fixed(framework{title: "Parcel", builds: "parcel build", site: []string{"dist"}, fallback: "index.html", caches: []string{".parcel-cache"}})},
	{"express", fixed(framework{title: "Express"})},
	{"fastify", fixed(framework{title: "Fastify"})},
	{"koa", fixed(framework{title: "Koa"})},
	{"hono", fixed(framework{title: "Hono"})},
	{"@hapi/hapi", fixed(framework{title: "hapi"})},
}

func fixed(f framework) func(*project) framework { return func(*project) framework { return f } }

// findFramework returns the first framework that the app depends on. Of those
// that only serve there is nothing to know but the name.
func (p *project) findFramework() framework {
	for _, f := range frameworks {
		if p.file.has(f.pkg) {
			return f.read(p)
		}
	}
	return framework{}
}

// next: a server, unless the build exports files (output: "export") or packs
// the server up (output: "standalone").
func (p *project) next() framework {
	f := framework{title: "Next.js", builds: "next build", caches: []string{".next/cache"},
		env: map[string]string{"HOSTNAME": "0.0.0.0", "NEXT_TELEMETRY_DISABLED": "1"}}
	config := readSettings(p.tree, configs("next")...)
	dist := local(config.at("distDir"), ".next")
	f.caches = []string{dist + "/cache"}
	switch config.at("output") {
	case "export":
		f.site = []string{local(config.at("distDir"), "out")}
	case "standalone":
		f.starts = "node " + source.ShellWord(dist+"/standalone/server.js")
	default:
		f.starts = "next start"
	}
	if p.scriptRuns("build", "next", "export") {
		f.starts, f.site = "", []string{"out"}
	}
	return f
}

// nuxt: a server of its own in .output, unless the build generates pages.
func (p *project) nuxt() framework {
	f := framework{title: "Nuxt", builds: "nuxt build", starts: "node .output/server/index.mjs",
		env: map[string]string{"NUXT_TELEMETRY_DISABLED": "1"}}
	preset := readSettings(p.tree, configs("nuxt")...).at("nitro.preset")
	if p.scriptRuns("build", "nuxt", "generate") || p.scriptRuns("build", "nuxi", "generate") || preset == "static" {
		f.starts, f.site = "", []string{".output/public", "dist"}
	}
	return f
}

// astro: files, unless the configuration has the adapter for Node.
func (p *project) astro() framework {
	config := readSettings(p.tree, configs("astro")...)
	out := local(config.own("outDir"), "dist")
	f := framework{title: "Astro", builds: "astro build", env: map[string]string{"ASTRO_TELEMETRY_DISABLED": "1"},
		caches: []string{local(config.own("cacheDir"), "node_modules/.astro")}}
	switch {
	case config.modules["@astrojs/node"]:
		f.starts = "node " + source.ShellWord(out+"/server/entry.mjs")
		if config.at("mode") == "middleware" {
			f.starts, f.lacks = "", `the adapter's mode is "middleware": add a start script for the server that has it, or make it "standalone"`
		}
	default:
		f.site = []string{out}
	}
	return f
}

// svelteKit: what the adapter makes of it.
func (p *project) svelteKit() framework {
	config := readSettings(p.tree, configs("svelte")...)
	f := framework{title: "SvelteKit", builds: "vite build"}
	switch {
	case config.modules["@sveltejs/adapter-node"]:
		f.starts = "node " + source.ShellWord(local(config.at("out"), "build"))
	case config.modules["@sveltejs/adapter-static"]:
		f.site, f.fallback = []string{local(config.at("pages"), "build")}, local(config.at("fallback"), "")
	default:
		f.lacks = "SvelteKit needs an adapter that creates a server or files: npm install -D @sveltejs/adapter-node, and name it in svelte.config.js"
	}
	return f
}

func (p *project) reactRouter() framework {
	config := readSettings(p.tree, configs("react-router")...)
	dir := local(config.own("buildDirectory"), "build")
	f := framework{title: "React Router", builds: "react-router build",
		starts: "react-router-serve " + source.ShellWord("./"+dir+"/server/"+local(config.own("serverBuildFile"), "index.js"))}
	if config.own("ssr") == "false" {
		f.starts, f.site, f.fallback = "", []string{dir + "/client"}, "index.html"
	}
	return f
}

func (p *project) remix() framework {
	f := framework{title: "Remix", builds: "remix build", starts: "remix-serve ./build/index.js"}
	if p.file.has("vite") {
		config := readSettings(p.tree, configs("vite")...)
		dir := local(config.at("buildDirectory"), "build")
		f.builds = "remix vite:build"
		f.starts = "remix-serve " + source.ShellWord("./"+dir+"/server/"+local(config.at("serverBuildFile"), "index.js"))
		if config.at("ssr") == "false" {
			f.starts, f.site, f.fallback = "", []string{dir + "/client"}, "index.html"
		}
	}
	return f
}

// expo: files for browsers, where the app has the packages that draw in them.
func (p *project) expo() framework {
	f := framework{title: "Expo", builds: "expo export --platform web", site: []string{"dist"}, fallback: "index.html",
		env: map[string]string{"EXPO_NO_TELEMETRY": "1"}}
	if !p.file.has("react-dom") {
		f.builds, f.site = "", nil
		f.lacks = "an Expo app runs in a browser with react-dom and react-native-web: npx expo install react-dom react-native-web"
	}
	doc, err := p.tree.JSON(source.CodeProject, "app.json", source.MaxManifest)
	if err == nil && doc.String("expo", "web", "output") == "static" {
		f.fallback = "" // a page for each route
	}
	return f
}

func (p *project) nest() framework {
	f := framework{title: "NestJS", builds: "nest build", starts: "node dist/main.js"}
	if !p.file.has("@nestjs/cli") {
		f.builds = ""
	}
	return f
}

// vitePress builds a folder of the repository, which the script names.
func (p *project) vitePress() framework {
	dir := "."
	for _, name := range []string{"build", "docs:build"} {
		for _, w := range p.file.expand(p.file.scripts[name]) {
			if path.Base(w[0]) == "vitepress" && len(w) > 2 && w[1] == "build" && inside(path.Clean(w[2])) {
				dir = path.Clean(w[2])
			}
		}
	}
	f := framework{title: "VitePress", site: []string{path.Join(dir, ".vitepress/dist")}}
	if p.file.scripts["docs:build"] != "" {
		f.builds = strings.Join(p.manager.run("docs:build"), " ")
	}
	return f
}

func (p *project) eleventy() framework {
	config := readSettings(p.tree, append(configs("eleventy"), ".eleventy.js")...)
	site := []string{local(config.at("dir.output"), "_site")}
	return framework{title: "Eleventy", builds: "eleventy", site: append(p.flag("--output", "eleventy"), site...)}
}

// angular reads angular.json: the builder decides whether there is a folder of
// its own for the browser.
func (p *project) angular() framework {
	f := framework{title: "Angular", builds: "ng build", fallback: "index.html", caches: []string{".angular/cache"},
		env: map[string]string{"NG_CLI_ANALYTICS": "false"}}
	doc, err := p.tree.JSON(source.CodeProject, "angular.json", source.MaxManifest)
	if err != nil {
		f.site = []string{"dist"}
		return f
	}
	projects, _ := doc.Get("projects")
	chosen := doc.String("defaultProject")
	for _, project := range projects.Fields {
		if kind := project.String("projectType"); kind == "library" || chosen != "" && project.Name != chosen {
			continue
		}
		build, ok := project.Get("architect", "build")
		if !ok {
			build, _ = project.Get("targets", "build")
		}
		out, browser := angularOutput(build)
		if flag := p.flag("--output-path", "ng"); flag != nil {
			out, browser = flag[0], ""
		}
		out = local(out, local("dist/"+project.Name, "dist"))
		if _, server := build.Get("options", "ssr"); server {
			if mode := build.String("options", "outputMode"); mode != "static" {
				f.starts = "node " + source.ShellWord(out+"/server/server.mjs")
				// It refuses hosts that it was not told of; what is another
				// app's or nobody's ends at the router already.
				f.env["NG_ALLOWED_HOSTS"] = "*"
			}
		}
		if dir := local(path.Join(out, browser), ""); browser != "" && dir != "" {
			f.site = append(f.site, dir)
		}
		f.site = append(f.site, out+"/browser", out)
		return f
	}
	f.site = []string{"dist"}
	return f
}

// angularOutput returns where a builder leaves what it makes, and the folder of
// the browser in it: what the configuration that is built with says comes
// before the options. Both are "" where the builder's own are meant.
func angularOutput(build source.JSON) (out, browser string) {
	configuration := build.String("defaultConfiguration")
	if configuration == "" {
		configuration = "production"
	}
	for _, at := range [][]string{{"configurations", configuration, "outputPath"}, {"options", "outputPath"}} {
		if out = build.String(at...); out != "" {
			return out, ""
		}
		if out = build.String(append(at, "base")...); out != "" {
			return out, build.String(append(at, "browser")...)
		}
	}
	return "", ""
}

func (p *project) vueCLI() framework {
	config := readSettings(p.tree, "vue.config.js", "vue.config.cjs", "vue.config.mjs", "vue.config.ts")
	return framework{title: "Vue CLI", builds: "vue-cli-service build", fallback: "index.html",
		site: append(p.flag("--dest", "vue-cli-service"), local(config.at("outputDir"), "dist"))}
}

// createReactApp: BUILD_PATH of the script comes before that of the files that
// react-scripts reads variables from.
func (p *project) createReactApp() framework {
	dir := ""
	for _, w := range strings.Fields(p.file.scripts["build"]) {
		if named, ok := strings.CutPrefix(w, "BUILD_PATH="); ok {
			dir = named
		}
	}
	for _, name := range []string{".env.production", ".env"} {
		text, err := p.tree.Text(name, maxConfig)
		if err != nil {
			continue // it is optional, and the build reads it itself
		}
		for line := range strings.Lines(text) {
			if named, ok := strings.CutPrefix(strings.TrimSpace(line), "BUILD_PATH="); ok && dir == "" {
				dir = named
			}
		}
	}
	return framework{title: "Create React App", builds: "react-scripts build",
		site: []string{local(strings.Trim(dir, `"'`), "build")}, fallback: "index.html"}
}

func (p *project) vite() framework {
	config := readSettings(p.tree, configs("vite")...)
	site := path.Join(local(config.own("root"), "."), config.at("build.outDir"))
	if config.at("build.outDir") == "" {
		site = path.Join(local(config.own("root"), "."), "dist")
	}
	f := framework{title: "Vite", fallback: "index.html", site: append(p.flag("--outDir", "vite"), local(site, "dist"))}
	// Libraries and their tests have Vite too; an app has a page.
	if p.tree.Has(path.Join(local(config.own("root"), "."), "index.html")) {
		f.builds = "vite build"
	}
	return f
}

// scriptRuns tells whether a script runs a program with that first argument.
func (p *project) scriptRuns(script, program, argument string) bool {
	for _, w := range p.file.expand(p.file.scripts[script]) {
		if path.Base(w[0]) == program && len(w) > 1 && w[1] == argument {
			return true
		}
	}
	return false
}

// flag returns the folder that the build script gives a program by a flag.
func (p *project) flag(name, program string) []string {
	for _, w := range p.file.expand(p.file.scripts["build"]) {
		if path.Base(w[0]) != program {
			continue
		}
		for i, word := range w {
			value, ok := strings.CutPrefix(word, name+"=")
			if word == name && i+1 < len(w) {
				value, ok = w[i+1], true
			}
			if ok && local(value, "") != "" {
				return []string{local(value, "")}
			}
		}
	}
	return nil
}

// local returns a path that a configuration names as one of the repository, or
// the usual one where it names none that is.
func local(name, usual string) string {
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if name == "" || !inside(clean) || strings.ContainsAny(name, "${}*?[]\\\n\x00") {
		return usual
	}
	return clean
}
