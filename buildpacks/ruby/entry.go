package ruby

import (
	"path"
	"slices"

	"github.com/berthd/berth/buildpacks/source"
)

// The frameworks that are told apart.
const (
	rails   = "Rails"
	sinatra = "Sinatra"
	rack    = "Rack"
)

// entryPoint is what an app's web process starts.
type entryPoint struct {
	framework string // "" is none that is known
	why       string // "Gemfile.lock lists railties"
	command   string // "" when nothing is known to start
}

func (e entryPoint) title() string {
	if e.framework == "" {
		return ""
	}
	return ", " + e.framework
}

// servers are the web servers of Rack, and how each is told its port.
var servers = []struct{ gem, command string }{
	{"puma", "puma -b tcp://0.0.0.0:$PORT"},
	{"unicorn", "unicorn -o 0.0.0.0 -p $PORT"},
	{"falcon", "falcon serve --bind http://0.0.0.0:$PORT"},
	{"thin", "thin start -a 0.0.0.0 -p $PORT"},
	{"iodine", "iodine -b 0.0.0.0 -p $PORT"},
	{"passenger", "passenger start --address 0.0.0.0 --port $PORT"},
}

// findEntry finds what to start: Rails, then config.ru, then Sinatra's classic
// style, a program that serves when it is run.
func (p *project) findEntry() entryPoint {
	if p.bundle == nil {
		return entryPoint{rack, "config.ru", "puma -b tcp://0.0.0.0:$PORT"}
	}
	if p.bundle.has("railties", "rails") && p.tree.Has("config/application.rb") {
		e := entryPoint{rails, p.listed("rails", "railties"), "bundle exec rails server -b 0.0.0.0 -p $PORT"}
		if p.bundle.has("puma") && p.tree.Has("config/puma.rb") {
			// Rails' own server would say the same at greater length, and leave a
			// file with its pid.
			e.command = "bundle exec puma -C config/puma.rb"
		}
		return e
	}
	program := p.sinatraProgram()
	if p.tree.Has("config.ru") {
		e := entryPoint{rack, "config.ru", p.rackServer()}
		if p.bundle.has("sinatra") {
			e.framework, e.why = sinatra, p.listed("sinatra")
		}
		return e
	}
	if program != "" {
		return entryPoint{sinatra, source.Printable(program) + " requires sinatra", "bundle exec ruby " + source.ShellWord(program) + " -o 0.0.0.0 -p $PORT"}
	}
	return entryPoint{why: p.bundle.gemfile}
}

// listed says which file lists the first of the gems that is in the bundle.
func (p *project) listed(gems ...string) string {
	i := slices.IndexFunc(gems, func(name string) bool { return p.bundle.has(name) })
	file := p.bundle.gemfile
	if p.bundle.lock != "" {
		file = p.bundle.lock
	}
	return file + " lists " + gems[max(i, 0)]
}

// rackServer starts config.ru with the bundle's server.
func (p *project) rackServer() string {
	for _, s := range servers {
		if p.bundle.has(s.gem) {
			if s.gem == "puma" && p.tree.Has("config/puma.rb") {
				return "bundle exec puma -C config/puma.rb"
			}
			return "bundle exec " + s.command
		}
	}
	if !p.bundle.has("rackup", "webrick") {
		p.tree.Note("%s has no web server: bundle add puma, and commit", p.bundle.gemfile)
	}
	return "bundle exec rackup -o 0.0.0.0 -p $PORT"
}

const (
	maxProgram  = 512 << 10 // bytes of a Ruby file
	maxPrograms = 50        // files beside Gemfile
)

// sinatraCall is the require of the classic style, after which a program serves
// when it ends.
var sinatraCall = source.NewPattern(`^require[\s(]+["']sinatra["']`)

// sinatraProgram returns the file beside Gemfile that is a Sinatra app in the
// classic style; "" is none.
func (p *project) sinatraProgram() string {
	if !p.bundle.has("sinatra") {
		return ""
	}
	var found []string
	files := 0
	for _, e := range p.tree.Dir(".") {
		if path.Ext(e.Name()) != ".rb" || !e.Type().IsRegular() || files == maxPrograms {
			continue
		}
		files++
		text, err := p.tree.Text(e.Name(), maxProgram)
		if err == nil && slices.ContainsFunc(statements(text), sinatraCall.MatchString) {
			found = append(found, e.Name())
		}
	}
	for _, usual := range []string{"app.rb", "main.rb", "server.rb", "web.rb"} {
		if slices.Contains(found, usual) {
			return usual
		}
	}
	if len(found) == 0 {
		return ""
	}
	return found[0]
}
