package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

const (
	// buildTimeout is the longest that the layers of one push may take.
	buildTimeout = 15 * time.Minute

	buildMemory = 2 << 30 // bytes; compilers of native packages need about one
	buildPids   = 2048

	// buildShares is a build's weight against an app's 1024: a build may have
	// every idle core, and next to nothing when the apps want them.
	buildShares = 128
)

// image is what a release's processes run in.
type image struct {
	base string // the layer that holds all but the source
	top  string // the layer of the source
}

// stack returns the base layer, made on the machine's first use.
func (d *Deployer) stack(ctx context.Context, out *report) (key string, err error) {
	err = out.timed("stack", func() error {
		key, err = d.engine.StackLayer(ctx, out)
		return err
	})
	if err != nil {
		return "", d.full(fmt.Errorf("make the base filesystem: %w", err))
	}
	return key, nil
}

// build makes the plan's layers, those that are not there yet, and returns the
// image that comes of them.
func (d *Deployer) build(ctx context.Context, record store.App, made *plan.Plan, tree *source, config map[string]string, out *report) (image, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, buildTimeout,
		fault.New(fault.Timeout, "E241", "the build took longer than %s", buildTimeout))
	defer cancel()
	for _, layer := range made.Layers {
		have, err := d.engine.HasLayer(ctx, layer.Key)
		if err != nil {
			return image{}, fmt.Errorf("look for the layer %s: %w", layer.Name, err)
		}
		if have {
			out.reuse(layer.Name)
		} else if err := d.buildLayer(ctx, record, layer, tree, config, out); err != nil {
			return image{}, err
		}
	}
	out.reused(len(made.Layers))
	img := image{base: made.Base(), top: made.Base()}
	if !made.Sealed {
		img.top = sourceKey(record, img.base, tree)
	}
	return img, nil
}

func sourceKey(record store.App, base string, tree *source) string {
	return digest(base, "source", tree.digest, "uid", strconv.Itoa(record.UID))
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *Deployer) buildLayer(ctx context.Context, record store.App, layer plan.Layer, tree *source, config map[string]string, out *report) error {
	if err := d.roomToBuild(); err != nil {
		return err
	}
	out.Step("Build", "%s", layer.Name)
	spec := runtime.LayerSpec{
		Key: layer.Key, Parent: layer.Parent, Builder: layer.Builder,
		Keep: layer.Keep, Isolated: layer.Offline,
		Labels: map[string]string{labelKind: layer.Name},
		Limits: runtime.Limits{Memory: buildMemory, Pids: buildPids, CPUShares: buildShares},
	}
	if !layer.Root {
		spec.UID = record.UID
		spec.Labels[labelApp] = strconv.Itoa(record.UID)
		if layer.Source {
			spec.Source = tree.path
		}
		if err := d.mountInputs(&spec, layer, tree); err != nil {
			return err
		}
		if err := d.mountCaches(&spec, layer, record); err != nil {
			return err
		}
	}
	var env []string
	if layer.Config != plan.ConfigNone {
		for _, name := range slices.Sorted(maps.Keys(config)) {
			env = append(env, name+"="+config[name])
		}
	}
	env = append(env, layer.Env...) // below the layer's own: a PATH of the config breaks no build
	passed, files := operators(layer)
	env = append(env, passed...)
	spec.Mounts = append(spec.Mounts, files...)
	for _, c := range layer.Commands {
		spec.Commands = append(spec.Commands, runtime.Command{Args: c.Args, Env: env, Dir: c.Dir})
	}
	err := out.timed(layer.Name, func() error { return d.engine.BuildLayer(ctx, spec, out) })
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if failed, ok := errors.AsType[*runtime.CommandError](err); ok {
		return buildFault(layer, failed)
	}
	if none, ok := errors.AsType[*runtime.NotKept](err); ok {
		return fault.New(fault.Failed, "E242", "%s: %w", layer.Name, none).
			Hint("the build went through and left no such file or directory under /app")
	}
	return d.full(fmt.Errorf("make the layer %s: %w", layer.Name, err))
}

// operators returns what a layer gets of the operator's own environment: the
// variables, and the files that some of them name.
func operators(layer plan.Layer) (env []string, files []runtime.Mount) {
	for _, name := range layer.Passes {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range layer.PassesFiles {
		if file, set := os.LookupEnv(name); set {
			// On the container's /run, a tmpfs: elsewhere the place of the mount
			// would stay in a root layer.
			target := "/run/operator/" + name
			files = append(files, runtime.Mount{Source: file, Target: target})
			env = append(env, name+"="+target)
		}
	}
	return env, files
}

// buildFault says which command failed, with the end of what it printed.
func buildFault(layer plan.Layer, failed *runtime.CommandError) error {
	f := fault.New(fault.Failed, "E240", "%s: %s failed: %s", layer.Name, filepath.Base(failed.Args[0]), describe(failed.Exit))
	if p := layer.Failure; p != nil {
		f = fault.New(fault.Failed, p.Code, "%s", p.Message).With(p.Evidence...)
		f.Hints = append(f.Hints, p.Hints...)
	}
	for _, line := range failed.Tail {
		f.With("| " + line)
	}
	f.Cause = failed
	return f
}

// mountInputs shows the files of the repository that a layer depends on, and no others.
func (d *Deployer) mountInputs(spec *runtime.LayerSpec, layer plan.Layer, tree *source) error {
	if len(layer.Inputs) == 0 {
		return nil
	}
	dir := tree.path
	if len(layer.Inputs) != 1 || layer.Inputs[0] != "." {
		dir = filepath.Join(tree.dir, "inputs-"+spec.Key[:12])
		if err := copyInputs(tree.root, dir, layer.Inputs); err != nil {
			return d.full(fmt.Errorf("copy the files that %s depends on: %w", layer.Name, err))
		}
	}
	spec.Mounts = append(spec.Mounts, runtime.Mount{Source: dir, Target: "/src"})
	return nil
}

func copyInputs(from *os.Root, dir string, inputs []string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	for _, name := range inputs {
		if err := to.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		src, err := from.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its absence is part of the key too
		}
		if err != nil {
			return err
		}
		dst, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			src.Close()
			return err
		}
		_, err = io.Copy(dst, src)
		if err = errors.Join(err, src.Close(), dst.Close()); err != nil {
			return err
		}
	}
	return nil
}

// mountCaches gives a layer's commands the app's own caches.
func (d *Deployer) mountCaches(spec *runtime.LayerSpec, layer plan.Layer, record store.App) error {
	for _, cache := range layer.Caches {
		dir := filepath.Join(d.cfg.Caches, strconv.Itoa(record.UID), cache.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return d.full(fmt.Errorf("make the cache %s: %w", cache.Name, err))
		}
		if err := os.Chown(dir, record.UID, record.UID); err != nil {
			return fmt.Errorf("hand over the cache %s: %w", cache.Name, err)
		}
		spec.Mounts = append(spec.Mounts, runtime.Mount{Source: dir, Target: cache.Target, Writable: true})
	}
	return nil
}

// addSource makes the layer of the source. It takes the tree.
func (d *Deployer) addSource(ctx context.Context, record store.App, img image, tree *source) error {
	have, err := d.engine.HasLayer(ctx, img.top)
	if err == nil && !have {
		err = d.engine.AddTree(ctx, img.top, img.base, tree.path, "/app", record.UID, map[string]string{labelApp: strconv.Itoa(record.UID), labelKind: "source"})
	}
	if err != nil {
		return d.full(fmt.Errorf("keep the source as a layer: %w", err))
	}
	return nil
}

// leastRoom is the free space below which no build begins.
const leastRoom = 1 << 30 // bytes

func (d *Deployer) roomToBuild() error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.cfg.Logs, &fs); err != nil {
		return fmt.Errorf("look how much disk is free: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < leastRoom {
		return fault.New(fault.Failed, "E501", "only %d MiB of disk are free, and a build needs %d", free>>20, leastRoom>>20).
			Hint("remove what is not needed, or give the machine a larger disk")
	}
	return nil
}

// full makes a clear fault of an error that a full disk caused.
func (d *Deployer) full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || err != nil && strings.Contains(err.Error(), "no space left on device") {
		return fault.New(fault.Failed, "E501", "the disk is full: %w", err).Hint("free some space and push again; nothing was changed")
	}
	return err
}
