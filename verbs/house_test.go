package verbs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"testing"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// everything is what the verbs ask for, of all nouns.
type everything interface {
	AppRoom
	ProcessRoom
	RebuildRoom
	OneOffRoom
	ConfigRoom
	ReleaseRoom
	BuildRoom
	PushRoom
	BuilderRoom
	GitRoom
	RegistryRoom
	LogRoom
	CronRoom
	DomainRoom
	CertRoom
	LetsEncryptRoom
	RouterRoom
	RequestRoom
	PortRoom
	KeyRoom
	NetworkRoom
	DoctorRoom
	StorageRoom
	MountRoom
}

func roomsOf(one everything) Rooms {
	return Rooms{
		Apps:        one,
		Processes:   one,
		Rebuilds:    one,
		OneOffs:     one,
		Config:      one,
		Releases:    one,
		Builds:      one,
		Pushes:      one,
		Builder:     one,
		Git:         one,
		Registries:  one,
		Logs:        one,
		Cron:        one,
		Domains:     one,
		Certs:       one,
		LetsEncrypt: one,
		Router:      one,
		Requests:    one,
		Ports:       one,
		Keys:        one,
		Network:     one,
		Doctor:      one,
		Storage:     one,
		Mounts:      one,
	}
}

// house is the table with a real store beneath it, and rooms without containers.
type house struct {
	*Table
	cfg      Config
	rooms    Rooms
	db       *store.Store
	deployer *puppet
	log      *lockedBuffer
}

func newHouse(t *testing.T) *house {
	t.Helper()
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{db: db, deployer: &puppet{db: db}, log: &lockedBuffer{}}
	h.rooms = roomsOf(h.deployer)
	h.cfg = Config{Version: "1.2.3", RootCA: func(certificates.Trust) ([]byte, error) { return []byte("PEM\n"), nil }}
	h.rebuild()
	h.update(t, func(tx *store.Tx) error { return tx.PutSettings(store.Settings{Domain: "example.com"}) })
	return h
}

// rebuild makes the table anew, after a change of cfg or rooms.
func (h *house) rebuild() {
	h.Table = New(h.cfg, h.rooms, h.db, slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// domains are those of the house's own configuration.
func (h *house) domains() domains {
	return domains{h.records, h.rooms.Domains, h.cfg.Addresses, h.cfg.Resolver}
}

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
	everything // what is not there panics
	db         *store.Store

	scale   func(ctx context.Context, out io.Writer) error
	runOnce func(ctx context.Context, args []string, att runtime.Attachment) (int, error)
	status  func(app string) error
	pair    string // whose was added last

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

func (p *puppet) DestroyApp(_ context.Context, name string, _ store.User, _ io.Writer) error {
	return p.db.Update(func(tx *store.Tx) error { return tx.DeleteApp(name) })
}

func (p *puppet) RenameApp(_ context.Context, from, to string, _ store.User, _ io.Writer) (app store.App, err error) {
	err = p.db.Update(func(tx *store.Tx) error { app, err = tx.RenameApp(from, to); return err })
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

func (p *puppet) AddDomains(_ context.Context, app string, domains []store.Domain, _ store.User) error {
	return p.db.Update(func(tx *store.Tx) error {
		for _, domain := range domains {
			domain.App = app
			if err := tx.PutDomain(domain); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *puppet) AddPair(_ context.Context, app, host string, _, _ []byte, _ store.User) error {
	p.pair = app + " " + host
	return nil
}

func (p *puppet) RemovePair(context.Context, string, string, store.User) error {
	p.pair = ""
	return nil
}

func (p *puppet) SetLocalCertificates(context.Context, string, bool, store.User) error { return nil }

func (p *puppet) SetSettings(_ context.Context, change func(*store.Settings) error, _ store.User) (s store.Settings, err error) {
	err = p.db.Update(func(tx *store.Tx) error {
		if s, err = tx.Settings(); err != nil {
			return err
		}
		if err := change(&s); err != nil {
			return err
		}
		return tx.PutSettings(s)
	})
	return s, err
}

func (p *puppet) SetCertificates(_ context.Context, app, name, value string, _ store.User) error {
	change, err := edge.CertificateProperties.Check(app, name, value)
	if err != nil {
		return err
	}
	return p.db.Update(change.Keep)
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

func (p *puppet) CronJobs(context.Context, string) ([]jobs.CronStatus, error) { return nil, nil }

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
