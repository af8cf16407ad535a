package buildpacks

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Manifest is the part of app.json that berth acts on.
type Manifest struct {
	Formation map[string]int // process type → quantity
	Cron      []CronEntry
	Health    map[string][]HealthCheck // by process type

	// Env holds the defaults of config: each is set when the app has no value
	// of that name. Those in Sync are set again with every release.
	Env  map[string]string
	Sync []string
	// Secrets names the config to be made up once (64 random hex digits),
	// Required what has to be set before the app can run.
	Secrets  []string
	Required []string
}

// CronEntry is one entry of app.json's cron.
type CronEntry struct {
	Command     string
	Schedule    string // as robfig/cron's ParseStandard takes it
	Concurrency string // "allow", "forbid" or "replace" a run that still goes on
	Maintenance bool   // the entry is paused
}

// What one app.json may ask for: more than any real one does, and little
// enough to be kept and run.
const (
	maxQuantity = 100
	maxCron     = 100
	maxChecks   = 20
	maxEnv      = 1000
	maxSeconds  = 3600
)

// manifest reads app.json; a tree without one has an empty manifest.
func (t *tree) manifest() (Manifest, error) {
	s, err := t.text("app.json", maxManifest)
	if missing(err) {
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
		t.note("%s", n)
	}
	return m, nil
}

// parseManifest reads an app.json: what Heroku and Dokku document of formation,
// cron, healthchecks and env. Other keys are somebody else's.
func parseManifest(text string) (m Manifest, notes []string, err error) {
	root, err := parseJSON("app.json", text)
	if err != nil {
		return m, nil, err
	}
	fields, err := root.object(`{"cron": []}`)
	if err != nil {
		return m, nil, err
	}
	for _, f := range fields {
		switch f.name {
		case "formation":
			err = m.formation(f.jsonValue)
		case "cron":
			err = m.cron(f.jsonValue)
		case "healthchecks":
			err = m.healthchecks(f.jsonValue)
		case "env":
			err = m.env(f.jsonValue)
		case "scripts":
			if len(f.fields) > 0 {
				notes = append(notes, "app.json: scripts are not run by this version of berth")
			}
		}
		if err != nil {
			return m, nil, err
		}
	}
	return m, notes, nil
}

func (m *Manifest) formation(v jsonValue) error {
	types, err := v.object(`"formation": {"web": {"quantity": 2}}`)
	if err != nil {
		return err
	}
	m.Formation = map[string]int{}
	for _, f := range types {
		if err := f.processType(); err != nil {
			return err
		}
		settings, err := f.object(`{"quantity": 2}`)
		if err != nil {
			return err
		}
		for _, s := range settings {
			if s.name == "quantity" {
				if m.Formation[f.name], err = s.integer(0, maxQuantity); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (f jsonField) processType() error {
	if !processType.MatchString(f.name) {
		return f.doc.problem(f.at, "%q cannot name a process", printable(f.name)).
			hint("use letters, digits, - and _, at most 63 of them")
	}
	return nil
}

func (m *Manifest) cron(v jsonValue) error {
	const want = `"cron": [{"command": "python job.py", "schedule": "0 3 * * *"}]`
	items, err := v.list(want, maxCron)
	if err != nil {
		return err
	}
	for _, item := range items {
		entry, err := item.cronEntry(want)
		if err != nil {
			return err
		}
		same := func(e CronEntry) bool { return e.Command == entry.Command && e.Schedule == entry.Schedule }
		if i := slices.IndexFunc(m.Cron, same); i >= 0 {
			return item.bad("is the same as cron[%d]", i).hint("remove one of the two")
		}
		m.Cron = append(m.Cron, entry)
	}
	return nil
}

func (v jsonValue) cronEntry(want string) (CronEntry, error) {
	entry := CronEntry{Concurrency: "allow"}
	if v.null() {
		return entry, v.wrong("an object")
	}
	fields, err := v.object(want)
	if err != nil {
		return entry, err
	}
	for _, f := range fields {
		switch f.name {
		case "command":
			if entry.Command, err = f.text(); err == nil && strings.TrimSpace(entry.Command) == "" {
				err = f.bad("is empty")
			}
		case "schedule":
			if entry.Schedule, err = f.text(); err == nil {
				entry.Schedule = strings.TrimSpace(entry.Schedule)
				err = f.schedule(entry.Schedule)
			}
		case "maintenance":
			entry.Maintenance, err = f.flag()
		case "concurrency_policy":
			entry.Concurrency, err = f.oneOf("allow", "forbid", "replace")
		}
		if err != nil {
			return entry, err
		}
	}
	if entry.Command == "" {
		return entry, v.bad("has no command").hint("write it as %s", want)
	}
	if entry.Schedule == "" {
		return entry, v.bad("has no schedule").hint("write it as %s", want)
	}
	return entry, nil
}

// schedule checks that cron takes s, and that it comes, and not too often.
func (v jsonValue) schedule(s string) error {
	bad := func(why string) error {
		return v.bad("is %q: %s", printable(s), why).
			hint(`five fields, "minute hour day month weekday" in UTC, or @hourly, @daily, @weekly, @monthly`)
	}
	// ParseStandard slices beyond the end of a zone with nothing after it.
	if strings.Contains(s, "TZ=") && !strings.Contains(s, " ") {
		return bad("nothing follows the time zone")
	}
	if strings.ContainsAny(s, "\n\r") {
		return bad("a line break in it")
	}
	sched, err := cron.ParseStandard(s)
	if err != nil {
		return bad(err.Error())
	}
	if every, ok := sched.(cron.ConstantDelaySchedule); ok && every.Delay < time.Minute {
		return bad("more often than once a minute")
	}
	// From one fixed day on, so that the same file always gets the same answer.
	if sched.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return bad("there is no such day")
	}
	return nil
}

func (v jsonValue) oneOf(words ...string) (string, error) {
	s, err := v.text()
	if err == nil && !slices.Contains(words, s) {
		err = v.bad("is %q and should be one of %s", printable(s), strings.Join(words, ", "))
	}
	return s, err
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (m *Manifest) env(v jsonValue) error {
	const want = `"env": {"COLOR": "blue", "KEY": {"generator": "secret"}}`
	vars, err := v.object(want)
	if err != nil {
		return err
	}
	if len(vars) > maxEnv {
		return v.bad("has %d variables; %d is the most", len(vars), maxEnv)
	}
	m.Env = map[string]string{}
	for _, f := range vars {
		if !envName.MatchString(f.name) {
			return f.doc.problem(f.at, "%q cannot name a variable", printable(f.name)).
				hint("use letters, digits and _, not beginning with a digit")
		}
		if _, ok := f.value.(jsonObject); !ok {
			if m.Env[f.name], err = f.text(); err != nil {
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
func (m *Manifest) variable(v jsonField, want string) error {
	fields, err := v.object(want)
	if err != nil {
		return err
	}
	value, hasValue, secret, required := "", false, false, true
	for _, f := range fields {
		if f.null() {
			continue
		}
		switch f.name {
		case "value":
			value, err = f.text()
			hasValue = true
		case "required":
			required, err = f.flag()
		case "generator":
			_, err = f.oneOf("secret")
			secret = true
		case "sync":
			var sync bool
			if sync, err = f.flag(); sync {
				m.Sync = append(m.Sync, v.name)
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case hasValue:
		m.Env[v.name] = value
	case secret:
		m.Secrets = append(m.Secrets, v.name)
	case required:
		m.Required = append(m.Required, v.name)
	}
	return nil
}
