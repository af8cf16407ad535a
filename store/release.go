package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

const (
	// rememberedReleases is how many releases of an app are remembered: at twenty
	// deploys a day the last ten days, and as many as there are builds.
	rememberedReleases = 200

	// forgottenAtOnce bounds how many releases one transaction deletes: an app of
	// an older berth may have thousands, and everybody waits for a transaction.
	forgottenAtOnce = 100
)

// ReleaseStatus is the state of a release.
type ReleaseStatus string

// The life of a release.
const (
	ReleasePending ReleaseStatus = "pending" // recorded, being rolled out
	ReleaseLive    ReleaseStatus = "live"    // the one that serves
	ReleaseRetired ReleaseStatus = "retired" // served once, replaced since
	ReleaseFailed  ReleaseStatus = "failed"  // never served, or fell over and was rolled back
)

// Release is one runnable state of an app: what was built, with which config.
// It never changes but for Status and Error.
type Release struct {
	App         string        `json:"app"`
	Number      int           `json:"number"`
	Status      ReleaseStatus `json:"status"`
	CreatedAt   time.Time     `json:"created_at"`
	CreatedBy   string        `json:"created_by"`
	Description string        `json:"description"` // "Deploy 4f1c9ab", "Set COLOR", "Rollback to v3"
	Commit      string        `json:"commit,omitempty"`
	Subject     string        `json:"subject,omitempty"` // first line of the commit's message
	Build       int           `json:"build,omitempty"`
	Language    string        `json:"language,omitempty"` // what it was built as: "python"
	Summary     string        `json:"summary,omitempty"`  // "Python 3.13, Flask (web.py imports flask)"
	Error       string        `json:"error,omitempty"`    // why it failed
	Fallen      int           `json:"fallen,omitempty"`   // the release that fell over and in whose place this one came by itself

	// Layer is the key of the topmost layer of the image that its processes
	// run in; Base is the layer below it, which holds all but the source.
	Layer string `json:"layer"`
	Base  string `json:"base"`

	// Beside are the keys of the build's layers that are no part of the image
	// and that the next build wants again: what tests run on.
	Beside []string `json:"beside,omitempty"`

	// Image is set when the processes run in an image of somebody's making, and
	// says how it wants them run.
	Image *Image `json:"image,omitempty"`

	Processes []Process         `json:"processes"` // in the order of the Procfile
	Env       map[string]string `json:"env,omitempty"`
	Health    []HealthCheck     `json:"health,omitempty"`
	Formation map[string]int    `json:"formation,omitempty"` // app.json's, and one of the sole process
	Cron      []CronJob         `json:"cron,omitempty"`
	Pages     map[string]string `json:"pages,omitempty"` // those that the source carries, by PageKey
	Mounts    []Mount           `json:"mounts,omitempty"`

	// Config is the app's config as of this release. It is encrypted at rest
	// and never part of what the API shows of a release. Only Tx.Release reads
	// it: to decrypt it takes longer than to read all the rest.
	Config map[string]string `json:"-"`

	// Global is the config of all apps as of this release. It is kept as Config is,
	// and apart from it: a rollback gives the app its own back.
	Global map[string]string `json:"-"`

	bare bool // read without its config
}

// sealedRelease is a release as it lies in the file.
type sealedRelease struct {
	Release
	Sealed       []byte `json:"sealed"`
	SealedGlobal []byte `json:"sealed_global,omitempty"` // absent when there is none
}

func releasePlace(id string, number int) string { return fmt.Sprintf("release %s/%d", id, number) }

func globalPlace(id string, number int) string { return "global of " + releasePlace(id, number) }

// Variables are what the release's processes get of both.
func (r Release) Variables() map[string]string { return MergedConfig(r.Global, r.Config) }

func (tx *Tx) unsealed(s sealedRelease, app string) (Release, error) {
	s.Release.App = app
	plain, err := tx.seal.open(releasePlace(tx.id(app), s.Number), s.Sealed)
	if err != nil {
		return Release{}, err
	}
	if err := json.Unmarshal(plain, &s.Release.Config); err != nil {
		return Release{}, fmt.Errorf("read the config of release %d: %w", s.Number, err)
	}
	if s.SealedGlobal == nil {
		return s.Release, nil
	}
	if plain, err = tx.seal.open(globalPlace(tx.id(app), s.Number), s.SealedGlobal); err != nil {
		return Release{}, err
	}
	if err := json.Unmarshal(plain, &s.Release.Global); err != nil {
		return Release{}, fmt.Errorf("read the config of all apps of release %d: %w", s.Number, err)
	}
	return s.Release, nil
}

// Release returns one release of an app with its config, or a fault (E103).
func (tx *Tx) Release(app string, n int) (Release, error) {
	sealed, found, err := get[sealedRelease](tx.of("releases", app), number(n))
	if err != nil {
		return Release{}, err
	}
	if !found {
		return Release{}, errNoRelease(app, n)
	}
	return tx.unsealed(sealed, app)
}

func errNoRelease(app string, n int) error {
	return fault.New(fault.NotFound, code.ReleaseUnknown, "%s has no release v%d", app, n).Hint("berth releases %s shows them", app)
}

// ReleaseWithoutConfig returns one release of an app, but for its config, or a
// fault (E103).
func (tx *Tx) ReleaseWithoutConfig(app string, n int) (Release, error) {
	release, found, err := get[Release](tx.of("releases", app), number(n))
	if err == nil && !found {
		err = errNoRelease(app, n)
	}
	release.App, release.bare = app, true
	return release, err
}

// HasRelease tells whether a release of an app is remembered.
func (tx *Tx) HasRelease(app string, n int) bool {
	b := tx.of("releases", app)
	return b != nil && b.Get(number(n)) != nil
}

// EachRelease reads an app's releases, but for their config, the newest first.
// It reads no more of them than are asked for. An error is the last.
func (tx *Tx) EachRelease(app string) iter.Seq2[Release, error] {
	return func(yield func(Release, error) bool) {
		b := tx.of("releases", app)
		if b == nil {
			return
		}
		c := b.Cursor()
		for key, raw := c.Last(); key != nil; key, raw = c.Prev() {
			var r Release
			if err := json.Unmarshal(raw, &r); err != nil {
				yield(Release{}, fmt.Errorf("read a release of %s: %w", app, err))
				return
			}
			r.App, r.bare = app, true
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Releases returns up to limit releases of an app, but for their config, the
// newest first; 0 is no limit.
func (tx *Tx) Releases(app string, limit int) (releases []Release, err error) {
	for r, err := range tx.EachRelease(app) {
		if err != nil {
			return nil, err
		}
		if releases = append(releases, r); len(releases) == limit {
			break
		}
	}
	return releases, nil
}

// MarkRelease sets the state of a release, and why it failed if it did.
func (tx *Tx) MarkRelease(app string, n int, status ReleaseStatus, why string) error {
	b := tx.of("releases", app)
	sealed, found, err := get[sealedRelease](b, number(n))
	if err != nil {
		return err
	}
	if !found {
		return errNoRelease(app, n)
	}
	sealed.Status, sealed.Error = status, why
	return put(b, number(n), sealed)
}

// ForgetReleases deletes the oldest of an app's releases above rememberedReleases, a
// bounded number at a time, but for those whose numbers are needed.
func (tx *Tx) ForgetReleases(app string, needed []int) error {
	b := tx.of("releases", app)
	if b == nil {
		return nil
	}
	stay := map[string]bool{}
	for _, n := range needed {
		stay[string(number(n))] = true
	}
	var doomed [][]byte
	first, c := oldestKept(b), b.Cursor()
	for key, _ := c.First(); key != nil && bytes.Compare(key, first) < 0 && len(doomed) < forgottenAtOnce; key, _ = c.Next() {
		if !stay[string(key)] {
			doomed = append(doomed, slices.Clone(key))
		}
	}
	for _, key := range doomed {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// oldestKept returns the key of the oldest of the last rememberedReleases; nil when
// there are fewer.
func oldestKept(b *bolt.Bucket) []byte {
	c, n := b.Cursor(), 0
	for key, _ := c.Last(); key != nil; key, _ = c.Prev() {
		if n++; n == rememberedReleases {
			return slices.Clone(key)
		}
	}
	return nil
}

// PutRelease stores a release with its config.
func (tx *Tx) PutRelease(r Release) error {
	if r.bare {
		return errors.New("a release that was read without its config cannot be stored")
	}
	b, err := tx.makeOf("releases", r.App)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(r.Config)
	if err != nil {
		return err
	}
	id := tx.id(r.App)
	sealed := sealedRelease{Release: r, Sealed: tx.seal.seal(releasePlace(id, r.Number), plain)}
	if len(r.Global) > 0 {
		if plain, err = json.Marshal(r.Global); err != nil {
			return err
		}
		sealed.SealedGlobal = tx.seal.seal(globalPlace(id, r.Number), plain)
	}
	sealed.App = "" // it hangs under the app, whatever the app is called
	return put(b, number(r.Number), sealed)
}

// Image is what a release runs in when it is no stack of berth's.
type Image struct {
	Ref        string   `json:"ref,omitempty"` // where it was pulled from; "" is the app's own Dockerfile
	Digest     string   `json:"digest"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	Dir        string   `json:"dir"`
	Ports      []string `json:"ports,omitempty"`   // EXPOSE: "80/tcp"
	Volumes    []string `json:"volumes,omitempty"` // VOLUME: "/data"
	StopSignal string   `json:"stop_signal,omitempty"`
}

// Process is one line of the Procfile, or what was inferred in its place.
type Process struct {
	Type     string   `json:"type"`
	Command  string   `json:"command"`        // run by bash -c in /app, or by the image's own sh
	Args     []string `json:"args,omitempty"` // run as they are; Command is how they are told of
	Inferred bool     `json:"inferred,omitempty"`
}

// Process returns the process of the given type.
func (r Release) Process(kind string) (Process, bool) {
	for _, p := range r.Processes {
		if p.Type == kind {
			return p, true
		}
	}
	return Process{}, false
}

// HealthCheck is one entry of app.json's healthchecks, in Dokku's words.
// Durations are seconds, as there.
type HealthCheck struct {
	Process      string       `json:"process"` // "web"
	Name         string       `json:"name,omitempty"`
	Type         string       `json:"type"` // "startup", "liveness", "readiness"
	Path         string       `json:"path,omitempty"`
	Port         int          `json:"port,omitempty"`
	Scheme       string       `json:"scheme,omitempty"` // "https" for an app that speaks TLS itself
	Content      string       `json:"content,omitempty"`
	Command      []string     `json:"command,omitempty"`
	Headers      []HTTPHeader `json:"http_headers,omitempty"`
	Listening    bool         `json:"listening,omitempty"`
	Uptime       int          `json:"uptime,omitempty"`
	Attempts     int          `json:"attempts,omitempty"`
	Timeout      int          `json:"timeout,omitempty"`
	Wait         int          `json:"wait,omitempty"`
	InitialDelay int          `json:"initial_delay,omitempty"`
	Warn         bool         `json:"warn,omitempty"` // a failure is told and does not count

	// MaxStatus is the highest status that passes. 0 is 499: a release from
	// before there was this field stays as healthy as it was.
	MaxStatus int `json:"max_status,omitempty"`
}

// HTTPHeader is one header sent with a health check's request.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
