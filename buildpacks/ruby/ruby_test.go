package ruby

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

func TestPlan_Apps(t *testing.T) {
	tools := []string{"Ruby 3.3 toolchain", "Ruby 3.3 build tools"}
	apt := []string{"apt-packages", "apt-packages (build)"}
	for _, c := range []struct {
		app, summary, web string
		layers            []string
	}{
		{"ruby-rack", "Ruby 3.3, Rack (config.ru)", "puma -b tcp://0.0.0.0:$PORT", tools[:1]},
		{"ruby-sinatra", "Ruby 3.3, Sinatra (app.rb requires sinatra)", "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT", slices.Concat(tools, apt, []string{"dependencies"})},
		{"ruby-vendored", "Ruby 3.3 (Gemfile)", "bundle exec ruby server.rb", slices.Concat(tools, []string{"dependencies"})},
		{"ruby-rails", "Ruby 3.3, Rails (Gemfile lists railties)", "bundle exec puma -C config/puma.rb", slices.Concat(tools, apt, []string{"dependencies", "output"})},
	} {
		t.Run(c.app, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.App(t, c.app))
			if made.Summary != c.summary {
				t.Errorf("summary: got %q, want %q", made.Summary, c.summary)
			}
			if got := packtest.Command(made, "web"); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := packtest.Names(made); !slices.Equal(got, c.layers) {
				t.Errorf("layers: got %q, want %q", got, c.layers)
			}
			if got := made.Versions["ruby"]; got != "3.3" {
				t.Errorf("version to be kept: got %q", got)
			}
		})
	}
}

func TestPlan_WhatIsStarted(t *testing.T) {
	railsFiles := []string{"config/application.rb", "", "config.ru", ""}
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"rails":                   {append([]string{"Gemfile", "gem 'rails'"}, railsFiles...), "bundle exec rails server -b 0.0.0.0 -p $PORT"},
		"rails with puma":         {append([]string{"Gemfile", "gem 'rails'\ngem 'puma'", "config/puma.rb", ""}, railsFiles...), "bundle exec puma -C config/puma.rb"},
		"rack with puma":          {[]string{"Gemfile", "gem \"puma\"", "config.ru", ""}, "bundle exec puma -b tcp://0.0.0.0:$PORT"},
		"rack with unicorn":       {[]string{"Gemfile", "gem(\"unicorn\")", "config.ru", ""}, "bundle exec unicorn -o 0.0.0.0 -p $PORT"},
		"rack with none":          {[]string{"Gemfile", "gem 'rack'", "config.ru", ""}, "bundle exec rackup -o 0.0.0.0 -p $PORT"},
		"puma in a comment":       {[]string{"Gemfile", "gem 'thin' # gem 'puma'\n=begin\ngem 'puma'\n=end\n", "config.ru", ""}, "bundle exec thin start -a 0.0.0.0 -p $PORT"},
		"puma of another name":    {[]string{"Gemfile", "gem 'puma-foo'", "config.ru", ""}, "bundle exec rackup -o 0.0.0.0 -p $PORT"},
		"locked by another gem":   {[]string{"Gemfile", "gem 'x'", "Gemfile.lock", "GEM\n  specs:\n    puma (6.6.0)\n", "config.ru", ""}, "bundle exec puma -b tcp://0.0.0.0:$PORT"},
		"sinatra, classic":        {[]string{"Gemfile", "gem 'sinatra'", "lib.rb", "", "my app.rb", "# x\nrequire 'sinatra'\n"}, "bundle exec ruby 'my app.rb' -o 0.0.0.0 -p $PORT"},
		"sinatra, the usual name": {[]string{"Gemfile", "gem 'sinatra'", "a.rb", "require 'sinatra'", "app.rb", "require \"sinatra\""}, "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT"},
		"sinatra with config.ru":  {[]string{"Gemfile", "gem 'sinatra'\ngem 'puma'", "config.ru", "", "app.rb", "require 'sinatra'"}, "bundle exec puma -b tcp://0.0.0.0:$PORT"},
		"gems.rb":                 {[]string{"gems.rb", "gem 'puma'", "config.ru", ""}, "bundle exec puma -b tcp://0.0.0.0:$PORT"},
		"a Gemfile that takes one in": {[]string{"Gemfile", "eval_gemfile 'more/Gemfile'", "more/Gemfile", "gem 'puma'\neval_gemfile '../Gemfile'", "config.ru", ""},
			"bundle exec puma -b tcp://0.0.0.0:$PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.Repo(c.files...))
			if got := packtest.Command(made, "web"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPlan_WhatCannotBeBuiltIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		code  string
		says  string
	}{
		"no process":                {[]string{"Gemfile", "gem 'rake'", "app.rb", "# require 'sinatra'"}, "E202", "config.ru"},
		"sinatra only in a comment": {[]string{"Gemfile", "gem 'sinatra'", "app.rb", "=begin\nrequire 'sinatra'\n=end\n"}, "E202", "sinatra"},
		"conflict":                  {[]string{"Gemfile", "", "config.ru", "", "Gemfile.lock", "GEM\n<<<<<<< HEAD\n"}, "E222", "Gemfile.lock, line 2"},
		"too new":                   {[]string{"Gemfile", "ruby '4.0.1'", "config.ru", ""}, "E212", "Gemfile: Ruby 4.0.1 is not available"},
		"of no series":              {[]string{"Gemfile", "ruby '>= 3.2', '< 3.3'", "config.ru", ""}, "E212", "3.3, 3.1"},
		"no version":                {[]string{"Gemfile", "", "config.ru", "", ".ruby-version", "trunk"}, "E211", `"trunk"`},
		"jruby":                     {[]string{"Gemfile", "ruby '3.1.4', engine: 'jruby', engine_version: '9.4'", "config.ru", ""}, "E212", "jruby"},
		"a way to have it":          {[]string{"Gemfile", "ruby '3.2.2'", "config.ru", ""}, "E212", "put ruby-3.2.2.tar.gz, Ruby's source, into the folder ruby of this server's mirror"},
		"a tool's file":             {[]string{"Gemfile", "", "config.ru", "", ".tool-versions", "nodejs 20\nruby 2.6.1\n"}, "E212", ".tool-versions, line 2"},
		"a file that Bundler reads": {[]string{"Gemfile", "ruby file: '.ruby-version'\n", "config.ru", "", ".ruby-version", "3.2.2"}, "E212", "3.2.2"},
		"a file of the future":      {[]string{"Gemfile", "", "config.ru", "", ".ruby-version", "3.9.0"}, "E212", "3.9.0"},
		"rack, old":                 {[]string{"config.ru", "", ".ruby-version", "3.1"}, "E212", "Gemfile"},
	} {
		t.Run(name, func(t *testing.T) {
			p, text := packtest.Problem(t, Plan, packtest.Repo(c.files...))
			if p.Code != c.code || !strings.Contains(text, c.says) {
				t.Errorf("got %s %q, want %s with %q", p.Code, text, c.code, c.says)
			}
		})
	}
}

func TestVersion_WhatFilesAskFor(t *testing.T) {
	for name, c := range map[string]struct {
		files        []string
		before       string
		series, told string
	}{
		"nothing":              {nil, "", "3.3", ""},
		"what it ran on":       {nil, "3.1", "3.1", ""},
		"what there is not":    {nil, "9.9", "3.3", ""},
		"a series":             {[]string{".ruby-version", "3.1\n"}, "", "3.1", ""},
		"a patch release":      {[]string{".ruby-version", "ruby-3.3.1\n"}, "", "3.3", "3.3.1"},
		"with its patch level": {[]string{"Gemfile.lock", "RUBY VERSION\n   ruby 3.3.4p94\n"}, "", "3.3", "3.3.4"},
		"Gemfile":              {[]string{"Gemfile", "ruby \"3.1.6\" # old\n", ".ruby-version", "3.3.0"}, "", "3.1", "3.1.6"},
		"Gemfile, a range":     {[]string{"Gemfile", "ruby '>= 3.0', '< 3.3'\n"}, "", "3.1", ""},
		"a range, kept":        {[]string{"Gemfile", "ruby '>= 3.0'\n"}, "3.1", "3.1", ""},
		"pessimistic":          {[]string{"Gemfile", "ruby '~> 3.1'\n"}, "", "3.3", ""},
		"pessimistic, patch":   {[]string{"Gemfile", "ruby '~> 3.1.0'\n"}, "", "3.1", ""},
		"Gemfile's file":       {[]string{"Gemfile", "ruby file: '.ruby-version'\n", ".ruby-version", "3.1.7\n"}, "", "3.1", "3.1.7"},
		"a tool's file named":  {[]string{"Gemfile", "ruby file: \".tool-versions\"\n", ".tool-versions", "nodejs 20\nruby 3.3.2\n"}, "", "3.3", "3.3.2"},
		"File.read":            {[]string{"Gemfile", "ruby File.read('.ruby-version').strip\n", ".ruby-version", "3.1.4\n"}, "", "3.1", "3.1.4"},
		"computed":             {[]string{"Gemfile", "ruby ENV.fetch('X', '3.1')\n"}, "", "3.3", ""},
		"the one on its way":   {[]string{"Gemfile", "ruby '3.4.2'\n"}, "", "3.4", "3.4.2"},
		"a range of it":        {[]string{"Gemfile", "ruby '>= 3.4'\n"}, "", "3.4", ""},
		"mise":                 {[]string{"mise.toml", "[tools]\nruby = '3.1'\n"}, "", "3.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := append([]string{"Gemfile", "", "config.ru", ""}, c.files...)
			r := packtest.Request(packtest.Repo(files...))
			r.Versions = map[string]string{"ruby": c.before}
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			if want := "Ruby " + c.series; !strings.HasPrefix(made.Summary, want) || made.Versions["ruby"] != c.series {
				t.Errorf("got %q, %q; want %q", made.Summary, made.Versions["ruby"], want)
			}
			if got := made.Env["BERTH_RUBY_VERSION"]; got != c.told {
				t.Errorf("Bundler is told %q, want %q", got, c.told)
			}
			noted := strings.Contains(strings.Join(made.Notes, "\n"), "it runs on Debian's")
			if noted != (c.told != "") {
				t.Errorf("notes: got %q", made.Notes)
			}
		})
	}
}

// railsApp is a tree with everything that decides of a layer.
func railsApp() fstest.MapFS {
	return packtest.Repo("Gemfile", "ruby '~> 3.3'\ngem 'rails'\ngem 'propshaft'\ngem 'mine', path: 'gems/mine'\n",
		"Gemfile.lock", "GEM\n  specs:\n    railties (8.0.1)\n    propshaft (1.1.0)\n", "gems/mine/mine.gemspec", "", "gems/mine/lib/mine.rb", "",
		"config/application.rb", "", "Rakefile", "", "app/assets/a.css", "", "app/models/item.rb", "", "README.md", "hi", "apt-packages", "ffmpeg\n")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	all := []string{"Ruby 3.3 toolchain", "Ruby 3.3 build tools", "apt-packages", "apt-packages (build)", "dependencies", "output"}
	set := func(name, content string) func(*plan.Request) {
		return func(r *plan.Request) {
			r.FS.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(content)}
			r.Digest = "other"
		}
	}
	for name, c := range map[string]struct {
		change func(*plan.Request)
		want   []string
	}{
		"nothing":        {func(*plan.Request) {}, nil},
		"a README":       {set("README.md", "ho"), all[5:]}, // built in place
		"a source line":  {set("app/models/item.rb", "x"), all[5:]},
		"the Gemfile":    {set("Gemfile", "ruby '~> 3.3'\ngem 'rails'\ngem 'propshaft'\ngem 'mine', path: 'gems/mine'\ngem 'x'\n"), all[4:]},
		"the lock file":  {set("Gemfile.lock", "GEM\n  specs:\n    railties (8.0.2)\n    propshaft (1.1.0)\n"), all[4:]},
		"a gem's line":   {set("gems/mine/lib/mine.rb", "x"), all[4:]},
		"a vendored gem": {set("vendor/cache/x-1.gem", "x"), all[4:]},
		"a newer pin":    {set("Gemfile", "ruby '~> 3.3.1'\ngem 'rails'\ngem 'propshaft'\ngem 'mine', path: 'gems/mine'\n"), all[4:]},
		"an older pin":   {set("Gemfile", "ruby '~> 3.1.0'\ngem 'rails'\ngem 'propshaft'\ngem 'mine', path: 'gems/mine'\n"), []string{"Ruby 3.1 toolchain", "Ruby 3.1 build tools", "apt-packages", "apt-packages (build)", "dependencies", "output"}},
		"the packages":   {set("apt-packages", "ffmpeg\nimagemagick\n"), all[2:]},
		"the owner":      {func(r *plan.Request) { r.Owner = "1001" }, all[4:]},
		"the stack":      {func(r *plan.Request) { r.Stack = "other" }, all},
		"Node beside it": {set("package.json", "{}"), []string{"Ruby 3.3 build tools", "apt-packages (build)", "dependencies", "output"}},
	} {
		t.Run(name, func(t *testing.T) {
			after := packtest.Request(railsApp())
			c.change(&after)
			got := packtest.Rebuilt(t, Plan, packtest.Request(railsApp()), after)
			if !slices.Equal(got, c.want) {
				t.Errorf("rebuilt: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestKeys_SourceOfAnAppWithoutAssetsIsInNoLayer(t *testing.T) {
	before := packtest.Request(packtest.Repo("Gemfile", "gem 'puma'", "config.ru", "run 1"))
	after := packtest.Request(packtest.Repo("Gemfile", "gem 'puma'", "config.ru", "run 2"))
	after.Digest = "other"
	if got := packtest.Rebuilt(t, Plan, before, after); len(got) != 0 {
		t.Errorf("rebuilt: got %q, want nothing", got)
	}
	if made := packtest.Plan(t, Plan, before.FS); made.Sealed {
		t.Error("the plan says that its layers hold the source")
	}
}

func TestDependencies_VendoredGemsNeedNoNetwork(t *testing.T) {
	lock := "GEM\n  specs:\n    a (1.0)\n    b (2.0-x86_64-linux)\n\nPATH\n  remote: c\n  specs:\n    c (0.1)\n"
	for name, c := range map[string]struct {
		files   []string
		offline bool
	}{
		"all":     {[]string{"Gemfile.lock", lock, "vendor/cache/a-1.0.gem", "", "vendor/cache/b-2.0-x86_64-linux.gem", ""}, true},
		"some":    {[]string{"Gemfile.lock", lock, "vendor/cache/a-1.0.gem", ""}, false},
		"others":  {[]string{"Gemfile.lock", lock, "vendor/cache/a-1.0.1.gem", "", "vendor/cache/b-2.0-x86_64-linux.gem", ""}, false},
		"no lock": {[]string{"vendor/cache/a-1.0.gem", ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.Repo(append([]string{"Gemfile", "gem 'a'\ngem 'b'", "config.ru", ""}, c.files...)...))
			l := packtest.Layer(t, made, "dependencies")
			local := slices.Contains(l.Commands[0].Args, "--local")
			if l.Offline != c.offline || local != c.offline {
				t.Errorf("offline %t, --local %t; want %t", l.Offline, local, c.offline)
			}
		})
	}
}

func TestDependencies_LockFileOfAnotherMachineIsExplained(t *testing.T) {
	made := packtest.Plan(t, Plan, packtest.Repo("Gemfile", "", "config.ru", "", "Gemfile.lock", "GEM\n  specs:\n    a (1)\n\nPLATFORMS\n  arm64-darwin-23\n"))
	p := packtest.Layer(t, made, "dependencies").Failure
	if text := strings.Join(append(p.Evidence, p.Hints...), "\n"); p.Code != "E232" || !strings.Contains(text, "arm64-darwin-23") || !strings.Contains(text, "--add-platform") {
		t.Errorf("got %s %q", p.Code, text)
	}
}

func TestRails_SecretIsMadeUpUnlessItIsGiven(t *testing.T) {
	for manifest, want := range map[string][]string{
		`{}`: {"SECRET_KEY_BASE"},
		`{"env": {"SECRET_KEY_BASE": {"generator": "secret"}}}`: {"SECRET_KEY_BASE"},
		`{"env": {"SECRET_KEY_BASE": "mine"}}`:                  nil,
	} {
		tree := railsApp()
		maps.Copy(tree, packtest.Repo("app.json", manifest))
		if got := packtest.Plan(t, Plan, tree).Manifest.Secrets; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", manifest, got, want)
		}
	}
}

func TestTests_UsualCommandWithTheGemsOfDevelopment(t *testing.T) {
	for want, files := range map[string][]string{
		"bundle exec rspec":      {"Gemfile", "gem 'rspec'", "spec/a_spec.rb", ""},
		"bundle exec rails test": {"Gemfile", "gem 'rails'", "config/application.rb", "", "test/a_test.rb", ""},
		"bundle exec rake test":  {"Gemfile", "gem 'rake'", "Rakefile", "", "test/a_test.rb", ""},
	} {
		r := packtest.Request(packtest.Repo(append([]string{"config.ru", ""}, files...)...))
		r.Test = true
		made, err := packtest.Make(Plan, r)
		if err != nil {
			t.Fatal(err)
		}
		if made.Test == nil || made.Test.Command != want {
			t.Errorf("got %+v, want %q", made.Test, want)
			continue
		}
		l := packtest.Layer(t, made, "test dependencies")
		if l.Key != made.Test.Layer || !l.Build || l.Root || slices.Contains(l.Env, "BUNDLE_WITHOUT=development:test") {
			t.Errorf("%s: the layer is %+v", want, l)
		}
		if made.Base() == l.Key {
			t.Errorf("%s: the app runs on the gems of its tests", want)
		}
	}
}

func TestPlan_HostileTreesStayInBounds(t *testing.T) {
	tree := packtest.Repo("config.ru", "", "Gemfile", strings.Repeat("gem 'a',\n", 50_000)+"eval_gemfile 'Gemfile'\npath '../..' do\ngem 'x', path: '../../etc'\ngemspec path: '/etc'\n",
		"Gemfile.lock", strings.Repeat("GEM\n  specs:\n    a (1)\n", 50_000))
	for _, name := range packtest.Plan(t, Plan, tree).Layers {
		for _, input := range name.Inputs {
			if strings.HasPrefix(input, "..") || strings.HasPrefix(input, "/") {
				t.Errorf("%s reads %s", name.Name, input)
			}
		}
	}
}

func FuzzGemfile(f *testing.F) {
	f.Add("ruby '3.3.1'\ngem 'rails', path: 'x'\ngemspec\n=begin\n", "GEM\n  specs:\n    a (1)\nPLATFORMS\n  ruby\n")
	f.Add("ruby file: '.ruby-version', engine: 'x'\neval_gemfile 'Gemfile'", "RUBY VERSION\n  ruby 1.2.3p1\n\nBUNDLED WITH\n  2")
	f.Fuzz(func(t *testing.T, gemfile, lock string) {
		made, err := packtest.Make(Plan, packtest.Request(packtest.Repo("config.ru", "", "Gemfile", gemfile, "Gemfile.lock", lock)))
		if err != nil {
			packtest.AsProblem(t, made, err)
		}
	})
}

func FuzzRubyVersion(f *testing.F) {
	f.Add("ruby-3.3.1", "~> 3.1, >= 3.1.2")
	f.Add("3", "!= 3.3")
	f.Fuzz(func(t *testing.T, file, requirement string) {
		for _, s := range []string{versionIn(file), requirement} {
			clauses, _, err := demand{requires: []string{s}, file: "x"}.clauses()
			if r, ok := choose(clauses, ""); err == nil && ok && r.series == "" {
				t.Errorf("%q: let through as nothing", s)
			}
			if err == nil {
				demand{requires: []string{s}, file: "x"}.next(clauses)
			}
		}
	})
}

// A file of a version manager is for its author's machine: what Bundler does not
// read gives way to the series that follows.
func TestVersion_AFileOfAVersionManagerGivesWay(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		series string
		note   string
	}{
		".ruby-version":  {[]string{".ruby-version", "3.2.2\n"}, "3.3", ".ruby-version asks for Ruby 3.2.2, which is not available: it runs on 3.3"},
		"an older one":   {[]string{".ruby-version", "ruby-3.0.6"}, "3.1", "it runs on 3.1"},
		".tool-versions": {[]string{".tool-versions", "ruby 3.2.1\n"}, "3.3", ".tool-versions, line 1 asks for Ruby 3.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.Repo(append([]string{"Gemfile", "gem 'puma'\n", "config.ru", ""}, c.files...)...))
			if notes := strings.Join(made.Notes, "\n"); made.Versions["ruby"] != c.series || !strings.Contains(notes, c.note) {
				t.Errorf("got %s, notes %q; want %s and %q", made.Versions["ruby"], notes, c.series, c.note)
			}
			if made.Env["BERTH_RUBY_VERSION"] != "" {
				t.Error("Bundler is told of a version that it does not ask for")
			}
		})
	}
}

// The source of a Ruby in the mirror is built once, as root and for all apps.
func TestVersion_BuiltFromTheMirrorsSource(t *testing.T) {
	for name, c := range map[string]struct {
		gemfile string
		summary string // the beginning
		told    string
	}{
		"the very one":         {"ruby '3.2.2'\n", "Ruby 3.2.2 from the mirror", ""},
		"another of its line":  {"ruby '3.2.9'\n", "Ruby 3.2.4 from the mirror", "3.2.9"},
		"a range":              {"ruby '~> 3.2.0'\n", "Ruby 3.2.4 from the mirror", ""},
		"what Debian has":      {"ruby '3.3.1'\n", "Ruby 3.3,", "3.3.1"},
		"what nobody asks for": {"", "Ruby 3.3,", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(packtest.Repo("Gemfile", c.gemfile+"gem 'puma'\n", "config.ru", ""))
			r.Mirror, _ = packtest.Mirror(t, "ruby/ruby-3.2.2.tar.gz", "ruby/ruby-3.2.4.tar.xz", "ruby/ruby-3.3.1.tar.gz", "ruby/ruby-3.2.5-preview1.tar.gz")
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(made.Summary, c.summary) || made.Env["BERTH_RUBY_VERSION"] != c.told {
				t.Errorf("got %q, told %q; want %q and %q", made.Summary, made.Env["BERTH_RUBY_VERSION"], c.summary, c.told)
			}
			if !strings.Contains(c.summary, "mirror") {
				return
			}
			tool := packtest.Layer(t, made, strings.Fields(c.summary)[0]+" "+strings.Fields(c.summary)[1]+" build tools")
			kept := packtest.Layer(t, made, strings.TrimSuffix(c.summary, " from the mirror")+" from the mirror")
			if !tool.Root || !tool.Offline || tool.Archive == nil || !slices.Equal(kept.Keep, []string{"usr/local"}) {
				t.Errorf("got %+v and %+v", tool, kept)
			}
		})
	}
}
