// Package ruby plans Ruby apps: which Ruby, which gems, what it starts.
package ruby

import (
	"fmt"
	"slices"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// project is a Ruby app as its tree shows it.
type project struct {
	tree    *source.Tree
	mirror  mirror.Archives // of Ruby's source
	bundle  *bundle         // nil when there is no Gemfile
	version version

	frontend *node.Frontend // what Node builds; nil is nothing
	bundler  *node.Frontend // what the gems call that bundle Rails' assets; nil is nothing
}

// Evidence names the file by which a tree says that it is a Ruby app; "" is none.
func Evidence(t *source.Tree) string {
	for _, name := range []string{"Gemfile", "gems.rb", "config.ru"} {
		if t.Has(name) {
			return name
		}
	}
	return ""
}

// Plan fills in the plan of a Ruby app.
func Plan(out *plan.Plan, c *plan.Chain) (err error) {
	p := &project{tree: c.Tree, mirror: c.Mirrored("ruby")}
	if p.bundle, err = readBundle(c.Tree); err != nil {
		return err
	}
	if p.version, err = p.findVersion(c.Versions["ruby"]); err != nil {
		return err
	}
	entry := p.findEntry()
	if len(out.Processes) == 0 {
		if entry.command == "" {
			return p.noEntry()
		}
		out.Infer("web", entry.command)
	}
	out.Summary = fmt.Sprintf("Ruby %s%s (%s)", p.version, entry.title(), entry.why)
	out.Versions["ruby"] = p.version.series
	out.Env = p.env()
	if entry.framework == rails {
		if err := p.rails(out, c); err != nil {
			return err
		}
	}
	if p.bundlesItself(entry) {
		if p.bundler, err = node.FindTools(c); err != nil {
			return err
		}
		p.bundler.Announce(out, c)
	} else {
		if p.frontend, err = node.FindFrontend(c); err != nil {
			return err
		}
		p.frontend.Announce(out, c)
	}
	return p.layers(out, c, entry)
}

// noEntry says what was looked for, and found wanting.
func (p *project) noEntry() error {
	return source.Problemf(source.CodeNoProcess, "found no process to start").
		With("looked for a Procfile, for Rails (config/application.rb), for config.ru",
			"and for a file beside Gemfile that requires sinatra").
		Hint("write a file named Procfile with the line: web: bundle exec ruby app.rb")
}

// rails is what Rails needs besides its gems.
func (p *project) rails(out *plan.Plan, c *plan.Chain) error {
	if p.tree.IsDir("db/migrate") && !out.Has("release") {
		p.tree.Note("Rails: migrations do not run by themselves; this Procfile line runs them with")
		p.tree.Note("every release: release: bundle exec rails db:migrate")
	}
	if p.bundle.has("ruby-vips") {
		p.tree.Note("ruby-vips needs its library: write libvips42t64 into a file apt-packages")
	}
	// Signs cookies; the app does not start without. Made up once, then config.
	const secret = "SECRET_KEY_BASE"
	return c.Manifest(func(m *appjson.Manifest) {
		if _, set := m.Env[secret]; !set && !slices.Contains(m.Secrets, secret) {
			m.Secrets = append(m.Secrets, secret)
		}
	})
}

// env is the environment of the running processes.
func (p *project) env() map[string]string {
	env := map[string]string{
		"PATH":     gemHome + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"GEM_HOME": gemHome,
		"LANG":     "C.UTF-8",
		"RACK_ENV": "production",
		"APP_ENV":  "production",
		// The allocator's arenas for each thread are what makes a threaded Ruby
		// grow without end.
		"MALLOC_ARENA_MAX": "2",
	}
	if p.bundle != nil {
		for _, kv := range p.bundle.env(production) {
			env[kv.name] = kv.value
		}
	}
	if p.bundle.has("rails", "railties") {
		env["RAILS_ENV"] = "production"
		env["RAILS_LOG_TO_STDOUT"] = "enabled"
		env["RAILS_SERVE_STATIC_FILES"] = "enabled"
	}
	for name, value := range p.version.env() {
		env[name] = value
	}
	return env
}
