package deploy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/fleet/fleettest"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

type noHosts struct{}

func (noHosts) SetHosts(string, []certificates.Host, certificates.ACME) {}
func (noHosts) SetHostsFor(string, []certificates.Host)                 {}

// noEngine has no layers, and makes none.
type noEngine struct{ build.Engine }

func (noEngine) Layers(context.Context) ([]runtime.Layer, error) { return nil, nil }

func (noEngine) HasLayer(context.Context, string) (bool, error) {
	return false, errors.New("no engine")
}

func (noEngine) Room() (runtime.Room, error) { return runtime.Room{Size: 1 << 40, Free: 1 << 40}, nil }

func (noEngine) Stranded() bool              { return false }
func (noEngine) Load() (runtime.Load, error) { return runtime.Load{}, errors.New("no engine") }

// noImages are no images and no steps of Dockerfiles.
type noImages struct{ build.Images }

func (noImages) RemoveCache(context.Context, string) error { return nil }

// newDeployer returns a deployer that has taken back what ran before. It has
// no engine: nothing it does in a test may want a container.
func newDeployer(t testing.TB) *Deployer {
	t.Helper()
	d, _ := newDeployerWith(t, noHosts{})
	return d
}

// newDeployerWith is newDeployer, with the router that it routes at.
func newDeployerWith(t testing.TB, hosts edge.Hosts) (*Deployer, *router.Router) {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	cfg := Config{Logs: filepath.Join(dir, "logs"), Caches: filepath.Join(dir, "caches"), Volumes: filepath.Join(dir, "volumes"), Git: git.Repositories{Dir: filepath.Join(dir, "git")}}
	log := slog.New(slog.DiscardHandler)
	cfg.AccessLog = accesslog.New(cfg.Logs, log)
	table := router.New(router.Config{}, log)
	d := New(cfg, db, nil, table, hosts, log)
	rebuild(d)
	t.Cleanup(func() { d.end(); d.rest() })
	close(d.adopted)
	err = db.Update(func(tx *store.Tx) error { return tx.PutSettings(store.Settings{Domain: "example.com"}) })
	if err != nil {
		t.Fatal(err)
	}
	return d, table
}

// rebuild gives a deployer a builder that has no engine, for what its config is now.
func rebuild(d *Deployer) {
	d.build = d.newBuilder(noEngine{}, noImages{})
	d.join()
}

func update(t *testing.T, d *Deployer, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := d.db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// shop makes an app whose release v1 is live, stopped, so that it needs no containers.
// shopID is the id of the first app that is made.
const shopID = "70000"

func shop(t *testing.T, d *Deployer) (record store.App, a *app) {
	t.Helper()
	update(t, d, func(tx *store.Tx) (err error) {
		record, err = tx.CreateApp(store.App{Name: "shop", Release: 1, LastRelease: 1, Stopped: true})
		if err != nil {
			return err
		}
		return tx.PutRelease(store.Release{App: "shop", Number: 1, Status: store.ReleaseLive, Config: map[string]string{}})
	})
	return record, d.app(record)
}

func TestHold_WaitsForWhatRanBeforeToBeTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		d.adopted = make(chan struct{})
		held := make(chan error, 1)
		go func() {
			_, _, leave, err := d.hold(t.Context(), "shop", ticket{what: "a push"}, nil)
			if err == nil {
				leave()
			}
			held <- err
		}()
		synctest.Wait()
		if len(held) != 0 {
			t.Fatal("a push began while berth was still sorting out what runs")
		}
		close(d.adopted)
		if err := <-held; err != nil {
			t.Error(err)
		}
	})
}

func TestHold_IsOfTheAppThatHasTheNameInTheEnd(t *testing.T) {
	d := newDeployer(t)
	old, was := shop(t, d)
	leave, err := was.line.enter(t.Context(), &ticket{what: "its destruction"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		record store.App
		a      *app
		err    error
	}
	waiting, held := make(chan struct{}), make(chan result, 1)
	go func() {
		record, a, _, err := d.hold(context.Background(), "shop", ticket{what: "a push"}, func(string) { close(waiting) })
		held <- result{record, a, err}
	}()
	<-waiting
	update(t, d, func(tx *store.Tx) error {
		if err := tx.DeleteApp("shop"); err != nil {
			return err
		}
		_, err := tx.CreateApp(store.App{Name: "shop"})
		return err
	})
	leave()
	got := <-held
	if got.err != nil || got.a == was || got.record.UID == old.UID || got.a.uid != got.record.UID {
		t.Errorf("got the live half of uid %d and the record of uid %d (%v); the old app had %d", got.a.uid, got.record.UID, got.err, old.UID)
	}
}

func TestDestroyApp_EndsItsJobsAndIsNotRoutedAgain(t *testing.T) {
	d, table := newDeployerWith(t, noHosts{})
	m := &fleettest.Machine{}
	onMachine(d, fleettest.NewLife(m))
	close(d.adopted)
	record, a := shop(t, d)
	a.fleet.Reroute()
	update(t, d, func(tx *store.Tx) error {
		release, err := tx.Release("shop", 1)
		if err != nil {
			return err
		}
		release.Cron, record.Stopped = []store.CronJob{{ID: "j", Command: "work"}}, false
		return errors.Join(tx.PutRelease(release), tx.PutApp(record))
	})
	ended := make(chan store.CronRun)
	go func() {
		run, _ := d.jobs.RunCron(context.Background(), "shop", "j", jobs.CronOptions{}, store.Root, io.Discard)
		ended <- run
	}()
	for !slices.ContainsFunc(m.Boxes(), (*fleettest.Box).Runs) {
		time.Sleep(5 * time.Millisecond) // it begins in a goroutine
	}
	if err := d.DestroyApp(t.Context(), "shop", store.User{Name: "alice"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if run := <-ended; run.Error != "its app was destroyed" {
		t.Errorf("a run of its job ended with %+v", run)
	}
	a.fleet.Reroute() // as an instance does that crashes now
	if _, err := table.Swap(router.Route{Name: "other", Hosts: []string{"shop.example.com"}}); err != nil {
		t.Errorf("its host is still taken: %v", err)
	}
}

func TestDestroyApp_CanBeRepeatedWhenItsDirectoriesCannotBeRemoved(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	d.cfg.Caches = "/proc/self/nothing\x00" // no such path can be
	rebuild(d)
	if err := d.DestroyApp(t.Context(), "shop", store.User{Name: "alice"}, io.Discard); err == nil {
		t.Fatal("the caches could not be removed, and nobody was told")
	}
	if _, _, err := d.find("shop"); err != nil {
		t.Errorf("what is left belongs to no app: %v", err)
	}
}

func TestCreateApp_InheritsNoLogs(t *testing.T) {
	d := newDeployer(t)
	old := filepath.Join(d.cfg.Logs, shopID, "v1")
	if err := os.MkdirAll(old, 0o700); err != nil { // of an app that was destroyed by halves
		t.Fatal(err)
	}
	if _, err := d.CreateApp(t.Context(), "shop", store.User{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the logs of its namesake: got %v, want none", err)
	}
}

func TestAddDomains_OfAnAppThatIsGone(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	if err := d.edge.AddDomains(t.Context(), "shop", nil, store.User{}); err != nil {
		t.Fatal(err)
	}
	clear(d.apps)
	update(t, d, func(tx *store.Tx) error { return tx.DeleteApp("shop") })
	if err := d.edge.AddDomains(t.Context(), "shop", []store.Domain{{Host: "shop.test"}}, store.User{}); err == nil {
		t.Error("a domain was given to nobody")
	}
}

func TestBackground_BeginsNothingAfterTheEnd(t *testing.T) {
	d := newDeployer(t)
	ran := make(chan struct{})
	if !d.background(func(context.Context) { close(ran) }) {
		t.Fatal("work before the end did not begin")
	}
	d.rest()
	select {
	case <-ran:
	default:
		t.Error("rest did not wait for the work")
	}
	if d.background(func(context.Context) { t.Error("work began after the end") }) {
		t.Error("work after the end was said to begin")
	}
}
