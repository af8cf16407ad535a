package jobs

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/store"
)

// world is jobs on a host that keeps time under testing/synctest. It is what they
// ask for: their Apps, Fleet, Journal and Logs.
type world struct {
	*Jobs
	fleet   *fleet.Fleet
	machine *fleettest.Machine
	host    *fleettest.Life
	dir     string
	work    sync.WaitGroup
	apps    map[int]*fleet.App
	end     context.CancelFunc
}

func newWorld(t *testing.T) *world { return newLife(t, t.TempDir(), &fleettest.Machine{}) }

// newLife is berth on a machine that may have had one before, in the same directory.
func newLife(t *testing.T, dir string, machine *fleettest.Machine) *world {
	t.Helper()
	w := &world{fleet: new(fleet.Fleet), machine: machine, host: fleettest.NewLife(machine), dir: dir, apps: map[int]*fleet.App{}}
	db, err := store.Open(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	life, end := context.WithCancel(t.Context())
	w.end = end
	w.Jobs = New(life, Config{
		Store: db, Host: w.host.Host(), Fleet: w, Apps: w, Journal: w, Logs: w, SSHCommand: func() string { return "berth" },
		Ready:      func(context.Context) error { return nil },
		Background: func(fn func(context.Context)) bool { w.work.Go(func() { fn(life) }); return true },
		Log:        slog.New(slog.DiscardHandler),
	})
	return w
}

// crash ends the life without a word, and returns the next one, which has not
// taken anything back yet.
func (w *world) crash(t *testing.T) *world {
	t.Helper()
	w.host.End()
	w.end()
	w.work.Wait()
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	return newLife(t, w.dir, w.machine)
}

// finish ends the last life and all that runs.
func (w *world) finish() {
	w.end()
	w.work.Wait()
	w.machine.Reboot()
	w.db.Close()
}

func (w *world) Remove(c fleet.Container) { c.Remove(context.Background()) }

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
