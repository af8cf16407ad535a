package build

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// Job is a commit that is to be built.
type Job struct {
	App    store.App
	By     store.User
	Commit git.Commit
	Repo   git.Repository // sees the commit

	// Record is the build's own, in which what is learned of it is written.
	Record *store.Build
}

// Built is the result of a build. Its layers are kept until it is closed, or
// until a release that names them is recorded.
type Built struct {
	Plan   *plan.Plan
	Image  Image
	Config map[string]string // that the build read

	b     *Builder
	app   store.App
	tree  *source
	added func() error // makes the layer of the source, once
	named func()
	pins  []func()
}

// Run builds a commit: checkout, detection, layers, tests. An error is a fault
// that the pusher can act on.
func (b *Builder) Run(ctx context.Context, job Job, out *progress.Report) (_ *Built, err error) {
	made := &Built{b: b, app: job.App, named: func() {}}
	defer func() {
		if err != nil {
			made.Close()
		}
	}()
	made.tree, err = b.checkout(ctx, job.App, job.Commit, job.Repo, out)
	if err != nil {
		return nil, err
	}
	made.Plan, made.Config, err = b.plan(ctx, job.App, made.tree, out)
	if err != nil {
		return nil, err
	}
	out.Conceal(made.Config)
	job.Record.Language, job.Record.Summary = made.Plan.Language, made.Plan.Summary
	known := len(made.Plan.Processes)
	made.named = b.rely(made.Plan, topKey(job.App, made.Plan, made.tree))
	made.Image, err = b.build(ctx, job.App, job.By, job.Record, made.Plan, made.tree, made.Config, out)
	if err != nil {
		return nil, err
	}
	if len(made.Plan.Processes) > known { // which the build alone could tell
		for _, line := range made.Plan.Overview(progress.Columns - len(progress.Indent)) {
			out.Detail("%s", line)
		}
	}
	if err := b.test(ctx, job.App, *job.Record, made.Plan, made.Image, made.tree, out); err != nil {
		return nil, err
	}
	made.added = sync.OnceValue(func() error {
		if made.Image.Whole() {
			return nil
		}
		return b.addSource(ctx, made.app, made.Image, made.tree)
	})
	return made, nil
}

// Root is the source tree of the build.
func (m *Built) Root() *os.Root { return m.tree.root }

// Path is the directory of the source.
func (m *Built) Path() string { return m.tree.path }

// AddSource makes the layer of the source, if the image has one; a second call
// waits for the first. It moves the tree, so Path is empty afterwards.
func (m *Built) AddSource() error { return m.added() }

// Named lets go of the layers of the build: a release names them.
func (m *Built) Named() { m.named() }

// Place waits for a place among the machine's builds.
func (m *Built) Place(ctx context.Context, out *progress.Report) (leave func(), err error) {
	return m.b.awaitPlace(ctx, out)
}

// Extend runs a command in the built image, and keeps its changes below /app as
// the top layer, of that kind. A failure of the command is a
// runtime.CommandError. The caller must have a place among the builds.
func (m *Built) Extend(ctx context.Context, kind string, command runtime.Command, out io.Writer) error {
	key := newKey(kind)
	m.pins = append(m.pins, m.b.pins.pin(key))
	err := m.b.engine.BuildLayer(ctx, runtime.LayerSpec{
		Key: key, Parent: m.Image.Top, UID: m.app.UID, Foreign: m.Image.Foreign != nil,
		Commands: []runtime.Command{command},
		Labels:   map[string]string{labelKind: kind, labelApp: strconv.Itoa(m.app.UID)},
		Limits:   buildLimits(), Disk: buildRoom(),
	}, out)
	if short, ok := errors.AsType[*runtime.DiskError](err); ok {
		return m.b.outgrown(plan.Layer{Name: kind}, m.app, short)
	}
	if err == nil {
		m.Image.Base, m.Image.Top = key, key
	}
	return err
}

// Close lets go of the layers and removes the tree.
func (m *Built) Close() {
	m.named()
	for _, unpin := range m.pins {
		unpin()
	}
	if m.tree != nil {
		m.tree.remove()
	}
}
