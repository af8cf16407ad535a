package buildpacks

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

// detected plans in the language that the tree speaks for.
func detected(p *plan.Plan, c *plan.Chain) error {
	list, err := choose(p, c)
	if err != nil {
		return err
	}
	return list[0].plan(p, c)
}

// frontend makes the files of a frontend in a folder: "" or "ui/".
func frontend(dir string, files ...string) []string {
	return append(files, dir+"package.json", `{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}`,
		dir+"package-lock.json", `{"lockfileVersion": 3}`, dir+"index.html", "x", dir+"src/main.js", "x")
}

const (
	goServer = "package main\n\nimport \"net/http\"\n\nfunc main() { http.ListenAndServe(\"\", nil) }\n"
	goUI     = "package ui\n\nimport \"embed\"\n\n//go:embed build/*\nvar Files embed.FS\n"
	cargo    = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\n"
	jarPom   = `<project><groupId>a</groupId><artifactId>b</artifactId><version>1</version><build><plugins>` +
		`<plugin><groupId>com.github.eirslett</groupId><artifactId>frontend-maven-plugin</artifactId><configuration><workingDirectory>src/main/web</workingDirectory></configuration></plugin>` +
		`<plugin><groupId>org.springframework.boot</groupId><artifactId>spring-boot-maven-plugin</artifactId></plugin></plugins></build></project>`
)

// Node has its part in the apps of every other language: a branch of its own,
// whose output is there before that of the language.
func TestFrontend_InEveryLanguage(t *testing.T) {
	const built = "Node build tools, Node 24.21.0 build tools, frontend dependencies (build), frontend (build), "
	for name, c := range map[string]struct {
		files    []string
		language string
		layers   string // the end of them
	}{
		"Go": {frontend("ui/", "go.mod", "module shop\n", "main.go", goServer, "ui/serve.go", goUI), "go", built + "frontend files, programs"},
		"Go, embedded from above": {frontend("web/", "go.mod", "module shop\n", "main.go", "package main\n\nimport \"embed\"\n\n//go:embed all:web/dist\nvar x embed.FS\n\nfunc main() {}\n"), "go",
			built + "frontend files, programs"},
		"Go, from the root": {frontend("", "go.mod", "module shop\n", "main.go", goServer), "go", built + "frontend files, programs"},
		"Go, from the disk": {frontend("app/ui/", "go.mod", "module shop\n", "main.go", strings.Replace(goServer, "nil", `http.FileServer(http.Dir("./app/ui/dist"))`, 1)), "go",
			built + "frontend files, programs"},
		"Flask": {frontend("", "requirements.txt", "flask", "web.py", flaskApp), "python", built + "source, frontend files"},
		"Flask, a folder": {frontend("frontend/", "requirements.txt", "flask", "web.py", "import os\nfrom flask import Flask\napp = Flask(__name__, static_folder=os.path.join(here, \"frontend\", 'dist'))\n"), "python",
			built + "frontend files"},
		"FastAPI, pathlib": {frontend("client/", "requirements.txt", "fastapi", "server/main.py", "from fastapi import FastAPI\napp = FastAPI()\nSITE = ROOT / 'client' / 'dist'\n"), "python",
			built + "frontend files"},
		"Flask, written into its folder": {append(frontend("client/", "requirements.txt", "flask", "web.py", flaskApp), "client/vite.config.js", `export default { build: { outDir: "../static" } }`), "python",
			built + "source, frontend files"},
		"Rust": {frontend("ui/", "Cargo.toml", cargo+"[dependencies]\naxum = \"0.8\"\n", "Cargo.lock", "", "src/main.rs", "#[derive(RustEmbed)]\n#[folder = \"ui/dist/\"]\nstruct Pages;\nfn main() {}\n"), "rust",
			built + "frontend files, programs"},
		"Spring": {frontend("src/main/web/", "pom.xml", jarPom), "java", built + "frontend files, output"},
		"PHP": {frontend("", "composer.json", "{}", "public/index.php", ""), "php",
			"Node build tools, Node 24.21.0 build tools, frontend dependencies (build), frontend surroundings (build), frontend (build), source, frontend files"},
		"Ruby": {frontend("", "Gemfile", "gem 'puma'", "config.ru", "run 1"), "ruby", built + "source, frontend files"},
		"a site that Node builds": {frontend("", ".buildpacks", "heroku/nodejs\nheroku-community/static\n", "static.json", `{"root": "dist/"}`), "static",
			built + "source, frontend files"},
		"a folder that buildpacks ask for": {frontend("ui/", ".buildpacks", "heroku/nodejs\nheroku/python\n", "requirements.txt", "flask", "web.py", flaskApp), "python", built + "frontend files"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo(c.files...)))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(packtest.Names(made), ", "); made.Language != c.language || !strings.HasSuffix(got, c.layers) {
				t.Errorf("got %s, layers %q; want %s, and %q in the end", made.Language, got, c.language, c.layers)
			}
			if !strings.Contains(made.Summary, "Node 24.21.0 (") || made.Versions["node"] == "" {
				t.Errorf("summary %q, versions %v: Node is not named", made.Summary, made.Versions)
			}
			if notes := strings.Join(made.Notes, "\n"); strings.Contains(notes, "looks like Node") || strings.Contains(notes, "ignored") {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

// Node builds nothing where nothing uses it, and that is said.
func TestFrontend_WhatNothingUsesIsPassedOver(t *testing.T) {
	flask := []string{"requirements.txt", "flask\ngunicorn", "web.py", flaskApp}
	for name, c := range map[string]struct {
		files []string
		note  string
	}{
		"tools alone":                    {append(flask, "package.json", `{"devDependencies": {"prettier": "3"}}`), "it also looks like Node (package.json)"},
		"a folder that is not named":     {frontend("ui/", flask...), "ui/package.json is ignored: nothing in the source names what it builds"},
		"a folder in a comment of docs":  {frontend("ui/", append(flask, "docs/x.py", `"ui/dist"`)...), "ui/package.json is ignored"},
		"a longer name":                  {frontend("ui/", "requirements.txt", "flask", "web.py", flaskApp+"x = 'gui/dist'"), "ui/package.json is ignored"},
		"an example":                     {frontend("examples/ui/", append(flask, "x.py", `"examples/ui/dist"`)...), ""},
		"buildpacks without Node":        {frontend("", append(flask, ".buildpacks", "heroku/python\n")...), "package.json is ignored: Node is not among the buildpacks"},
		"a process of Node":              {frontend("", append(flask, "Procfile", "web: gunicorn web:app\nworker: node worker.js\n")...), "worker runs node, which is there only while the frontend is built"},
		"buildpacks that Node is not in": {append(flask, ".buildpacks", "heroku/nodejs\nheroku/python\n"), "the Node buildpack is ignored: no package.json has a build script"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo(c.files...)))
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(made.Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes: got %q, want %q in them", notes, c.note)
			}
			if slices.Contains(packtest.Names(made), "frontend (build)") != strings.Contains(c.note, "worker runs node") {
				t.Errorf("layers: %q", packtest.Names(made))
			}
		})
	}
}

func TestFrontend_WhatAChangeRebuilds(t *testing.T) {
	goApp := frontend("ui/", "go.mod", "module shop\n", "main.go", goServer, "ui/serve.go", goUI, "README.md", "x")
	flask := frontend("ui/", "requirements.txt", "flask", "web.py", flaskApp+"x = 'ui/dist'\n")
	root := frontend("", "requirements.txt", "flask", "web.py", flaskApp)
	const lock, deps = "package-lock.json", "frontend dependencies (build)"
	for name, c := range map[string]struct {
		app       []string
		file, now string
		want      []string
	}{
		"Go: a README":               {goApp, "README.md", "y", nil},
		"Go: a line of Go":           {goApp, "main.go", goServer + "\n", []string{"programs"}},
		"Go: a line of the frontend": {goApp, "ui/src/main.js", "y", []string{"frontend (build)", "frontend files", "programs"}},
		"Go: the frontend's lock":    {goApp, "ui/" + lock, "{}", []string{deps, "frontend (build)", "frontend files", "programs"}},
		"Flask: a line of Python":    {flask, "web.py", flaskApp + "y = 'ui/dist'\n", nil},
		"Flask: the requirements":    {flask, "requirements.txt", "flask==3.0.0", []string{"dependencies", "frontend files"}},
		"Flask: the frontend":        {flask, "ui/src/main.js", "y", []string{"frontend (build)", "frontend files"}},
		"Flask: the frontend's lock": {flask, "ui/" + lock, "{}", []string{deps, "frontend (build)", "frontend files"}},
		"in the root: the frontend":  {root, "src/main.js", "y", []string{"frontend (build)", "source", "frontend files"}},
		"in the root: its lock":      {root, lock, "{}", []string{deps, "frontend (build)", "source", "frontend files"}},
		"in the root: the others":    {root, "requirements.txt", "flask==3.0.0", []string{"dependencies", "frontend (build)", "source", "frontend files"}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := packtest.Request(repo(c.app...)), packtest.Request(repo(append(c.app, c.file, c.now)...))
			after.Digest = "another tree"
			if got := packtest.Rebuilt(t, detected, before, after); !slices.Equal(got, c.want) {
				t.Errorf("rebuilt: got %q, want %q", got, c.want)
			}
		})
	}
}

// A build that calls Node by itself has berth's, in the version that the app asks
// for: there is nowhere that a plugin could download its own from.
func TestFrontend_BuildsThatCallNode(t *testing.T) {
	const yarn = `{"scripts": {"build": "esbuild app/javascript/*.*"}, "engines": {"node": "22.x"}}`
	rails := []string{"Gemfile", "gem 'rails'\ngem 'jsbundling-rails'\ngem 'puma'\n", "config/application.rb", "", "config.ru", "", "Rakefile", "", "app/assets/builds/.keep", ""}
	gradle := func(plugin, more string) []string {
		return []string{"build.gradle", "plugins {\n id 'application'\n id '" + plugin + "' version '7'\n}\n" + more, "ui/package.json", yarn, "ui/yarn.lock", ""}
	}
	for name, c := range map[string]struct {
		files []string
		tools string
	}{
		"jsbundling, yarn":      {append(rails, "package.json", yarn, "yarn.lock", ""), "yarn 1.22.22 build tools"},
		"jsbundling, pnpm":      {append(rails, "package.json", yarn, "pnpm-lock.yaml", "lockfileVersion: '9.0'"), "pnpm 10.34.9 build tools"},
		"vite_ruby, no script":  {append([]string{"Gemfile", "gem 'rails'\ngem 'vite_rails'\ngem 'puma'\n", "app/frontend/x.js", "", "package.json", `{"engines": {"node": "22"}}`}, rails[2:]...), "Node 22.23.3 build tools"},
		"Gradle's plugin":       {gradle("com.github.node-gradle.node", "node { download = true; nodeProjectDir = file('ui') }"), "yarn 1.22.22 build tools"},
		"Gradle's, of another":  {gradle("org.siouan.frontend-jdk17", ""), "yarn 1.22.22 build tools"},
		"Gradle's older plugin": {gradle("com.moowork.node", ""), "yarn 1.22.22 build tools"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo(c.files...)))
			if err != nil {
				t.Fatal(err)
			}
			names := packtest.Names(made)
			l := packtest.Layer(t, made, "output")
			if !slices.Contains(names, c.tools) || slices.Contains(names, "frontend (build)") || made.Layers[slices.Index(names, c.tools)].Key != l.Builder {
				t.Errorf("layers %q, want %q to build the output", names, c.tools)
			}
			env := strings.Join(l.Env, "\n")
			if !strings.Contains(env, "/opt/node/bin:") || strings.Count(env, "PATH=") != 1 || !strings.Contains(env, "npm_config_cache=") || !slices.Contains(l.Passes, "npm_config_registry") {
				t.Errorf("environment %q, passes %q", env, l.Passes)
			}
			if !strings.Contains(made.Summary, "Node 22.23.3") {
				t.Errorf("summary %q", made.Summary)
			}
			if script := strings.Join(l.Commands[0].Args, " "); strings.HasPrefix(name, "Gradle") != strings.Contains(script, "node.download.set(false)") {
				t.Errorf("runs %q", script)
			}
		})
	}
}

// The build is the script that leaves its files where the serving language has
// them, whatever it is called.
func TestFrontend_TheScriptThatWritesWhereItIsServed(t *testing.T) {
	const away = "vite build --outDir=../server/pages/dist --emptyOutDir"
	for name, c := range map[string]struct {
		scripts string
		config  string
		want    string
	}{
		"build alone":                  {`"build": "vite build --outDir ../server/pages/dist"`, "", "npm run build"},
		"another writes out":           {`"build": "vite build", "dev": "vite", "release": "` + away + `"`, "", "npm run release"},
		"another copies out":           {`"build": "vite build", "embed": "npm run build && cp -r dist ../server/pages"`, "", "npm run embed"},
		"both write out":               {`"build": "` + away + `", "release": "` + away + `"`, "", "npm run build"},
		"build runs what writes out":   {`"build": "npm run release", "release": "` + away + `"`, "", "npm run build"},
		"the configuration writes out": {`"build": "vite build", "release": "` + away + `"`, `export default { build: { outDir: "../server/pages/dist" } }`, "npm run build"},
		"Heroku's":                     {`"heroku-postbuild": "x", "build": "vite build", "release": "` + away + `"`, "", "npm run heroku-postbuild"},
		"a hook of build's":            {`"build": "vite build", "postbuild": "cp -r dist ../server/pages", "release": "` + away + `"`, "", "npm run build"},
		"a copy of something else":     {`"build": "vite build", "texts": "cp -r texts ../server"`, "", "npm run build"},
		"one that never ends":          {`"build": "vite build && cp -r dist ../server/pages", "watch": "vite build --watch --outDir=../x"`, "", "npm run build"},
		"watches, and copies in":       {`"build": "vite build", "sync": "cp -r ../server/schema .", "watch": "` + away + ` --watch"`, `// ../server/pages/dist`, "npm run build"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo("go.mod", "module shop\n", "main.go", goServer, "server/pages/serve.go", strings.ReplaceAll(goUI, "build/", "dist/"), "server/pages/dist/index.html", "none",
				"web/package.json", `{"scripts": {`+c.scripts+`}, "devDependencies": {"vite": "7"}}`, "web/package-lock.json", "{}", "web/vite.config.js", c.config, "server/x.go", "package server\n\nconst x = \"web/dist\"\n")))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(packtest.Layer(t, made, "frontend").Commands[0].Args, " "); !strings.HasSuffix(got, c.want) {
				t.Errorf("got %q, want %q at its end", got, c.want)
			}
			if said := strings.Contains(strings.Join(made.Notes, "\n"), "runs instead of build"); said != !strings.HasSuffix(c.want, "build") {
				t.Errorf("notes: %q", made.Notes)
			}
		})
	}
}

// A program of the frontend stays one, and its mode is part of the key.
func TestFrontend_ProgramsStayPrograms(t *testing.T) {
	files := frontend("ui/", "go.mod", "module shop\n", "main.go", goServer, "ui/serve.go", goUI, "ui/build.sh", "#!/bin/sh\n")
	plain, program := repo(files...), repo(files...)
	program["ui/build.sh"] = &fstest.MapFile{Data: plain["ui/build.sh"].Data, Mode: 0o755}
	want := []string{"frontend (build)", "frontend files", "programs"}
	if got := packtest.Rebuilt(t, detected, packtest.Request(plain), packtest.Request(program)); !slices.Equal(got, want) {
		t.Errorf("rebuilt: got %q, want %q", got, want)
	}
}
