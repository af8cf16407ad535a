package deploy

import (
	"context"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/store"
)

// What deploy and builds know of each other stands in this file. Package build
// makes layers; deploy says when an app may be built, with which config, and what
// becomes of them.

// Builder makes what releases run in.
func (d *Deployer) Builder() *build.Builder { return d.build }

// newBuilder returns the builder of a deployer.
func (d *Deployer) newBuilder(engine build.Engine, images build.Images) *build.Builder {
	return build.New(d.life, build.Config{
		Logs: d.cfg.Logs, Caches: d.cfg.Caches, Git: d.cfg.Git, Mirror: d.cfg.Mirror,
		Builds: d.cfg.Builds, KeepReleases: d.cfg.KeepReleases,
	}, d.db, engine, images, builds{d}, d.log)
}

// builds is what builds ask of the deployer.
type builds struct{ d *Deployer }

func (b builds) Turn(ctx context.Context, app, what string, waiting func(holder string)) (context.Context, store.App, func(), error) {
	record, a, leave, err := b.d.buildTurn(ctx, app, ticket{what: what}, waiting)
	if err != nil {
		return nil, record, nil, err
	}
	ctx, end := b.d.begun(ctx, a)
	return ctx, record, func() { end(); leave() }, nil
}

func (b builds) Config(app store.App, manifest appjson.Manifest) (map[string]string, error) {
	return b.d.configFor(app, manifest)
}

func (b builds) Background(fn func(ctx context.Context)) bool { return b.d.background(fn) }

func (b builds) RecordEvent(e store.Event) { b.d.recordEvent(e) }

func (b builds) Changed(app string) { b.d.publish(app) }

func (b builds) Collected(app string) {
	b.d.collectLogs(app)
	b.d.collectPages(app)
}

func (b builds) SSHCommand() string { return b.d.sshCommand() }
