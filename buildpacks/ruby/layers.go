package ruby

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// What a Ruby app's layers are made of. Names are parts of keys: a change
// rebuilds the layer for everybody.
var (
	// rubyRuntime are the libraries that gems with native parts need while they
	// run: database clients, XML, YAML.
	rubyRuntime = []string{"libffi8", "libgmp10", "libmariadb3", "libpq5", "libsqlite3-0", "libxml2", "libxslt1.1", "libyaml-0-2", "media-types", "tzdata"}

	// rubyBuild is what it takes to build such gems.
	rubyBuild = []string{"g++", "gcc", "git", "libffi-dev", "libgmp-dev", "libmariadb-dev", "libpq-dev", "libsqlite3-dev",
		"libssl-dev", "libxml2-dev", "libxslt1-dev", "libyaml-dev", "make", "patch", "pkg-config", "xz-utils", "zlib1g-dev"}

	// rackServers serve a config.ru that has no Gemfile.
	rackServers = []string{"puma", "ruby-rack", "ruby-rackup"}

	// nodeBuild is what gems that bundle JavaScript call.
	nodeBuild = []string{"nodejs", "npm", "yarnpkg"}
)

const (
	own         = "/app/" + source.OwnDir
	gemHome     = own + "/gems"
	bundleCache = "/cache/bundle"
	assetsCache = "/cache/assets"
	npmCache    = "/cache/npm"

	// defaultsFile is what RubyGems reads first: the place where a distribution
	// puts its own.
	defaultsFile = "/usr/lib/ruby/vendor_ruby/rubygems/defaults/operating_system.rb"
)

//go:embed pinned.rb
var pinned string

// bundlePasses are the operator's variables that say where gems come from.
var bundlePasses = slices.Concat(plan.NetPasses, []string{"BUNDLE_MIRROR__ALL", "BUNDLE_MIRROR__ALL__FALLBACK_TIMEOUT", "BUNDLE_SSL_CA_CERT"})

// layers stacks the app's layers: the toolchain, the gems, the assets.
func (p *project) layers(out *plan.Plan, c *plan.Chain, entry entryPoint) error {
	if p.bundle == nil && p.version.suite != "" {
		return source.Problemf(source.CodeNoVersion, "config.ru without a Gemfile runs only on Ruby %s", rubies[0].series).
			Hint("write a Gemfile with rack and puma, run bundle lock, and commit both files")
	}
	assets := entry.framework == rails && p.hasAssets()
	top, builder, err := c.Toolchain(p.toolchain(assets && p.bundler == nil && p.tree.Has("package.json")))
	if err != nil {
		return err
	}
	if p.bundle == nil {
		_, err = p.frontend.Lay(out, c, top, node.Ground{})
		return err
	}
	if top, err = c.Add(p.install("dependencies", builder, production), top); err != nil {
		return err
	}
	if c.WantsTest() {
		if err := p.test(out, c, builder, entry); err != nil {
			return err
		}
	}
	if top, err = p.frontend.Lay(out, c, top, node.Ground{}); err != nil || !assets {
		return err
	}
	if builder, err = p.bundler.Tools(c, builder); err != nil {
		return err
	}
	l := p.assets(builder)
	l.Source, out.Sealed = !out.Sealed, true
	_, err = c.Add(l, top)
	return err
}

// toolchain is the Ruby itself, and what builds gems for it.
func (p *project) toolchain(node bool) plan.Toolchain {
	t := plan.Toolchain{Title: "Ruby " + p.version.series}
	defaults := plan.Command{Args: []string{"sh", "-c", `printf %s "$2" >>"$1"`, "sh", defaultsFile, pinned}}
	build := rubyBuild
	if node {
		build = slices.Concat(build, nodeBuild)
	}
	switch {
	case p.version.archive != nil:
		t.Title = "Ruby"
		t.Runtime = plan.AptInstall(slices.Concat(rubyRuntime, sourceRuntime)...)
		t.Build = plan.AptInstall(build...)
		t.Tools = []plan.Tool{fromSource(*p.version.archive)}
	case p.version.suite == "":
		packages := slices.Concat([]string{"ruby", "ruby-bundler"}, rubyRuntime)
		if p.bundle == nil {
			packages = slices.Concat(packages, rackServers)
		}
		t.Runtime = append(plan.AptInstall(packages...), defaults)
		if p.bundle != nil {
			t.Build = plan.AptInstall(slices.Concat([]string{"ruby-dev"}, build)...)
		}
	default:
		// The suite's Ruby stands beside the stack's, on which parts of RubyGems
		// insist, and is found before it.
		names := plan.Command{Args: []string{"sh", "-c", `for name in ruby gem bundle bundler irb erb rake; do
	test ! -e "/usr/bin/$name$1" || ln -s "/usr/bin/$name$1" "/usr/local/bin/$name"
done`, "sh", p.version.series}}
		name := "ruby" + p.version.series
		t.Runtime = slices.Concat(plan.AptInstallFrom(p.version.suite, name),
			plan.AptInstall(slices.Concat([]string{"ruby-bundler"}, rubyRuntime)...), []plan.Command{names, defaults})
		t.Build = slices.Concat(plan.AptInstallFrom(p.version.suite, name+"-dev"), plan.AptInstall(build...))
	}
	if node {
		t.Build = append(t.Build, plan.Command{Args: []string{"ln", "-s", "/usr/bin/yarnpkg", "/usr/local/bin/yarn"}})
	}
	return t
}

// sourceRuntime is what a Ruby needs that is built here, besides what gems do.
var sourceRuntime = []string{"libssl3t64", "zlib1g"}

// buildRuby builds the Ruby that is unpacked in $1, without what documents it,
// and has RubyGems read $2.
const buildRuby = `cd "$1"
./configure --prefix=/usr/local --disable-install-doc --enable-shared --quiet >/tmp/configure.log 2>&1 || { tail -20 /tmp/configure.log; exit 1; }
make -j"$(nproc)" >/tmp/make.log 2>&1 || { tail -20 /tmp/make.log; exit 1; }
make install >/tmp/install.log 2>&1 || { tail -20 /tmp/install.log; exit 1; }
mkdir -p /usr/local/lib/ruby/site_ruby/rubygems/defaults
printf %s "$2" >/usr/local/lib/ruby/site_ruby/rubygems/defaults/operating_system.rb
/usr/local/bin/ruby -ropenssl -rpsych -rzlib -e 'puts RUBY_VERSION'
rm -rf "$1" /tmp/*.log`

// fromSource is a Ruby that is built from its source, once for all apps.
func fromSource(a mirror.Archive) plan.Tool {
	const unpacked = "/usr/src/ruby"
	t := plan.FromMirror("Ruby "+a.Version, a, plan.Unpack(unpacked), plan.Command{Args: []string{"sh", "-ec", buildRuby, "sh", unpacked, pinned}, Dir: "/"})
	t.Keep = []string{"usr/local"}
	t.Failure.Hint("Ruby before 3.1 does not build with the stack's OpenSSL 3")
	return t
}

// setting is a variable of the environment.
type setting struct{ name, value string }

// gemsFor is whom gems are installed for.
type gemsFor byte

const (
	production gemsFor = iota
	development
)

// env is what Bundler is told, where gems are installed and where they are used.
func (b *bundle) env(whose gemsFor) []setting {
	env := []setting{
		// What a .bundle/config of the repository says is of another machine.
		{"BUNDLE_APP_CONFIG", own + "/bundle"},
	}
	if whose == production {
		env = append(env, setting{"BUNDLE_WITHOUT", "development:test"})
	}
	if b.lock != "" {
		env = append(env, setting{"BUNDLE_FROZEN", "true"})
	}
	if b.gemfile != "Gemfile" {
		env = append(env, setting{"BUNDLE_GEMFILE", "/app/" + b.gemfile})
	}
	return env
}

// install returns the layer of the app's gems. They are installed from where
// they will be used; what of the repository decides of them is copied there.
func (p *project) install(name, builder string, whose gemsFor) plan.Layer {
	b := p.bundle
	l := plan.Layer{
		Name: name, Builder: builder, Inputs: b.inputs, Config: plan.ConfigPasses, Passes: bundlePasses,
		Env: []string{
			"HOME=/tmp", "GEM_HOME=" + gemHome,
			"BUNDLE_USER_HOME=" + bundleCache, "BUNDLE_GLOBAL_GEM_CACHE=true",
			"BUNDLE_IGNORE_MESSAGES=true", "BUNDLE_RETRY=3", "BUNDLE_TIMEOUT=30",
		},
		Caches: []plan.Cache{{Name: "bundle", Target: bundleCache}},
	}
	for _, s := range b.env(whose) {
		l.Env = append(l.Env, s.name+"="+s.value)
	}
	for name, value := range p.version.env() {
		l.Env = append(l.Env, name+"="+value)
	}
	slices.Sort(l.Env)
	// The archives that were installed are in the cache, and of no use where the
	// app runs.
	const install = `cp -RT /src /app && "$@" && rm -rf "$GEM_HOME/cache" vendor/cache`
	// Where no versions were locked, those at hand are as good as any: the
	// repository's own and Debian's.
	const unlocked = `cp -RT /src /app && { bundle install --local >/dev/null 2>&1 || "$@"; } && rm -rf "$GEM_HOME/cache" vendor/cache`
	args := []string{"sh", "-c", install, "sh", "bundle", "install"}
	switch {
	case b.lock == "":
		args[2] = unlocked
	case b.complete:
		l.Offline = true
		l.Env = append(l.Env, "BUNDLE_VERSION=system") // no search for the Bundler that wrote the lock file
		args = append(args, "--local")
	default:
		args = append(args, "--prefer-local")
	}
	l.Commands = []plan.Command{plan.Run(args...)}
	l.Failure = source.Problemf(source.CodeInstall, "the gems could not be installed (%s)", b.gemfile)
	switch {
	case b.locked.foreign():
		l.Failure.With(b.lock+" was written for "+source.Printable(strings.Join(b.locked.platforms, ", "))).
			Hint("bundle lock --add-platform x86_64-linux aarch64-linux, and commit %s", b.lock)
	case b.lock != "":
		l.Failure.Hint("run bundle install and commit %s, if it is older than %s", b.lock, b.gemfile)
	}
	return l
}

// assetGems are the gems with a task assets:precompile.
var assetGems = []string{"propshaft", "sprockets-rails", "sprockets", "jsbundling-rails", "cssbundling-rails", "tailwindcss-rails",
	"dartsass-rails", "vite_rails", "vite_ruby", "shakapacker", "webpacker"}

// bundlers are the gems whose tasks install and run what package.json has.
var bundlers = []string{"jsbundling-rails", "cssbundling-rails", "vite_rails", "vite_ruby", "shakapacker", "webpacker"}

// bundlesItself tells whether Rails' assets are built by a gem that calls Node.
func (p *project) bundlesItself(entry entryPoint) bool {
	return entry.framework == rails && p.hasAssets() && p.bundle.has(bundlers...)
}

// hasAssets tells whether there is anything to compile for browsers.
func (p *project) hasAssets() bool {
	return p.tree.Has("Rakefile") && p.bundle.has(assetGems...) &&
		slices.ContainsFunc([]string{"app/assets", "app/javascript", "app/frontend", "app/packs"}, p.tree.IsDir)
}

// assets returns the layer in which Rails' assets are compiled, in place.
func (p *project) assets(builder string) plan.Layer {
	l := plan.Layer{
		Name: "output", Builder: builder, Source: true, Config: plan.ConfigBakes, Passes: bundlePasses,
		Env: []string{
			"HOME=/tmp", "SECRET_KEY_BASE_DUMMY=1", // Rails makes one up for this
			// What bundles is a dependency of development to most.
			"NODE_ENV=production", "npm_config_include=dev", "YARN_PRODUCTION=false",
		},
		Caches: []plan.Cache{{Name: "assets", Target: assetsCache}},
		// What Sprockets keeps is kept; what was only there to build goes.
		Commands: []plan.Command{plan.Run("sh", "-c", `rm -rf tmp/cache/assets && mkdir -p tmp/cache && ln -s "$1" tmp/cache/assets &&
bundle exec rake assets:precompile && rm -rf tmp/cache/assets node_modules`, "sh", assetsCache)},
		Failure: source.Problemf(source.CodeOutput, "the assets could not be compiled (rake assets:precompile)").
			Hint("does RAILS_ENV=production SECRET_KEY_BASE_DUMMY=1 bundle exec rake assets:precompile work?").
			Hint("it must work without a database"),
	}
	for name, value := range p.env() {
		l.Env = append(l.Env, name+"="+value)
	}
	switch {
	case p.bundler != nil:
		p.bundler.Equip(&l)
	case p.tree.Has("package.json"):
		l.Env = append(l.Env, "npm_config_cache="+npmCache, "YARN_CACHE_FOLDER="+npmCache+"/yarn")
		l.Caches = append(l.Caches, plan.Cache{Name: "npm", Target: npmCache})
	}
	slices.Sort(l.Env)
	return l
}

// test adds the layer with all gems, and says how the app is tested, if there
// are tests of a usual kind.
func (p *project) test(out *plan.Plan, c *plan.Chain, builder string, entry entryPoint) error {
	l := p.install("test dependencies", builder, development)
	l.Build = true
	key, err := c.Add(l, builder)
	out.Test = &plan.Test{Command: p.testCommand(entry), Layer: key, Env: map[string]string{
		"RACK_ENV": "test", "APP_ENV": "test", "RAILS_ENV": "test", "BUNDLE_WITHOUT": "",
	}}
	return err
}

// testCommand is the usual one for the tests that are there; "" is none.
func (p *project) testCommand(entry entryPoint) string {
	switch {
	case p.tree.IsDir("spec") && p.bundle.has("rspec", "rspec-core", "rspec-rails"):
		return "bundle exec rspec"
	case !p.tree.IsDir("test"):
		return ""
	case entry.framework == rails:
		return "bundle exec rails test"
	case p.tree.Has("Rakefile") && p.bundle.has("rake"):
		return "bundle exec rake test"
	}
	return `bundle exec ruby -Itest -e 'Dir["./test/**/{test_*,*_test}.rb"].each { |f| require f }'`
}
