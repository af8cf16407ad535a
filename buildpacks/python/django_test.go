package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

// project returns a Django project whose settings have the lines added.
func djangoProject(lines ...string) fstest.MapFS {
	const named = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n"
	return repo("manage.py", named, "site1/__init__.py", "", "site1/settings.py", strings.Join(lines, "\n")+"\n",
		"site1/wsgi.py", named+"from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n")
}

const (
	staticApp  = "INSTALLED_APPS = ['django.contrib.staticfiles']"
	staticRoot = "STATIC_ROOT = BASE_DIR / 'static'"
	noise      = "MIDDLEWARE = ['whitenoise.middleware.WhiteNoiseMiddleware']"
	postgres   = "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}"
	sqlite     = "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}"
)

func TestDjango_MigratesOnceAndWhereItLasts(t *testing.T) {
	const gunicorn, migrate = "gunicorn site1.wsgi:application", "python manage.py migrate --noinput"
	for name, c := range map[string]struct {
		tree         fstest.MapFS
		web, release string
	}{
		"a server":           {djangoProject(postgres), gunicorn, migrate},
		"a variable":         {djangoProject("import dj_database_url", "DATABASES = {'default': dj_database_url.config(default='sqlite:///x')}"), gunicorn, migrate},
		"env":                {djangoProject("DATABASES = {'default': env.db()}"), gunicorn, migrate},
		"sqlite":             {djangoProject(sqlite), migrate + " && exec " + gunicorn, ""},
		"sqlite or a server": {djangoProject("if 'X' in os.environ:", "    "+postgres, "else:", "    "+sqlite), gunicorn, migrate},
		"no database":        {djangoProject("DEBUG = True"), gunicorn, ""},
		"a Procfile":         {with(djangoProject(postgres), "Procfile", "web: gunicorn site1.wsgi"), "gunicorn site1.wsgi", migrate},
		"a release of its":   {with(djangoProject(postgres), "Procfile", "web: x\nrelease: ./go"), "x", "./go"},
		"migrates itself":    {with(djangoProject(postgres), "Procfile", "web: ./manage.py migrate && x"), "./manage.py migrate && x", ""},
		"predeploy":          {with(djangoProject(postgres), "app.json", `{"scripts": {"dokku": {"predeploy": "x"}}}`), gunicorn, ""},
		"settings of base":   {with(djangoProject("from .base import *"), "site1/base.py", postgres), gunicorn, migrate},
		"circle":             {with(djangoProject("from .base import *"), "site1/base.py", "from .settings import *\n"+postgres), gunicorn, migrate},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, c.tree)
			if got := web(made); got != c.web {
				t.Errorf("web: got %q, want %q", got, c.web)
			}
			if got := packtest.Command(made, "release"); got != c.release {
				t.Errorf("release: got %q, want %q", got, c.release)
			}
		})
	}
}

func with(m fstest.MapFS, name, content string) fstest.MapFS { set(m, name, content); return m }

func TestDjango_CollectsWhatSettingsPutSomewhere(t *testing.T) {
	for name, c := range map[string]struct {
		tree     fstest.MapFS
		collects bool
		note     string
	}{
		"all is there":    {djangoProject(staticApp, staticRoot, noise), true, ""},
		"nothing serves":  {djangoProject(staticApp, staticRoot), true, "nothing serves the static files"},
		"nowhere to":      {djangoProject(staticApp, noise), false, "sets no STATIC_ROOT"},
		"none":            {djangoProject(staticApp, noise, "STATIC_ROOT = None"), false, "sets no STATIC_ROOT"},
		"no static files": {djangoProject(staticRoot), false, ""},
		"not the tree's":  {with(djangoProject(), "manage.py", "x('DJANGO_SETTINGS_MODULE', 'other.settings')"), false, ""},
		"in a condition":  {djangoProject(staticApp, noise, "if not DEBUG:", "    "+staticRoot), true, ""},
		"typed":           {djangoProject(staticApp, noise, "STATIC_ROOT: str = '/app/static'"), true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, c.tree)
			if got := slices.Contains(packtest.Names(made), "static files"); got != c.collects || made.Sealed != c.collects {
				t.Errorf("layers %q, sealed %t; want collected %t", packtest.Names(made), made.Sealed, c.collects)
			}
			notes := strings.Join(made.Notes, "\n")
			if !strings.Contains(notes, c.note) || c.note == "" && strings.Contains(notes, "static") {
				t.Errorf("notes: got %q, want %q", notes, c.note)
			}
		})
	}
}

func TestDjango_SettingsThatServeAreThoseOfAll(t *testing.T) {
	made := detect(t, with(with(djangoProject(), "manage.py", "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.dev')\n"), "site1/dev.py", ""))
	if got := made.Env["DJANGO_SETTINGS_MODULE"]; got != "site1.settings" {
		t.Errorf("got %q, want those of wsgi.py", got)
	}
	if got := detect(t, djangoProject()).Env["DJANGO_SETTINGS_MODULE"]; got != "" {
		t.Errorf("got %q where both agree", got)
	}
	below := fstest.MapFS{"README": {}}
	for name, file := range djangoProject(postgres, staticApp, staticRoot) {
		below["backend/"+name] = file
	}
	made = detect(t, below)
	if got, want := packtest.Command(made, "release"), "python backend/manage.py migrate --noinput"; got != want {
		t.Errorf("release: got %q, want %q", got, want)
	}
	if got, want := web(made), "gunicorn --chdir backend site1.wsgi:application"; got != want {
		t.Errorf("web: got %q, want %q", got, want)
	}
}

func TestDjango_AppsNamedInSettingsAreInstalled(t *testing.T) {
	made := detect(t, with(djangoProject("INSTALLED_APPS = ['django.contrib.auth', 'rest_framework', 'corsheaders', 'shop.apps.Shop']", noise), "shop/apps.py", ""))
	if got, want := installs(t, made), "django django-cors-headers djangorestframework gunicorn whitenoise"; got != want {
		t.Errorf("installs %q, want %q", got, want)
	}
}

func TestDjango_ASGIWhenSettingsSaySo(t *testing.T) {
	made := detect(t, with(djangoProject("ASGI_APPLICATION = 'site1.asgi.application'"), "site1/asgi.py", "application = ProtocolTypeRouter({})\n"))
	if got, want := web(made), "uvicorn site1.asgi:application --host 0.0.0.0 --port $PORT"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeys_StaticFilesFollowSourceAndConfig(t *testing.T) {
	tree := djangoProject(staticApp, staticRoot, noise)
	before := packtest.Request(tree)
	for name, c := range map[string]struct {
		change func(*plan.Request)
		want   []string
	}{
		"nothing":       {func(*plan.Request) {}, nil},
		"a source line": {func(r *plan.Request) { r.Digest = "other" }, []string{"static files"}},
	} {
		after := before
		c.change(&after)
		if got := packtest.Rebuilt(t, Plan, before, after); !slices.Equal(got, c.want) {
			t.Errorf("%s: rebuilt %q, want %q", name, got, c.want)
		}
	}
	if l := packtest.Layer(t, detect(t, tree), "static files"); l.Config != plan.ConfigBakes || !l.Source {
		t.Errorf("got %+v, want the source with the config baked", l)
	}
}

// What the settings want of the config may not be there yet; what is there
// stays what it is.
func TestCollectScript_StandsInForASecret(t *testing.T) {
	dir := t.TempDir()
	fake := "#!/bin/sh\necho \"$@\"\necho $DJANGO_SETTINGS_MODULE\necho ${#SECRET_KEY} $APP_SECRET_KEY\n"
	if err := os.WriteFile(filepath.Join(dir, "python"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(env ...string) string {
		d := &django{manage: "manage.py", settings: "a.b", strings: map[string]bool{"APP_SECRET_KEY": true, "x SECRET_KEY": true}}
		cmd := d.static(nil).Commands[0]
		c := exec.Command(cmd.Args[0], cmd.Args[1:]...)
		c.Env = append([]string{"PATH=" + dir + ":/usr/bin:/bin"}, env...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got, want := run("APP_SECRET_KEY=own"), "manage.py collectstatic --noinput\na.b\n35 own\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := run("DJANGO_SETTINGS_MODULE=mine"); !strings.Contains(got, "\nmine\n") {
		t.Errorf("got %q, want the config's settings", got)
	}
	if got := run("DISABLE_COLLECTSTATIC=1"); strings.Contains(got, "manage.py") {
		t.Errorf("got %q, want nothing run", got)
	}
}

func FuzzDjangoSettings(f *testing.F) {
	f.Add("STATIC_ROOT = 1\nINSTALLED_APPS += ['a.b']\nif x: DATABASES = {}\nfrom .settings import *\n")
	f.Fuzz(func(t *testing.T, text string) {
		packtest.Make(Plan, packtest.Request(djangoProject(text)))
	})
}

// SQLite makes its file and no folder, and git keeps no empty one.
func TestDjango_TheFolderOfSQLitesFileIsMade(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		made     string
	}{
		"joined":      {"DATABASE = os.path.join(BASE_DIR, \"data\", \"db.sqlite3\")\nTASKS = os.path.join(BASE_DIR, 'data', 'tasks.sqlite3')\n", "mkdir -p data\n"},
		"a path":      {"DATABASE = BASE_DIR / 'var' / 'db.sqlite3'\n", "mkdir -p var\n"},
		"in the root": {"DATABASE = BASE_DIR / 'db.sqlite3'\n", ""},
		"there":       {"DATABASE = BASE_DIR / 'site1' / 'db.sqlite3'\n", ""},
		"out":         {"DATABASE = BASE_DIR / '..' / 'db.sqlite3'\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			made := detect(t, djangoProject(staticApp, staticRoot, c.settings))
			script, _, _ := strings.Cut(packtest.Layer(t, made, "static files").Commands[0].Args[2], "if [")
			if script != c.made || strings.Contains(strings.Join(made.Notes, "\n"), "it is created") != (c.made != "") {
				t.Errorf("got %q, notes %q; want %q", script, made.Notes, c.made)
			}
		})
	}
}
