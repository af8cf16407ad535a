package node

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

const packageJSON = "package.json"

// manifest is what package.json says, as far as it decides of the plan.
type manifest struct {
	doc     source.JSON
	name    string
	main    string
	scripts map[string]string
	deps    map[string]string // dependencies and optionalDependencies
	dev     map[string]string // devDependencies that are not among them
}

func readManifest(t *source.Tree) (*manifest, error) {
	return readManifestFile(t, packageJSON)
}

func readManifestFile(t *source.Tree, name string) (*manifest, error) {
	doc, err := t.JSON(source.CodeProject, name, source.MaxManifest)
	if err != nil {
		return nil, err
	}
	if !doc.IsObject() {
		return nil, doc.Wrong("an object, as npm init makes it")
	}
	m := &manifest{doc: doc, name: doc.String("name"), main: doc.String("main"), scripts: map[string]string{}, deps: map[string]string{}, dev: map[string]string{}}
	read(doc, "scripts", m.scripts)
	read(doc, "devDependencies", m.dev)
	read(doc, "optionalDependencies", m.deps)
	read(doc, "dependencies", m.deps)
	for name := range m.deps {
		delete(m.dev, name)
	}
	for name, script := range m.scripts {
		if strings.TrimSpace(script) == "" || strings.ContainsRune(script, 0) { // no shell takes a NUL
			delete(m.scripts, name)
		}
	}
	return m, nil
}

// read reads the strings of an object; what is none is npm's to complain of.
func read(doc source.JSON, field string, into map[string]string) {
	object, _ := doc.Get(field)
	for _, f := range object.Fields {
		if f.IsString() {
			into[f.Name] = f.String()
		}
	}
}

// has tells whether the app depends on a package, at least while it is built.
func (m *manifest) has(pkg string) bool {
	_, ok := m.deps[pkg]
	_, dev := m.dev[pkg]
	return ok || dev
}

// isWorkspace tells whether the repository holds several packages.
func (m *manifest) isWorkspace() bool {
	_, ok := m.doc.Get("workspaces")
	return ok
}

// local tells whether a dependency lies in the repository itself, besides those
// of workspaces.
func (m *manifest) local() bool {
	for _, deps := range []map[string]string{m.deps, m.dev} {
		for _, spec := range deps {
			for _, prefix := range []string{"file:", "link:", "portal:", "./", "../"} {
				if strings.HasPrefix(spec, prefix) {
					return true
				}
			}
		}
	}
	return false
}

// lifecycle are the scripts that an install runs by itself.
var lifecycle = []string{"preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"}

// harmless are programs that scripts of an install run and that need nothing
// of the source, or do nothing without it.
var harmless = map[string]bool{
	"husky": true, "patch-package": true, "only-allow": true, "simple-git-hooks": true, "lefthook": true, "is-ci": true,
	"is-ci-cli": true, "echo": true, "true": true, "exit": true, "nuxt": true, "nuxi": true, "ngcc": true, "opencollective": true,
	"opencollective-postinstall": true, "svelte-kit": true, "pinst": true, "lint-staged": true, "prisma": true, "yarn-deduplicate": true,
}

// installs tells whether an install of the app runs a script of the app's own,
// and whether the script may need more of the source than the manifests.
func (m *manifest) installs() (any, source bool) {
	for _, name := range lifecycle {
		script, ok := m.scripts[name]
		if !ok {
			continue
		}
		any = true
		for _, w := range words(script) {
			if !harmless[path.Base(w[0])] {
				source = true
			}
		}
	}
	return any, source
}

// words returns the programs that a script starts, with their arguments:
// without npx and cross-env in front.
func words(script string) [][]string {
	cmds := source.Words(script)
	for i, w := range cmds {
		for len(w) > 1 {
			next := w[1:]
			switch w[0] {
			case "npx", "pnpx", "bunx", "cross-env", "cross-env-shell", "dotenvx", "command":
			case "yarn", "pnpm", "npm", "bun":
				if !slices.Contains([]string{"exec", "dlx", "x"}, w[1]) || len(w) < 3 {
					next = nil
				} else {
					next = w[2:]
				}
			default:
				next = nil
			}
			for len(next) > 1 && (strings.HasPrefix(next[0], "-") || assignment.MatchString(next[0])) {
				next = next[1:]
			}
			if len(next) == 0 {
				break
			}
			w = next
		}
		cmds[i] = w
	}
	return cmds
}

var assignment = source.NewPattern(`^[A-Za-z_][A-Za-z0-9_]*=`)

// maxHops and maxCommands bound how far scripts are followed that run one
// another: each may run many, in circles.
const (
	maxHops     = 5
	maxCommands = 200
)

// expand returns the programs that a command starts, those of the scripts that
// it runs included.
func (m *manifest) expand(command string) (all [][]string) {
	left := maxCommands
	var follow func(command string, hops int)
	follow = func(command string, hops int) {
		for _, w := range words(source.Clip(command, maxScript)) {
			if left--; left < 0 {
				return
			}
			if script := m.scripts[runs(w)]; script != "" && hops < maxHops {
				follow(script, hops+1)
				continue
			}
			all = append(all, w)
		}
	}
	follow(command, 0)
	return all
}

const maxScript = 4096 // letters; real ones have some hundred

// runs returns the name of the script that a package manager is told to run.
func runs(w []string) string {
	switch w[0] {
	case "npm", "yarn", "pnpm", "bun":
	default:
		return ""
	}
	args := w[1:]
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	if len(args) > 1 && (args[0] == "run" || args[0] == "run-script") {
		for args = args[1:]; len(args) > 1 && strings.HasPrefix(args[0], "-"); args = args[1:] {
		}
		return args[0]
	}
	if len(args) > 0 && (w[0] == "yarn" || w[0] == "pnpm" || args[0] == "start" || args[0] == "test") {
		return args[0]
	}
	return ""
}

// binaries are programs whose package has another name.
var binaries = map[string]string{
	"nest": "@nestjs/cli", "ng": "@angular/cli", "tsc": "typescript", "babel-node": "@babel/node", "dotenv": "dotenv-cli",
	"remix-serve": "@remix-run/serve", "react-router-serve": "@react-router/serve", "vue-cli-service": "@vue/cli-service",
	"tsnd": "ts-node-dev", "run-p": "npm-run-all", "run-s": "npm-run-all", "medusa": "@medusajs/cli", "strapi": "@strapi/strapi",
}

// needsDev names a devDependency that a command runs; "" is none.
func (m *manifest) needsDev(command string) string {
	for _, w := range m.expand(command) {
		for i, word := range w {
			pkg := packageOf(word)
			if other, ok := binaries[word]; ok && i == 0 {
				pkg = other
			}
			if _, ok := m.dev[pkg]; ok {
				return pkg
			}
		}
	}
	return ""
}

// packageOf returns the package of a module: "ts-node" of "ts-node/register".
func packageOf(word string) string {
	parts := strings.SplitN(word, "/", 3)
	if strings.HasPrefix(word, "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}
