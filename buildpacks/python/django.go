package python

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// django is what a Django project says of itself in manage.py and in the
// settings that it names, as far as they can be read without being run.
type django struct {
	manage   string // "manage.py", "backend/manage.py"
	settings string // "site1.settings", the one that serves
	managed  string // those that manage.py names
	known    bool   // the settings are files of the tree; else nothing below is known

	names   map[string]bool   // that the settings set
	values  map[string]string // of those that are plain strings
	strings map[string]bool   // that stand anywhere in them
	apps    []string          // of INSTALLED_APPS and MIDDLEWARE
	url     bool              // the database is named by a variable
	folders []string          // that hold SQLite's files, and are not in the tree
}

// sqliteFile is the place of one: os.path.join(BASE_DIR, "data", "db.sqlite3").
var sqliteFile = source.NewPattern(`BASE_DIR\s*[,/]\s*["']([A-Za-z0-9_][A-Za-z0-9_.-]{0,60})["']\s*[,/]\s*["'][A-Za-z0-9_.-]{1,60}\.(?:sqlite3?|db)["']`)

// findFolders notes the folders of SQLite's files, which nobody keeps in git, as
// it keeps no empty ones: SQLite makes its file, and not where that lies.
func (d *django) findFolders(p *project, file string) {
	text, err := p.tree.Text(file, source.MaxManifest)
	if err != nil {
		return // there are none in it
	}
	for _, m := range sqliteFile.FindAllStringSubmatch(text, -1) {
		if dir := d.root() + m[1]; !p.tree.IsDir(dir) && !slices.Contains(d.folders, dir) {
			d.folders = append(d.folders, dir)
			p.tree.Note("%s, where the settings put SQLite's file, is not in the repository: it is created", source.Printable(dir))
		}
	}
}

// readDjango finds the project of a tree; nil when there is none.
func (p *project) readDjango() *django {
	var d *django
	for _, m := range p.code.ranked() {
		if path.Base(m.file) == "manage.py" && m.settings != "" {
			d = &django{manage: m.file, settings: m.settings, managed: m.settings}
			break
		}
	}
	if d == nil {
		return nil
	}
	for _, m := range p.code.ranked() {
		if base := path.Base(m.file); base == "wsgi.py" && m.settings != "" && strings.HasPrefix(m.file, d.root()) {
			d.settings = m.settings
			break
		}
	}
	d.names, d.values, d.strings = map[string]bool{}, map[string]string{}, map[string]bool{}
	d.read(p, d.settings, 0)
	return d
}

// root is the folder of manage.py, with a slash; "" is the tree's own.
func (d *django) root() string {
	return strings.TrimPrefix(strings.TrimPrefix(path.Dir(d.manage)+"/", "."), "/")
}

// read reads a module of the settings and those all of whose names it takes.
func (d *django) read(p *project, name string, hops int) {
	file := strings.ReplaceAll(name, ".", "/")
	for _, file := range []string{d.root() + file + ".py", d.root() + file + "/__init__.py", file + ".py", file + "/__init__.py"} {
		m := p.code.modules[file]
		if m == nil || hops > maxHops {
			continue
		}
		d.findFolders(p, file)
		d.known = true
		for _, star := range m.stars {
			d.read(p, star, hops+1)
		}
		for _, call := range m.calls {
			d.url = d.url || strings.HasPrefix(m.meaning(call), "dj_database_url.") || strings.HasSuffix(call, ".db") || strings.HasSuffix(call, ".db_url")
		}
		text, err := p.tree.Read(file, maxModule)
		if err != nil {
			return
		}
		for _, line := range scanPython(string(text)) {
			d.statement(line.tokens)
		}
		return
	}
}

// statement reads a line of the settings, on whatever level it stands: "if not
// DEBUG:" comes before many.
func (d *django) statement(tokens []token) {
	_, body := splitHead(tokens)
	if len(body) > 2 && body[0].kind == tokenName {
		name := body[0].text
		equals := slices.IndexFunc(body, func(t token) bool { return t.is("=") })
		if equals > 0 && equals+1 < len(body) && !body[equals+1].is("None") {
			d.names[name] = true
			if value := body[equals+1]; value.kind == tokenString && equals+2 == len(body) {
				d.values[name] = value.text
			}
		}
		if strings.HasSuffix(name, "APPS") || strings.HasPrefix(name, "MIDDLEWARE") {
			for _, t := range body[1:] {
				if t.kind == tokenString && t.text != "" {
					d.apps = append(d.apps, t.text)
				}
			}
		}
	}
	for _, t := range tokens {
		if t.kind == tokenString && t.text != "" && len(t.text) < 200 {
			d.strings[t.text] = true
		}
	}
}

// mentions tells whether a string of the settings begins so.
func (d *django) mentions(prefix string) bool {
	for s := range d.strings {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// asgi returns the entry that ASGI_APPLICATION names: who sets it serves by it.
func (d *django) asgi(p *project) (entryPoint, bool) {
	if d == nil {
		return entryPoint{}, false
	}
	value := d.values["ASGI_APPLICATION"]
	dot := strings.LastIndexByte(value, '.')
	if dot < 0 {
		return entryPoint{}, false
	}
	m := p.code.modules[d.root()+strings.ReplaceAll(value[:dot], ".", "/")+".py"]
	if m == nil || !flaskObject.MatchString(value[dot+1:]) {
		return entryPoint{}, false
	}
	e := p.code.entry(m, value[dot+1:], appMakers["django.core.asgi.get_asgi_application"])
	e.evidence = "is ASGI_APPLICATION"
	return e, true
}

// database tells which database the settings name: "" none, "sqlite" a file of
// the app's own, "server" another one or one that a variable names.
func (d *django) database() string {
	const engines = "django.db.backends."
	other := d.url || d.strings["DATABASE_URL"]
	for s := range d.strings {
		other = other || strings.HasPrefix(s, engines) && s != engines+"sqlite3"
	}
	switch {
	case d.known && !d.names["DATABASES"]:
		return ""
	case d.strings[engines+"sqlite3"] && !other:
		return "sqlite"
	}
	return "server"
}

// migrateWord finds a command that migrates by itself.
var migrateWord = source.NewPattern(`(^|\s)migrate(\s|$)`)

// migrate sees to it that the database is migrated: by a release process, or,
// where it is a file that lives and dies with the container, when that starts.
func (d *django) migrate(p *project, out *plan.Plan) {
	if d.database() == "" || out.Has("release") || out.Manifest.Scripts.Predeploy != "" ||
		slices.ContainsFunc(p.commands, func(c string) bool { return migrateWord.MatchString(c) }) {
		return
	}
	migrate := "python " + source.ShellWord(d.manage) + " migrate --noinput"
	if d.database() != "sqlite" {
		out.Infer("release", migrate)
		return
	}
	p.tree.Note("SQLite: the database is in the container and is empty after each release")
	for i, proc := range out.Processes {
		if proc.Type == "web" && proc.Inferred {
			out.Processes[i].Command = migrate + " && exec " + proc.Command
		}
	}
}

// collects tells whether there are static files to be collected, and notes
// what keeps them from being there, or from being served.
func (d *django) collects(p *project) bool {
	if !d.known {
		p.tree.Note("the settings %s were not found: collectstatic is not run", source.Printable(d.settings))
		return false
	}
	if !d.strings["django.contrib.staticfiles"] {
		return false
	}
	served := d.mentions("whitenoise.") || d.mentions("storages.") || d.mentions("dj_static")
	if !served {
		p.tree.Note("nothing serves the static files; add whitenoise to the dependencies")
		p.tree.Note("and whitenoise.middleware.WhiteNoiseMiddleware to MIDDLEWARE")
	}
	if !d.names["STATIC_ROOT"] {
		if served {
			p.tree.Note("%s sets no STATIC_ROOT: collectstatic is not run", d.settings)
		}
		return false
	}
	return true
}

// collectScript runs collectstatic with settings that may want a secret, which
// then need not be the real one: what is collected does not depend on it.
const collectScript = `if [ -n "$DISABLE_COLLECTSTATIC" ]; then echo "DISABLE_COLLECTSTATIC is set: collectstatic is not run"; exit 0; fi
manage=$1 settings=$2; shift 2
export DJANGO_SETTINGS_MODULE="${DJANGO_SETTINGS_MODULE:-$settings}"
for name; do [ -n "$(printenv "$name")" ] || export "$name=of-the-build-alone-1f0c9b6d5e7a4382"; done
exec python "$manage" collectstatic --noinput`

// secretName is a variable that the settings may want for SECRET_KEY.
var secretName = source.NewPattern(`^[A-Z][A-Z0-9_]*$`)

// static returns the layer of the source with the static files collected in it.
func (d *django) static(env []string) plan.Layer {
	folders := ""
	for _, dir := range d.folders {
		folders += "mkdir -p " + source.ShellWord(dir) + "\n"
	}
	args := []string{"sh", "-c", folders + collectScript, "sh", d.manage, d.settings}
	secrets := map[string]bool{"SECRET_KEY": true}
	for s := range d.strings {
		if strings.HasSuffix(s, "SECRET_KEY") && secretName.MatchString(s) {
			secrets[s] = true
		}
	}
	return plan.Layer{
		Name: "static files", Source: true, Config: plan.ConfigBakes, Env: env,
		Commands: []plan.Command{{Args: append(args, source.SortedKeys(secrets)...)}},
		Failure: source.Problemf(source.CodeOutput, "collectstatic failed").
			Hint("set the config that the settings need first, with config:set").
			Hint("STATIC_ROOT has to be a folder of the app").
			Hint("to skip it, set the config DISABLE_COLLECTSTATIC=1"),
	}
}

// installed returns the distributions of the apps and the middleware that the
// settings name without importing them.
func (d *django) installed(own map[string]bool) (dists []string) {
	if d == nil {
		return nil
	}
	for _, name := range d.apps {
		top, _, _ := strings.Cut(name, ".")
		if own[top] || standardLibrary[top] || !distName.MatchString(top) {
			continue
		}
		if dist := distribution(importation{module: name}); dist != "" {
			dists = append(dists, dist)
		}
	}
	return dists
}
