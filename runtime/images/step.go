package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/internal/lines"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/continuity/fs"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// stepExecutor runs the programs of RUN steps, each in a container of ours on
// the snapshot that BuildKit has prepared for it. A program that fails is a
// *runtime.CommandError.
type stepExecutor struct {
	engine *runtime.Engine
	limits runtime.Limits
	turn   chan struct{} // has one place when steps run one at a time; nil when they need not
}

// stepExecutor returns an executor for one build. The machine's runc at the
// beginning of the build decides whether steps run one at a time.
func (m *Maker) stepExecutor(ctx context.Context, limits runtime.Limits) *stepExecutor {
	return newStepExecutor(m.engine, limits, m.engine.RuncFixed(ctx))
}

// newStepExecutor returns an executor for one build. With a runc that may let
// containers out which start together and share a writable mount, the build's
// steps run one at a time: no cache mount is ever in two of them, whatever its
// sharing= says. Another build has no mount of this one's.
func newStepExecutor(engine *runtime.Engine, limits runtime.Limits, runcFixed bool) *stepExecutor {
	x := &stepExecutor{engine: engine, limits: limits}
	if !runcFixed {
		x.turn = make(chan struct{}, 1)
	}
	return x
}

func (x *stepExecutor) Run(ctx context.Context, _ string, root executor.Mount, mounts []executor.Mount, p executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if started != nil {
		close(started)
	}
	text := &lines.Writer{}
	if p.Stdout != nil {
		text.Out = p.Stdout
	}
	leave, err := x.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	exit := runtime.Exit{}
	err = runtime.ErrInterrupted
	for try := 0; try < 3 && errors.Is(err, runtime.ErrInterrupted); try++ { // before the program has begun
		exit, err = x.step(ctx, root, mounts, p, text)
	}
	text.Flush()
	if err != nil {
		return nil, err
	}
	valid := p.Meta.ValidExitCodes
	if valid == nil {
		valid = []int{0}
	}
	if !slices.Contains(valid, exit.Code) {
		return nil, &runtime.CommandError{Args: p.Meta.Args, Exit: exit, Tail: text.Tail()}
	}
	return nil, nil
}

// enter waits for the step's turn, where steps take turns.
func (x *stepExecutor) enter(ctx context.Context) (leave func(), err error) {
	if x.turn == nil {
		return func() {}, nil
	}
	select {
	case x.turn <- struct{}{}:
		return func() { <-x.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Exec would be a second program beside a RUN step's, which a Dockerfile cannot ask for.
func (x *stepExecutor) Exec(context.Context, string, executor.ProcessInfo) error {
	return errors.ErrUnsupported
}

// step runs one program to its end.
func (x *stepExecutor) step(ctx context.Context, root executor.Mount, mounts []executor.Mount, p executor.ProcessInfo, out io.Writer) (runtime.Exit, error) {
	switch p.Meta.NetMode {
	case pb.NetMode_UNSET, pb.NetMode_NONE:
	default:
		return runtime.Exit{}, &buildUserError{"RUN --network=host is not allowed"}
	}
	if p.Meta.SecurityMode != pb.SecurityMode_SANDBOX {
		return runtime.Exit{}, &buildUserError{"RUN --security=insecure is not allowed"}
	}
	var hosts []string
	for _, h := range p.Meta.ExtraHosts {
		hosts = append(hosts, fmt.Sprintf("%s\t%s", h.IP, h.Host))
	}
	return x.engine.RunStep(ctx, runtime.Step{
		Args: p.Meta.Args, Env: p.Meta.Env, Hosts: hosts, Hostname: p.Meta.Hostname,
		Limits: x.limits, Isolated: p.Meta.NetMode == pb.NetMode_NONE, Rlimits: len(p.Meta.Ulimit) > 0,
		Mount: func(ctx context.Context, dir string, points []string) (func() error, error) {
			return mountRoot(ctx, dir, root, mounts, points, p.Meta)
		},
		Spec: func(ctx context.Context, id, dir, resolvConf, hosts string) (*specs.Spec, func(), error) {
			return stepSpec(ctx, id, dir, resolvConf, hosts, mounts, p.Meta)
		},
		Output: out,
	})
}

// stepSpec has BuildKit make the specification of a step's container.
func stepSpec(ctx context.Context, id, dir, resolvConf, hosts string, mounts []executor.Mount, meta executor.Meta) (*specs.Spec, func(), error) {
	uid, gid, groups, err := oci.GetUser(dir, meta.User)
	if err != nil {
		return nil, nil, &buildUserError{fmt.Sprintf("USER %s: %v", meta.User, err)}
	}
	if err := ensureDir(dir, meta.Cwd, int(uid), int(gid)); err != nil {
		return nil, nil, err
	}
	return oci.GenerateSpec(ctx, meta, mounts, id, resolvConf, hosts, stepNetwork{},
		"", oci.ProcessSandbox, nil, "", false, "", nil, oci.WithUIDGID(uid, gid, groups))
}

// mountRoot mounts the step's filesystem. The function it returns takes away
// the mount points that the container's mounts have left, and the mount.
func mountRoot(ctx context.Context, dir string, root executor.Mount, mounts []executor.Mount, points []string, meta executor.Meta) (unmount func() error, err error) {
	var undo []func() error
	unmount = func() error {
		var errs []error
		for _, fn := range slices.Backward(undo) {
			if err := fn(); err != nil {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	ref, err := root.Src.Mount(ctx, root.Readonly)
	if err != nil {
		return unmount, err
	}
	prepared, release, err := ref.Mount()
	if err != nil {
		return unmount, err
	}
	if release != nil {
		undo = append(undo, release)
	}
	if err := mount.All(prepared, dir); err != nil {
		return unmount, fmt.Errorf("mount the step's files: %w", err)
	}
	undo = append(undo, func() error {
		if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount the step's files: %w", err)
		}
		return nil
	})
	stubs := slices.Clone(mounts)
	for _, name := range points {
		stubs = append(stubs, executor.Mount{Dest: name})
	}
	clean := sync.OnceFunc(executor.MountStubsCleaner(ctx, dir, stubs, meta.RemoveMountStubsRecursive))
	undo = append(undo, func() error { clean(); return nil })
	return unmount, nil
}

// stepNetwork leaves the network to confine.
type stepNetwork struct{}

func (stepNetwork) Set(*specs.Spec) error                          { return nil }
func (stepNetwork) Close() error                                   { return nil }
func (stepNetwork) Sample() (*resourcestypes.NetworkSample, error) { return nil, nil }

// ensureDir makes the directory a step runs in, in its mounted filesystem.
func ensureDir(root, dir string, uid, gid int) error {
	path, err := fs.RootPath(root, dir)
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := user.MkdirAllAndChown(path, 0o755, uid, gid); err != nil {
		return fmt.Errorf("directory %s: %s", dir, strings.ReplaceAll(err.Error(), root, ""))
	}
	return nil
}
