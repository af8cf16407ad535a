package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/continuity/fs"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berthd/berth/runtime/pid1"
)

// stepExecutor runs the programs of RUN steps, each in a container of ours on
// the snapshot that BuildKit has prepared for it. A program that fails is a
// *CommandError.
type stepExecutor struct {
	engine *Engine
	limits Limits
	turn   chan struct{} // has one place when steps run one at a time; nil when they need not
}

// stepExecutor returns an executor for one build, by what the machine's runc is
// at its begin.
func (e *Engine) stepExecutor(ctx context.Context, limits Limits) *stepExecutor {
	fixed, _ := e.runc.fixed(ctx)
	return newStepExecutor(e, limits, fixed)
}

// newStepExecutor returns an executor for one build. With a runc that may let
// containers out which start together and share a writable mount, the build's
// steps run one at a time: no cache mount is ever in two of them, whatever its
// sharing= says. Another build has no mount of this one's.
func newStepExecutor(e *Engine, limits Limits, runcFixed bool) *stepExecutor {
	x := &stepExecutor{engine: e, limits: limits}
	if !runcFixed {
		x.turn = make(chan struct{}, 1)
	}
	return x
}

// Where things of ours are in a step's container. Nothing of them stays in the
// image, mount points included.
const (
	stepCABundle = "/.berth/ca-certificates.crt"
	stepEnv      = "/.berth/env"
)

var stepMounts = []string{initPath, stepCABundle, stepEnv, "/.berth"}

func (x *stepExecutor) Run(ctx context.Context, _ string, root executor.Mount, mounts []executor.Mount, p executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if started != nil {
		close(started)
	}
	lines := &lineWriter{}
	if p.Stdout != nil {
		lines.out = p.Stdout
	}
	leave, err := x.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	exit := Exit{}
	err = ErrInterrupted
	for try := 0; try < 3 && errors.Is(err, ErrInterrupted); try++ { // before the program has begun
		exit, err = x.step(ctx, root, mounts, p, lines)
	}
	lines.flush()
	if err != nil {
		return nil, err
	}
	valid := p.Meta.ValidExitCodes
	if valid == nil {
		valid = []int{0}
	}
	if !slices.Contains(valid, exit.Code) {
		return nil, &CommandError{Args: p.Meta.Args, Exit: exit, Tail: lines.tail}
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
func (x *stepExecutor) step(ctx context.Context, root executor.Mount, mounts []executor.Mount, p executor.ProcessInfo, out *lineWriter) (exit Exit, err error) {
	e := x.engine
	spec := Spec{ID: NewID(), Hostname: "build", Limits: x.limits, Isolated: p.Meta.NetMode == pb.NetMode_NONE, Foreign: true, build: true}
	switch p.Meta.NetMode {
	case pb.NetMode_UNSET, pb.NetMode_NONE:
	default:
		return exit, &buildUserError{"RUN --network=host is not allowed"}
	}
	if p.Meta.SecurityMode != pb.SecurityMode_SANDBOX {
		return exit, &buildUserError{"RUN --security=insecure is not allowed"}
	}
	if err := e.claim(spec.ID); err != nil {
		return exit, err
	}
	dir, unmount, err := x.mountRoot(ctx, spec.ID, root, mounts, p.Meta)
	defer func() { // the container first, for it stands on the mount
		ctx, cancel := lasting(ctx)
		defer cancel()
		err = errors.Join(err, e.discard(ctx, spec.ID), unmount())
	}()
	if err != nil {
		return exit, err
	}
	uid, gid, groups, err := oci.GetUser(dir, p.Meta.User)
	if err != nil {
		return exit, &buildUserError{fmt.Sprintf("USER %s: %v", p.Meta.User, err)}
	}
	spec.UID = int(uid)
	if err := ensureDir(dir, p.Meta.Cwd, int(uid), int(gid)); err != nil {
		return exit, err
	}

	if err := e.net.makeNetns(e.net.path(spec.ID)); err != nil {
		return exit, err
	}
	var attached attachment
	join := attached.begin(ctx, e.net, spec)
	defer join()
	binds, err := x.files(spec, p.Meta)
	if err != nil {
		return exit, err
	}
	s, release, err := oci.GenerateSpec(in(ctx), p.Meta, mounts, spec.ID, e.net.resolvConf(), e.state("e", spec.ID, "hosts"), stepNetwork{},
		"", oci.ProcessSandbox, nil, "", false, "", nil, oci.WithUIDGID(uid, gid, groups))
	if err != nil {
		return exit, err
	}
	defer release()
	if err := x.tighten(s, spec, p.Meta, binds); err != nil {
		return exit, err
	}
	return e.perform(ctx, performance{
		spec: spec, oci: s,
		rootfs: []mount.Mount{{Type: "bind", Source: dir, Options: []string{"rbind"}}},
		att:    Attachment{Stdout: out},
		address: func() (string, error) {
			err := join()
			return attached.address, err
		},
	})
}

// mountRoot mounts the step's filesystem where the sweep looks after a crash.
// The function it returns takes away the mount points that the container's
// mounts have left, and the mount.
func (x *stepExecutor) mountRoot(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, meta executor.Meta) (dir string, unmount func() error, err error) {
	state := x.engine.state("b", id)
	dir = filepath.Join(state, "root")
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
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dir, unmount, err
	}
	undo = append(undo, func() error { return os.Remove(state) }, func() error { return os.Remove(dir) })
	ref, err := root.Src.Mount(ctx, root.Readonly)
	if err != nil {
		return dir, unmount, err
	}
	prepared, release, err := ref.Mount()
	if err != nil {
		return dir, unmount, err
	}
	if release != nil {
		undo = append(undo, release)
	}
	if err := mount.All(prepared, dir); err != nil {
		return dir, unmount, fmt.Errorf("mount the step's files: %w", err)
	}
	undo = append(undo, func() error {
		if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount the step's files: %w", err)
		}
		return nil
	})
	stubs := slices.Clone(mounts)
	for _, name := range stepMounts {
		stubs = append(stubs, executor.Mount{Dest: name})
	}
	clean := sync.OnceFunc(executor.MountStubsCleaner(ctx, dir, stubs, meta.RemoveMountStubsRecursive))
	undo = append(undo, func() error { clean(); return nil })
	return dir, unmount, nil
}

// files writes the step's own files and returns the mounts that bring them in.
func (x *stepExecutor) files(spec Spec, meta executor.Meta) ([]specs.Mount, error) {
	e := x.engine
	if err := os.Mkdir(e.state("e", spec.ID), 0o700); err != nil {
		return nil, err
	}
	hosts := hostsFile("")
	for _, h := range meta.ExtraHosts {
		hosts += fmt.Sprintf("%s\t%s\n", h.IP, h.Host)
	}
	if err := os.WriteFile(e.state("e", spec.ID, "hosts"), []byte(hosts), 0o644); err != nil {
		return nil, err
	}
	env, err := e.envFile(spec, stepEnvironment(meta.Env))
	if err != nil {
		return nil, err
	}
	env.Destination = stepEnv
	binds := []specs.Mount{bind(e.cfg.Init, initPath, false), env}
	if host := hostCA(); host != "" {
		binds = append(binds, bind(host, stepCABundle, false))
	}
	return binds, nil
}

// stepEnvironment is the Dockerfile's, over the host's proxies and trusted
// certificates, which are no part of what a step is known by.
func stepEnvironment(env []string) []string {
	list := proxyVariables()
	if hostCA() != "" {
		for _, name := range caVariables {
			list = append(list, name+"="+stepCABundle)
		}
	}
	return append(list, env...)
}

// tighten makes a container of ours of BuildKit's. A step that is root gets no
// new privileges, so that what it starts as another user stays that user. One
// that a USER line has made another user may: some call sudo, and the same
// Dockerfile may say USER root.
func (x *stepExecutor) tighten(s *specs.Spec, spec Spec, meta executor.Meta, binds []specs.Mount) error {
	if meta.Hostname == "" {
		s.Hostname = spec.Hostname
	}
	s.Process.Args = slices.Concat([]string{initPath, pid1.ExecuteMerged, stepEnv}, meta.Args)
	s.Process.Env = []string{"PATH=/usr/bin:/bin"} // stored by containerd
	s.Process.NoNewPrivileges = spec.UID == 0
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: rootCaps, Permitted: rootCaps, Effective: rootCaps}
	s.Mounts = append(s.Mounts, binds...)
	asked := s.Process.Rlimits
	if err := x.engine.confine(s, spec); err != nil {
		return err
	}
	if len(meta.Ulimit) > 0 {
		s.Process.Rlimits = asked
	}
	s.Linux.Seccomp = seccomp.DefaultProfile(s)
	return nil
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
