package php

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

func TestPlan_Apps(t *testing.T) {
	tools := []string{"PHP 8.4 toolchain", "PHP 8.4 build tools"}
	for _, c := range []struct {
		app, summary, web string
		layers            []string
	}{
		{"php-plain", "PHP 8.4 (index.php)", "berth-php", tools[:1]},
		{"php-composer", "PHP 8.4 (composer.json)", "berth-php public/", append(tools, "dependencies")},
		{"php-laravel", "PHP 8.4, Laravel (composer.json requires laravel/framework), Node 24.21.0 (package.json)", "berth-php public",
			append(tools, "dependencies", "Node build tools", "Node 24.21.0 build tools", "frontend surroundings (build)", "frontend (build)", "source", "frontend files", "output")},
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
			if got := made.Versions["php"]; got != "8.4" {
				t.Errorf("version to be kept: got %q", got)
			}
		})
	}
}

func TestPlan_WhatIsStarted(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"pages beside":      {[]string{"index.php", ""}, "berth-php"},
		"a folder for them": {[]string{"public/index.php", "", "index.php", ""}, "berth-php public"},
		"Yii, Drupal":       {[]string{"composer.json", "{}", "web/index.php", ""}, "berth-php web"},
		"a folder of files": {[]string{"index.php", "", "public/logo.png", ""}, "berth-php"},
		"Heroku's Apache":   {[]string{"composer.json", "{}", "Procfile", "web: heroku-php-apache2 public/"}, "berth-php public/"},
		"Heroku's nginx":    {[]string{"composer.json", "{}", "Procfile", "web: exec vendor/bin/heroku-php-nginx -C nginx.conf web"}, "exec berth-php -C nginx.conf web"},
		"another's program": {[]string{"composer.json", "{}", "Procfile", "web: vendor/bin/heroku-php-apache2000"}, "vendor/bin/heroku-php-apache2000"},
		"PHP's own server":  {[]string{"index.php", "", "Procfile", "web: php -S 0.0.0.0:$PORT"}, "php -S 0.0.0.0:$PORT"},
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
		"no page":        {[]string{"composer.json", "{}", "src/a.php", ""}, "E202", "index.php"},
		"malformed":      {[]string{"composer.json", "{\n\"require\": {},\n}"}, "E222", "line 3"},
		"a list":         {[]string{"composer.json", "[]"}, "E222", "a list"},
		"malformed lock": {[]string{"composer.json", "{}", "composer.lock", "{", "index.php", ""}, "E222", "composer.lock"},
		"too new":        {[]string{"composer.json", `{"require": {"php": "^8.6"}}`, "index.php", ""}, "E212", "composer.json: PHP ^8.6 is not available"},
		"not packed yet": {[]string{"composer.json", `{"require": {"php": ">=8.5", "ext-redis": "*"}}`, "index.php", ""}, "E212", "ext-redis, which is not available for PHP 8.5"},
		"too old":        {[]string{"composer.json", `{"require": {"php": "~5.6"}}`, "index.php", ""}, "E212", "8.4, 8.2"},
		"no constraint":  {[]string{"composer.json", `{"require": {"php": "new"}}`, "index.php", ""}, "E211", `"new"`},
		"a pin":          {[]string{"index.php", "", ".php-version", "8.3.1"}, "E212", ".php-version: PHP 8.3.1"},
		"a tool's file":  {[]string{"index.php", "", ".tool-versions", "# x\nphp 8.3.1"}, "E212", ".tool-versions, line 2"},
		"no extension":   {[]string{"composer.json", `{"require": {"ext-swoole": "*"}}`, "index.php", ""}, "E212", "ext-swoole"},
		"left with 8.4":  {[]string{"composer.json", `{"require": {"php": ">=8.4", "ext-imap": "*"}}`, "index.php", ""}, "E212", "ext-imap"},
	} {
		t.Run(name, func(t *testing.T) {
			p, text := packtest.Problem(t, Plan, packtest.Repo(c.files...))
			if p.Code != c.code || !strings.Contains(text, c.says) {
				t.Errorf("got %s %q, want %s with %q", p.Code, text, c.code, c.says)
			}
		})
	}
}

// A refusal says what to do, and doing it works.
func TestVersion_ARefusalIsFollowed(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		hints string
		then  []string // what the hint makes of the files
	}{
		"a pin":       {[]string{".php-version", "8.3.1"}, "write 8.4 into .php-version", []string{".php-version", "8.4"}},
		"asdf's":      {[]string{".tool-versions", "php 8.1"}, "write 8.2 into .tool-versions", []string{".tool-versions", "php 8.2"}},
		"Composer's":  {[]string{"composer.json", `{"require": {"php": "~8.3.0"}}`}, "composer require 'php:>=8.3'", []string{"composer.json", `{"require": {"php": ">=8.3"}}`}},
		"either":      {[]string{"composer.json", `{"require": {"php": "8.1.* || 8.3.*"}}`}, "FROM php:8.1-apache, and COPY . /var/www/html", nil},
		"to come":     {[]string{"composer.json", `{"require": {"php": "^8.6"}}`}, "FROM php:8.6-apache", nil},
		"a major one": {[]string{".php-version", "7"}, "PHP 8.4, 8.2, 8.5 are available, from Debian", nil},
		"another's":   {[]string{"composer.json", `{"require": {"php": "~5.6"}}`}, "FROM php:5.6-apache", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := packtest.Problem(t, Plan, packtest.Repo(append(c.files, "index.php", "")...))
			hints := strings.Join(p.Hints, "\n")
			if p.Code != "E212" || !strings.Contains(hints, c.hints) {
				t.Errorf("got %s, %q; want %q", p.Code, hints, c.hints)
			}
			if strings.Contains(hints, "runs most") != (c.then != nil || name == "either") {
				t.Errorf("got %q", hints)
			}
			if c.then != nil {
				packtest.Plan(t, Plan, packtest.Repo(append(c.then, "index.php", "")...))
			}
		})
	}
}

func TestVersion_WhatFilesAskFor(t *testing.T) {
	require := func(s string) []string { return []string{"composer.json", `{"require": {"php": "` + s + `"}}`} }
	locked := func(s string) []string {
		return []string{"composer.json", `{"require": {"php": ">=7.2"}}`, "composer.lock", `{"packages": [{"name": "a/b", "require": {"php": "` + s + `"}}], "platform": []}`}
	}
	for name, c := range map[string]struct {
		files        []string
		before, want string
	}{
		"nothing":              {nil, "", "8.4"},
		"what it ran on":       {nil, "8.2", "8.2"},
		"what there is not":    {nil, "8.3", "8.4"},
		"caret":                {require("^8.1"), "", "8.4"},
		"caret, kept":          {require("^8.1"), "8.2", "8.2"},
		"caret, kept no more":  {require("^8.3"), "8.2", "8.4"},
		"tilde":                {require("~8.2.0"), "", "8.2"},
		"tilde of two":         {require("~8.1"), "", "8.4"},
		"either":               {require("^7.4 || ^8.0"), "", "8.4"},
		"either, old spelling": {require("7.4.*|8.2.*"), "", "8.2"},
		"range":                {require(">=7.4 <8.4"), "", "8.2"},
		"range with commas":    {require(">= 7.4, < 8.3"), "", "8.2"},
		"hyphen":               {require("8.0 - 8.2"), "", "8.2"},
		"wildcard":             {require("8.*"), "", "8.4"},
		"not that":             {require(">=8.2,!=8.4.*"), "", "8.4"},
		"stability":            {require("^8.2@stable"), "", "8.4"},
		"any":                  {require("*"), "", "8.4"},
		"locked for older":     {locked("~8.1.0 || ~8.2.0 || ~8.3.0"), "", "8.2"},
		"locked for none":      {locked("~5.6"), "", "8.4"},
		"lock file's platform": {[]string{"composer.json", "{}", "composer.lock", `{"platform": {"php": "~8.2.0"}}`}, "", "8.2"},
		".php-version":         {[]string{".php-version", "8.2\n"}, "", "8.2"},
		"a patch release":      {[]string{".php-version", "8.2.1"}, "", "8.2"},
		"a major release":      {[]string{".php-version", "8"}, "", "8.4"},
		"a pin and a range":    {append(require("^8.1"), ".php-version", "8.2"), "", "8.2"},
		"mise":                 {[]string{"mise.toml", "[tools]\nphp = \"8.2\"\n"}, "", "8.2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := packtest.Request(packtest.Repo(append([]string{"index.php", ""}, c.files...)...))
			r.Versions = map[string]string{"php": c.before}
			made, err := packtest.Make(Plan, r)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(made.Summary, "PHP "+c.want) || made.Versions["php"] != c.want {
				t.Errorf("got %q, %q; want %s", made.Summary, made.Versions["php"], c.want)
			}
		})
	}
}

func TestConstraint_ByComposersRules(t *testing.T) {
	for s, c := range map[string]struct{ yes, no string }{
		"^1.2.3":          {"1.2.3 1.9 1.2.4", "1.2.2 2.0"},
		"^0.3":            {"0.3 0.3.9", "0.4 0.2.9"},
		"^0.0.3":          {"0.0.3", "0.0.4"},
		"~1.2":            {"1.2 1.9", "2.0 1.1"},
		"~1.2.3":          {"1.2.3 1.2.9", "1.3 1.2.2"},
		"1.0 - 2.0":       {"1.0 2.0.9", "0.9 2.1"},
		"1.0.0 - 2.1.0":   {"1.0 2.1", "2.1.1"},
		"1.0.*":           {"1.0 1.0.9", "1.1 0.9"},
		">=1.0 <1.1||>=2": {"1.0.5 2.0 3.0", "1.1 1.9"},
		"v1.2.0":          {"1.2.0", "1.2.1"},
		"<> 1.2.0":        {"1.2.1", "1.2.0"},
		"":                {"1.0", ""},
	} {
		got, err := parseConstraint(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		for list, want := range map[string]bool{c.yes: true, c.no: false} {
			for _, v := range strings.Fields(list) {
				numbers, _, _ := numbersOf(v)
				if got.allows(numbers) != want {
					t.Errorf("%q allows %s: got %t", s, v, !want)
				}
			}
		}
	}
}

func TestExtensions_ArePackagesOfDebian(t *testing.T) {
	made := packtest.Plan(t, Plan, packtest.Repo("index.php", "", "composer.json", `{"require": {"ext-redis": "*", "ext-JSON": "*", "ext-dom": "*", "ext-soap": "*"}}`,
		"composer.lock", `{"packages": [{"name": "a/b", "require": {"ext-imagick": "*", "ext-none": "*"}}]}`))
	text := strings.Join(packtest.Layer(t, made, "PHP 8.4 toolchain").Commands[1].Args, " ")
	for _, want := range []string{"php8.4-redis", "php8.4-soap", "php8.4-imagick", "php8.4-mbstring", "php8.4-xml", "libapache2-mod-php8.4"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %q, want %s in it", text, want)
		}
	}
	if strings.Contains(text, "php8.4-json") || strings.Contains(text, "php8.4-none") {
		t.Errorf("got %q", text)
	}
}

// app is a tree with everything that decides of a layer, and no more to build.
func app() fstest.MapFS {
	return packtest.Repo("composer.json", `{"require": {"php": "^8.1"}, "repositories": [{"type": "path", "url": "packages/*"}]}`,
		"composer.lock", `{"packages": []}`, "packages/a/composer.json", "{}", "packages/a/src/A.php", "", "packages/b/composer.json", `{"autoload": {"classmap": ["src"]}}`,
		"packages/b/src/B.php", "", "public/index.php", "", "README.md", "hi", "apt-packages", "ffmpeg\n")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	all := []string{"PHP 8.4 toolchain", "PHP 8.4 build tools", "apt-packages", "apt-packages (build)", "dependencies"}
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
		"nothing":                          {func(*plan.Request) {}, nil},
		"a README":                         {set("README.md", "ho"), nil},
		"a source line":                    {set("public/index.php", "x"), nil},
		"a package's source line":          {set("packages/a/src/A.php", "x"), nil},
		"a source line that tells classes": {set("packages/b/src/B.php", "x"), all[4:]},
		"a package's manifest":             {set("packages/a/composer.json", `{"x": 1}`), all[4:]},
		"the lock file":                    {set("composer.lock", `{"packages": [], "x": 1}`), all[4:]},
		"the manifest":                     {set("composer.json", `{"require": {"php": "^8.2"}, "repositories": [{"type": "path", "url": "packages/*"}]}`), all[4:]},
		"an extension":                     {set("composer.json", `{"require": {"ext-redis": "*"}, "repositories": [{"type": "path", "url": "packages/*"}]}`), all},
		"a pin":                            {set(".php-version", "8.2"), []string{"PHP 8.2 toolchain", "PHP 8.2 build tools", "apt-packages", "apt-packages (build)", "dependencies"}},
		"the packages":                     {set("apt-packages", "ffmpeg\nimagemagick\n"), all[2:]},
		"the owner":                        {func(r *plan.Request) { r.Owner = "1001" }, all[4:]},
		"the stack":                        {func(r *plan.Request) { r.Stack = "other" }, all},
	} {
		t.Run(name, func(t *testing.T) {
			after := packtest.Request(app())
			c.change(&after)
			got := packtest.Rebuilt(t, Plan, packtest.Request(app()), after)
			if !slices.Equal(got, c.want) {
				t.Errorf("rebuilt: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestOutput_OnlyWhereTheSourceIsNeededToBuild(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		want     []string // the steps
	}{
		"nothing":          {`{}`, nil},
		"a map said whole": {`{"config": {"classmap-authoritative": true}}`, []string{"composer dump-autoload --no-dev --optimize"}},
		"classes by files": {`{"autoload": {"classmap": ["src"]}}`, []string{"composer dump-autoload --no-dev --optimize"}},
		"scripts":          {`{"scripts": {"post-install-cmd": "x", "post-autoload-dump": "y"}}`, []string{"composer dump-autoload --no-dev --optimize", "composer run-script --no-dev post-install-cmd"}},
		"other scripts":    {`{"scripts": {"test": "x"}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.Repo("composer.json", c.manifest, "index.php", ""))
			if made.Sealed != (c.want != nil) {
				t.Errorf("sealed: got %t", made.Sealed)
			}
			if c.want == nil {
				return
			}
			l := packtest.Layer(t, made, "output")
			var got []string
			for _, cmd := range l.Commands {
				got = append(got, strings.Join(cmd.Args, " "))
			}
			if !slices.Equal(got, c.want) || !l.Source || l.Failure.Code != "E234" {
				t.Errorf("got %q, source %t, %s; want %q", got, l.Source, l.Failure.Code, c.want)
			}
		})
	}
}

func TestLaravel_KeyIsMadeUpUnlessItIsGiven(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  []string
	}{
		"nothing said":  {nil, []string{"APP_KEY"}},
		"a secret":      {[]string{"app.json", `{"env": {"APP_KEY": {"generator": "secret"}}}`}, []string{"APP_KEY"}},
		"a value":       {[]string{"app.json", `{"env": {"APP_KEY": "base64:mine"}}`}, nil},
		"committed":     {[]string{".env", "APP_KEY=base64:mine"}, nil},
		"not Laravel's": {[]string{"composer.json", "{}"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			made := packtest.Plan(t, Plan, packtest.Repo(append([]string{"composer.json", `{"require": {"laravel/framework": "^12"}}`, "artisan", "", "public/index.php", ""}, c.files...)...))
			if got := made.Manifest.Keys; !slices.Equal(got, c.want) {
				t.Errorf("keys: got %q, want %q", got, c.want)
			}
			if len(made.Manifest.Secrets) > 0 {
				t.Errorf("secrets: got %q, a form that Laravel does not take", made.Manifest.Secrets)
			}
		})
	}
}

func TestSymfony_SecretIsMadeUp(t *testing.T) {
	made := packtest.Plan(t, Plan, packtest.Repo("composer.json", `{"require": {"symfony/framework-bundle": "^7"}, "scripts": {"post-install-cmd": ["@auto-scripts"]}}`,
		"composer.lock", "{}", "public/index.php", "", "bin/console", ""))
	if got := made.Manifest.Secrets; !slices.Equal(got, []string{"APP_SECRET"}) {
		t.Errorf("secrets: got %q", got)
	}
	if got, want := made.Summary, "PHP 8.4, Symfony (composer.json requires symfony/framework-bundle)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if made.Env["APP_ENV"] != "prod" || !slices.Contains(packtest.Layer(t, made, "output").Env, "APP_ENV=prod") {
		t.Errorf("the app runs in %q", made.Env["APP_ENV"])
	}
}

func TestTests_UsualCommandWithThePackagesOfDevelopment(t *testing.T) {
	for want, c := range map[string]struct {
		manifest string
		whole    bool
	}{
		"vendor/bin/phpunit": {`{"require-dev": {"phpunit/phpunit": "^11"}}`, false},
		"vendor/bin/pest":    {`{"require-dev": {"pestphp/pest": "^3", "phpunit/phpunit": "^11"}}`, false},
		"php artisan test":   {`{"require": {"laravel/framework": "^12"}, "require-dev": {"phpunit/phpunit": "^11"}, "scripts": {"post-autoload-dump": "x"}}`, true},
	} {
		r := packtest.Request(packtest.Repo("composer.json", c.manifest, "artisan", "", "public/index.php", ""))
		r.Test = true
		made, err := packtest.Make(Plan, r)
		if err != nil {
			t.Fatal(err)
		}
		if made.Test == nil || made.Test.Command != want || made.Test.Whole != c.whole {
			t.Errorf("got %+v, want %q", made.Test, want)
			continue
		}
		l := packtest.Layer(t, made, "test dependencies")
		if l.Key != made.Test.Layer || !l.Build || l.Root || l.Source != c.whole || slices.Contains(l.Commands[0].Args, "--no-dev") {
			t.Errorf("%s: the layer is %+v", want, l)
		}
	}
}

func TestComposer_RepositoriesOutsideAreLeftAlone(t *testing.T) {
	made := packtest.Plan(t, Plan, packtest.Repo("index.php", "", "composer.json",
		`{"repositories": {"a": {"type": "path", "url": "../other"}, "b": {"type": "path", "url": "/etc"}, "c": {"type": "path", "url": "[x"}, "d": {"type": "vcs", "url": "x"}}}`))
	if got := packtest.Layer(t, made, "dependencies").Inputs; !slices.Equal(got, []string{"composer.json"}) {
		t.Errorf("inputs: got %q", got)
	}
}

func FuzzComposer(f *testing.F) {
	f.Add(`{"require": {"php": "^8.1", "ext-x": 1}, "repositories": [{"type": "path", "url": "*"}], "scripts": {"a": []}}`, `{"packages": [{"require": []}], "platform": []}`)
	f.Add(`{"autoload": {"classmap": {}}, "require": []}`, `{"packages": {}}`)
	f.Fuzz(func(t *testing.T, manifest, lock string) {
		made, err := packtest.Make(Plan, packtest.Request(packtest.Repo("index.php", "", "composer.json", manifest, "composer.lock", lock)))
		if err != nil {
			packtest.AsProblem(t, made, err)
		}
	})
}

func FuzzConstraint(f *testing.F) {
	f.Add("^8.1 || ~7.4.0,!=7.4.3 | 8.0 - 8.2 | 8.*")
	f.Add(">= 8 <9@dev")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseConstraint(s); err == nil {
			for _, v := range phps {
				v.fits(c)
			}
		}
	})
}

// PHP 8.5 is on its way to Debian: its packages come from there, what they need
// from the stack as far as it has it, and opcache is built in.
func TestToolchain_ThePHPThatIsOnItsWay(t *testing.T) {
	made := packtest.Plan(t, Plan, packtest.Repo("composer.json", `{"require": {"php": "~8.5.0", "ext-xsl": "*", "ext-intl": "*"}}`, "index.php", ""))
	l := packtest.Layer(t, made, "PHP 8.5 toolchain")
	text := ""
	for _, c := range l.Commands {
		text += strings.Join(c.Args, " ") + "\n"
	}
	for _, want := range []string{"experimental", "-t /^trixie/ -- libapache2-mod-php8.5 php8.5-cli ", " php8.5-xsl", "for suite in sid "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for _, not := range []string{"opcache ", "php-common/"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is in\n%s", not, text)
		}
	}
}
