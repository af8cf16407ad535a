// Package advice detects from a program's output what is missing: a module, a
// system library, a variable, a service, a writable directory. It adds hints to a
// fault that say how to fix it. It works for programs of builds and of apps, by
// their output and their exit.
package advice

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/python"
	problem "github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/store/fault"
)

var (
	pythonSays = problem.NewPattern(`ModuleNotFoundError: No module named ['"]?([\w.]+)['"]?(; .*is not a package)?`)
	nodeSays   = problem.NewPattern(`(?:Cannot find module|Cannot find package) ['"]([^'"]+)['"]`)
	rubySays   = problem.NewPattern(`cannot load such file -- ([\w./-]+)`)
)

// Program adds the hints that follow from the modules and libraries that a program
// says it did not find.
func Program(f *fault.Error, lines []string) *fault.Error {
	for _, line := range lines {
		adviseModule(f, line)
		if library := missingLibrary(line); library != "" {
			adviseLibrary(f, library)
		}
	}
	return f
}

// adviseModule says what to do about a module that a program did not find.
func adviseModule(f *fault.Error, line string) {
	if m := pythonSays.FindStringSubmatch(line); m != nil {
		advisePython(f, m[1], m[2] != "")
	}
	if m := nodeSays.FindStringSubmatch(line); m != nil {
		name := m[1]
		switch {
		case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/"):
			f.Hint("there is no file %s: commit it, or let a build script create it", name)
		case strings.HasPrefix(name, "@") && strings.Count(name, "/") > 0:
			parts := strings.SplitN(name, "/", 3)
			f.Hint("npm install %s, and commit package.json and the lock file", parts[0]+"/"+parts[1])
		default:
			name, _, _ = strings.Cut(name, "/")
			f.Hint("npm install %s, and commit package.json and the lock file", name)
		}
	}
	if m := rubySays.FindStringSubmatch(line); m != nil && !path.IsAbs(m[1]) && !strings.HasPrefix(m[1], ".") {
		f.Hint("add the gem that has %s to the Gemfile, run bundle install, and commit both files", m[1])
	}
}

// advisePython tells a package that is not installed from a part that an
// installed package does not have: Python names the whole of the latter.
func advisePython(f *fault.Error, module string, noPackage bool) {
	parent, dist := path.Base(module), python.Distribution(module)
	if i := strings.LastIndexByte(module, '.'); i > 0 {
		parent = module[:i]
	}
	switch {
	case noPackage:
		f.Hint("%s is a module, not a package: is one of the app's files named %s.py?", parent, strings.ReplaceAll(parent, ".", "/"))
	case parent != module:
		f.Hint("%s has no module %s: check the name and the version of the package", parent, module[len(parent)+1:])
	case python.Removed(module):
		f.Hint("Python removed %s before 3.13: write 3.11 into a file named .python-version", module)
	case dist == "":
		f.Hint("berth knows no package with %s: is its file committed?", module)
	default:
		f.Hint("add %s to requirements.txt, or commit the file if %s is the app's own", dist, module)
	}
}

// settingSays finds the variable that a program misses in what it prints.
var settingSays = []problem.Pattern{
	problem.NewPattern(`KeyError: ['"]([A-Z][A-Z0-9_]{2,})['"]`),               // Python: os.environ
	problem.NewPattern(`key not found: ['"]([A-Z][A-Z0-9_]{2,})['"]`),          // Ruby: ENV.fetch
	problem.NewPattern(`[Ss]et the ([A-Z][A-Z0-9_]{2,}) environment variable`), // django-environ
	problem.NewPattern(`(?i:environment variable|env(?:ironment)? var|env variable|config var(?:iable)?)s?(?i: not found| missing| is not set| named)?:? *["'` + "`" + `$]?([A-Z][A-Z0-9]*_[A-Z0-9_]+|[A-Z]{3,})\b`),
	problem.NewPattern(`\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)["'` + "`" + `]?(?i: environment variable| env(?:ironment)? var(?:iable)?)?(?i: is| was| must be| has to be| needs to be)? (?i:not set|not defined|not found|not provided|undefined|missing|required|set|unset|defined|provided|empty|a required)\b`),
	problem.NewPattern(`(?i:missing|please (?:set|provide|define)|you must (?:set|provide|define))(?i: the| required| environment| env| config| variables?| vars?| keys?| settings?)*:? *["'` + "`" + `$]?([A-Z][A-Z0-9]*_[A-Z0-9_]+)`),
	problem.NewPattern(`Could not resolve placeholder '([A-Z][A-Z0-9_]{2,})'`), // Spring
}

// ownSettings are variables that berth sets, or that are no config.
var ownSettings = []string{"PORT", "PATH", "HOME", "PWD", "LANG", "USER"}

// missingSetting returns the variable that a program says it misses; "" is none.
func missingSetting(line string) string {
	for _, says := range settingSays {
		if m := says.FindStringSubmatch(line); m != nil && !slices.Contains(ownSettings, m[1]) {
			return m[1]
		}
	}
	return ""
}

var (
	pydanticSays = problem.NewPattern(`^\| *Field required \[type=missing`)
	fieldName    = problem.NewPattern(`^\| *([A-Za-z_]\w*)$`)
	refusedSays  = problem.NewPattern(`(?i)(?:localhost|127\.0\.0\.1|::1)[^\n]{0,30}?\b(5432|3306|6379|27017|5672|9200|11211)\b`)
	nowhereSays  = problem.NewPattern(`(?:getaddrinfo (?:ENOTFOUND|EAI_AGAIN) |could not translate host name "|lookup )([a-z0-9][a-z0-9_-]{0,40})(?:"|:| |$)`)
	unwritable   = problem.NewPattern(`(?i:read-only file ?system|EROFS|permission denied|EACCES|\[Errno 13\]|\[Errno 30\])`)
	absolutePath = problem.NewPattern(`(?:^|[\s'"` + "`" + `(=:])(/[\w.@+-]+(?:/[\w.@+-]+)*)`)
)

// services are what listens on ports by custom, with the variable that usually
// names it.
var services = map[string]struct{ title, variable string }{
	"5432": {"PostgreSQL", "DATABASE_URL"}, "3306": {"MySQL", "DATABASE_URL"}, "6379": {"Redis", "REDIS_URL"}, "27017": {"MongoDB", "MONGODB_URI"},
	"5672": {"RabbitMQ", "RABBITMQ_URL"}, "9200": {"Elasticsearch", "ELASTICSEARCH_URL"}, "11211": {"Memcached", "MEMCACHED_URL"},
}

// Settings adds the hints that follow from what an app's container does not have:
// variables that are not set, services, directories that can be written. ssh
// is how a command of berth begins.
func Settings(f *fault.Error, ssh, app string, lines []string) *fault.Error {
	before := ""
	for _, line := range lines {
		name := missingSetting(line)
		if m := fieldName.FindStringSubmatch(before); m != nil && pydanticSays.MatchString(line) {
			name = strings.ToUpper(m[1])
		}
		before = line
		if name != "" {
			hintSetting(f, ssh, app, name)
		}
		if m := refusedSays.FindStringSubmatch(line); m != nil && strings.Contains(strings.ToLower(line), "refused") {
			s := services[m[1]]
			hintOnce(f, s.title+" does not run in the app's container: use an address that the app can reach")
			hintSetting(f, ssh, app, s.variable)
		}
		if m := nowhereSays.FindStringSubmatch(line); m != nil && m[1] != "localhost" {
			hintOnce(f, "there is no host "+m[1]+" here, unlike in a compose file: set one that the app can reach with config:set")
		}
		adviseFiles(f, ssh, app, line)
	}
	return f
}

// hintSetting says how a variable is set.
func hintSetting(f *fault.Error, ssh, app, name string) {
	hintOnce(f, ssh+" config:set "+app+" "+name+"=VALUE")
}

// adviseFiles says where an app can write, and how what it writes lasts.
func adviseFiles(f *fault.Error, ssh, app, line string) {
	m := absolutePath.FindStringSubmatch(strings.TrimPrefix(line, "| "))
	outside := m != nil && m[1] != "/app" && !strings.HasPrefix(m[1], "/app/") && !strings.HasPrefix(m[1], "/proc/")
	if unwritable.MatchString(line) && outside {
		hintOnce(f, "an app can write only below /app and /tmp, not to "+m[1]+"; the next release starts without what it wrote, a volume keeps it:")
		dir := m[1]
		if path.Ext(dir) != "" && strings.Count(dir, "/") > 1 {
			dir = path.Dir(dir)
		}
		hintVolume(f, ssh, app, dir)
	}
	if strings.Contains(line, "unable to open database file") || strings.Contains(line, "SQLITE_CANTOPEN") {
		hintOnce(f, "SQLite's file must be in an existing directory below /app or /tmp; the next release starts without it, a volume keeps it:")
		hintVolume(f, ssh, app, "/app/data")
	}
}

// hintVolume says how a directory is made one that lasts.
func hintVolume(f *fault.Error, ssh, app, dir string) {
	hintOnce(f, ssh+" storage:create data --app "+app)
	hintOnce(f, ssh+" storage:mount "+app+" data --container-dir "+dir)
}

// hintOnce adds a hint that is not there yet.
func hintOnce(f *fault.Error, hint string) {
	if !slices.Contains(f.Hints, hint) {
		f.Hint("%s", hint)
	}
}
