package store

import (
	"encoding/binary"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// keptBuilds is how many builds of an app are remembered.
const keptBuilds = 200

// BuildStatus is the state of a build.
type BuildStatus string

// The life of a build.
const (
	BuildRunning   BuildStatus = "running"
	BuildSucceeded BuildStatus = "succeeded"
	BuildFailed    BuildStatus = "failed"
	BuildCancelled BuildStatus = "cancelled" // a newer push took its place, or someone said so
)

// Build is one try to turn a commit into a release.
type Build struct {
	App        string      `json:"app"`
	Number     int         `json:"number"`
	Status     BuildStatus `json:"status"`
	Commit     string      `json:"commit"`
	Subject    string      `json:"subject"`
	Branch     string      `json:"branch"`
	By         string      `json:"by"`
	StartedAt  time.Time   `json:"started_at"`
	FinishedAt time.Time   `json:"finished_at,omitzero"`
	Language   string      `json:"language,omitempty"` // what it was built as: "python"
	Summary    string      `json:"summary,omitempty"`  // "Python 3.13, Flask (web.py imports flask)"
	Release    int         `json:"release,omitempty"`  // what came of it
	Steps      []Step      `json:"steps,omitempty"`    // where the time went
	Error      string      `json:"error,omitempty"`

	// Layers are the keys of the app's own layers that the build wants. Until a
	// release names them they are kept while it is the app's last build, for the
	// next to go on from there.
	Layers []string `json:"layers,omitempty"`
}

// Builds is what a transaction has of builds.
type Builds struct{ *records }

// Get returns one build of an app, or a fault (E106).
func (tx Builds) Get(app string, n int) (Build, error) {
	build, found, err := get[Build](tx.of("builds", app), number(n))
	build.App = app
	if err == nil && !found {
		err = fault.New(fault.NotFound, code.BuildUnknown, "%s has no build %d", app, n)
	}
	return build, err
}

// Has tells whether a build of an app is remembered.
func (tx Builds) Has(app string, n int) bool {
	b := tx.of("builds", app)
	return b != nil && b.Get(number(n)) != nil
}

// Of returns up to limit builds of an app, the newest first; 0 is no limit.
func (tx Builds) Of(app string, limit int) ([]Build, error) {
	builds, err := newest[Build](tx.of("builds", app), limit, nil)
	for i := range builds {
		builds[i].App = app
	}
	return builds, err
}

// First returns the number of the oldest build of an app that is
// remembered; 0 is none.
func (tx Builds) First(app string) int {
	b := tx.of("builds", app)
	if b == nil {
		return 0
	}
	key, _ := b.Cursor().First()
	if key == nil {
		return 0
	}
	return int(binary.BigEndian.Uint32(key))
}

// Put stores a build.
func (tx Builds) Put(build Build) error {
	b, err := tx.makeOf("builds", build.App)
	if err != nil {
		return err
	}
	build.App = "" // it hangs under the app, whatever the app is called
	if err := put(b, number(build.Number), build); err != nil {
		return err
	}
	return trim(b, keptBuilds)
}

// Step is a part of a build and the time it took.
type Step struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"` // nanoseconds
}
