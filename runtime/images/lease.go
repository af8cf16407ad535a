package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache/metadata"
)

// buildLeases are the leases that keep an owner's build steps in containerd.
// Each has a label that says whose it is, and no other is seen: BuildKit, which
// believes to be alone, ends all that it finds of its temporary ones.
type buildLeases struct {
	leases.Manager
	labels map[string]string
}

const labelOwner = "berth.owner"

func (m *Maker) buildLeases(owner string) leases.Manager {
	return &buildLeases{Manager: m.client().LeasesService(), labels: map[string]string{runtime.LabelInstallation: m.engine.ID(), labelOwner: hexName(owner)}}
}

func (l *buildLeases) Create(ctx context.Context, opts ...leases.Opt) (lease leases.Lease, err error) {
	opts = append(slices.Clone(opts), leases.WithLabels(l.labels))
	var want leases.Lease
	for _, opt := range opts {
		if err := opt(&want); err != nil {
			return lease, err
		}
	}
	tried := false
	err = outage.RetryGone(ctx, func() (err error) {
		lease, err = l.Manager.Create(ctx, leases.WithID(want.ID), leases.WithLabels(want.Labels))
		if errdefs.IsAlreadyExists(err) && tried { // by a first try, of which containerd died before it could tell
			lease, err = want, nil
		}
		tried = true
		return err
	})
	return lease, err
}

func (l *buildLeases) Delete(ctx context.Context, lease leases.Lease, opts ...leases.DeleteOpt) error {
	return outage.RetryGone(ctx, func() error { return l.Manager.Delete(ctx, lease, opts...) })
}

func (l *buildLeases) AddResource(ctx context.Context, lease leases.Lease, r leases.Resource) error {
	return outage.RetryGone(ctx, func() error { return l.Manager.AddResource(ctx, lease, r) })
}

func (l *buildLeases) List(ctx context.Context, filters ...string) (list []leases.Lease, err error) {
	var own []string
	for _, k := range slices.Sorted(maps.Keys(l.labels)) {
		own = append(own, fmt.Sprintf("labels.%q==%s", k, l.labels[k]))
	}
	ours := strings.Join(own, ",")
	both := []string{ours}
	if len(filters) > 0 {
		both = nil
		for _, f := range filters {
			both = append(both, f+","+ours)
		}
	}
	err = outage.RetryGone(ctx, func() (err error) {
		list, err = l.Manager.List(ctx, both...)
		return err
	})
	return list, err
}

// endStaleLeases ends the leases of steps that a crash has cut short before
// they were written down, and of mounts that it has ended.
func endStaleLeases(ctx context.Context, manager leases.Manager, books *metadata.Store) error {
	items, err := books.All()
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	for _, item := range items {
		known[item.ID()] = true
	}
	held, err := manager.List(ctx)
	errs := []error{err}
	for _, l := range held {
		if !known[strings.TrimSuffix(l.ID, "-variants")] { // a step's other lease
			errs = append(errs, outage.Retry(ctx, func() error { return manager.Delete(ctx, l) }))
		}
	}
	return errors.Join(errs...)
}
