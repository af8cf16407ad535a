// Package local makes a fleet's host of this machine's container engine.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
)

// Host returns the engine as the host of a fleet.
func Host(engine *runtime.Engine) fleet.Host { return host{engine} }

type host struct{ engine *runtime.Engine }

func (h host) Create(ctx context.Context, spec fleet.Spec) (fleet.Container, error) {
	c, err := h.engine.Create(ctx, Spec(spec))
	if errors.Is(err, runtime.ErrInterrupted) {
		return nil, fmt.Errorf("%w: %w", fleet.ErrInterrupted, err)
	}
	if err != nil {
		return nil, err
	}
	return container{c}, nil
}

func (h host) Containers(ctx context.Context) (list []fleet.Container, err error) {
	all, err := h.engine.Containers(ctx)
	return Containers(all), err
}

// Containers are the engine's, in the fleet's words.
func Containers(all []*runtime.Container) (list []fleet.Container) {
	for _, c := range all {
		list = append(list, container{c})
	}
	return list
}

// Spec is a container's description in the engine's words.
func Spec(s fleet.Spec) runtime.Spec {
	return runtime.Spec{
		ID: s.ID, Layer: s.Layer, UID: s.UID, Hostname: s.Hostname, Labels: s.Labels,
		Limits:  limits(s.Limits),
		Foreign: s.Foreign, StopSignal: s.StopSignal, LogFile: s.LogFile,
	}
}

func limits(l fleet.Limits) runtime.Limits {
	return runtime.Limits{Memory: l.Memory, Swap: l.Swap, CPUs: l.CPUs, Pids: l.Pids, Files: l.Files, Shm: l.Shm}
}

// container is the engine's, in the fleet's words. What is not translated here
// is promoted.
type container struct{ *runtime.Container }

func (c container) About() fleet.About {
	return fleet.About{ID: c.ID, Labels: c.Labels, Created: c.Created}
}

func (c container) Launch(ctx context.Context, cmd fleet.Command) error {
	return c.Container.Launch(ctx, runtime.Command(cmd))
}

func (c container) Exit(ctx context.Context) fleet.Exit { return fleet.Exit(c.Container.Exit(ctx)) }

func (c container) Exec(ctx context.Context, cmd fleet.Command, out io.Writer) (fleet.Exit, error) {
	exit, err := c.Container.Exec(ctx, runtime.Command(cmd), out)
	return fleet.Exit(exit), err
}

func (c container) Usage(ctx context.Context) (fleet.Usage, error) {
	u, err := c.Container.Usage(ctx)
	return fleet.Usage(u), err
}

func (c container) SetLimits(ctx context.Context, l fleet.Limits) error {
	return c.Container.SetLimits(ctx, limits(l))
}
