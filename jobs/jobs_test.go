package jobs

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
)

// world is jobs without a host. It is what they ask for: their Apps, Journal
// and Logs.
type world struct {
	*Jobs
	fleet *fleet.Fleet
	dir   string
	work  sync.WaitGroup
	apps  map[int]*fleet.App
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{fleet: new(fleet.Fleet), dir: t.TempDir(), apps: map[int]*fleet.App{}}
	db, err := store.Open(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w.Jobs = New(t.Context(), Config{
		Store: db, Apps: w, Journal: w, Logs: w, SSHCommand: func() string { return "berth" },
		Ready:      func(context.Context) error { return nil },
		Background: func(fn func(context.Context)) bool { w.work.Go(func() { fn(t.Context()) }); return true },
		Log:        slog.New(slog.DiscardHandler),
	})
	return w
}

func (w *world) Running(record store.App) *fleet.App {
	if w.apps[record.UID] == nil {
		w.apps[record.UID] = w.fleet.NewApp(record.UID, record.Name)
	}
	return w.apps[record.UID]
}

func (w *world) Live(record store.App) (release store.Release, err error) {
	err = w.db.View(func(tx *store.Tx) error {
		release, err = tx.Release(record.Name, record.Release)
		return err
	})
	return release, err
}

func (w *world) RecordEvent(store.Event) {}

func (w *world) Changed(string) {}

func (w *world) File(_ fleet.Ref, _ int, source, container string) string {
	return filepath.Join(w.dir, source+"."+container)
}

func (w *world) Note(*fleet.App, int, string, string) {}

func (w *world) Trim(fleet.Ref, int, string) {}

func update(t *testing.T, w *world, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := w.db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// shop makes an app whose release v1 is live.
func shop(t *testing.T, w *world) (record store.App, a *app) {
	t.Helper()
	update(t, w, func(tx *store.Tx) (err error) {
		record, err = tx.CreateApp(store.App{Name: "shop", Release: 1, LastRelease: 1})
		if err != nil {
			return err
		}
		return tx.PutRelease(store.Release{App: "shop", Number: 1, Status: store.ReleaseLive, Config: map[string]string{}})
	})
	return record, w.app(w.Running(record))
}
