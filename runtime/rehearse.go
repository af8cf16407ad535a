package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/berthd/berth/runtime/internal/outage"
)

// Rehearse runs the commands of a layer as BuildLayer would, each in a
// container of its own on one filesystem, and keeps nothing: it is for what is
// only to be seen to succeed. The spec's Key, Keep and Labels mean nothing
// here; the user is not root. A command that fails returns a *CommandError.
// Cancelling ctx kills the commands.
func (e *Engine) Rehearse(ctx context.Context, spec LayerSpec, out io.Writer) (err error) {
	scratch := "rehearse-" + NewID()
	below := cmp.Or(spec.Builder, spec.Parent)
	mounts, err := e.Prepare(ctx, scratch, below)
	if err != nil {
		return fmt.Errorf("rehearse on layer %s: %w", below, err)
	}
	defer func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		err = errors.Join(err, outage.Retry(ctx, func() error { return e.Snapshots().Remove(ctx, scratch) }))
	}()
	err = e.readySource(ctx, spec, scratch, mounts)
	if err != nil {
		return fmt.Errorf("rehearse on layer %s: %w", below, err)
	}
	writes := []writeDir{{name: "/", dir: layerDirs(mounts)[0], own: true}}
	return e.runCommands(ctx, spec, scratch, mounts, spec.Mounts, writes, out)
}
