package verbs

import (
	"fmt"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

// records are what the verbs of all nouns read of the store.
type records struct{ db *store.Store }

// exists returns nil when there is such an app, else the fault (E101).
func (r records) exists(app string) error {
	return r.db.View(func(tx *store.Tx) error {
		_, err := tx.App(app)
		return err
	})
}

func (r records) settings() (settings store.Settings, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		settings, err = tx.Settings()
		return err
	})
	return settings, err
}

// release returns one of an app's, without its config; number 0 is the live one.
func (r records) release(name string, number int) (release store.Release, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		app, err := tx.App(name)
		if err != nil {
			return err
		}
		if number == 0 {
			number = app.Release
		}
		if number == 0 {
			return deploy.NeverDeployed(name)
		}
		release, err = tx.ReleaseWithoutConfig(name, number)
		return err
	})
	return release, err
}

// list makes an empty result [] and not null.
func list[T any](records []T, err error) ([]T, error) {
	if records == nil {
		records = []T{}
	}
	return records, err
}

// event remembers that someone did something.
func event(tx *store.Tx, by store.User, app, kind, format string, args ...any) error {
	return tx.AddEvent(store.Event{Time: time.Now(), App: app, By: by.Name, Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// Unwritable returns why nothing can be changed for the moment, or nil.
func (t *Table) Unwritable() error { return t.db.Unwritable() }
