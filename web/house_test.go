package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
	"github.com/berthd/berth/verbs/verbstest"
)

// house is a door with a real store behind it, and a deployer without containers.
type house struct {
	*Server
	table    *verbs.Table
	db       *store.Store
	deployer *puppet
	log      *lockedBuffer
	socket   string
	stop     func() // ends Serve and waits for it
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{db: db, deployer: &puppet{db: db}, log: &lockedBuffer{}, socket: filepath.Join(dir, "berth.sock")}
	log := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.table = verbs.New(verbs.Config{
		Version: "1.2.3",
		RootCA:  func(certificates.Trust) ([]byte, error) { return []byte("PEM\n"), nil },
	}, verbstest.Rooms(h.deployer), db, log)
	h.Server = New(Config{Version: "1.2.3", Meter: h.deployer}, h.table, log)
	h.update(t, func(tx *store.Tx) error { return tx.PutSettings(store.Settings{Domain: "example.com"}) })
	socket, err := net.Listen("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, socket, 5*time.Second) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

// Handler is the admin host without pages.
func (h *house) Handler() http.Handler { return h.Server.Handler(http.NotFoundHandler()) }

func (h *house) update(t *testing.T, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := h.db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func (h *house) makeApp(t *testing.T, name string) {
	t.Helper()
	h.update(t, func(tx *store.Tx) error {
		_, err := tx.CreateApp(store.App{Name: name, CreatedBy: "alice"})
		return err
	})
}

// puppet does with the store alone what a deployer does with containers. A
// test may put a function of its own in its place.
type puppet struct {
	verbstest.Everything // what is not there panics
	db                   *store.Store

	scale   func(ctx context.Context, out io.Writer) error
	runOnce func(ctx context.Context, args []string, att runtime.Attachment) (int, error)
	status  func(app string) error

	cancelled []string // builds, as "shop 1"

	instances []deploy.Instance // of every app
}

func (p *puppet) CreateApp(_ context.Context, name string, by store.User) (app store.App, err error) {
	err = p.db.Update(func(tx *store.Tx) error {
		app, err = tx.CreateApp(store.App{Name: name, CreatedBy: by.Name})
		return err
	})
	return app, err
}

func (p *puppet) Status(_ context.Context, name string) (s deploy.AppStatus, err error) {
	if p.status != nil {
		if err := p.status(name); err != nil {
			return s, err
		}
	}
	err = p.db.View(func(tx *store.Tx) error { s.App, err = tx.App(name); return err })
	s.State, s.GitURL = deploy.StateEmpty, "berth@example.com:"+name
	return s, err
}

func (p *puppet) Statuses(ctx context.Context) (all []deploy.AppStatus, err error) {
	err = p.db.View(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		for _, app := range apps {
			all = append(all, deploy.AppStatus{App: app, State: deploy.StateEmpty, Instances: p.instances})
		}
		return err
	})
	return all, err
}

func (p *puppet) SetConfig(_ context.Context, app string, set map[string]string, unset []string, _ bool, _ store.User, out io.Writer) (store.Release, error) {
	fmt.Fprintln(out, "-----> Start")
	return store.Release{}, p.db.Update(func(tx *store.Tx) error {
		config, err := tx.Config(app)
		if err != nil {
			return err
		}
		maps.Copy(config, set)
		for _, name := range unset {
			delete(config, name)
		}
		return tx.PutConfig(app, config)
	})
}

func (p *puppet) ReplaceConfig(ctx context.Context, app string, set map[string]string, noRestart bool, by store.User, out io.Writer) (store.Release, error) {
	var now map[string]string
	err := p.db.View(func(tx *store.Tx) (err error) {
		now, err = tx.Config(app)
		return err
	})
	if err != nil {
		return store.Release{}, err
	}
	return p.SetConfig(ctx, app, set, deploy.OtherNames(now, set), noRestart, by, out)
}

func (p *puppet) CancelBuild(_ context.Context, app string, number int, _ store.User) (store.Build, error) {
	p.cancelled = append(p.cancelled, fmt.Sprintf("%s %d", app, number))
	return store.Build{}, nil
}

func (p *puppet) Scale(ctx context.Context, _ string, _ map[string]int, _ store.User, out io.Writer) error {
	return p.scale(ctx, out)
}

// Logs has three lines, and for those who follow one more, then none.
func (p *puppet) Logs(ctx context.Context, q logs.Query, fn func(logs.LogLine) error) error {
	lines := []string{"one", "two", "three"}
	if q.Lines >= 0 && q.Lines < len(lines) {
		lines = lines[len(lines)-q.Lines:]
	}
	if q.Follow {
		lines = append(lines, "followed")
	}
	for _, text := range lines {
		if err := fn(logs.LogLine{Source: "web.1", Text: text}); err != nil {
			return err
		}
	}
	if q.Follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (p *puppet) FollowBuild(_ context.Context, _ string, _ int, w io.Writer) error {
	for _, part := range []string{"-----> De", "tect\n       Python\n-----", "> Build"} {
		if _, err := io.WriteString(w, part); err != nil {
			return err
		}
	}
	return nil
}

func (p *puppet) RunOnce(ctx context.Context, _ string, o jobs.OneOffOptions, att runtime.Attachment, _ store.User) (int, error) {
	return p.runOnce(ctx, o.Args, att)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (p *puppet) CronJobs(context.Context, string) ([]jobs.CronStatus, error) { return nil, nil }
