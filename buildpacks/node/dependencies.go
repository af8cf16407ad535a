package node

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

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
		p.tree.Note("an install script or a dependency is in the repository: each push installs again")
	}
	l := plan.Layer{
		Name:        "dependencies",
		Inputs:      inputs,
		Env:         append(p.buildEnv(), "CI=true"),
		Passes:      netPasses,
		PassesFiles: registryFiles,
		Config:      plan.ConfigPasses,
		Caches:      []plan.Cache{{Name: p.manager.name, Target: downloads}},
		Failure:     source.Problemf(source.CodeInstall, "the dependencies could not be installed (%s)", p.manager.describe()),
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
