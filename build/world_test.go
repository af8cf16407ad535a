package build

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

var bob = store.User{Name: "bob"}

// world is what deploys in tests: whoever asks has the turn at once.
type world struct {
	life context.Context
	end  context.CancelFunc
	db   *store.Store
	work sync.WaitGroup

	mu     sync.Mutex // guards what follows
	rested bool
	events []store.Event
}

func (w *world) Turn(ctx context.Context, app, _ string, _ func(string)) (context.Context, store.App, func(), error) {
	var record store.App
	err := w.db.View(func(tx *store.Tx) (err error) { record, err = tx.App(app); return err })
	return ctx, record, func() {}, err
}

func (w *world) Config(app store.App, manifest appjson.Manifest) (config map[string]string, err error) {
	err = w.db.View(func(tx *store.Tx) (err error) { config, err = tx.Config(app.Name); return err })
	maps.Copy(config, manifest.Env)
	return config, err
}

func (w *world) Background(fn func(context.Context)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rested {
		return false
	}
	w.work.Go(func() { fn(w.life) })
	return true
}

// rest ends life and waits for all work.
func (w *world) rest() {
	w.end()
	w.mu.Lock()
	w.rested = true
	w.mu.Unlock()
	w.work.Wait()
}

func (w *world) RecordEvent(e store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) Changed(string) {}

func (w *world) Collected(string) {}

func (w *world) SSHCommand() string { return "ssh -p 2222 berth@example.com" }

// noEngine has no layers, and makes none.
type noEngine struct{ Engine }

func (noEngine) Layers(context.Context) ([]runtime.Layer, error) { return nil, nil }

func (noEngine) Stranded() bool              { return false }
func (noEngine) Load() (runtime.Load, error) { return runtime.Load{}, errors.New("no engine") }

// madeBy is an engine whose layers another one makes.
type madeBy struct {
	noEngine
	layerMaker
}

func (m madeBy) Room() (runtime.Room, error) { return m.layerMaker.Room() }

func (m madeBy) HasLayer(ctx context.Context, key string) (bool, error) {
	return m.layerMaker.HasLayer(ctx, key)
}

func (m madeBy) StackLayer(ctx context.Context, out io.Writer) (string, error) {
	return m.layerMaker.StackLayer(ctx, out)
}

func (m madeBy) BuildLayer(ctx context.Context, spec runtime.LayerSpec, out io.Writer) error {
	return m.layerMaker.BuildLayer(ctx, spec, out)
}

// noImages are no images and no steps of Dockerfiles.
type noImages struct{ Images }

func (noImages) RemoveCache(context.Context, string) error { return nil }

// newBuilder returns a builder without an engine: nothing it does in a test may
// want a container.
func newBuilder(t testing.TB) *Builder {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	w := &world{life: life, end: end, db: db}
	t.Cleanup(func() { w.rest(); db.Close() })
	cfg := Config{Logs: filepath.Join(dir, "logs"), Caches: filepath.Join(dir, "caches"), Git: git.Repositories{Dir: filepath.Join(dir, "git")}}
	return New(life, cfg, db, noEngine{}, noImages{}, w, slog.New(slog.DiscardHandler))
}

func update(t *testing.T, b *Builder, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := b.db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// shop makes an app whose release v1 is live.
func shop(t *testing.T, b *Builder) (record store.App) {
	t.Helper()
	update(t, b, func(tx *store.Tx) (err error) {
		record, err = tx.CreateApp(store.App{Name: "shop", Release: 1, LastRelease: 1, Stopped: true})
		if err != nil {
			return err
		}
		return tx.PutRelease(store.Release{App: "shop", Number: 1, Status: store.ReleaseLive, Config: map[string]string{}})
	})
	return record
}

func codeOf(err error) string {
	if f := fault.From(err); f != nil {
		return f.Code
	}
	return ""
}

// loaded is an engine of a machine that is busy.
type loaded struct {
	noEngine
	load func() (runtime.Load, error)
}

func (l loaded) Load() (runtime.Load, error) { return l.load() }

func errCancelled(what string, by store.User) *fault.Error {
	return fault.New(fault.Failed, "E403", "%s was cancelled by %s", what, by.Name)
}

// tenant is a user who is bound to apps.
func tenant(apps ...string) store.User {
	return store.User{Name: "tenant", Role: store.RoleDeploy, Apps: apps}
}
