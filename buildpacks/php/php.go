// Package php plans PHP apps: which PHP, with which extensions and packages, and
// how it is served.
package php

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// project is a PHP app as its tree shows it.
type project struct {
	tree       *source.Tree
	composer   *composer // nil when there is no composer.json
	version    debianPHP
	extensions []string       // packages' last names: "redis"
	root       string         // the document root; "" is none that was found
	frontend   *node.Frontend // what Node builds; nil is nothing
}

// Evidence names the file by which a tree says that it is a PHP app; "" is none.
func Evidence(t *source.Tree) string {
	if t.Has("composer.json") {
		return "composer.json"
	}
	return ""
}

// Sources names a page in PHP where a server would look for one; "" is none. It
// is a weaker word than Evidence.
func Sources(t *source.Tree) string {
	for _, dir := range roots {
		if name := path.Join(dir, "index.php"); t.Has(name) {
			return name
		}
	}
	return ""
}

// Plan fills in the plan of a PHP app.
func Plan(out *plan.Plan, c *plan.Chain) (err error) {
	p := &project{tree: c.Tree}
	if p.composer, err = readComposer(c.Tree); err != nil {
		return err
	}
	if p.version, err = p.findVersion(c.Versions["php"]); err != nil {
		return err
	}
	if p.extensions, err = p.findExtensions(); err != nil {
		return err
	}
	if p.frontend, err = node.FindFrontend(c); err != nil {
		return err
	}
	p.root = p.findRoot()
	for i, proc := range out.Processes {
		out.Processes[i].Command = p.withOwnServer(proc)
	}
	if len(out.Processes) == 0 {
		if p.root == "" {
			return p.noEntry()
		}
		out.Infer("web", strings.TrimSuffix(server+" "+source.ShellWord(p.root), " ."))
	}
	framework, why := p.framework()
	out.Summary = fmt.Sprintf("PHP %s%s (%s)", p.version.series, framework, why)
	out.Versions["php"] = p.version.series
	p.frontend.Announce(out, c)
	out.Env = p.env()
	switch {
	case p.laravel():
		err = p.planLaravel(out, c)
	case p.symfony():
		err = p.planSymfony(out, c)
	}
	if err != nil {
		return err
	}
	return p.layers(out, c)
}

// roots are where the pages of an app may be, in the order in which they are
// looked for: a folder made for it comes before the repository's own.
var roots = []string{"public", "web", "webroot", "docroot", "htdocs", "www", "."}

// findRoot returns the document root; "" when there is none.
func (p *project) findRoot() string {
	for _, dir := range roots {
		if p.tree.Has(path.Join(dir, "index.php")) {
			return dir
		}
	}
	return ""
}

func (p *project) noEntry() error {
	return source.Problemf(source.CodeNoProcess, "found no process to start").
		With("looked for a Procfile, and for index.php in "+strings.Join(roots[:len(roots)-1], ", ")+" and beside composer.json").
		Hint("write a file named Procfile with the line: web: %s FOLDER, the folder with the pages", server).
		Hint("or, if it serves nothing: worker: php worker.php")
}

// herokuServer is Heroku's name for a server that comes with its package.
var herokuServer = source.NewPattern(`^(exec\s+)?(?:vendor/bin/)?heroku-php-(apache2|nginx)\b`)

// withOwnServer returns the process's command with our server for Heroku's.
func (p *project) withOwnServer(proc plan.Process) string {
	m := herokuServer.FindStringSubmatch(proc.Command)
	if m == nil {
		return proc.Command
	}
	if m[2] == "nginx" {
		p.tree.Note("%s: served by Apache; the nginx configuration is not used", proc.Type)
	}
	return m[1] + server + proc.Command[len(m[0]):]
}

// framework names what the app is made with, and what says so.
func (p *project) framework() (title, why string) {
	if p.composer == nil {
		return "", path.Join(p.root, "index.php")
	}
	for _, f := range []struct{ pkg, title string }{
		{"laravel/framework", "Laravel"}, {"symfony/framework-bundle", "Symfony"}, {"slim/slim", "Slim"},
		{"laravel/lumen-framework", "Lumen"}, {"cakephp/cakephp", "CakePHP"}, {"codeigniter4/framework", "CodeIgniter"},
		{"yiisoft/yii2", "Yii"}, {"drupal/core-recommended", "Drupal"}, {"drupal/core", "Drupal"},
	} {
		if _, ok := p.composer.requires[f.pkg]; ok {
			return ", " + f.title, "composer.json requires " + f.pkg
		}
	}
	return "", "composer.json"
}

func (p *project) requires(pkg string) bool {
	if p.composer == nil {
		return false
	}
	_, ok := p.composer.requires[pkg]
	return ok
}

func (p *project) symfony() bool { return p.requires("symfony/framework-bundle") }

func (p *project) laravel() bool { return p.requires("laravel/framework") && p.tree.Has("artisan") }

// planLaravel is what Laravel needs besides its packages.
func (p *project) planLaravel(out *plan.Plan, c *plan.Chain) error {
	if p.tree.IsDir("database/migrations") && !out.Has("release") {
		p.tree.Note("Laravel: migrations do not run by themselves; this Procfile line runs them with")
		p.tree.Note("every release: release: php artisan migrate --force")
	}
	out.Env["APP_ENV"], out.Env["LOG_CHANNEL"] = "production", "stderr"
	if p.tree.Has(".env") {
		p.tree.Note(".env is in the repository, and its APP_KEY with it: git rm --cached .env and")
		p.tree.Note("berth config:set its values keeps secrets out of the source")
		return nil
	}
	// Encrypts cookies; no page works without. Made up once, then config.
	const key = "APP_KEY"
	return c.Manifest(func(m *appjson.Manifest) {
		m.Secrets = slices.DeleteFunc(m.Secrets, func(name string) bool { return name == key })
		if _, set := m.Env[key]; !set && !slices.Contains(m.Keys, key) {
			m.Keys = append(m.Keys, key)
		}
	})
}

// planSymfony is what Symfony needs besides its packages.
func (p *project) planSymfony(out *plan.Plan, c *plan.Chain) error {
	if p.tree.IsDir("migrations") && !out.Has("release") {
		p.tree.Note("Symfony: migrations do not run by themselves; this Procfile line runs them with")
		p.tree.Note("every release: release: php bin/console doctrine:migrations:migrate -n")
	}
	// Signs links and forms; what .env has of it is for development.
	const secret = "APP_SECRET"
	return c.Manifest(func(m *appjson.Manifest) {
		if _, set := m.Env[secret]; !set && !slices.Contains(m.Secrets, secret) {
			m.Secrets = append(m.Secrets, secret)
		}
	})
}

// env is the environment of the running processes.
func (p *project) env() map[string]string {
	env := map[string]string{
		"PATH":             "/app/vendor/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG":             "C.UTF-8",
		"PHP_INI_SCAN_DIR": ":" + ownDir, // after PHP's own directory
		"BERTH_PHP_MODULE": "php" + p.version.series,
	}
	if p.symfony() {
		env["APP_ENV"] = "prod"
		env["APP_DEBUG"] = "0"
	}
	return env
}
