package runtime

import (
	"context"
	"errors"

	"github.com/berthd/berth/runtime/internal/outage"
)

// pick makes a layer on Parent of what Keep names in Builder's filesystem. Root's
// alone is copied so: what a toolchain was fetched with stays behind.
func (s *LayerStore) pick(ctx context.Context, spec LayerSpec, active string) (err error) {
	to, err := s.Prepare(ctx, active, spec.Parent)
	if err != nil {
		return err
	}
	scratch := active + "-scratch"
	from, err := s.Prepare(ctx, scratch, spec.Builder)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		err = errors.Join(err, outage.Retry(ctx, func() error { return s.Snapshots().Remove(ctx, scratch) }))
	}()
	err = s.Mounted(scratch, from, func(made string) error {
		return s.Mounted(active, to, func(root string) error {
			return keep(ctx, made, root, "/", spec.Keep, spec.UID)
		})
	})
	if err != nil {
		return err
	}
	return s.CommitAs(ctx, active, spec.Key, spec.Labels, map[string]string{labelBuilder: spec.Builder})
}
