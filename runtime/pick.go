package runtime

import (
	"context"
	"errors"
)

// pick makes a layer on Parent of what Keep names in Builder's filesystem. Root's
// alone is copied so: what a toolchain was fetched with stays behind.
func (e *Engine) pick(ctx context.Context, spec LayerSpec, active string) (err error) {
	to, err := e.prepare(ctx, active, spec.Parent)
	if err != nil {
		return err
	}
	scratch := active + "-scratch"
	from, err := e.prepare(ctx, scratch, spec.Builder)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := lasting(ctx)
		defer cancel()
		err = errors.Join(err, retry(ctx, func() error { return e.snapshots().Remove(ctx, scratch) }))
	}()
	made, err := e.mountSnapshot(scratch, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, made.unmount()) }()
	top, err := e.mountSnapshot(active, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, top.unmount()) }()
	if err := keep(ctx, made.root, top.root, "/", spec.Keep, spec.UID); err != nil {
		return err
	}
	if err := top.unmount(); err != nil {
		return err
	}
	return e.commit(ctx, active, spec.Key, spec.Builder, spec.Labels)
}
