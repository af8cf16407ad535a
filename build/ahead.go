package build

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// usual is an app as most are: what it stands on is made before anybody asks.
//
//go:embed usual
var usual embed.FS

// MakeAhead makes what the next pushes would have to wait for and which depends on
// no push: the base filesystem, the usual toolchain, and the toolchains of the
// apps that are here, which another version of berth may make of other parts. A
// push that comes meanwhile waits for the layer that it needs, and makes it
// itself if that fails here.
func (b *Builder) MakeAhead(ctx context.Context) {
	began := time.Now()
	made, err := b.makeLayersAhead(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		b.log.Warn("the layers that pushes need were not built ahead; the next push tries again", "err", err)
	case made > 0:
		b.log.Info("the layers that pushes need were built ahead", "layers", made, "took", time.Since(began).Round(time.Second))
	}
}

// makeLayersAhead returns how many layers it has made.
func (b *Builder) makeLayersAhead(ctx context.Context) (made int, err error) {
	if err := os.MkdirAll(b.cfg.Logs, 0o700); err != nil { // on a new machine no app has made it
		return 0, err
	}
	short, err := b.shortOfRoom()
	if err != nil || short != nil { // a push says so to somebody who can act on it
		return 0, err
	}
	out := progress.New()
	out.Record = debugLines{b.log}
	stack := runtime.StackKey()
	have, err := b.engine.HasLayer(ctx, stack)
	if err != nil {
		return 0, err
	}
	if !have {
		if _, err := b.stack(ctx, out); err != nil {
			return 0, err
		}
		made++
	}
	program, err := thisProgram()
	if err != nil {
		return made, err
	}
	plans, err := b.foreseenPlans(ctx, stack, program)
	if err != nil {
		return made, err
	}
	for _, layers := range plans {
		for _, layer := range shared(layers) {
			have, err := b.engine.HasLayer(ctx, layer.Key)
			if err == nil && !have {
				err = b.awaitShared(ctx, []plan.Layer{layer}, out)
				made++
			}
			if err != nil {
				return made, fmt.Errorf("%s: %w", layer.Name, err)
			}
		}
	}
	return made, b.markMadeAhead(program)
}

// markMadeAhead remembers the program which has made everything ahead.
func (b *Builder) markMadeAhead(program string) error {
	if by, err := b.madeAheadBy(); err != nil || by == program {
		return err // a restart of the same one writes nothing
	}
	if err := b.db.Update(func(tx *store.Tx) error { return tx.PutMadeAhead(program) }); err != nil {
		return err
	}
	// An earlier berth kept it there, among the apps' caches.
	err := os.Remove(filepath.Join(b.cfg.Caches, ".made-ahead"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *Builder) madeAheadBy() (program string, err error) {
	err = b.db.View(func(tx *store.Tx) error {
		program = tx.MadeAhead()
		return nil
	})
	return program, err
}

// thisProgram tells one build of berth from another.
func thisProgram() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

// foreseenPlans are the layers of the usual app, and of each app that was pushed
// as they would be if it were pushed again. An app's toolchain is there unless
// another program made it, so a mere restart reads no repository.
func (b *Builder) foreseenPlans(ctx context.Context, stack, program string) (plans [][]plan.Layer, err error) {
	first, err := usualPlan(stack)
	if err != nil {
		return nil, err
	}
	plans = append(plans, first.Layers)
	if by, err := b.madeAheadBy(); err != nil || by == program {
		return plans, err
	}
	records, err := b.db.Apps()
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		if record.Release == 0 {
			continue
		}
		planned, err := b.PlanBuild(ctx, record.Name, "")
		if err != nil { // it was given an image, say, or would be refused
			b.log.Debug("the next push of an app cannot be foreseen", "app", record.Name, "err", err)
			continue
		}
		plans = append(plans, planned.Plan.Layers)
	}
	return plans, nil
}

func usualPlan(stack string) (*plan.Plan, error) {
	tree, err := fs.Sub(usual, "usual")
	if err != nil {
		return nil, err
	}
	made, err := buildpacks.Detect(plan.Request{FS: tree, Digest: "usual", Stack: stack, Owner: "0"})
	if err != nil {
		return nil, fmt.Errorf("plan the usual app: %w", err)
	}
	return made, nil
}

// shared returns the layers at the bottom of a plan that are the same for every
// app, in the order in which they stand on each other.
func shared(layers []plan.Layer) (list []plan.Layer) {
	for _, layer := range layers {
		if layer.Shared() {
			list = append(list, layer)
		}
	}
	return list
}

// debugLines takes the output of what nobody waits for.
type debugLines struct{ log *slog.Logger }

func (w debugLines) Write(p []byte) (int, error) {
	w.log.Debug("made ahead", "line", strings.TrimSpace(string(p)))
	return len(p), nil
}
