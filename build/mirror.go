package build

import (
	"context"
	"errors"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
)

// Mirror tells what the operator's mirror has.
func (b *Builder) Mirror(context.Context) (mirror.Report, error) { return b.cfg.Mirror.Report() }

// mountArchive shows a layer's commands the archive of the mirror that they are
// for.
func (b *Builder) mountArchive(spec *runtime.LayerSpec, layer plan.Layer) error {
	if layer.Archive == nil {
		return nil
	}
	file, err := b.cfg.Mirror.Path(*layer.Archive)
	if err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, runtime.Mount{Source: file, Target: plan.ArchivePath})
	return nil
}

// commandFailed tells that it was a command of a layer that failed, and not the
// machine, its disk or somebody's patience.
func commandFailed(ctx context.Context, err error) bool {
	_, failed := errors.AsType[*runtime.CommandError](err)
	return failed && ctx.Err() == nil
}
