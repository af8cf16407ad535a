package store

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/net/idna"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// The user ids of apps: a range that neither Debian's adduser, subordinate ids
// nor systemd hands out.
const (
	firstUID = 70_000
	lastUID  = 99_999
)

// MaxAppName is the longest name of an app in bytes: as long as a label of a
// host name may be, which it becomes below the global domain.
const MaxAppName = 63

// App is one application: a name, its git repository, its releases.
type App struct {
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`

	// UID is the Unix user and group id of the app's files and processes, and
	// what the app is known by wherever something is kept of it: the name may
	// change. It is the app's own and is never given to another app.
	UID int `json:"uid"`

	// Branch is the branch whose pushes are deployed; empty until the first push.
	Branch string `json:"branch,omitempty"`

	// Release is the number of the release that should be live; 0 is none.
	Release int `json:"release"`

	// Formation is how many instances of each process type should run.
	// A type that is not named runs as its default says: web 1, others 0.
	Formation map[string]int `json:"formation,omitempty"`

	// Stopped is set by ps:stop: the release stays, nothing runs.
	Stopped bool `json:"stopped,omitempty"`

	// StoppedTypes are those process types that ps:stop has stopped by themselves.
	StoppedTypes []string `json:"stopped_types,omitempty"`

	// UncheckedTypes are those process types whose checks are not waited for when
	// their instances start (checks:skip); Unchecked is all of them, also those of
	// releases to come.
	UncheckedTypes []string `json:"unchecked_types,omitempty"`
	Unchecked      bool     `json:"unchecked,omitempty"`

	// Rollout is the order in which releases follow one another; empty is StartFirst.
	Rollout Rollout `json:"rollout,omitempty"`

	// Limits are those that ps:set of an earlier berth has set. What Resources say
	// goes before.
	Limits Limits `json:"limits"`

	// Resources are kept beside the record: see AppResources.
	Resources Resources `json:"-"`

	// What ps:set says of it, once formation.Counts has read that. Zero seconds
	// until a kill, and no signal, are the usual ones.
	StopSignal   string `json:"-"`
	StopSeconds  int    `json:"-"`
	WatchSeconds int    `json:"-"`

	Builder Builder `json:"builder,omitzero"`

	// Hosts says which hosts lead to the app besides those that were added.
	Hosts Hosts `json:"hosts,omitzero"`

	// Locked is who keeps deploys away (apps:lock); nil is nobody.
	Locked *Lock `json:"locked,omitempty"`

	// LocalCertificates keeps the app's hosts from the ACME CA (letsencrypt:disable).
	LocalCertificates bool `json:"local_certificates,omitempty"`

	// Versions holds the versions of tools that builds have resolved, by the
	// tool's name, so that a new default does not move an old app.
	Versions map[string]string `json:"versions,omitempty"`

	// Watch is the first time of the live release; nil when there is nothing to
	// fall back to.
	Watch *Watch `json:"watch,omitempty"`

	// LastRelease and LastBuild are the highest numbers ever given.
	LastRelease int `json:"last_release"`
	LastBuild   int `json:"last_build"`
}

// Watch is the time in which a release gives way to the one before it when it
// falls over.
type Watch struct {
	Release int       `json:"release"`
	Before  int       `json:"before"`
	Since   time.Time `json:"since"`
}

// SkipsChecks tells whether the checks of a process type are not waited for.
func (a App) SkipsChecks(process string) bool {
	return a.Unchecked || slices.Contains(a.UncheckedTypes, process)
}

// Rollout is an order of the old and the new in a rollout.
type Rollout string

// The orders there are.
const (
	StartFirst Rollout = "start-first" // the new instances are up before the old ones stop
	StopFirst  Rollout = "stop-first"  // the two never run at once
)

// Hosts is what domains:* has set of an app's hosts besides its domains.
type Hosts struct {
	NoDefault bool `json:"no_default,omitempty"` // the app has no host by its name
	Off       bool `json:"off,omitempty"`        // no host leads to it; its domains stay its own
}

// Lock keeps deploys away from an app.
type Lock struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Builder is how an app's source is built, as far as somebody has said so.
type Builder struct {
	Selected string `json:"selected,omitempty"`  // the language; "" is what the source tells
	BuildDir string `json:"build_dir,omitempty"` // the directory of the repository that is built; "" is all of it
	Test     bool   `json:"test,omitempty"`      // run the language's usual tests where app.json names none
	NoTest   bool   `json:"no_test,omitempty"`   // do not, though it is set for all apps
}

// Limits bound what one instance of an app may take. Zero is the default.
type Limits struct {
	Memory int64   `json:"memory,omitempty"` // bytes
	CPUs   float64 `json:"cpus,omitempty"`   // cores
	Pids   int64   `json:"pids,omitempty"`   // processes and threads
}

// Limit is what an instance of a process type may take, as far as it was set.
func (a App) Limit(process string) Resource {
	usual := Resource{Memory: a.Limits.Memory, CPU: int64(1000 * a.Limits.CPUs), Pids: a.Limits.Pids}
	return usual.over(a.Resources.Limit(process))
}

// ID is the app's id as a text: the key of its records, and the name of what it
// has on the disk.
func (a App) ID() string { return strconv.Itoa(a.UID) }

// Deployed tells whether the app has a release that should be live.
func (a App) Deployed() bool { return a.Release != 0 }

// Runs tells whether that release is to run.
func (a App) Runs() bool { return a.Deployed() && !a.Stopped }

// Instances returns how many instances of a process type should run.
func (a App) Instances(process string) int {
	if a.Stopped || slices.Contains(a.StoppedTypes, process) {
		return 0
	}
	if n, ok := a.Formation[process]; ok {
		return n
	}
	if process == "web" {
		return 1
	}
	return 0
}

// appName is one label of a host or several: each has a letter or digit at both
// ends, so that no name is a path, a flag or a hidden file.
var appName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// ValidAppName returns nil for a name that an app may have, else a fault (E100).
// One with dots is a host of its own, so it must not be an address: browsers take
// for one whatever ends in a number.
func ValidAppName(name string) error {
	if name == machine {
		return fault.New(fault.Usage, code.AppNameInvalid, "the name %q is reserved", name)
	}
	why := ""
	switch last := name[strings.LastIndexByte(name, '.')+1:]; {
	case len(name) > MaxAppName, !appName.MatchString(name):
		why = "is not a valid app name"
	case strings.HasSuffix(name, ".git"):
		why = "is not a valid app name: git drops .git from a URL"
	case last != name && (last[0] < 'a' || last[0] > 'z'):
		why = "is not a valid app name: a host cannot end in a number"
	default:
		return nil
	}
	shown := name
	if len(shown) > MaxAppName {
		shown = strings.ToValidUTF8(shown[:MaxAppName], "") + "…"
	}
	f := fault.New(fault.Usage, code.AppNameInvalid, "%q %s", shown, why)
	if near := nearestValid(name); near != "" {
		f.Hint("%s is a valid name", near)
	}
	return f.Hint("use a-z, 0-9, - and single dots, with a letter or digit at both ends, at most %d characters", MaxAppName)
}

// nearestValid is the name as an app could have it: in lower case, and in the
// ASCII form that the DNS has of letters beyond it; "" when that is none either.
func nearestValid(name string) string {
	if len(name) > 4*MaxAppName {
		return ""
	}
	near, err := idna.Lookup.ToASCII(strings.ReplaceAll(strings.ToLower(strings.TrimSuffix(name, ".git")), "_", "-"))
	if err != nil || near == name || near == machine || len(near) > MaxAppName || !appName.MatchString(near) {
		return ""
	}
	if ValidAppName(near) != nil {
		return ""
	}
	return near
}

// App returns the app of that name, or a fault (E101) that offers the nearest one.
func (tx *Tx) App(name string) (App, error) { return tx.app(name) }

func (tx *records) app(name string) (App, error) {
	if id := tx.bucket("appnames").Get([]byte(name)); id != nil {
		app, found, err := get[App](tx.bucket("apps"), id)
		if err == nil && !found {
			err = fmt.Errorf("the app %s has the id %s, and no record", name, id)
		}
		if err == nil {
			app.Resources, err = tx.resources(id)
		}
		return app, err
	}
	missing := fault.New(fault.NotFound, code.AppUnknown, "no app named %q", name)
	if near := fault.Nearest(name, slices.Sorted(maps.Values(tx.names()))); near != "" {
		missing.Hint("did you mean %q?", near)
	}
	return App{}, missing
}

// AppByID returns the app with that id; found is false when it does not exist
// any longer.
func (tx *Tx) AppByID(uid int) (app App, found bool, err error) { return tx.appByID(uid) }

func (tx *records) appByID(uid int) (app App, found bool, err error) {
	id := []byte(strconv.Itoa(uid))
	app, found, err = get[App](tx.bucket("apps"), id)
	if err == nil && found {
		app.Resources, err = tx.resources(id)
	}
	return app, found, err
}

// Apps returns all apps as Tx.Apps does, in a view of its own.
func (s *Store) Apps() (apps []App, err error) {
	err = s.View(func(tx *Tx) error {
		apps, err = tx.Apps()
		return err
	})
	return apps, err
}

// Apps returns all apps by name.
func (tx *Tx) Apps() (apps []App, err error) {
	err = eachRecord(tx.bucket("appnames"), func(name, _ []byte) error {
		app, err := tx.App(string(name))
		apps = append(apps, app)
		return err
	})
	return apps, err
}

// machine stands in the place of an app's id, and of its name, for what is the
// machine's own. No app may have the name.
const machine = "berth"

// id returns the id of the app of that name; "" when there is none.
func (tx *records) id(name string) string {
	if name == machine {
		return machine
	}
	return string(tx.bucket("appnames").Get([]byte(name)))
}

// mustID is id; a name that no app has is a fault (E101).
func (tx *records) mustID(name string) (string, error) {
	if id := tx.id(name); id != "" {
		return id, nil
	}
	_, err := tx.app(name)
	return "", err
}

// uid is mustID, as a number.
func (tx *records) uid(name string) (int, error) {
	app, err := tx.app(name)
	return app.UID, err
}

// nameOf returns the name of the app of an id; "" when there is none.
func (tx *records) nameOf(uid int) (string, error) {
	app, _, err := tx.appByID(uid)
	return app.Name, err
}

// names are the names of all apps by their ids.
func (tx *records) names() map[int]string {
	names := map[int]string{}
	c := tx.bucket("appnames").Cursor()
	for name, id := c.First(); name != nil; name, id = c.Next() {
		if uid, err := strconv.Atoi(string(id)); err == nil {
			names[uid] = string(name)
		}
	}
	return names
}

// CreateApp stores a new app and gives it an id. A name that is taken is a
// fault (E102), one that no app may have is E100.
func (tx *Tx) CreateApp(app App) (_ App, err error) {
	if err := ValidAppName(app.Name); err != nil {
		return App{}, err
	}
	if err := tx.free(app.Name); err != nil {
		return App{}, err
	}
	next, err := tx.nextUID()
	if err != nil {
		return App{}, err
	}
	uid := tx.ids.take(app.Name, next)
	if uid > lastUID {
		return App{}, errNoIDs()
	}
	app.UID = uid
	if err := tx.bucket("meta").Put([]byte("next-uid"), strconv.AppendInt(nil, int64(max(next, uid+1)), 10)); err != nil {
		return App{}, err
	}
	if err := tx.bucket("appnames").Put([]byte(app.Name), []byte(app.ID())); err != nil {
		return App{}, err
	}
	return app, put(tx.bucket("apps"), []byte(app.ID()), app)
}

func errNoIDs() error {
	return fault.New(fault.Conflict, code.AppIDsExhausted, "all %d user ids for apps are used up", lastUID-firstUID+1)
}

// nextUID is the lowest id that was never given and is above all that were.
func (tx *Tx) nextUID() (int, error) {
	raw := tx.bucket("meta").Get([]byte("next-uid"))
	if raw == nil {
		return firstUID, nil
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil {
		return 0, fmt.Errorf("read the next user id: %w", err)
	}
	return n, nil
}

// Given reports whether an app has or had the id.
func (tx *Tx) Given(uid int) (bool, error) {
	next, err := tx.nextUID()
	return uid >= firstUID && uid < next, err
}

func (tx *Tx) free(name string) error {
	if tx.bucket("appnames").Get([]byte(name)) != nil {
		return fault.New(fault.Conflict, code.AppExists, "an app named %q already exists", name)
	}
	return nil
}

// PutApp stores an app that is there; one that is not, because it has been
// destroyed meanwhile, is a fault (E101). Its name is RenameApp's to change: an
// app that was renamed since it was read keeps the new one.
func (tx *Tx) PutApp(app App) error {
	now, found, err := tx.AppByID(app.UID)
	if err != nil {
		return err
	}
	if !found {
		return fault.New(fault.NotFound, code.AppUnknown, "no app named %q", app.Name)
	}
	app.Name = now.Name
	return put(tx.bucket("apps"), []byte(app.ID()), app)
}

// RenameApp gives an app a new name. All else of it hangs under its id and stays.
func (tx *Tx) RenameApp(from, to string) (App, error) {
	app, err := tx.App(from)
	if err != nil {
		return App{}, err
	}
	if err := ValidAppName(to); err != nil {
		return App{}, err
	}
	if err := tx.free(to); err != nil {
		return App{}, err
	}
	app.Name = to
	index := tx.bucket("appnames")
	if err := errors.Join(index.Delete([]byte(from)), index.Put([]byte(to), []byte(app.ID()))); err != nil {
		return App{}, err
	}
	return app, put(tx.bucket("apps"), []byte(app.ID()), app)
}

func eachRecord(b *bolt.Bucket, fn func(k, v []byte) error) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return nil
		}
		return fn(k, v)
	})
}
