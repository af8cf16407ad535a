package store

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/berthd/berth/store/fault"
)

// The user ids of apps: a range that neither Debian's adduser, subordinate ids
// nor systemd hands out.
const (
	firstUID = 70_000
	lastUID  = 99_999
)

// MaxAppName is the longest name of an app in bytes. It is a label of a host
// name (63) with room for a prefix.
const MaxAppName = 40

// App is one application: a name, its git repository, its releases.
type App struct {
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`

	// UID is the Unix user and group id of the app's files and processes.
	// It is the app's own and is never given to another app.
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

	// Rollout is the order in which releases follow one another; empty is StartFirst.
	Rollout Rollout `json:"rollout,omitempty"`

	Limits Limits `json:"limits"`

	Builder Builder `json:"builder,omitzero"`

	// LocalCertificates keeps the app's hosts from the ACME CA (letsencrypt:disable).
	LocalCertificates bool `json:"local_certificates,omitempty"`

	// Versions holds the versions of tools that builds have resolved, by the
	// tool's name, so that a new default does not move an old app.
	Versions map[string]string `json:"versions,omitempty"`

	// LastRelease and LastBuild are the highest numbers ever given.
	LastRelease int `json:"last_release"`
	LastBuild   int `json:"last_build"`
}

// Rollout is an order of the old and the new in a rollout.
type Rollout string

// The orders there are.
const (
	StartFirst Rollout = "start-first" // the new instances are up before the old ones stop
	StopFirst  Rollout = "stop-first"  // the two never run at once
)

// Builder is how an app's source is built, as far as somebody has said so.
type Builder struct {
	Selected string `json:"selected,omitempty"`  // the language; "" is what the source tells
	BuildDir string `json:"build_dir,omitempty"` // the directory of the repository that is built; "" is all of it
	Test     bool   `json:"test,omitempty"`      // run the language's usual tests where app.json names none
}

// Limits bound what one instance of an app may take. Zero is the default.
type Limits struct {
	Memory int64   `json:"memory,omitempty"` // bytes
	CPUs   float64 `json:"cpus,omitempty"`   // cores
	Pids   int64   `json:"pids,omitempty"`   // processes and threads
}

// Instances returns how many instances of a process type should run.
func (a App) Instances(process string) int {
	if a.Stopped {
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

var appName = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

// ValidAppName returns nil for a name that an app may have, else a fault (E100).
func ValidAppName(name string) error {
	switch {
	case name == "berth":
		return fault.New(fault.Usage, "E100", "the name %q is the appliance's own", name)
	case len(name) > MaxAppName, !appName.MatchString(name):
		shown := name
		if len(shown) > MaxAppName {
			shown = shown[:MaxAppName] + "…"
		}
		return fault.New(fault.Usage, "E100", "%q cannot be the name of an app", shown).
			Hint("use a-z, 0-9 and -, begin with a letter, at most %d characters", MaxAppName)
	}
	return nil
}

// App returns the app of that name, or a fault (E101) that offers the nearest one.
func (tx *Tx) App(name string) (App, error) {
	app, found, err := get[App](tx.bucket("apps"), []byte(name))
	if err != nil || found {
		return app, err
	}
	missing := fault.New(fault.NotFound, "E101", "no app named %q", name)
	apps, err := tx.Apps()
	if err != nil {
		return App{}, err
	}
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	if near := fault.Nearest(name, names); near != "" {
		missing.Hint("did you mean %q?", near)
	}
	return App{}, missing
}

// Apps returns all apps by name.
func (tx *Tx) Apps() ([]App, error) { return all[App](tx.bucket("apps")) }

// CreateApp stores a new app and gives it a user id. A name that is taken is a
// fault (E102), one that no app may have is E100.
func (tx *Tx) CreateApp(app App) (App, error) {
	if err := ValidAppName(app.Name); err != nil {
		return App{}, err
	}
	if err := tx.free(app.Name); err != nil {
		return App{}, err
	}
	uid := firstUID
	if raw := tx.bucket("meta").Get([]byte("next-uid")); raw != nil {
		n, err := strconv.Atoi(string(raw))
		if err != nil {
			return App{}, fmt.Errorf("read the next user id: %w", err)
		}
		uid = n
	}
	if uid > lastUID {
		return App{}, fault.New(fault.Conflict, "E105", "all %d user ids for apps have been given", lastUID-firstUID+1)
	}
	app.UID = uid
	if err := tx.bucket("meta").Put([]byte("next-uid"), strconv.AppendInt(nil, int64(uid+1), 10)); err != nil {
		return App{}, err
	}
	return app, tx.PutApp(app)
}

func (tx *Tx) free(name string) error {
	if tx.bucket("apps").Get([]byte(name)) != nil {
		return fault.New(fault.Conflict, "E102", "there is an app named %q already", name)
	}
	return nil
}

// PutApp stores an app.
func (tx *Tx) PutApp(app App) error { return put(tx.bucket("apps"), []byte(app.Name), app) }

// DeleteApp removes an app and all records that are its own. Its events stay.
func (tx *Tx) DeleteApp(name string) error {
	if _, err := tx.App(name); err != nil {
		return err
	}
	domains, err := tx.Domains(name)
	if err != nil {
		return err
	}
	for _, d := range domains {
		if err := tx.DeleteDomain(d.Address()); err != nil {
			return err
		}
	}
	for _, of := range []string{"releases", "builds", "runs", "pairs", "routing", "domainsof"} {
		if err := tx.bucket(of).DeleteBucket([]byte(name)); err != nil && tx.of(of, name) != nil {
			return fmt.Errorf("delete %s of %s: %w", of, name, err)
		}
	}
	ports, err := tx.Ports(name)
	if err != nil {
		return err
	}
	for _, p := range ports {
		if err := tx.DeletePort(p.Number); err != nil {
			return err
		}
	}
	return errors.Join(tx.moveRegistries(name, ""), tx.bucket("config").Delete([]byte(name)), tx.bucket("apps").Delete([]byte(name)))
}

// RenameApp gives an app and all its records a new name.
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
	config, err := tx.Config(from)
	if err != nil {
		return App{}, err
	}
	releases, err := tx.Releases(from, 0)
	if err != nil {
		return App{}, err
	}
	domains, err := tx.Domains(from)
	if err != nil {
		return App{}, err
	}
	ports, err := tx.Ports(from)
	if err != nil {
		return App{}, err
	}
	pairs, err := tx.Pairs(from)
	if err != nil {
		return App{}, err
	}
	app.Name = to
	if err := tx.PutApp(app); err != nil {
		return App{}, err
	}
	if err := tx.PutConfig(to, config); err != nil {
		return App{}, err
	}
	for _, r := range releases { // their config is sealed to the name
		if r, err = tx.Release(from, r.Number); err != nil {
			return App{}, err
		}
		r.App = to
		if err := tx.PutRelease(r); err != nil {
			return App{}, err
		}
	}
	for _, p := range pairs { // likewise
		p.App = to
		if err := tx.PutPair(p); err != nil {
			return App{}, err
		}
	}
	for _, of := range []string{"builds", "runs", "routing"} {
		if err := tx.copyOf(of, from, to); err != nil {
			return App{}, err
		}
	}
	if err := tx.moveRegistries(from, to); err != nil {
		return App{}, err
	}
	if err := tx.DeleteApp(from); err != nil {
		return App{}, err
	}
	for _, d := range domains {
		d.App = to
		if err := tx.PutDomain(d); err != nil {
			return App{}, err
		}
	}
	for _, p := range ports {
		p.App = to
		if err := tx.PutPort(p); err != nil {
			return App{}, err
		}
	}
	return app, nil
}

func (tx *Tx) copyOf(bucket, from, to string) error {
	src := tx.of(bucket, from)
	if src == nil {
		return nil
	}
	dst, err := tx.makeOf(bucket, to)
	if err != nil {
		return err
	}
	return eachRecord(src, func(k, v []byte) error { return dst.Put(k, v) })
}

func eachRecord(b *bolt.Bucket, fn func(k, v []byte) error) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return nil
		}
		return fn(k, v)
	})
}
