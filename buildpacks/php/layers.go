package php

import (
	_ "embed"
	"slices"

	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// server is our program that serves a folder; see berth-php.
const server = "berth-php"

// Where things of ours are.
const (
	ownDir        = "/usr/lib/berth/php"
	composerCache = "/cache/composer"
)

// The files that serve an app.
var (
	//go:embed berth-php
	serverProgram string
	//go:embed apache.conf
	apacheConfig string
	//go:embed berth.ini
	phpSettings string
)

// What it takes to build. Names are parts of keys: a change rebuilds the layer
// for everybody.
var composerBuild = []string{"composer", "git", "unzip"}

// layers stacks the app's layers: the toolchain, the packages, what is built in place.
func (p *project) layers(out *plan.Plan, c *plan.Chain) error {
	top, builder, err := c.Toolchain(p.toolchain())
	if err != nil {
		return err
	}
	ground := node.Ground{Builder: builder} // a frontend's build may call PHP
	if p.composer != nil {
		if top, err = c.Add(p.packages("dependencies", builder, false), top); err != nil {
			return err
		}
		ground.Layer, ground.Keep = top, []string{"*"} // and read what packages bring along
	}
	if c.WantsTest() && p.composer != nil {
		if err := p.test(out, c, builder); err != nil {
			return err
		}
	}
	if top, err = p.frontend.Lay(out, c, top, ground); err != nil || !p.builtInPlace() {
		return err
	}
	l := p.output(builder)
	l.Source, out.Sealed = !out.Sealed, true
	_, err = c.Add(l, top)
	return err
}

// toolchain is PHP with its extensions and the server, and what builds with it.
func (p *project) toolchain() plan.Toolchain {
	t := plan.Toolchain{Title: "PHP " + p.version.series}
	packages := []string{"libapache2-mod-php" + p.version.series, "php" + p.version.series + "-cli"}
	for _, name := range slices.Concat(usual, p.extensions) {
		if name != "opcache" || !p.version.newest() { // built in since 8.5
			packages = append(packages, "php"+p.version.series+"-"+name)
		}
	}
	switch p.version.suite {
	case "":
		t.Runtime = plan.AptInstall(packages...)
	case plan.Bookworm:
		// The stack's own of the package that all others share refuses older ones.
		packages = append(packages, "php-common/"+p.version.suite)
		fallthrough
	default:
		t.Runtime = plan.AptInstallFrom(p.version.suite, packages...)
	}
	t.Runtime = append(t.Runtime, plan.Command{Args: []string{"sh", "-c", `mkdir -p "$1" && printf %s "$2" >"$1/apache.conf" && printf %s "$3" >"$1/berth.ini" &&
printf %s "$5" >"$4" && chmod 755 "$4"`, "sh", ownDir, apacheConfig, phpSettings, "/usr/local/bin/" + server, serverProgram}})
	if p.composer != nil {
		t.Build = plan.AptInstall(composerBuild...)
	}
	return t
}

var composerPasses = slices.Concat(plan.NetPasses, []string{"COMPOSER_AUTH", "COMPOSER_REPO_PACKAGIST"})

// composerEnv is the environment of every command that calls Composer.
var composerEnv = []string{
	"HOME=/tmp", "COMPOSER_HOME=/tmp/composer", "COMPOSER_CACHE_DIR=" + composerCache, "COMPOSER_NO_INTERACTION=1",
	"COMPOSER_PROCESS_TIMEOUT=900", "COMPOSER_NO_AUDIT=1",
	"COMPOSER_ROOT_VERSION=1.0.0",  // as it would guess, and say at length
	"COMPOSER_MIRROR_PATH_REPOS=0", // packages of the repository are linked: their sources come with the app's
}

// packages returns the layer of what Composer installs. Scripts, which are the
// source's, run where the source is.
func (p *project) packages(name, builder string, dev bool) plan.Layer {
	args := []string{"sh", "-c", `cp -RT /src /app && exec "$@"`, "sh", "composer", "install", "--no-scripts", "--no-progress", "--prefer-dist"}
	if !dev {
		args = append(args, "--no-dev")
	}
	if p.composer.classmap {
		args = append(args, "--no-autoloader") // it takes the sources
	} else if !dev {
		args = append(args, "--optimize-autoloader")
	}
	l := plan.Layer{
		Name: name, Builder: builder, Inputs: p.composer.inputs, Commands: []plan.Command{plan.Run(args...)},
		Env: composerEnv, Caches: []plan.Cache{{Name: "composer", Target: composerCache}},
		Config: plan.ConfigPasses, Passes: composerPasses,
		Failure: source.Problemf(source.CodeInstall, "the packages could not be installed (composer.json)"),
	}
	if p.composer.lock != nil {
		l.Failure.Hint("run composer update --lock and commit composer.lock, if it is older than composer.json")
	}
	return l
}

var (
	// dumpEvents run when the autoloader is written, installEvents around the
	// whole installation.
	dumpEvents    = []string{"pre-autoload-dump", "post-autoload-dump"}
	installEvents = []string{"pre-install-cmd", "post-install-cmd"}
)

// builtInPlace tells whether the source has to be there to finish the build.
func (p *project) builtInPlace() bool {
	return p.composer != nil && (p.composer.classmap || p.composer.runs(dumpEvents...) || p.composer.runs(installEvents...))
}

// output returns the layer in which the source is made ready to run: the
// autoloader that depends on it, and the scripts.
func (p *project) output(builder string) plan.Layer {
	l := plan.Layer{
		Name: "output", Builder: builder, Source: true, Config: plan.ConfigBakes, Passes: composerPasses,
		Env:     slices.Clone(composerEnv),
		Failure: source.Problemf(source.CodeOutput, "the app could not be prepared"),
	}
	for name, value := range p.env() {
		l.Env = append(l.Env, name+"="+value)
	}
	l.Caches = append(l.Caches, plan.Cache{Name: "composer", Target: composerCache})
	l.Commands = p.composerSteps(l.Commands)
	l.Failure.Hint("do the scripts of composer.json work with --no-dev?")
	slices.Sort(l.Env)
	return l
}

// composerSteps adds what Composer does with the source there, in its own order.
func (p *project) composerSteps(steps []plan.Command) []plan.Command {
	run := func(event string) {
		if p.composer.runs(event) {
			steps = append(steps, plan.Run("composer", "run-script", "--no-dev", event))
		}
	}
	run("pre-install-cmd")
	if p.composer.classmap || p.composer.runs(dumpEvents...) {
		steps = append(steps, plan.Run("composer", "dump-autoload", "--no-dev", "--optimize"))
	}
	run("post-install-cmd")
	return steps
}

// test adds the layer with the packages of development, and says how the app
// is tested, if there are tests of a usual kind.
func (p *project) test(out *plan.Plan, c *plan.Chain, builder string) error {
	l := p.packages("test dependencies", builder, true)
	l.Build = true
	out.Test = &plan.Test{Command: p.testCommand(), Env: map[string]string{"APP_ENV": "testing"}}
	if p.laravel() {
		out.Test.Env["APP_KEY"] = "base64:dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=" // tests never get the app's
	}
	if p.symfony() {
		out.Test.Env = map[string]string{"APP_ENV": "test", "APP_DEBUG": "1"}
	}
	if p.composer.classmap || p.composer.runs(dumpEvents...) {
		l.Source, out.Test.Whole = true, true
		l.Commands = append(l.Commands, plan.Run("composer", "dump-autoload"))
	}
	key, err := c.Add(l, builder)
	out.Test.Layer = key
	return err
}

// testCommand is the usual one for the tests that are there; "" is none.
func (p *project) testCommand() string {
	has := func(pkg string) bool { _, ok := p.composer.dev[pkg]; return ok || p.requires(pkg) }
	switch {
	case p.laravel() && (has("phpunit/phpunit") || has("pestphp/pest")):
		return "php artisan test"
	case has("pestphp/pest"):
		return "vendor/bin/pest"
	case has("phpunit/phpunit"):
		return "vendor/bin/phpunit"
	case has("symfony/phpunit-bridge") && p.tree.Has("bin/phpunit"):
		return "php bin/phpunit"
	}
	return ""
}
