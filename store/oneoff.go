package store

import (
	"fmt"
	"time"
)

// Bounds of the one-offs of an app.
const (
	// KeptOneOffs is how many detached one-offs of an app are remembered, those
	// that run left aside.
	KeptOneOffs = 100

	// MaxOneOffs is how many one-offs of an app may run at once, detached or not.
	MaxOneOffs = 20
)

// OneOffState is where a detached one-off stands.
type OneOffState string

// The life of a detached one-off.
const (
	OneOffRunning  OneOffState = "running"
	OneOffOK       OneOffState = "ok"
	OneOffFailed   OneOffState = "failed"
	OneOffTimedOut OneOffState = "timed-out" // its time to live was over
	OneOffStopped  OneOffState = "stopped"   // by somebody
)

// OneOff is a command that runs once in an image of an app. Only those that are
// detached are kept in the store.
type OneOff struct {
	App      string      `json:"app"`
	Number   int         `json:"number"`
	Name     string      `json:"name"` // "shop.run.12", by the app's present name
	State    OneOffState `json:"state"`
	Detached bool        `json:"detached"`
	Command  []string    `json:"command"`
	Release  int         `json:"release"`
	By       string      `json:"by"`

	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	ExitCode   int       `json:"exit_code"`
	Error      string    `json:"error,omitempty"` // why it has no exit code
	TTL        int       `json:"ttl_seconds"`     // how long it may run
}

// Source is what its lines come from, in logs.
func (o OneOff) Source() string { return fmt.Sprintf("run.%d", o.Number) }

// OneOffs is what a transaction has of detached one-offs.
type OneOffs struct{ *records }

// Put stores a one-off.
func (tx OneOffs) Put(o OneOff) error {
	b, err := tx.makeOf("oneoffs", o.App)
	if err != nil {
		return err
	}
	app := o.App
	o.App, o.Name = "", "" // it hangs under the app, whatever the app is called
	if err := put(b, number(o.Number), o); err != nil {
		return err
	}
	all, err := tx.Of(app)
	if err != nil {
		return err
	}
	ended := 0
	for _, other := range all {
		if other.State == OneOffRunning {
			continue
		}
		if ended++; ended > KeptOneOffs {
			if err := b.Delete(number(other.Number)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Of returns the one-offs of an app, the newest first, without their names.
func (tx OneOffs) Of(app string) ([]OneOff, error) {
	all, err := newest[OneOff](tx.of("oneoffs", app), 0, nil)
	for i := range all {
		all[i].App = app
	}
	return all, err
}

// Has tells whether a one-off of an app is remembered.
func (tx OneOffs) Has(app string, n int) bool {
	b := tx.of("oneoffs", app)
	return b != nil && b.Get(number(n)) != nil
}
