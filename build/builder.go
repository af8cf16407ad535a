// Package build turns a commit into the layers and the image of a release, or
// says why it cannot.
//
//	checkout ──> detect ──> layers, one on the other ──> tests
//	(git)        (a plan)     │
//	                          ├ shared by all apps: made once, also ahead
//	                          └ the app's own: in its turn among the builds
//	                            of the machine, with the app's caches
//
// It knows the store's apps, but not their instances. The caller decides when an
// app may be built and what happens to the result (see Deploys). The layers of a
// build are kept until it is closed; layers that no release names are collected.
package build

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/images"
	"github.com/berthd/berth/store"
)

// Labels of layers.
const (
	labelApp  = "berth.app" // the user id of the app whose own it is
	labelKind = "berth.kind"
)

// Config has the directories and limits of builds.
type Config struct {
	Logs   string // directory of the apps' logs, the output of builds among them
	Caches string // directory of the apps' build caches
	Git    git.Repositories

	// Mirror is the operator's directory of archives of tools; nil is none.
	Mirror *mirror.Dir

	// Builds is how many builds run at once; 0 is one for every two cores.
	Builds int

	// KeepReleases is how many releases of an app can be rolled back to, the
	// live one among them; 0 is DefaultKeepReleases.
	KeepReleases int
}

// Deploys is what builds need of the deployer. Its methods are safe for
// concurrent use.
type Deploys interface {
	// Turn waits until nothing else is built for an app, then returns its record
	// as it is by then and what gives the turn up. waiting, if not nil, is called
	// once when there is a wait, with what is waited for. The context outlives the
	// asker's, and ends when the app is to be destroyed.
	Turn(ctx context.Context, app, what string, waiting func(holder string)) (_ context.Context, _ store.App, leave func(), err error)
	// Config returns the config of a release that would be made now of a source
	// with such an app.json.
	Config(app store.App, manifest appjson.Manifest) (map[string]string, error)
	// Background runs fn beside the caller, and returns false at the end of life.
	Background(fn func(ctx context.Context)) bool
	// RecordEvent stores an event of something that is not in the store.
	RecordEvent(e store.Event)
	// Changed wakes those who watch an app.
	Changed(app string)
	// Collected is called when what the releases of an app no longer need has
	// been collected, for what else is kept of them.
	Collected(app string)
	// SSHCommand is what reaches berth from a developer's machine, for hints.
	SSHCommand() string
}

// Engine is what builds need of the machine's containers; *runtime.Engine is one.
type Engine interface {
	layerMaker
	Scratch() (dir string, err error)
	AddTree(ctx context.Context, key, parent, dir, target string, uid int, labels map[string]string) error
	Rehearse(ctx context.Context, spec runtime.LayerSpec, out io.Writer) error
	ReadFile(ctx context.Context, layer, name string) ([]byte, error)
	Layers(ctx context.Context) ([]runtime.Layer, error)
	RemoveLayer(ctx context.Context, key string) error
	Load() (runtime.Load, error)
	Stranded() bool
}

// Images makes and fetches images; *images.Maker does. RemoveCache deletes the
// cached build steps of an owner's Dockerfiles, and may be called for an owner
// that has none.
type Images interface {
	Build(ctx context.Context, spec images.BuildSpec, out io.Writer) (images.Image, error)
	Pull(ctx context.Context, spec images.PullSpec, out io.Writer) (images.Image, error)
	Own(ctx context.Context, img images.Image, key string, uid int, labels map[string]string) error
	Image(ctx context.Context, key string) (images.Image, error)
	RemoveCache(ctx context.Context, owner string) error
}

// Builder builds apps. Its methods are safe for concurrent use.
type Builder struct {
	Transcripts
	Registries
	Properties

	cfg     Config
	db      *store.Store
	deploys Deploys
	life    context.Context // what outlives a request hangs on it

	engine Engine
	images Images
	log    *slog.Logger

	queue      *queue     // of the builds of all apps
	pins       pins       // layers that no release names yet
	collecting sync.Mutex // one collection at a time

	mu         sync.Mutex         // guards what follows
	making     map[string]*making // the shared layers that are being made, by their keys
	abandoned  bool               // a toolchain is made to its end that nobody waits for
	stackBegan time.Time          // when the base filesystem that is being made was begun; zero when none is
}

// New returns a builder; what it does in the background ends with life.
func New(life context.Context, cfg Config, db *store.Store, engine Engine, images Images, deploys Deploys, log *slog.Logger) *Builder {
	return &Builder{
		Transcripts: Transcripts{dir: cfg.Logs, db: db},
		Registries:  Registries{db: db, changed: deploys.Changed},
		Properties:  Properties{db: db, changed: deploys.Changed},
		cfg:         cfg, db: db, engine: engine, images: images, deploys: deploys, life: life, log: log,
		queue:  newQueue(cmp.Or(cfg.Builds, defaultBuilds())),
		making: map[string]*making{},
	}
}

// find returns an app's record.
func find(db *store.Store, app string) (record store.App, err error) {
	err = db.View(func(tx *store.Tx) error {
		record, err = tx.App(app)
		return err
	})
	return record, err
}

// live returns the release that an app runs, without its config; the zero release
// when it has none.
func live(db *store.Store, app store.App) (release store.Release, err error) {
	if app.Release == 0 {
		return release, nil
	}
	err = db.View(func(tx *store.Tx) error {
		release, err = tx.ReleaseWithoutConfig(app.Name, app.Release)
		return err
	})
	return release, err
}

// warn logs the failure of work that nobody waits for.
func (b *Builder) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		b.log.Warn(what, append(args, "err", err)...)
	}
}

// Pin keeps layers until release is called. A caller that pins a layer before
// it looks for it either finds it and keeps it, or does not find it.
func (b *Builder) Pin(keys ...string) (release func()) { return b.pins.pin(keys...) }

var _ Engine = (*runtime.Engine)(nil)

// waits tells the one who waits for an app's turn what for.
func waits(out *progress.Report) func(holder string) {
	return func(holder string) { out.Title("waiting for %s", holder) }
}
