package node

import (
	"fmt"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/static"
)

const (
	nodeHome = "/opt/node"
	modules  = nodeHome + "/lib/node_modules"

	// Where the caches are while a layer is built.
	downloads = "/cache/downloads" // of the package manager
	outputs   = "/cache/build"     // of the build
)

// layers stacks the app's layers.
func (p *project) layers(out *plan.Plan, c *plan.Chain) error {
	files := len(p.app.site) > 0
	chain := p.toolchain()
	chain.BuildOnly = files
	top, builder, err := c.Toolchain(chain)
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

// toolchain is Node with what builds native addons, and the package manager.
func (p *project) toolchain() plan.Toolchain {
	return plan.Toolchain{
		Title:  "Node",
		Build:  plan.AptInstall(nodeBuild...),
		Tools:  p.tools(),
		Passes: registryPasses,
		Files:  registryFiles,
		Hints: []string{"the app is not the cause: check that this machine can reach Debian's archive",
			"then push the same commit again"},
	}
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
		l.Failure.Hint("nothing starts a server, so berth looked for a folder with index.html").
			Hint(`if there is a server, name it in package.json: "scripts": {"start": "node FILE"}`)
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
		// pnpm 11 reads nothing of npm's but what concerns registries.
		env = append(env, "npm_config_store_dir="+downloads+"/pnpm", "pnpm_config_store_dir="+downloads+"/pnpm", pnpmCheck+"=false")
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

// pnpmCheck is the setting by which pnpm 11 installs before it runs a script, when
// it finds that node_modules does not fit: after an install that a stale lock file
// allowed, or that left out what is for development.
const pnpmCheck = "pnpm_config_verify_deps_before_run"

// noTest is the script that npm init writes.
const noTest = "no test specified"

// test says how the app is tested. installed is the layer of the dependencies,
// with those of development when all says so.
func (p *project) test(out *plan.Plan, c *plan.Chain, installed string, all bool, top, builder string) error {
	script := p.file.scripts["test"]
	if !c.WantsTest() || script == "" || strings.Contains(script, noTest) {
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
	if p.manager.name == "pnpm" {
		out.Test.Env[pnpmCheck] = "false"
	}
	if p.manager.name == "bun" {
		out.Test.Command = "bun run test"
	}
	return nil
}
