package node

import (
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
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

// tools are Node with npm, and the package manager of the app if it is another.
func (p *project) tools() []plan.Tool {
	fetch := func(dir string, packages ...string) plan.Command {
		return plan.Command{Args: append([]string{"npm", "install", "--global", "--prefix", dir, "--ignore-scripts",
			"--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--"}, packages...)}
	}
	node := "node-linux-" + cpu()
	failure := func(what, version string) *source.Problem {
		e := source.Problemf(source.CodeNoVersion, "%s %s could not be downloaded from the npm registry", what, version)
		if what == "Node" && p.node.asked != "" {
			e.With(p.node.asked)
			return p.mirror.Tell(e)
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
			Hint("known versions: %s", lines()).
			Hint("or this machine does not reach the registry: npm_config_registry of berth says where it is"),
	}}
	switch {
	case p.node.archive != nil:
		tools[0] = mirrorTool(*p.node.archive, tools[0].Keep)
	case p.node.also != nil && npm == p.usualVersion(manager{name: "npm"}):
		other := mirrorTool(*p.node.also, tools[0].Keep)
		tools[0].Else = &other
	}
	if m := p.manager; m.pkg != "" {
		tools = append(tools, plan.Tool{
			Name:     m.name + " " + m.version,
			Commands: []plan.Command{fetch("/opt/"+m.name, m.pkg+"@"+m.version)},
			Keep:     []string{"opt/" + m.name},
			Failure: failure(m.name, m.version).
				Hint("known versions: %s", strings.Join(known[m.name], ", ")).
				Hint("or this machine does not reach the registry: npm_config_registry of berth says where it is"),
		})
	}
	return tools
}

// arrange gives an unpacked Node, in which npm came along, the places that npm's
// own package of Node, $2, has in $1.
const arrange = `cd "$1"
mkdir -p "lib/node_modules/$2/bin"
mv bin/node "lib/node_modules/$2/bin/"
ln -s "../lib/node_modules/$2/bin/node" bin/node
mv include "lib/node_modules/$2/"
rm -rf lib/node_modules/corepack bin/corepack share
`

// mirrorTool is Node with the npm of its archive.
func mirrorTool(a mirror.Archive, keep []string) plan.Tool {
	t := plan.FromMirror("Node "+a.Version, a, plan.Unpack(nodeHome),
		plan.Command{Args: []string{"sh", "-ec", arrange, "sh", nodeHome, "node-linux-" + cpu()}})
	t.Keep = keep
	return t
}

// bundled tells that npm is the one of a Node's archive.
func (p *project) bundled() bool {
	return p.node.archive != nil && p.manager.name == "npm" && p.manager.pkg == ""
}

// settleNPM has another npm stand beside the one of a Node's archive, where it is
// asked for.
func (p *project) settleNPM() {
	if m := &p.manager; p.bundled() && m.version != p.usualVersion(manager{name: "npm"}) {
		m.pkg, m.bin = "npm", "/opt/npm/bin"
	}
}
