package node

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// output returns the layer in which the app is built.
func (p *project) output() plan.Layer {
	env := append(p.buildEnv(), "CI=false") // what CI makes an error of is a warning elsewhere, for Create React App
	for _, name := range source.SortedKeys(p.app.env) {
		env = append(env, name+"="+p.app.env[name])
	}
	if option := p.legacyHashes(); option != "" {
		env = append(env, "NODE_OPTIONS="+option)
	}
	run := p.app.build
	if name := p.generator(); name != "" {
		run = slices.Concat([]string{"bash", "-c", `"$1" "$2" "$3" && shift 3 && exec "$@"`, "bash"}, p.manager.run(name), run)
	}
	caches := p.app.caches
	if p.needsPackages() && !p.manager.pnp {
		caches = append([]string{"node_modules/.cache"}, caches...)
	}
	return plan.Layer{
		Name:        "output",
		Source:      true,
		Env:         env,
		Passes:      netPasses,
		PassesFiles: registryFiles,
		Config:      plan.ConfigBakes,
		Caches:      []plan.Cache{{Name: p.manager.name, Target: downloads}, {Name: "node-build", Target: outputs}},
		Commands:    []plan.Command{{Args: slices.Concat([]string{"bash", "-c", build, "bash", outputs}, caches, []string{"--"}, run)}},
		Failure:     source.Problemf(source.CodeOutput, "the app's own build failed (%s)", strings.Join(p.app.build, " ")),
	}
}

// build runs a build with its caches where it looks for them. $1 is where the
// caches are kept; then their directories, "--", and the words of the build.
// NODE_ENV is the config's, or production as Heroku has it.
//
// Node's heap ends at half of the memory that it may take, which large builds of
// frontends want more than: three quarters leave enough for all the rest.
const build = `export NODE_ENV="${NODE_ENV:-production}"
limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | head -n 1)
case "$NODE_OPTIONS" in *max[_-]old[_-]space[_-]size*) limit= ;; esac
case "$limit" in
'' | *[!0-9]* | ?????????????*) ;;
*) export NODE_OPTIONS="${NODE_OPTIONS:+$NODE_OPTIONS }--max-old-space-size=$((limit / 1048576 * 3 / 4))" ;;
esac
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
	if p.manager.name == "bun" { // it adds what is missing and removes nothing
		return []string{"bash", "-c", `rm -rf node_modules && exec bun install --production`}
	}
	const prune = `CI=true "$@" || echo "warning: devDependencies could not be removed; they stay in what runs"`
	return append([]string{"bash", "-c", prune, "bash"}, p.manager.pruning()...)
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
