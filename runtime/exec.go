package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/berthd/berth/runtime/internal/outage"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Exec runs a program beside the container's own, copies what it prints to out
// and waits for its end. Cancelling ctx kills it. Its environment reaches the
// shim and is not kept by containerd.
func (c *Container) Exec(ctx context.Context, cmd Command, out io.Writer) (Exit, error) {
	exit, err := c.exec(ctx, cmd, out)
	if err != nil {
		return exit, fmt.Errorf("run in container %s: %w", c.ID, err)
	}
	return exit, nil
}

func (c *Container) exec(ctx context.Context, cmd Command, out io.Writer) (exit Exit, err error) {
	record, err := c.engine.client.LoadContainer(ctx, c.ID)
	if err != nil {
		return exit, err
	}
	task, err := record.Task(ctx, nil)
	if err != nil {
		return exit, err
	}
	dir := cmd.Dir
	if dir == "" {
		dir = homeOf(c.uid)
	}
	id := NewID()
	defer os.RemoveAll(c.engine.state("io", id))
	process, err := task.Exec(ctx, id, &specs.Process{
		Args: cmd.Args, Env: environment(c.uid, caBundle, cmd.Env), Cwd: dir,
		User:            specs.User{UID: uint32(c.uid), GID: uint32(c.uid)},
		NoNewPrivileges: true, ApparmorProfile: c.engine.armor.profile,
		Capabilities: &specs.LinuxCapabilities{},
	}, c.engine.streams(id, Attachment{Stdout: out, Stderr: out}, nil))
	if err != nil {
		return exit, err
	}
	defer func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		_, deleted := process.Delete(ctx, containerd.WithProcessKill)
		err = errors.Join(err, deleted)
	}()
	ended, err := process.Wait(ctx)
	if err != nil {
		return exit, err
	}
	if err := process.Start(ctx); err != nil {
		return exit, err
	}
	select {
	case status := <-ended:
		code, at, err := status.Result()
		if err != nil {
			return exit, err
		}
		process.IO().Wait() // for the last of the output
		return exitOf(int(code), at), nil
	case <-ctx.Done():
		lasting, cancel := outage.Lasting(ctx)
		defer cancel()
		return exit, errors.Join(context.Cause(ctx), process.Kill(lasting, syscall.SIGKILL))
	}
}
