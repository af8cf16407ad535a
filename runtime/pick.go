package runtime

import (
	"context"
	"errors"

	"github.com/berthd/berth/runtime/internal/outage"
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
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		err = errors.Join(err, outage.Retry(ctx, func() error { return e.snapshots().Remove(ctx, scratch) }))
	}()
	err = e.mounted(scratch, from, func(made string) error {
		return e.mounted(active, to, func(root string) error {
			return keep(ctx, made, root, "/", spec.Keep, spec.UID)
		})
	})
	if err != nil {
		return err
	}
	return e.commitAs(ctx, active, spec.Key, spec.Labels, map[string]string{labelBuilder: spec.Builder})
}
