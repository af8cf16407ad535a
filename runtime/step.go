package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/berthd/berth/runtime/pid1"
)

// Step is one program of an image's build, run on a filesystem that the image
// builder owns. It runs in a container like every other build container: the
// same bridge, firewall and resolver, limits, cgroup, seccomp profile, proxies
// and trusted certificates.
type Step struct {
	Args     []string
	Env      []string
	Hosts    []string // more lines for /etc/hosts
	Hostname string   // "" is "build"
	Limits   Limits
	Isolated bool // no network at all
	Rlimits  bool // the specification's own limits are kept

	// Mount mounts the step's filesystem at dir, which exists. points are the
	// paths in it where the container mounts files of the engine's own; what is
	// left of them is the function's to remove. The function it returns undoes
	// everything, and is called even when Mount fails.
	Mount func(ctx context.Context, dir string, points []string) (unmount func() error, err error)

	// Spec returns the container's OCI specification, with the user whom the
	// program runs as. dir is the mounted filesystem.
	Spec func(ctx context.Context, id, dir, resolvConf, hosts string) (spec *specs.Spec, release func(), err error)

	Output io.Writer // of the program, both streams
}

// Where files of the engine's own are in a step's container. Nothing of them
// stays in the image, mount points included.
const (
	stepCABundle = "/.berth/ca-certificates.crt"
	stepEnv      = "/.berth/env"
)

var stepMounts = []string{initPath, stepCABundle, stepEnv, "/.berth"}

// RunStep runs the program to its end. It fails with ErrInterrupted when
// containerd died before the program began.
func (e *Engine) RunStep(ctx context.Context, step Step) (exit Exit, err error) {
	spec := Spec{ID: NewID(), Hostname: "build", Limits: step.Limits, Isolated: step.Isolated, Foreign: true, build: true}
	if err := e.claim(spec.ID); err != nil {
		return exit, err
	}
	// Where the sweep looks after a crash.
	state := e.state("b", spec.ID)
	dir := filepath.Join(state, "root")
	unmount := func() error { return nil }
	defer func() { // the container first, for it stands on the mount
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		err = errors.Join(err, e.discard(ctx, spec.ID), unmount(), removeDirs(dir, state))
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return exit, err
	}
	if unmount, err = step.Mount(ctx, dir, stepMounts); err != nil {
		return exit, err
	}
	if err := e.net.makeNetns(e.net.path(spec.ID)); err != nil {
		return exit, err
	}
	var attached attachment
	join := attached.begin(ctx, e.net, spec)
	defer join()
	s, release, err := step.Spec(in(ctx), spec.ID, dir, e.net.resolvConf(), e.state("e", spec.ID, "hosts"))
	if err != nil {
		return exit, err
	}
	defer release()
	spec.UID = int(s.Process.User.UID)
	if err := e.tighten(s, spec, step); err != nil {
		return exit, err
	}
	return e.runOCI(ctx, ociRun{
		spec: spec, oci: s,
		rootfs: []mount.Mount{{Type: "bind", Source: dir, Options: []string{"rbind"}}},
		att:    Attachment{Stdout: step.Output},
		address: func() (string, error) {
			err := join()
			return attached.address, err
		},
	})
}

// removeDirs removes empty directories, and takes one that is not there as removed.
func removeDirs(dirs ...string) error {
	var errs []error
	for _, dir := range dirs {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// tighten makes the specification one of the engine's containers. A step that
// is root gets no new privileges, so that what it starts as another user stays
// that user. One that a USER line has made another user may: some call sudo,
// and the same Dockerfile may say USER root.
func (e *Engine) tighten(s *specs.Spec, spec Spec, step Step) error {
	binds, err := e.stepFiles(spec, step)
	if err != nil {
		return err
	}
	if step.Hostname == "" {
		s.Hostname = spec.Hostname
	}
	s.Process.Args = slices.Concat([]string{initPath, pid1.ExecuteMerged, stepEnv}, step.Args)
	s.Process.Env = []string{"PATH=/usr/bin:/bin"} // stored by containerd
	s.Process.NoNewPrivileges = spec.UID == 0
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: rootCaps, Permitted: rootCaps, Effective: rootCaps}
	s.Mounts = append(s.Mounts, binds...)
	asked := s.Process.Rlimits
	if err := e.confine(s, spec); err != nil {
		return err
	}
	if step.Rlimits {
		s.Process.Rlimits = asked
	}
	s.Linux.Seccomp = seccomp.DefaultProfile(s)
	return nil
}

// stepFiles writes the step's own files and returns the mounts that bring them in.
func (e *Engine) stepFiles(spec Spec, step Step) ([]specs.Mount, error) {
	if err := os.Mkdir(e.state("e", spec.ID), 0o700); err != nil {
		return nil, err
	}
	hosts := hostsFile("")
	for _, line := range step.Hosts {
		hosts += fmt.Sprintf("%s\n", line)
	}
	if err := os.WriteFile(e.state("e", spec.ID, "hosts"), []byte(hosts), 0o644); err != nil {
		return nil, err
	}
	env, err := e.envFile(spec, stepEnvironment(step.Env))
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
// certificates, which are no part of what identifies a step.
func stepEnvironment(env []string) []string {
	list := proxyVariables()
	if hostCA() != "" {
		for _, name := range caVariables {
			list = append(list, name+"="+stepCABundle)
		}
	}
	return append(list, env...)
}
