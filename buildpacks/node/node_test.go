package node

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

func web(p *plan.Plan) string { return packtest.Command(p, "web") }

// pkg makes a tree of a package.json and other files.
func pkg(manifest string, files ...string) fstest.MapFS {
	return packtest.Repo(append([]string{packageJSON, manifest}, files...)...)
}

func TestPlan_Apps(t *testing.T) {
	const node = "Node build tools, Node 24.21.0 build tools, Node 24.21.0"
	const files = "Node build tools, Node 24.21.0 build tools, dependencies (build), output"
	for _, c := range []struct{ app, summary, web, layers string }{
		{"node-express", "Node 24.21.0, Express (package.json)", "node web.js", node + ", dependencies"},
		{"node-main", "Node 24.21.0 (package.json)", "node server.js", node},
		{"node-pnpm", "Node 24.21.0 (package.json)", "node web.js", node + ", pnpm 10.34.9 build tools, pnpm 10.34.9, dependencies"},
		{"node-yarn", "Node 24.21.0 (package.json)", "node web.js", node + ", yarn 1.22.22 build tools, yarn 1.22.22, dependencies"},
		{"node-berry", "Node 24.21.0 (package.json)", "yarn run start", node + ", yarn 4.18.1 build tools, yarn 4.18.1, dependencies"},
		{"node-drift", "Node 24.21.0 (package.json)", "node web.js", node + ", dependencies"},
		{"node-native", "Node 24.21.0 (package.json)", "node web.js", node + ", dependencies"},
		{"node-next", "Node 24.21.0, Next.js (package.json)", "next start", node + ", dependencies, output"},
		{"node-sveltekit", "Node 24.21.0, SvelteKit (package.json)", "node build", node + ", dependencies, output"},
		{"node-nuxt", "Node 24.21.0, Nuxt (package.json)", "node .output/server/index.mjs", node + ", dependencies, output"},
		{"node-remix", "Node 24.21.0, React Router (package.json)", "react-router-serve ./build/server/index.js", node + ", dependencies, output"},
		{"node-astro-server", "Node 24.21.0, Astro (package.json)", "node dist/server/entry.mjs", node + ", dependencies, output"},
		{"node-astro", "Node 24.21.0, Astro, served as files (package.json)", "static-server --root .berth/site", files},
		{"node-cra", "Node 24.21.0, Create React App, served as files (package.json)", "static-server --root .berth/site --fallback index.html", files},
		{"node-angular", "Node 24.21.0, Angular, served as files (package.json)", "static-server --root .berth/site --fallback index.html", files},
		{"node-vite-spa", "Node 24.21.0, Vite, served as files (package.json)", "static-server --root .berth/site --fallback index.html", files},
	} {
		t.Run(c.app, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.App(t, c.app))
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := strings.Join(packtest.Names(made), ", "); got != c.layers {
				t.Errorf("layers: got %q, want %q", got, c.layers)
			}
		})
	}
}

func TestPlan_ABotIsAWorker(t *testing.T) {
	for name, c := range map[string]struct {
		tree fs.FS
		kind string
	}{
		"Discord":            {pkg(`{"scripts": {"start": "node bot.js"}, "dependencies": {"discord.js": "14"}}`, "bot.js", "client.login(token)"), "worker"},
		"Telegram, main":     {pkg(`{"main": "bot.js", "dependencies": {"telegraf": "4"}}`, "bot.js", "bot.launch()"), "worker"},
		"Telegram, webhooks": {pkg(`{"main": "bot.js", "dependencies": {"grammy": "1"}}`, "bot.js", "http.createServer(webhookCallback(bot))"), "web"},
		"a bot with a page":  {pkg(`{"main": "bot.js", "dependencies": {"discord.js": "14", "express": "5"}}`, "bot.js", "app.get()"), "web"},
		"kept alive":         {pkg(`{"main": "bot.js", "dependencies": {"discord.js": "14"}}`, "bot.js", "x", "src/alive.js", "require('http').createServer(f).listen(process.env.PORT)"), "web"},
		"Slack":              {pkg(`{"main": "bot.js", "dependencies": {"@slack/bolt": "4"}}`, "bot.js", "app.start(3000)"), "web"},
		"Slack, by socket":   {pkg(`{"main": "bot.js", "dependencies": {"@slack/bolt": "4"}}`, "bot.js", "new App({ token, socketMode: true, appToken })"), "worker"},
		"for development":    {pkg(`{"main": "bot.js", "devDependencies": {"discord.js": "14"}}`, "bot.js", "x"), "web"},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, c.tree)
			if len(made.Processes) != 1 || made.Processes[0].Type != c.kind || !made.Processes[0].Inferred {
				t.Errorf("got %+v, want one %s", made.Processes, c.kind)
			}
		})
	}
}

// What each framework is started or served by, without the packages.
func TestPlan_Frameworks(t *testing.T) {
	deps := func(names ...string) string {
		return `"dependencies": {"` + strings.Join(names, `": "1", "`) + `": "1"}`
	}
	const build = `"scripts": {"build": "make it"}, `
	for name, c := range map[string]struct {
		tree fs.FS
		web  string
		site string // its first folder
	}{
		"next, dev start":       {pkg(`{"scripts": {"start": "next dev", "build": "next build"}, ` + deps("next") + `}`), "next start", ""},
		"next, own server":      {pkg(`{"scripts": {"start": "node server.js", "build": "next build"}, ` + deps("next") + `}`), "node server.js", ""},
		"next, no scripts":      {pkg(`{` + deps("next") + `}`), "next start", ""},
		"next export":           {pkg(`{`+build+deps("next")+`}`, "next.config.mjs", `/** @type {import("next").NextConfig} */ const c = { output: "export" }; export default c`), "static", "out"},
		"next export, start":    {pkg(`{"scripts": {"dev": "next dev", "build": "next build", "start": "next start", "lint": "eslint"}, `+deps("next")+`}`, "next.config.ts", "import type { NextConfig } from \"next\";\n\nconst nextConfig: NextConfig = {\n  output: \"export\",\n};\n\nexport default nextConfig;\n"), "static", "out"},
		"next export, port":     {pkg(`{"scripts": {"build": "next build", "start": "cross-env NODE_ENV=production next start -p 3000"}, `+deps("next")+`}`, "next.config.js", `module.exports = { output: 'export' }`), "static", "out"},
		"next export, served":   {pkg(`{"scripts": {"build": "next build", "start": "serve out"}, `+deps("next", "serve")+`}`, "next.config.js", `module.exports = { output: 'export' }`), "serve out", ""},
		"nuxt generate, start":  {pkg(`{"scripts": {"build": "nuxt generate", "start": "nuxt start"}, ` + deps("nuxt") + `}`), "static", ".output/public"},
		"react router, start":   {pkg(`{"scripts": {"build": "react-router build", "start": "react-router-serve ./build/server/index.js"}, `+deps("@react-router/dev")+`}`, "react-router.config.ts", `export default { ssr: false }`), "static", "build/client"},
		"expo":                  {pkg(`{"main": "expo-router/entry", "scripts": {"start": "expo start", "web": "expo start --web"}, `+deps("expo", "react-dom", "react-native-web")+`}`, "app.json", `{"expo": {"name": "x"}}`), "static", "dist"},
		"vite, start":           {pkg(`{"scripts": {"start": "vite", "build": "tsc -b && vite build"}, ` + deps("vite") + `}`), "static", "dist"},
		"vite, start preview":   {pkg(`{"scripts": {"start": "vite preview --host --port 8080", "build": "vite build"}, ` + deps("vite") + `}`), "static", "dist"},
		"angular, start":        {pkg(`{"scripts": {"start": "ng serve --host 0.0.0.0", "build": "ng build"}, ` + deps("@angular/core") + `}`), "static", "dist"},
		"cra, rewired":          {pkg(`{"scripts": {"start": "react-app-rewired start", "build": "react-app-rewired build"}, ` + deps("react-scripts") + `}`), "static", "build"},
		"next export elsewhere": {pkg(`{`+build+deps("next")+`}`, "next.config.js", `module.exports = { output: 'export', distDir: 'www' }`), "static", "www"},
		"next export, comment":  {pkg(`{`+build+deps("next")+`}`, "next.config.js", "module.exports = {\n// output: 'export',\n}"), "next start", ""},
		"next standalone":       {pkg(`{`+build+deps("next")+`}`, "next.config.ts", `export default { output: "standalone" } satisfies NextConfig`), "node .next/standalone/server.js", ""},
		"nuxt":                  {pkg(`{"scripts": {"build": "nuxt build", "postinstall": "nuxt prepare"}, ` + deps("nuxt") + `}`), "node .output/server/index.mjs", ""},
		"nuxt generate":         {pkg(`{"scripts": {"build": "nuxt generate"}, ` + deps("nuxt") + `}`), "static", ".output/public"},
		"remix":                 {pkg(`{"scripts": {"build": "remix vite:build", "start": "remix-serve ./build/server/index.js"}, ` + deps("@remix-run/dev", "vite") + `}`), "remix-serve ./build/server/index.js", ""},
		"remix, classic":        {pkg(`{` + deps("@remix-run/dev") + `}`), "remix-serve ./build/index.js", ""},
		"remix, elsewhere":      {pkg(`{`+build+deps("@remix-run/dev", "vite")+`}`, "vite.config.ts", `export default defineConfig({ plugins: [remix({ buildDirectory: "out" })] })`), "remix-serve ./out/server/index.js", ""},
		"react router":          {pkg(`{` + build + deps("@react-router/dev") + `}`), "react-router-serve ./build/server/index.js", ""},
		"react router, folder":  {pkg(`{`+build+deps("@react-router/dev")+`}`, "react-router.config.ts", `export default { buildDirectory: "out", serverBuildFile: "app.js" } satisfies Config;`), "react-router-serve ./out/server/app.js", ""},
		"react router spa":      {pkg(`{`+build+deps("@react-router/dev", "vite")+`}`, "react-router.config.ts", `export default { ssr: false } satisfies Config;`), "static", "build/client"},
		"astro":                 {pkg(`{"scripts": {"start": "astro dev", "build": "astro check && astro build"}, ` + deps("astro") + `}`), "static", "dist"},
		"astro, outDir":         {pkg(`{`+build+deps("astro")+`}`, "astro.config.mjs", `import { defineConfig } from 'astro/config'; export default defineConfig({ outDir: './public_html' });`), "static", "public_html"},
		"astro, node":           {pkg(`{`+build+deps("astro", "@astrojs/node")+`}`, "astro.config.mjs", `import node from '@astrojs/node'; export default defineConfig({ output: 'server', adapter: node({ mode: 'standalone' }) });`), "node dist/server/entry.mjs", ""},
		"sveltekit static":      {pkg(`{`+build+deps("@sveltejs/kit")+`}`, "svelte.config.js", `import adapter from '@sveltejs/adapter-static'; const config = { kit: { adapter: adapter({ pages: 'site', fallback: '200.html' }) } }; export default config;`), "static", "site"},
		"nest":                  {pkg(`{"scripts": {"build": "nest build", "start": "nest start", "start:prod": "node dist/main"}, ` + deps("@nestjs/core") + `}`), "node dist/main", ""},
		"nest, no start:prod":   {pkg(`{"scripts": {"build": "nest build", "start": "nest start"}, ` + deps("@nestjs/core") + `}`), "node dist/main.js", ""},
		"cra":                   {pkg(`{"scripts": {"build": "react-scripts build", "start": "react-scripts start"}, ` + deps("react-scripts") + `}`), "static", "build"},
		"cra, elsewhere":        {pkg(`{"scripts": {"build": "BUILD_PATH='./www' react-scripts build", "start": "react-scripts start"}, ` + deps("react-scripts") + `}`), "static", "www"},
		"cra, .env":             {pkg(`{"scripts": {"build": "react-scripts build"}, `+deps("react-scripts")+`}`, ".env", "# ours\nREACT_APP_X=1\nBUILD_PATH='site/web'\n"), "static", "site/web"},
		"cra, .env.production":  {pkg(`{"scripts": {"build": "react-scripts build"}, `+deps("react-scripts")+`}`, ".env", "BUILD_PATH=a\n", ".env.production", "BUILD_PATH=b\n"), "static", "b"},
		"cra, out of the tree":  {pkg(`{"scripts": {"build": "react-scripts build"}, `+deps("react-scripts")+`}`, ".env", "BUILD_PATH=/etc\n"), "static", "build"},
		"vue cli":               {pkg(`{`+build+deps("@vue/cli-service")+`}`, "vue.config.js", `module.exports = { outputDir: "public/app" }`), "static", "public/app"},
		"angular":               {pkg(`{"scripts": {"start": "ng serve", "build": "ng build"}, `+deps("@angular/core")+`}`, "angular.json", `{"projects": {"lib": {"projectType": "library"}, "shop": {"architect": {"build": {"options": {"outputPath": "dist/shop-ui"}}}}}}`), "static", "dist/shop-ui/browser"},
		"angular, no path":      {pkg(`{"scripts": {"build": "ng build"}, `+deps("@angular/core")+`}`, "angular.json", `{"projects": {"shop": {"architect": {"build": {}}}}}`), "static", "dist/shop/browser"},
		"angular, configured":   {pkg(`{"scripts": {"build": "ng build"}, `+deps("@angular/core")+`}`, "angular.json", `{"projects": {"shop": {"architect": {"build": {"options": {"outputPath": "dist/shop"}, "configurations": {"live": {"outputPath": {"base": "out"}}}, "defaultConfiguration": "live"}}}}}`), "static", "out/browser"},
		"angular, flag":         {pkg(`{"scripts": {"build": "ng build --output-path=www"}, `+deps("@angular/core")+`}`, "angular.json", `{"projects": {"shop": {"architect": {"build": {}}}}}`), "static", "www/browser"},
		"angular, ssr":          {pkg(`{"scripts": {"start": "ng serve", "build": "ng build"}, `+deps("@angular/core")+`}`, "angular.json", `{"projects": {"shop": {"architect": {"build": {"options": {"ssr": {"entry": "server.ts"}}}}}}}`), "node dist/shop/server/server.mjs", ""},
		"vite, flag":            {pkg(`{"scripts": {"build": "tsc && vite build --outDir=out/web"}, ` + deps("vite") + `}`), "static", "out/web"},
		"vite, root":            {pkg(`{`+build+deps("vite")+`}`, "vite.config.ts", `export default defineConfig(({ mode }) => ({ root: "src", build: { rollupOptions: {}, outDir: "../www", emptyOutDir: true } }))`), "static", "www"},
		"vite, out of the tree": {pkg(`{`+build+deps("vite")+`}`, "vite.config.ts", `export default { build: { outDir: "../www" } }`), "static", "dist"},
		"vite, computed":        {pkg(`{`+build+deps("vite")+`}`, "vite.config.ts", "export default { build: { outDir: `${x}/y` } }"), "static", "dist"},
		"vite, preview":         {pkg(`{"scripts": {"start": "npm run serve", "serve": "vite preview", "build": "vite build"}, ` + deps("vite") + `}`), "static", "dist"},
		"vite and a server":     {pkg(`{`+build+deps("vite", "express")+`}`, "server.js", ""), "node server.js", ""},
		"gatsby":                {pkg(`{"scripts": {"start": "npm run develop", "develop": "gatsby develop", "build": "gatsby build"}, ` + deps("gatsby") + `}`), "static", "public"},
		"docusaurus":            {pkg(`{"scripts": {"start": "docusaurus start", "build": "docusaurus build"}, ` + deps("@docusaurus/core") + `}`), "static", "build"},
		"vitepress":             {pkg(`{"scripts": {"docs:build": "vitepress build docs"}, ` + deps("vitepress") + `}`), "static", "docs/.vitepress/dist"},
		"eleventy":              {pkg(`{"scripts": {"build": "eleventy", "start": "eleventy --serve"}, `+deps("@11ty/eleventy")+`}`, "eleventy.config.js", `export default function (c) { return { dir: { input: "src", output: "pub" } } }`), "static", "pub"},
		"a build of one's own":  {pkg(`{` + build + deps("esbuild") + `}`), "static", "dist"},
		"a build beside a page": {pkg(`{`+build+deps("esbuild")+`}`, "public/index.html", ""), "static-server --root public", ""},
		"main":                  {pkg(`{"main": "lib/web"}`, "lib/web.js", ""), "node lib/web.js", ""},
		"main of the build":     {pkg(`{` + build + `"main": "dist/web.js"}`), "node dist/web.js", ""},
		"main that is not":      {pkg(`{"main": "index.js"}`, "app.js", ""), "node app.js", ""},
		"main out of the tree":  {pkg(`{"main": "../../x.js"}`, "app.js", ""), "node app.js", ""},
		"odd main":              {pkg(`{"main": "my app.js"}`, "my app.js", ""), "node 'my app.js'", ""},
		"start with a pre":      {pkg(`{"scripts": {"prestart": "node seed.js", "start": "node web.js"}}`), "npm run start", ""},
		"start with variables":  {pkg(`{"scripts": {"start": "NODE_OPTIONS=--enable-source-maps node web.js"}}`), "NODE_OPTIONS=--enable-source-maps node web.js", ""},
		"a page":                {pkg(`{"devDependencies": {"prettier": "3"}}`, "index.html", ""), "static-server --root .", ""},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, c.tree)
			got := web(made)
			if c.web != "static" {
				if got != c.web {
					t.Errorf("web: got %q, want %q", got, c.web)
				}
				return
			}
			if !strings.HasPrefix(got, "static-server --root .berth/site") || !made.Sealed {
				t.Errorf("web: got %q, sealed %t", got, made.Sealed)
			}
			out := packtest.Layer(t, made, "output")
			if site := out.Commands[1].Args[5]; site != c.site {
				t.Errorf("site: got %q, want %q", site, c.site)
			}
			if out.Parent != "stack" || !slices.Contains(out.Keep, ".berth/site") {
				t.Errorf("what runs stands on %q and keeps %q", out.Parent, out.Keep)
			}
		})
	}
}

func TestPlan_WhatCannotBeStartedIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		tree fs.FS
		code string
		says string
	}{
		"nothing":             {pkg(`{}`), "E202", "start"},
		"sveltekit, auto":     {pkg(`{"scripts": {"start": "vite dev"}, "dependencies": {"@sveltejs/kit": "1"}}`, "svelte.config.js", `import adapter from '@sveltejs/adapter-auto'`), "E202", "adapter-node"},
		"no object":           {pkg(`[]`), "E222", "an object"},
		"a comma":             {pkg("{\n\"name\": \"x\",\n}"), "E222", "no comma"},
		"a package manager":   {pkg(`{"packageManager": "pnpm@newest"}`), "E211", "not a version or a range"},
		"another's":           {pkg(`{"packageManager": "pip@1.0.0"}`), "E211", "npm, pnpm, yarn or bun"},
		"a shell":             {pkg(`{"packageManager": "npm@1.0.0;id"}`), "E211", "packageManager"},
		"no such Node":        {pkg(`{"engines": {"node": ">=99"}}`), "E212", "known: 26.10.0, 24.21.0, 22.23.3"},
		"no such npm":         {pkg(`{"engines": {"npm": ">=99"}}`), "E212", "known: 12.2.0"},
		"a version of .nvmrc": {pkg(`{}`, ".nvmrc", "# ours\nlatest-and-greatest\n"), "E211", ".nvmrc, line 2"},
	} {
		p, text := packtest.Problem(t, Plan, c.tree)
		if p.Code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%s: got %s %q, want %s and %q", name, p.Code, text, c.code, c.says)
		}
	}
}

func TestPlan_ToolsOfDevelopmentThatRunStay(t *testing.T) {
	for command, want := range map[string]bool{
		"nodemon web.js": true, "npx nodemon web.js": true, "node -r nodemon/register web.js": true, "npm run dev": true,
		"node web.js": false, "node nodemon.js": false, "nodemon-foo": false,
	} {
		tree := pkg(`{"scripts": {"dev": "nodemon x", "build": "tsc"}, "dependencies": {"x": "1"}, "devDependencies": {"nodemon": "3"}}`, "Procfile", "web: "+command)
		made := packtest.Plan(t, Plan, tree)
		noted := strings.Contains(strings.Join(made.Notes, "\n"), "needs nodemon")
		pruned := len(packtest.Layer(t, made, "output").Commands) > 1
		if noted != want || pruned == want {
			t.Errorf("%s: noted %t, pruned %t; want that they stay: %t", command, noted, pruned, want)
		}
	}
}

// Angular's server refuses every host that it was not told of.
func TestPlan_AngularServerTakesTheHostsOfTheApp(t *testing.T) {
	const manifest = `{"scripts": {"build": "ng build"}, "dependencies": {"@angular/core": "22"}}`
	for options, want := range map[string]string{
		`{"ssr": {"entry": "server.ts"}, "outputMode": "server"}`: "*",
		`{"ssr": {"entry": "server.ts"}, "outputMode": "static"}`: "",
		`{}`: "",
	} {
		made := packtest.Plan(t, Plan, pkg(manifest, "angular.json", `{"projects": {"shop": {"architect": {"build": {"options": `+options+`}}}}}`))
		if got := made.Env["NG_ALLOWED_HOSTS"]; got != want {
			t.Errorf("%s: NG_ALLOWED_HOSTS is %q, want %q", options, got, want)
		}
	}
}

func TestPlan_FileServerOfAProcfile(t *testing.T) {
	made := packtest.Plan(t, Plan, pkg(`{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "1"}}`, "Procfile", "web: static-server --root dist"))
	packtest.Layer(t, made, "file server")
	if got := made.Env["PATH"]; !strings.Contains(got, ":/app/.berth/bin:") {
		t.Errorf("PATH %q", got)
	}
}

// keyed is a tree with everything that decides of a layer.
func keyed() fstest.MapFS {
	return pkg(`{"scripts": {"build": "make", "start": "node web.js"}, "dependencies": {"x": "1"}, "devDependencies": {"y": "1"}}`,
		"package-lock.json", `{}`, "web.js", "1", "README.md", "hi", ".nvmrc", "22\n", ".npmrc", "x=1\n", "apt-packages", "ffmpeg\n")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	set := func(name, content string) func(fstest.MapFS, *plan.Request) {
		return func(m fstest.MapFS, r *plan.Request) {
			m[name] = &fstest.MapFile{Data: []byte(content)}
			r.Digest = "other"
		}
	}
	interpreted := keyed()
	interpreted[packageJSON] = &fstest.MapFile{Data: []byte(`{"scripts": {"start": "node web.js"}, "dependencies": {"x": "1"}}`)}
	spa := keyed()
	spa[packageJSON] = &fstest.MapFile{Data: []byte(`{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "1"}}`)}
	postinstall := keyed()
	postinstall[packageJSON] = &fstest.MapFile{Data: []byte(`{"scripts": {"start": "node web.js", "postinstall": "node setup.js"}, "dependencies": {"x": "1"}}`)}
	workspace := pkg(`{"workspaces": ["packages/*"], "scripts": {"start": "node web.js"}}`, "packages/a/package.json", `{"name": "a"}`, "packages/a/index.js", "1", "package-lock.json", "{}", "web.js", "1")
	for name, c := range map[string]struct {
		tree   fstest.MapFS
		change func(fstest.MapFS, *plan.Request)
		want   []string
	}{
		"nothing":                       {keyed(), func(fstest.MapFS, *plan.Request) {}, nil},
		"a source line":                 {keyed(), set("web.js", "2"), []string{"output"}},
		"a source line, interpreted":    {interpreted, set("web.js", "2"), nil},
		"a source line of a site":       {spa, set("web.js", "2"), []string{"output"}},
		"a source line, postinstall":    {postinstall, set("web.js", "2"), []string{"dependencies"}},
		"a source line of a package":    {workspace, set("packages/a/index.js", "2"), nil},
		"a manifest of a package":       {workspace, set("packages/a/package.json", `{"name": "a", "version": "1.0.0"}`), []string{"dependencies"}},
		"a readme, interpreted":         {interpreted, set("README.md", "ho"), nil},
		"the lock file":                 {keyed(), set("package-lock.json", `{"x": 1}`), []string{"dependencies", "output"}},
		"the lock file of a site":       {spa, set("package-lock.json", `{"x": 1}`), []string{"dependencies (build)", "output"}},
		"the registry's settings":       {keyed(), set(".npmrc", "x=2\n"), []string{"dependencies", "output"}},
		"the version":                   {interpreted, set(".nvmrc", "20\n"), []string{"Node 20.20.2 build tools", "Node 20.20.2", "apt-packages", "apt-packages (build)", "dependencies"}},
		"the package manager":           {interpreted, set(packageJSON, `{"packageManager": "pnpm@9.0.0", "scripts": {"start": "node web.js"}, "dependencies": {"x": "1"}}`), []string{"pnpm 9.0.0 build tools", "pnpm 9.0.0", "apt-packages", "apt-packages (build)", "dependencies"}},
		"packages":                      {interpreted, set("apt-packages", "imagemagick\n"), []string{"apt-packages", "apt-packages (build)", "dependencies"}},
		"packages of a site":            {spa, set("apt-packages", "imagemagick\n"), []string{"apt-packages (build)", "dependencies (build)", "output"}},
		"the Procfile, interpreted":     {interpreted, set("Procfile", "web: node web.js -x\n"), nil},
		"the owner":                     {interpreted, func(_ fstest.MapFS, r *plan.Request) { r.Owner = "1001" }, []string{"dependencies"}},
		"the version that was resolved": {interpreted, func(_ fstest.MapFS, r *plan.Request) { r.Versions = map[string]string{"node": "22.23.3"} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := packtest.Request(c.tree)
			m := maps.Clone(c.tree)
			after := packtest.Request(m)
			c.change(m, &after)
			if got := packtest.Rebuilt(t, Plan, before, after); !slices.Equal(got, c.want) {
				t.Errorf("rebuilt: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestKeys_ConfigIsBakedIntoTheOutputAlone(t *testing.T) {
	for _, l := range packtest.Plan(t, Plan, keyed()).Layers {
		want := map[string]plan.ConfigUse{"dependencies": plan.ConfigPasses, "output": plan.ConfigBakes}[l.Name]
		if l.Config != want {
			t.Errorf("%s: config %d, want %d", l.Name, l.Config, want)
		}
		if l.Failure == nil && len(l.Commands) > 0 {
			t.Errorf("%s does not say what its failure means", l.Name)
		}
	}
}

func TestInputs_WhatAnInstallReads(t *testing.T) {
	for name, c := range map[string]struct {
		tree fstest.MapFS
		want string
	}{
		"plain":        {pkg(`{"dependencies": {"x": "1"}}`, "index.js", "", "package-lock.json", "{}"), "package-lock.json package.json"},
		"husky":        {pkg(`{"scripts": {"prepare": "husky install"}, "dependencies": {"x": "1"}}`, "index.js", ""), "package.json"},
		"patches":      {pkg(`{"scripts": {"postinstall": "patch-package"}, "dependencies": {"x": "1"}, "devDependencies": {"patch-package": "8"}}`, "index.js", "", "patches/x+1.patch", ""), "package.json patches/x+1.patch"},
		"prisma":       {pkg(`{"dependencies": {"@prisma/client": "6"}, "devDependencies": {"prisma": "6"}}`, "index.js", "", "prisma/schema.prisma", "", "prisma/seed.js", ""), "package.json prisma/schema.prisma"},
		"a local one":  {pkg(`{"dependencies": {"x": "file:./x"}}`, "index.js", ""), "."},
		"a script":     {pkg(`{"scripts": {"postinstall": "node tools/setup.js"}}`, "index.js", ""), "."},
		"prebuild":     {pkg(`{"scripts": {"heroku-prebuild": "echo 1"}}`, "index.js", ""), "."},
		"berry":        {pkg(`{"packageManager": "yarn@4.18.1", "dependencies": {"x": "1"}}`, "index.js", "", ".yarnrc.yml", "yarnPath: .yarn/releases/y.cjs\nnodeLinker: node-modules\n", ".yarn/releases/y.cjs", "", ".yarn/cache/x.zip", ""), ".yarn/releases/y.cjs .yarnrc.yml package.json"},
		"a workspace":  {pkg(`{"workspaces": ["a"]}`, "index.js", "", "a/package.json", "{}", "node_modules/x/package.json", "{}"), "a/package.json package.json"},
		"its scripts":  {pkg(`{"workspaces": ["a"]}`, "index.js", "", "a/package.json", `{"scripts": {"prepare": "tsc"}}`), "."},
		"its pnpm one": {pkg(`{"packageManager": "pnpm@10.34.9"}`, "index.js", "", "pnpm-workspace.yaml", "packages: [a]", "a/package.json", "{}"), "a/package.json package.json pnpm-workspace.yaml"},
	} {
		made := packtest.Plan(t, Plan, c.tree)
		if got := strings.Join(packtest.Layer(t, made, "dependencies").Inputs, " "); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestPlan_TestsHaveTheDependenciesOfDevelopment(t *testing.T) {
	r := packtest.Request(packtest.App(t, "node-express"))
	r.Test = true
	made, err := packtest.Make(Plan, r)
	if err != nil {
		t.Fatal(err)
	}
	l := packtest.Layer(t, made, "test dependencies")
	if made.Test == nil || made.Test.Command != "npm test" || made.Test.Layer != l.Key || !l.Build || l.Root {
		t.Errorf("test %+v in %+v", made.Test, l)
	}
	if made.Base() == l.Key {
		t.Error("what is tested with is what runs")
	}
	if made, _ := packtest.Make(Plan, packtest.Request(packtest.App(t, "node-express"))); made.Test != nil {
		t.Error("a test that nobody asked for")
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(`{"scripts": {"start": "npm run start", "build": "vite build --outDir x"}, "dependencies": {"vite": "1"}}`, `export default { build: { outDir: "x" } }`, "lts/iron", `{"projects": {}}`)
	f.Add(`{"workspaces": {"packages": ["a"]}, "engines": {"node": ">=18 <20 || ^22"}, "packageManager": "yarn@4.0.0"}`, "`${", "", "[")
	f.Add(`{"scripts": {"start": "\u0000", "build": "vite build --outDir=a\u0000b"}, "main": "x\u0000", "dependencies": {"vite": "1"}}`, `export default { build: { outDir: "`+"\x00"+`" } }`, "20", "{}")
	f.Add(`{"dependencies": {"@angular/core": "1"}}`, "", "", `{"projects": {"\u0000": {"architect": {"build": {"options": {"outputPath": {"base": "../x", "browser": "\u0000"}}}}}}}`)
	f.Fuzz(func(t *testing.T, manifest, config, version, angular string) {
		made, err := packtest.Make(Plan, packtest.Request(pkg(manifest, "vite.config.ts", config, "next.config.js", config, ".nvmrc", version, "angular.json", angular, "yarn.lock", config)))
		if err != nil {
			return
		}
		if strings.Contains(web(made), "\x00") {
			t.Errorf("starts %q", web(made))
		}
		for _, l := range made.Layers {
			for _, cmd := range l.Commands {
				for _, arg := range cmd.Args {
					if strings.Contains(arg, "\x00") {
						t.Errorf("runs %q", cmd.Args)
					}
					if l.Root && strings.ContainsAny(arg, "\n;`$") && cmd.Args[0] != "sh" && cmd.Args[0] != "find" {
						t.Errorf("root runs %q", cmd.Args)
					}
				}
			}
		}
	})
}

func TestLayers_TheOperatorsRegistryIsEverywhere(t *testing.T) {
	for _, l := range packtest.Plan(t, Plan, keyed()).Layers {
		if strings.Contains(l.Name, "apt-packages") || len(l.Commands) == 0 {
			continue
		}
		if !slices.Contains(l.Passes, "npm_config_registry") || !slices.Contains(l.PassesFiles, "npm_config_userconfig") {
			t.Errorf("%s gets %q and the files of %q", l.Name, l.Passes, l.PassesFiles)
		}
	}
}

// pnpm 11 reads settings of its own name alone, and installs before it runs a script
// unless one says no.
func TestPlan_NewPnpmRunsWhatIsInstalled(t *testing.T) {
	r := packtest.Request(packtest.Repo(packageJSON, `{"packageManager": "pnpm@11.22.0", "scripts": {"start": "node x.js", "build": "tsc", "test": "x"}, "dependencies": {"x": "1"}}`,
		"pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "x.js", ""))
	r.Test = true
	made, err := packtest.Make(Plan, r)
	if err != nil {
		t.Fatal(err)
	}
	built := 0
	for _, l := range made.Layers {
		if !slices.Contains(l.Env, "npm_config_store_dir="+downloads+"/pnpm") {
			continue
		}
		built++
		for _, want := range []string{"pnpm_config_store_dir=" + downloads + "/pnpm", "pnpm_config_verify_deps_before_run=false"} {
			if !slices.Contains(l.Env, want) {
				t.Errorf("%s has no %s: %q", l.Name, want, l.Env)
			}
		}
	}
	if built == 0 {
		t.Error("no layer runs pnpm")
	}
	if made.Env["pnpm_config_verify_deps_before_run"] != "false" || made.Test.Env["pnpm_config_verify_deps_before_run"] != "false" {
		t.Errorf("runs with %q, is tested with %q", made.Env, made.Test.Env)
	}
}

// What the source imports and the repository leaves out is made before the build.
func TestPlan_WhatIsGenerated(t *testing.T) {
	const scripts = `"scripts": {"start": "node x.js", "build": "tsc", "generate": "graphql-codegen -c x"}`
	for name, c := range map[string]struct {
		files []string
		runs  bool
	}{
		"missing":           {[]string{packageJSON, "{" + scripts + "}", "src/a.ts", "import {X} from '../gql/__generated__/X'"}, true},
		"there":             {[]string{packageJSON, "{" + scripts + "}", "src/a.ts", "import {X} from '../gql/__generated__/X'", "gql/__generated__/X.ts", ""}, false},
		"there, as .js":     {[]string{packageJSON, "{" + scripts + "}", "src/a.ts", "import {X} from './generated/x.js'", "src/generated/x.ts", ""}, false},
		"a folder":          {[]string{packageJSON, "{" + scripts + "}", "src/a.ts", "import {X} from './generated'", "src/generated/index.ts", ""}, false},
		"the build's own":   {[]string{packageJSON, `{"scripts": {"start": "node x.js", "build": "npm run generate && tsc", "generate": "x"}}`, "a.ts", "import './generated/x'"}, false},
		"a hook's":          {[]string{packageJSON, `{"scripts": {"start": "node x.js", "build": "tsc", "prebuild": "x", "generate": "x"}}`, "a.ts", "import './generated/x'"}, false},
		"no script":         {[]string{packageJSON, `{"scripts": {"start": "node x.js", "build": "tsc"}}`, "a.ts", "import './generated/x'"}, false},
		"out of the folder": {[]string{packageJSON, "{" + scripts + "}", "src/a.ts", "import '../../generated/x'"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.Repo(c.files...))
			words := packtest.Layer(t, made, "output").Commands[0].Args
			got := strings.Join(words[len(words)-min(len(words), 6):], " ")
			if !strings.HasSuffix(got, "npm run build") || strings.HasSuffix(got, "npm run generate npm run build") != c.runs {
				t.Errorf("got %q", got)
			}
			if notes := strings.Join(made.Notes, "\n"); strings.Contains(notes, "generate runs before the build") != c.runs {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

// webpack 4 hashes with what OpenSSL 3 gives to those alone that ask.
func TestPlan_OldBundlersGetTheirHashes(t *testing.T) {
	for text, want := range map[string]bool{
		`"devDependencies": {"react-scripts": "^3.2.0"}`:                                                  true,
		`"devDependencies": {"react-scripts": "^5.0.1"}`:                                                  false,
		`"devDependencies": {"react-scripts": "latest"}`:                                                  false,
		`"devDependencies": {"react-scripts": "*"}`:                                                       false,
		`"dependencies": {"webpack": "4.44.1"}`:                                                           true,
		`"dependencies": {"webpack": "^4.0.0 || ^5.0.0"}`:                                                 true,
		`"dependencies": {"webpack": "npm:other@4"}`:                                                      false,
		`"dependencies": {"@symfony/webpack-encore": "^0.30"}`:                                            true,
		`"dependencies": {"vite": "^4"}`:                                                                  false,
		`"engines": {"node": "16"}, "dependencies": {"webpack": "4.44.1"}`:                                false,
		`"scripts": {"build": "NODE_OPTIONS=--openssl-legacy-provider x"}, "dependencies": {"nuxt": "2"}`: false,
	} {
		if !strings.Contains(text, "scripts") {
			text += `, "scripts": {"build": "x"}`
		}
		made := packtest.Plan(t, Plan, packtest.Repo(packageJSON, "{"+text+"}", "server.js", ""))
		if got := slices.Contains(packtest.Layer(t, made, "output").Env, "NODE_OPTIONS=--openssl-legacy-provider"); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// A build may use more of its memory than half, as Node would have it.
func TestBuild_TheHeapIsMostOfTheMemory(t *testing.T) {
	for name, c := range map[string]struct{ limit, options, want string }{
		"2 GiB":              {"2147483648", "", "--max-old-space-size=1536"},
		"beside others":      {"2147483648", "--openssl-legacy-provider", "--openssl-legacy-provider --max-old-space-size=1536"},
		"beside several":     {"2147483648", "--no-warnings --enable-source-maps", "--no-warnings --enable-source-maps --max-old-space-size=1536"},
		"the app's own":      {"2147483648", "--max-old-space-size=512", "--max-old-space-size=512"},
		"the app's, spelled": {"2147483648", "--max_old_space_size=512", "--max_old_space_size=512"},
		"no limit":           {"max", "", ""},
		"none to speak of":   {"9223372036854771712", "", ""},
		"nothing to read":    {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.limit != "" {
				if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte(c.limit+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			script := strings.ReplaceAll(build, "/sys/fs/cgroup/", dir+"/")
			cmd := exec.Command("bash", "-c", script, "bash", dir, "--", "sh", "-c", `printf %s "$NODE_OPTIONS"`)
			cmd.Env = append(os.Environ(), "NODE_OPTIONS="+c.options)
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != c.want {
				t.Errorf("got %q, %v; want %q", out, err, c.want)
			}
		})
	}
}
