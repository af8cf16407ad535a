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

// Host is the engine as the host of a fleet.
type Host struct {
	engine *runtime.Engine
	mounts Mounts
}

// Mounts says where what containers have mounted lies on the machine, when one
// is about to be made.
type Mounts interface {
	// Hold returns where the mounts are, and keeps them there until release is
	// called: when the container is made, or has ended where it is not kept.
	Hold(mounts []fleet.Mount) (bound []runtime.Mount, release func(), err error)
}

// New returns the engine as the host of a fleet. mounts may be nil where no
// container has any.
func New(engine *runtime.Engine, mounts Mounts) Host { return Host{engine, mounts} }

// Create is for the fleet.
func (h Host) Create(ctx context.Context, spec fleet.Spec) (fleet.Container, error) {
	described, release, err := h.spec(spec)
	if err != nil {
		return nil, err
	}
	defer release()
	c, err := h.engine.Create(ctx, described)
	if errors.Is(err, runtime.ErrInterrupted) {
		return nil, fmt.Errorf("%w: %w", fleet.ErrInterrupted, err)
	}
	if err != nil {
		return nil, err
	}
	return container{c}, nil
}

// Attach runs a program in a container of its own with its streams attached; see
// runtime.Engine.Attach. The error is fleet.ErrInterrupted as that of Create is.
func (h Host) Attach(ctx context.Context, spec fleet.Spec, cmd fleet.Command, att runtime.Attachment) (fleet.Exit, error) {
	described, release, err := h.spec(spec)
	if err != nil {
		return fleet.Exit{}, err
	}
	defer release()
	exit, err := h.engine.Attach(ctx, described, runtime.Command(cmd), att)
	if errors.Is(err, runtime.ErrInterrupted) {
		err = fmt.Errorf("%w: %w", fleet.ErrInterrupted, err)
	}
	return fleet.Exit(exit), err
}

// Enter runs a program in a container that runs, with its streams attached; see
// runtime.Engine.Enter. The error is fleet.ErrEnded when the container ended.
func (h Host) Enter(ctx context.Context, container string, cmd fleet.Command, att runtime.Attachment) (fleet.Exit, error) {
	exit, err := h.engine.Enter(ctx, container, runtime.Command(cmd), att)
	if errors.Is(err, runtime.ErrEnded) {
		err = fmt.Errorf("%w: %w", fleet.ErrEnded, err)
	}
	return fleet.Exit(exit), err
}

// Containers is for the fleet.
func (h Host) Containers(ctx context.Context) (list []fleet.Container, err error) {
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

// spec is a container's description in the engine's words. release is called
// when its mounts need not be held any more.
func (h Host) spec(s fleet.Spec) (_ runtime.Spec, release func(), err error) {
	var mounts []runtime.Mount
	release = func() {}
	if len(s.Mounts) > 0 {
		if mounts, release, err = h.mounts.Hold(s.Mounts); err != nil {
			return runtime.Spec{}, nil, err
		}
	}
	return runtime.Spec{
		ID: s.ID, Layer: s.Layer, UID: s.UID, Hostname: s.Hostname, Labels: s.Labels,
		Limits:  limits(s.Limits),
		Mounts:  mounts,
		Foreign: s.Foreign, StopSignal: s.StopSignal, LogFile: s.LogFile,
	}, release, nil
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
