// Package rust plans Rust apps: which Rust, which programs, how they are built.
package rust

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

const (
	rustBin = "/opt/rust" // of a Rust that is not Debian's
	cache   = "/cache/cargo"
	bin     = "/app/" + source.OwnDir + "/bin"
)

var (
	// rustRuntime are the libraries that programs usually find on the system:
	// clients of databases, TLS.
	rustRuntime = []string{"libmariadb3", "libpq5", "libsqlite3-0", "libssl3t64"}

	// rustBuild is what it takes to link against them, and to bring a changed
	// tree into a built one.
	rustBuild = []string{"g++", "gcc", "git", "libc6-dev", "libmariadb-dev", "libpq-dev", "libsqlite3-dev", "libssl-dev",
		"make", "pkg-config", "rsync", "zlib1g-dev"}
)

// project is a Rust app as its tree shows it.
type project struct {
	tree      *source.Tree
	mirror    mirror.Archives // of Rust
	root      cargoToml
	crates    []crate        // the packages of the workspace, in the order of their directories
	least     int            // minor version that rust-version asks for
	resolved  bool           // the version was chosen by us
	contested bool           // the tree may be another language's
	frontend  *node.Frontend // what Node builds; nil is nothing
}

// Evidence names the file by which a tree says that it is a Rust app; "" is none.
func Evidence(t *source.Tree) string {
	if t.Has("Cargo.toml") {
		return "Cargo.toml"
	}
	return ""
}

// Plan fills in the plan of a Rust app.
func Plan(out *plan.Plan, c *plan.Chain) error {
	p := &project{tree: c.Tree, contested: c.Contested, mirror: c.Mirrored("rust")}
	if err := p.readCrates(); err != nil {
		return err
	}
	channel, from, err := p.pinned()
	if err != nil {
		return err
	}
	tool, err := p.choose(channel, from, c.Versions["rust"])
	if err != nil {
		return err
	}
	if p.resolved && !tool.download {
		out.Versions["rust"] = tool.name
	}
	build := p.chosen()
	if len(build) == 0 {
		return p.nothingToRun()
	}
	owner, web, ok := p.web(build)
	if len(out.Processes) == 0 {
		if !ok {
			return severalPrograms(build)
		}
		command := source.ShellWord(source.OwnDir + "/bin/" + web)
		if !exists(p.tree, "target") {
			command = source.ShellWord("target/release/" + web)
		}
		if owner.needs("rocket") {
			command = "ROCKET_PORT=$PORT " + command
		}
		kind := "web"
		if owner.isBot() {
			kind = "worker"
			p.tree.Note("%s is a bot: it runs as a worker, and nothing answers requests", web)
		}
		out.Infer(kind, command)
	}
	out.Summary = summary(tool, owner)
	out.Env = map[string]string{"PATH": bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if slices.ContainsFunc(build, func(c crate) bool { return c.needs("rocket") }) {
		out.Env["ROCKET_ADDRESS"] = "0.0.0.0"
	}
	if p.frontend, err = node.FindFrontend(c); err != nil {
		return err
	}
	p.frontend.Announce(out, c)
	return p.layers(out, c, tool, build)
}

// chosen returns the packages whose programs are built: the workspace's
// default-members, else the root's own, else all members that are no tools and
// examples; those that have any.
func (p *project) chosen() (build []crate) {
	var dirs []string
	if w := p.root.Workspace; w != nil && len(w.DefaultMembers) > 0 {
		dirs = p.directories(w.DefaultMembers)
	} else if i := slices.IndexFunc(p.crates, func(c crate) bool { return c.dir == "." && len(c.bins) > 0 }); i >= 0 {
		dirs = []string{"."}
	}
	for _, c := range p.crates {
		if len(c.bins) > 0 && (dirs == nil || slices.Contains(dirs, c.dir)) {
			build = append(build, c)
		}
	}
	if dirs != nil {
		return build
	}
	own := slices.DeleteFunc(slices.Clone(build), func(c crate) bool { return toolDirs.MatchString(c.dir) })
	if len(own) > 0 || p.contested {
		return own
	}
	return build
}

// toolDirs are directories whose programs are for those who work on the app.
var toolDirs = source.NewPattern(`(^|/)(xtasks?|tools?|scripts?|examples?|bench(es|marks?)?|fuzz|tests?|docs?|e2e)(/|$)`)

// web returns the program that answers requests, and its package: the one that
// default-run names, the only one, the one of the root's name, the one whose
// name says so, the only one of a package with a web framework.
func (p *project) web(build []crate) (crate, string, bool) {
	var names []string
	for _, c := range build {
		if run := c.toml.Package.DefaultRun; slices.Contains(c.bins, run) && (c.dir == "." || len(build) == 1) {
			return c, run, true
		}
		if c.dir == "." {
			names = append(names, c.name)
		}
	}
	if len(build) == 1 && len(build[0].bins) == 1 {
		return build[0], build[0].bins[0], true
	}
	for _, name := range append(names, "web", "server", "api", "http", "app") {
		for _, c := range build {
			if slices.Contains(c.bins, name) {
				return c, name, true
			}
		}
	}
	var serving []crate
	for _, c := range build {
		if _, ok := c.framework(); ok {
			serving = append(serving, c)
		}
	}
	if len(serving) == 1 {
		c := serving[0]
		if run := c.toml.Package.DefaultRun; slices.Contains(c.bins, run) {
			return c, run, true
		}
		if slices.Contains(c.bins, c.name) || len(c.bins) == 1 {
			return c, c.bins[max(slices.Index(c.bins, c.name), 0)], true
		}
	}
	return build[0], "", false
}

// frameworks are packages that serve HTTP, with the names people know them by.
var frameworks = []struct{ name, title string }{
	{"axum", "axum"}, {"actix-web", "Actix"}, {"rocket", "Rocket"}, {"warp", "warp"}, {"poem", "Poem"}, {"salvo", "Salvo"},
	{"tide", "Tide"}, {"gotham", "Gotham"}, {"hyper", "hyper"},
}

// isBot tells whether a package only asks a service for its events.
func (c crate) isBot() bool {
	_, serves := c.framework()
	return !serves && slices.ContainsFunc([]string{"serenity", "poise", "twilight-gateway", "teloxide", "frankenstein", "twitch-irc", "matrix-sdk"}, c.needs)
}

func (c crate) framework() (title string, ok bool) {
	for _, f := range frameworks {
		if c.needs(f.name) {
			return f.title, true
		}
	}
	return "", false
}

// summary is one line: "Rust 1.96, axum (Cargo.toml)".
func summary(t toolchain, owner crate) string {
	s := "Rust " + t.name
	if t.archive != nil {
		s += " from the mirror"
	}
	if title, ok := owner.framework(); ok {
		s += ", " + title
	}
	return fmt.Sprintf("%s (%s)", s, source.Printable(path.Join(owner.dir, "Cargo.toml")))
}

func (p *project) nothingToRun() error {
	e := source.Problemf(source.CodeNoProcess, "found no program to run: no package has a src/main.rs or a [[bin]]")
	for _, c := range p.crates[:min(len(p.crates), 8)] {
		e.With("read " + source.Printable(path.Join(c.dir, "Cargo.toml")))
	}
	return e.Hint("add src/main.rs, or default-members to the workspace")
}

func severalPrograms(build []crate) error {
	var names []string
	for _, c := range build {
		names = append(names, c.bins...)
	}
	e := source.Problemf(source.CodeNoProcess, "cannot tell which of %d programs answers requests", len(names))
	return e.With("there are "+source.Printable(strings.Join(names, ", "))).
		Hint("write a file named Procfile with the line: web: target/release/%s", source.ShellWord(names[0])).
		Hint("or set default-run in Cargo.toml")
}

// layers stacks the app's layers: the toolchain, then what is compiled.
func (p *project) layers(out *plan.Plan, c *plan.Chain, t toolchain, build []crate) error {
	top, builder, err := c.Toolchain(plan.Toolchain{
		Title:   "Rust",
		Runtime: plan.AptInstall(rustRuntime...),
		Build:   plan.AptInstall(rustBuild...),
		Tools:   []plan.Tool{p.tool(t)},
		Passes:  []string{"RUSTUP_DIST_SERVER", "RUSTUP_UPDATE_ROOT"},
	})
	if err != nil {
		return err
	}
	if top, err = p.frontend.Files(c, top, false); err != nil {
		return err
	}
	lock, link := "", ""
	if !p.tree.Has("Cargo.lock") {
		// What was chosen once is kept with the cache.
		lock = "keep"
		p.tree.Note("no Cargo.lock: versions are chosen during the build; commit it")
	}
	if !exists(p.tree, "target") {
		link = "link"
	}
	args := []string{"sh", "-c", buildPrograms, "sh", t.name, lock, link}
	for _, c := range build {
		args = append(args, "--package="+c.name)
	}
	for _, c := range build {
		for _, name := range c.bins {
			args = append(args, "--bin="+name)
		}
	}
	_, err = c.Add(plan.Layer{
		Name: "programs", Builder: builder, Inputs: p.inputs(),
		Commands: []plan.Command{{Args: args}},
		Env:      append(cargoEnv(cache+"/home"), "CARGO_TARGET_DIR="+cache+"/target"),
		Caches:   []plan.Cache{{Name: "cargo", Target: cache}},
		Passes:   plan.NetPasses,
		Config:   plan.ConfigBakes, // env!("..."), and tokens of private registries
		Failure: source.Problemf(source.CodeOutput, "the Rust programs could not be built").
			Hint("does cargo build --release work in a fresh clone?"),
	}, top)
	if err != nil || !c.WantsTest() {
		return err
	}
	return p.test(out, c, builder)
}

// buildPrograms builds with the arguments from $4 on. $1 is the version of Rust;
// $2 "keep" where Cargo.lock is not the repository's; $3 "link" where the
// programs are to be found in target/release too. What is in /app already is the
// frontend's, and may be embedded.
//
// Cargo tells what is new by the time at which a file was written. So the tree
// is kept beside what was built of it, and of a new tree only those files are
// written that differ. What was built goes when Rust changes, and when it has
// doubled: Cargo itself removes nothing.
const buildPrograms = `set -e
rust=$1 lock=$2 link=$3
shift 3
cd ` + cache + `
if [ "$(cat rust 2>/dev/null)" != "$rust" ]; then rm -rf target size; fi
if [ -s size ] && [ "$(du -sm target | cut -f1)" -gt "$((2 * $(cat size) + 200))" ]; then
	echo "the cached build output has doubled in size and is removed"
	rm -rf target size
fi
echo "$rust" >rust
exclude=
if [ -n "$lock" ]; then exclude=--exclude=/Cargo.lock; fi
tree=/src
if [ -e /app/` + node.Written + ` ]; then
	cp -r /src /tmp/src
	cp -rT /app /tmp/src
	tree=/tmp/src
fi
rsync --recursive --links --perms --checksum --delete $exclude "$tree/" src/
cd src
cargo build --release "$@"
if [ -z "$lock" ] && ! cmp -s Cargo.lock /src/Cargo.lock; then
	echo "warning: Cargo.lock does not fit Cargo.toml and was changed for this build"
	echo "warning: run cargo build and commit Cargo.lock"
fi
cd ..
if [ ! -s size ]; then du -sm target | cut -f1 >size; fi
mkdir -p ` + bin + `
for arg do
	case $arg in --bin=*)
		name=${arg#--bin=}
		cp "target/release/$name" ` + bin + `/
		if [ -n "$link" ]; then
			mkdir -p /app/target/release
			ln -s "../../` + source.OwnDir + `/bin/$name" /app/target/release/
		fi
	esac
done
`

// cargoEnv is the environment of what runs Cargo.
func cargoEnv(home string) []string {
	return []string{
		"PATH=" + rustBin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/tmp",
		"CARGO_HOME=" + home,
		"CARGO_TERM_COLOR=never",
		"CARGO_TERM_PROGRESS_WHEN=never",
		"CARGO_NET_GIT_FETCH_WITH_CLI=true", // git knows the way out and the CA
		"GIT_TERMINAL_PROMPT=0",
	}
}

// test plans `cargo test`. Its layer has the source and what it needs from
// elsewhere; all of it is compiled anew, for testing.
func (p *project) test(out *plan.Plan, c *plan.Chain, builder string) (err error) {
	if builder, err = p.frontend.Files(c, builder, true); err != nil {
		return err
	}
	env := cargoEnv("/app/" + source.OwnDir + "/cargo")
	key, err := c.Add(plan.Layer{
		Name: "test dependencies", Build: true, Source: true, Env: env, Passes: plan.NetPasses, Config: plan.ConfigPasses,
		Commands: []plan.Command{plan.Run("cargo", "fetch")},
		Failure:  source.Problemf(source.CodeInstall, "the packages that the tests need could not be downloaded"),
	}, builder)
	if err != nil {
		return err
	}
	out.Test = &plan.Test{Command: "cargo test --workspace", Layer: key, Whole: true, Env: map[string]string{"CARGO_NET_OFFLINE": "true"}}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		out.Test.Env[name] = value
	}
	return nil
}
