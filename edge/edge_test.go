package edge

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

// world is an edge whose apps run nothing. It is its own Apps and Journal.
type world struct {
	*Edge
	fleet *fleet.Fleet
	apps  map[int]*fleet.App
	log   *slog.Logger
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{apps: map[int]*fleet.App{}, log: slog.New(slog.DiscardHandler)}
	w.Edge = New(Config{
		Store: db, Router: router.New(router.Config{}, w.log), Hosts: noHosts{}, Apps: w, Journal: w,
		AccessLog: accesslog.New(filepath.Join(dir, "logs"), w.log), Log: w.log, Containers: []netip.Prefix{netip.MustParsePrefix("10.213.0.0/16")},
	})
	w.fleet = fleet.New(t.Context(), fleet.Config{Router: w.Routes(), Journal: w, Log: w.log})
	update(t, w, func(tx *store.Tx) error { return tx.PutSettings(store.Settings{Domain: "example.com"}) })
	return w
}

func (w *world) Running(record store.App) *fleet.App {
	if w.apps[record.UID] == nil {
		w.apps[record.UID] = w.fleet.NewApp(record.UID, record.Name)
	}
	return w.apps[record.UID]
}

func (w *world) All() (all []*fleet.App) {
	for _, a := range w.apps {
		all = append(all, a)
	}
	return all
}

func (w *world) RecordEvent(e store.Event) {
	w.db.Update(func(tx *store.Tx) error { return tx.AddEvent(e) })
}

func (w *world) Changed(string) {}

func (w *world) FellOver(*fleet.App, fleet.Trial, string) {}

func update(t testing.TB, w *world, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := w.db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// create makes an app and routes it.
func create(t testing.TB, w *world, name string) (record store.App) {
	t.Helper()
	update(t, w, func(tx *store.Tx) (err error) {
		record, err = tx.CreateApp(store.App{Name: name})
		return err
	})
	w.Running(record).Reroute()
	w.AnnounceHostsOf(w.Running(record))
	return record
}

type noHosts struct{}

func (noHosts) SetHosts(string, []certificates.Host, certificates.ACME) {}
func (noHosts) SetHostsFor(string, []certificates.Host)                 {}
