// Package appjson reads app.json: the fields that Heroku and Dokku document and
// berth supports.
package appjson

import (
	"strings"

	"github.com/tailscale/hujson"

	"github.com/berthd/berth/buildpacks/source"
)

// Manifest is the part of app.json that berth acts on.
type Manifest struct {
	Buildpack  string         // the builder that the repository asks for
	Buildpacks []string       // Heroku's key: names and addresses of buildpacks
	Formation  map[string]int // process type → quantity
	Cron       []CronEntry
	Health     map[string][]HealthCheck // by process type

	// Env holds the defaults of config: each is set when the app has no value
	// of that name. Those in Sync are set again with every release.
	Env  map[string]string
	Sync []string
	// Secrets names the config to be made up once (64 random hex digits), Keys
	// the like in the form that Laravel takes (base64: and 32 random bytes),
	// Required what has to be set before the app can run. Languages add to them
	// what their frameworks cannot do without.
	Secrets  []string
	Keys     []string
	Required []string

	Scripts Scripts
	Test    Test
}

// CronEntry is one entry of app.json's cron.
type CronEntry struct {
	Command     string
	Schedule    string // as robfig/cron's ParseStandard takes it, with its time zone
	Concurrency string // "allow", "forbid" or "replace" a run that still goes on
	Maintenance bool   // the entry is paused
	Missed      string // "skip" or "once": what comes of runs that were due while the machine was down; "" is skip
	Timeout     int    // seconds that a run may take; 0 is not said
	Retries     int    // how often a run that failed is tried again
}

// What one app.json may ask for: more than any real one does, and little
// enough to be kept and run.
const (
	maxQuantity = 100
	maxCron     = 100
	maxChecks   = 20
	maxEnv      = 1000
	maxSeconds  = 3600

	// MaxCronTimeout is the longest that a run of a cron entry may take, in
	// seconds, and MaxCronRetries how often one that failed is tried again.
	MaxCronTimeout = 24 * 3600
	MaxCronRetries = 10

	maxBuildpacks = 50
)

// Read reads app.json; a tree without one has an empty manifest.
func Read(t *source.Tree) (Manifest, error) {
	s, err := t.Text("app.json", source.MaxManifest)
	if source.Missing(err) {
		return Manifest{}, nil
	}
	if err != nil {
		return Manifest{}, err
	}
	m, notes, err := parseManifest(s)
	if err != nil {
		return Manifest{}, err
	}
	for _, n := range notes {
		t.Note("%s", n)
	}
	return m, nil
}

// parseManifest reads an app.json: what Heroku and Dokku document of formation,
// cron, healthchecks, env, scripts and the test environment. Of other keys there
// is a note.
func parseManifest(text string) (m Manifest, notes []string, err error) {
	root, err := parseCommented(text)
	if err != nil {
		return m, nil, err
	}
	fields, err := root.Object(`{"cron": []}`)
	if err != nil {
		return m, nil, err
	}
	for _, f := range fields {
		switch f.Name {
		case "formation":
			err = m.formation(f.JSON)
		case "cron":
			err = m.cron(f.JSON)
		case "healthchecks":
			err = m.healthchecks(f.JSON)
		case "env":
			err = m.env(f.JSON)
		case "buildpack":
			m.Buildpack, err = f.Text()
		case "buildpacks":
			err = m.buildpacks(f.JSON)
		case "scripts":
			err = m.scripts(f.JSON)
		case "environments":
			notes, err = m.environments(f.JSON)
		}
		if err != nil {
			return m, nil, err
		}
	}
	return m, append(notes, unread(root)...), nil
}

// maxCommented bounds the brackets of a file with comments: their parser nests
// as deeply as the file does.
const maxCommented = 20_000

// parseCommented reads JSON that may have comments and a comma after the last
// element, as Dokku does.
func parseCommented(text string) (source.JSON, error) {
	root, err := source.ParseJSON(source.CodeManifest, "app.json", text)
	if err == nil || strings.Count(text, "[")+strings.Count(text, "{") > maxCommented {
		return root, err
	}
	plain, bad := hujson.Standardize([]byte(text)) // lines and columns stay
	switch {
	case bad == nil:
		return source.ParseJSON(source.CodeManifest, "app.json", string(plain))
	case strings.Contains(text, "//") || strings.Contains(text, "/*"): // else the comment would be called the mistake
		return root, source.Problemf(source.CodeManifest, "app.json, %s", strings.TrimPrefix(bad.Error(), "hujson: "))
	}
	return root, err
}

func (m *Manifest) buildpacks(v source.JSON) error {
	items, err := v.List(`"buildpacks": [{"url": "heroku/python"}]`, maxBuildpacks)
	if err != nil {
		return err
	}
	for _, item := range items {
		fields, err := item.Object(`{"url": "heroku/python"}`)
		if err != nil {
			return err
		}
		for _, f := range fields {
			if f.Name != "url" {
				continue
			}
			url, err := f.Text()
			if err != nil {
				return err
			}
			m.Buildpacks = append(m.Buildpacks, url)
		}
	}
	return nil
}

func (m *Manifest) formation(v source.JSON) error {
	types, err := v.Object(`"formation": {"web": {"quantity": 2}}`)
	if err != nil {
		return err
	}
	m.Formation = map[string]int{}
	for _, f := range types {
		if err := processType(f); err != nil {
			return err
		}
		settings, err := f.Object(`{"quantity": 2}`)
		if err != nil {
			return err
		}
		for _, s := range settings {
			if s.Name == "quantity" {
				if m.Formation[f.Name], err = s.Integer(0, maxQuantity); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func processType(f source.Field) error {
	if !source.ProcessType.MatchString(f.Name) {
		return f.Misnamed("%q cannot name a process", source.Printable(f.Name)).
			Hint("use letters, digits, - and _, at most 63 of them")
	}
	return nil
}

var envName = source.NewPattern(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (m *Manifest) env(v source.JSON) error {
	const want = `"env": {"COLOR": "blue", "KEY": {"generator": "secret"}}`
	vars, err := v.Object(want)
	if err != nil {
		return err
	}
	if len(vars) > maxEnv {
		return v.Bad("has %d variables; the maximum is %d", len(vars), maxEnv)
	}
	m.Env = map[string]string{}
	for _, f := range vars {
		if !envName.MatchString(f.Name) {
			return f.Misnamed("%q cannot name a variable", source.Printable(f.Name)).
				Hint("use letters, digits and _, not beginning with a digit")
		}
		if !f.IsObject() {
			if m.Env[f.Name], err = f.Text(); err != nil {
				return err
			}
			continue
		}
		if err := m.variable(f, want); err != nil {
			return err
		}
	}
	return nil
}

// variable reads a variable that is described by an object: its value, or how
// to make one up, or else it is required unless it says it is not.
func (m *Manifest) variable(v source.Field, want string) error {
	fields, err := v.Object(want)
	if err != nil {
		return err
	}
	value, hasValue, secret, required := "", false, false, true
	for _, f := range fields {
		if f.Null() {
			continue
		}
		switch f.Name {
		case "value":
			value, err = f.Text()
			hasValue = true
		case "required":
			required, err = f.Flag()
		case "generator":
			_, err = f.OneOf("secret")
			secret = true
		case "sync":
			var sync bool
			if sync, err = f.Flag(); sync {
				m.Sync = append(m.Sync, v.Name)
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case hasValue:
		m.Env[v.Name] = value
	case secret:
		m.Secrets = append(m.Secrets, v.Name)
	case required:
		m.Required = append(m.Required, v.Name)
	}
	return nil
}
