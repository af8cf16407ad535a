package node

import (
	"fmt"
	"path"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/buildpacks/static"
)

// nodeBuild is what it takes to build native addons, and a Node with npm to get
// any other Node. python3-setuptools has what Python 3.12 dropped and the
// node-gyp of older npms needs. Names are parts of keys: a change rebuilds the
// layer for everybody.
var nodeBuild = []string{"ca-certificates", "g++", "gcc", "git", "libatomic1", "make", "nodejs", "npm", "pkg-config",
	"python3", "python3-setuptools"}

// nodeLibraries is all that Node needs, since version 25, and the stack lacks.
func nodeLibraries() string {
	machine := "x86_64"
	if goruntime.GOARCH == "arm64" {
		machine = "aarch64"
	}
	return "usr/lib/" + machine + "-linux-gnu/libatomic.so.1*"
}

const (
	nodeHome = "/opt/node"
	modules  = nodeHome + "/lib/node_modules"

	// Where the caches are while a layer is built.
	downloads = "/cache/downloads" // of the package manager
	outputs   = "/cache/build"     // of the build
)

// registryPasses are the operator's variables that say where packages come from.
var registryPasses = []string{"npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_proxy", "npm_config_https_proxy", "npm_config_noproxy",
	"YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER"}

// registryFiles are the operator's variables that name a file with tokens and
// registries of scopes, an .npmrc. Builds of apps read it as their own user.
var registryFiles = []string{"npm_config_userconfig", "NPM_CONFIG_USERCONFIG"}

var netPasses = slices.Concat(plan.NetPasses, registryPasses)

// cpu is the machine's architecture as Node's packages call it.
func cpu() string {
	if goruntime.GOARCH == "amd64" {
		return "x64"
	}
	return goruntime.GOARCH
}

// layers stacks the app's layers.
func (p *project) layers(out *plan.Plan, c *plan.Chain) error {
	files := len(p.app.site) > 0
	top, builder, err := c.Toolchain(plan.Toolchain{
		Title:     "Node",
		Build:     plan.AptInstall(nodeBuild...),
		Tools:     p.tools(),
		BuildOnly: files,
		Passes:    registryPasses,
		Files:     registryFiles,
		Hints: []string{"this part is berth's: see whether this machine reaches Debian's archive",
			"then push the same commit again"},
	})
	if err != nil {
		return err
	}
	if static.Called(out.Processes) {
		if top, err = static.Layer(c, top); err != nil {
			return err
		}
	}
	builds := p.app.build != nil
	deps := p.dependencies(builds || p.app.keepDev != "", builds)
	deps.Builder = builder
	if files {
		return p.files(out, c, deps, builder)
	}
	installed := top
	if p.needsPackages() {
		if installed, err = c.Add(deps, top); err != nil {
			return err
		}
	}
	if builds {
		l := p.output()
		l.Builder = builder
		l.Commands = append(l.Commands, p.finish()...)
		if _, err := c.Add(l, installed); err != nil {
			return err
		}
		out.Sealed = true
	}
	return p.test(out, c, installed, builds || p.app.keepDev != "", top, builder)
}

// files has only what the build leaves run, on the stack itself.
func (p *project) files(out *plan.Plan, c *plan.Chain, deps plan.Layer, builder string) (err error) {
	installed := builder
	if p.needsPackages() {
		deps.Build = true
		if installed, err = c.Add(deps, builder); err != nil {
			return err
		}
	}
	l := p.output()
	l.Builder = installed
	l.Keep = []string{site, static.Kept}
	l.Commands = append(l.Commands, plan.Command{Args: append([]string{"bash", "-c", takeSite, "bash", site}, p.app.site...)}, static.Link())
	if p.app.missing {
		l.Failure.Hint("nothing starts a server here, so a folder with index.html was looked for").
			Hint(`where there is a server, name it in package.json: "scripts": {"start": "node FILE"}`)
	}
	if _, err := c.Add(l, c.Stack); err != nil {
		return err
	}
	flags := []string{"--root", site}
	if p.app.fallback != "" {
		flags = append(flags, "--fallback", p.app.fallback)
	}
	out.Infer("web", static.Command(flags...))
	out.Sealed = true
	return p.test(out, c, installed, true, builder, builder)
}

// site is where the files that are served are, whatever the build called them.
const site = source.OwnDir + "/site"

// takeSite finds, among the folders that it is given, the one with a page.
const takeSite = `to=$1; shift
for dir; do
	if [ -f "$dir/index.html" ]; then
		mkdir -p "$(dirname "$to")" && mv "$dir" "$to" && echo "the site is $dir" && exit
	fi
done
echo "no index.html in $*"
exit 1`

// tools are Node with npm, and the package manager of the app if it is another.
func (p *project) tools() []plan.Tool {
	fetch := func(dir string, packages ...string) plan.Command {
		return plan.Command{Args: append([]string{"npm", "install", "--global", "--prefix", dir, "--ignore-scripts",
			"--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--"}, packages...)}
	}
	node := "node-linux-" + cpu()
	failure := func(what, version string) *source.Problem {
		e := source.Problemf(source.CodeNoVersion, "%s %s could not be had from the npm registry", what, version)
		if what == "Node" && p.node.asked != "" {
			e.With(p.node.asked)
		}
		return e
	}
	npm := p.manager.version
	if p.manager.name != "npm" {
		npm = p.usualVersion(manager{name: "npm"})
	}
	tools := []plan.Tool{{
		Name: "Node " + p.node.version,
		Commands: []plan.Command{fetch(nodeHome, node+"@"+p.node.version, "npm@"+npm),
			// What the Debian npm wrote there of its own configuration.
			{Args: []string{"rm", "-f", modules + "/npm/npmrc"}}},
		// The headers are for who builds.
		Keep: []string{nodeLibraries(), "opt/node/bin", "opt/node/lib/node_modules/npm", "opt/node/lib/node_modules/" + node + "/bin"},
		Failure: failure("Node", p.node.version).
			Hint("known are %s", lines()).
			Hint("or this machine does not reach the registry: npm_config_registry of berth says where it is"),
	}}
	if m := p.manager; m.pkg != "" {
		tools = append(tools, plan.Tool{
			Name:     m.name + " " + m.version,
			Commands: []plan.Command{fetch("/opt/"+m.name, m.pkg+"@"+m.version)},
			Keep:     []string{"opt/" + m.name},
			Failure: failure(m.name, m.version).
				Hint("known are %s", strings.Join(known[m.name], ", ")).
				Hint("or this machine does not reach the registry: npm_config_registry of berth says where it is"),
		})
	}
	return tools
}

// buildEnv is the environment of every layer of an app's own.
func (p *project) buildEnv() []string {
	env := []string{
		"HOME=/tmp",
		"LANG=C.UTF-8",
		"NO_COLOR=1",
		"PATH=" + p.path(),
		"npm_config_cache=" + downloads + "/npm",
		"npm_config_audit=false",
		"npm_config_fund=false",
		"npm_config_progress=false",
		"npm_config_update_notifier=false",
		// Headers for native addons: node-gyp would download them from a host
		// of its own.
		"npm_package_config_node_gyp_nodedir=" + modules + "/node-linux-" + cpu(),
		"HUSKY=0", // hooks of git have no repository here
	}
	m := p.manager
	if m.name != "npm" || m.major() < 11 { // newer ones complain of what they do not know
		env = append(env, "npm_config_nodedir="+modules+"/node-linux-"+cpu())
	}
	switch {
	case m.name == "pnpm":
		env = append(env, "npm_config_store_dir="+downloads+"/pnpm")
	case m.name == "bun":
		env = append(env, "BUN_INSTALL_CACHE_DIR="+downloads+"/bun")
	case m.name == "yarn" && !m.berry:
		env = append(env, "YARN_CACHE_FOLDER="+downloads+"/yarn")
	case m.name == "yarn":
		env = append(env, "YARN_GLOBAL_FOLDER="+downloads+"/yarn", "YARN_ENABLE_TELEMETRY=0", "YARN_ENABLE_PROGRESS_BARS=0", "YARN_ENABLE_SCRIPTS=true")
		if m.pnp {
			// Packages run from the archives, which have to be the app's own.
			env = append(env, "YARN_ENABLE_GLOBAL_CACHE=false", "YARN_ENABLE_MIRROR=true")
		}
	}
	return env
}

// needsPackages tells whether there is anything to install.
func (p *project) needsPackages() bool {
	any, _ := p.file.installs()
	return len(p.file.deps) > 0 || any || p.file.isWorkspace() || p.tree.Has(pnpmWorkspace) || p.file.scripts["heroku-prebuild"] != "" ||
		len(p.file.dev) > 0 && (p.app.build != nil || p.app.keepDev != "")
}

const pnpmWorkspace = "pnpm-workspace.yaml"

// install puts the manifests where they belong and installs by them: to the
// letter of the lock file, or, when that is stale, by what package.json says.
// $1 is what tells that it is stale, $2 the lock file; then the words of one
// command, "--", and those of the other.
const install = `set -o pipefail
if [ -n "$npm_config_registry" ]; then export YARN_NPM_REGISTRY_SERVER="${YARN_NPM_REGISTRY_SERVER:-$npm_config_registry}"; fi
cp -rT /src /app || exit
stale=$1 lock=$2; shift 2
exact=()
while [ "$1" != -- ]; do exact+=("$1"); shift; done
shift
"${exact[@]}" 2>&1 | tee /tmp/install.log && exit
[ -n "$lock" ] && grep -Eq "$stale" /tmp/install.log || exit 1
echo "warning: $lock does not fit package.json any more: $* is used instead"
echo "warning: run it on your machine and commit $lock, or versions may change with each push"
exec "$@"`

// dependencies returns the layer that holds node_modules. Its key follows from
// manifests and lock file, unless a script of the install needs the source.
func (p *project) dependencies(dev, prunedLater bool) plan.Layer {
	scripts, whole := p.file.installs()
	inputs, more := p.inputs()
	whole = whole || more
	if whole {
		inputs = []string{"."}
		p.tree.Note("an install script or a dependency is in the repository: each push installs anew")
	}
	l := plan.Layer{
		Name:    "dependencies",
		Inputs:  inputs,
		Env:     append(p.buildEnv(), "CI=true"),
		Passes:  netPasses,
		Config:  plan.ConfigPasses,
		Caches:  []plan.Cache{{Name: p.manager.name, Target: downloads}},
		Failure: source.Problemf(source.CodeInstall, "the dependencies could not be installed (%s)", p.manager.describe()),
	}
	// Scripts of an install run tools of development (husky, prisma, patch-package).
	all := dev || scripts || p.file.has("prisma") || p.manager.berry
	exact, loose := p.manager.installation(all)
	if p.file.scripts["heroku-prebuild"] != "" {
		l.Commands = append(l.Commands, plan.Command{Args: append([]string{"bash", "-c", `cp -rT /src /app && exec "$@"`, "bash"}, p.manager.run("heroku-prebuild")...)})
	}
	words := slices.Concat([]string{"bash", "-c", install, "bash", stale[p.manager.name], p.manager.lock}, exact, []string{"--"}, loose)
	l.Commands = append(l.Commands, plan.Command{Args: words})
	if all && !dev && !prunedLater && len(p.file.dev) > 0 {
		l.Commands = append(l.Commands, plan.Command{Args: p.pruned()})
	}
	return l
}

func (m manager) describe() string {
	if m.lock == "" {
		return m.name + " " + m.version + ", no lock file"
	}
	return m.name + " " + m.version + ", " + m.lock
}

// maxInputs bounds the files that a dependencies layer is made of.
const maxInputs = 2000

// inputs returns the files that an install reads; whole tells that it may read
// any file of the tree.
func (p *project) inputs() (files []string, whole bool) {
	for _, name := range []string{packageJSON, ".npmrc", ".yarnrc", ".yarnrc.yml", pnpmWorkspace, ".pnpmfile.cjs", "pnpmfile.js", "bunfig.toml",
		p.manager.lock} {
		if name != "" && p.tree.Has(name) {
			files = append(files, name)
		}
	}
	workspace := p.file.isWorkspace() || p.tree.Has(pnpmWorkspace)
	patched := p.file.has("patch-package") || p.manager.name == "pnpm"
	prisma := p.file.has("prisma") || p.file.has("@prisma/client")
	foreign := func(dir string) bool {
		base := path.Base(dir)
		return base == "node_modules" || base == ".git" || dir == ".yarn/cache" || dir == ".yarn/unplugged"
	}
	p.tree.Walk(foreign, func(name string) {
		switch {
		case workspace && path.Base(name) == packageJSON && name != packageJSON:
			files = append(files, name)
			if m, err := readManifestFile(p.tree, name); err == nil {
				_, needs := m.installs()
				whole = whole || needs
			}
		case p.manager.berry && strings.HasPrefix(name, ".yarn/"),
			patched && strings.HasPrefix(name, "patches/"),
			prisma && path.Ext(name) == ".prisma",
			prisma && strings.HasPrefix(path.Base(name), "prisma.config."):
			files = append(files, name)
		}
	})
	if p.file.scripts["heroku-prebuild"] != "" || p.file.local() && !workspace || len(files) > maxInputs {
		whole = true
	}
	return files, whole
}

// output returns the layer in which the app is built.
func (p *project) output() plan.Layer {
	env := append(p.buildEnv(), "CI=false") // what CI makes an error of is a warning elsewhere, for Create React App
	for _, name := range source.SortedKeys(p.app.env) {
		env = append(env, name+"="+p.app.env[name])
	}
	caches := p.app.caches
	if p.needsPackages() && !p.manager.pnp {
		caches = append([]string{"node_modules/.cache"}, caches...)
	}
	return plan.Layer{
		Name:     "output",
		Source:   true,
		Env:      env,
		Passes:   netPasses,
		Config:   plan.ConfigBakes,
		Caches:   []plan.Cache{{Name: p.manager.name, Target: downloads}, {Name: "node-build", Target: outputs}},
		Commands: []plan.Command{{Args: slices.Concat([]string{"bash", "-c", build, "bash", outputs}, caches, []string{"--"}, p.app.build)}},
		Failure:  source.Problemf(source.CodeOutput, "the app's own build failed (%s)", strings.Join(p.app.build, " ")),
	}
}

// build runs a build with its caches where it looks for them. $1 is where the
// caches are kept; then their directories, "--", and the words of the build.
// NODE_ENV is the config's, or production as Heroku has it.
const build = `export NODE_ENV="${NODE_ENV:-production}"
kept=$1; shift
caches=()
while [ "$1" != -- ]; do caches+=("$1"); shift; done
shift
for dir in "${caches[@]}"; do
	mkdir -p "$kept/$dir" "$(dirname "$dir")" && rm -rf "$dir" && ln -s "$kept/$dir" "$dir" || exit
done
"$@" || exit
for dir in "${caches[@]}"; do
	if [ -L "$dir" ]; then rm "$dir"; fi
done`

// finish makes of a built app what runs.
func (p *project) finish() (cmds []plan.Command) {
	if strings.Contains(p.app.start, "/standalone/server.js") {
		cmds = append(cmds, plan.Run("bash", "-c", standalone, "bash", path.Dir(path.Dir(strings.TrimPrefix(p.app.start, "node ")))))
	}
	if len(p.file.dev) > 0 && p.app.keepDev == "" && p.needsPackages() {
		cmds = append(cmds, plan.Command{Args: p.pruned()})
	}
	if p.file.scripts["heroku-cleanup"] != "" {
		cmds = append(cmds, plan.Command{Args: p.manager.run("heroku-cleanup")})
	}
	return cmds
}

// standalone brings the files that Next.js's packed server serves to where it
// looks for them, as its documentation says.
const standalone = `[ -f "$1/standalone/server.js" ] || { echo "no $1/standalone/server.js"; exit 1; }
if [ -d public ]; then cp -rT public "$1/standalone/public"; fi
if [ -d "$1/static" ]; then cp -rT "$1/static" "$1/standalone/$1/static"; fi`

// pruned returns the command that removes devDependencies. When it cannot,
// what runs is larger than it need be, and that is all.
func (p *project) pruned() []string {
	const prune = `CI=true "$@" || echo "warning: devDependencies could not be removed; they stay in what runs"`
	return append([]string{"bash", "-c", prune, "bash"}, p.manager.pruning()...)
}

// noTest is the script that npm init writes.
const noTest = "no test specified"

// test says how the app is tested. installed is the layer of the dependencies,
// with those of development when all says so.
func (p *project) test(out *plan.Plan, c *plan.Chain, installed string, all bool, top, builder string) error {
	script := p.file.scripts["test"]
	if !c.Test || script == "" || strings.Contains(script, noTest) {
		return nil
	}
	if !all {
		l := p.dependencies(true, false)
		l.Name, l.Build, l.Builder = "test dependencies", true, builder
		var err error
		if installed, err = c.Add(l, top); err != nil {
			return err
		}
	}
	out.Test = &plan.Test{
		Command: fmt.Sprintf("%s test", p.manager.name), Layer: installed,
		Env: map[string]string{"NODE_ENV": "test", "CI": "true", "PATH": p.path()},
	}
	if p.manager.name == "bun" {
		out.Test.Command = "bun run test"
	}
	return nil
}
