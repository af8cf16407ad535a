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

	// buildDisk is what a build may write, its caches and what it throws away
	// included: the largest dependencies that people really have take half.
	buildDisk = 10 << 30 // bytes
)

// image is what a release's processes run in.
type image struct {
	base    string       // the layer that holds all but the source
	top     string       // the layer of the source
	foreign *store.Image // set when it is of somebody's making
	args    []string     // what such an image runs by itself
}

// whole tells that no source is to be added: base holds it already.
func (i image) whole() bool { return i.base == i.top }

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
// image that comes of them. When one has to be made, it waits for a place among
// the machine's builds, and it is from then that its time counts.
func (d *Deployer) build(ctx context.Context, record store.App, made *plan.Plan, tree *source, config map[string]string, out *report) (image, error) {
	if made.Dockerfile != "" {
		return d.buildImage(ctx, record, made, tree, config, out)
	}
	whole, err := d.haveLayers(ctx, made)
	if err != nil {
		return image{}, err
	}
	disk := buildRoom()
	if !whole {
		leave, err := d.awaitPlace(ctx, out)
		if err != nil {
			return image{}, err
		}
		defer leave()
		if err := d.roomToBuild(ctx, record); err != nil {
			return image{}, err
		}
		defer d.background(func(ctx context.Context) { d.trimCaches(ctx, record) })
	}
	ctx, cancel := context.WithTimeoutCause(ctx, buildTimeout,
		fault.New(fault.Timeout, "E241", "the build took longer than %s", buildTimeout))
	defer cancel()
	for _, layer := range made.Layers {
		have := whole // else it is asked once more: another build may have made it while this one waited
		if !whole {
			if have, err = d.engine.HasLayer(ctx, layer.Key); err != nil {
				return image{}, fmt.Errorf("look for the layer %s: %w", layer.Name, err)
			}
		}
		if have {
			out.reuse(layer.Name)
			continue
		}
		err = d.buildLayer(ctx, record, layer, tree, config, disk, out)
		if layer.Else != nil && commandFailed(ctx, err) {
			other := *layer.Else
			other.Key, other.Parent = layer.Key, layer.Parent
			err = d.buildLayer(ctx, record, other, tree, config, disk, out)
		}
		if err != nil {
			return image{}, err
		}
	}
	out.reused(len(made.Layers))
	if err := d.complete(ctx, made); err != nil {
		return image{}, err
	}
	return image{base: made.Base(), top: topKey(record, made, tree)}, nil
}

// complete adds to the plan what its build has found out.
func (d *Deployer) complete(ctx context.Context, made *plan.Plan) error {
	if made.Late == nil {
		return nil
	}
	data, err := d.engine.ReadFile(ctx, made.Base(), made.Late.File)
	if err != nil {
		return fmt.Errorf("read what the build left: %w", err)
	}
	return made.Late.Read(data, made)
}

// buildLimits are what one command of a build, a test or a predeploy may take.
func buildLimits() runtime.Limits { return runtime.Limits{Memory: buildMemory, Pids: buildPids} }

// buildRoom is what a build may write.
func buildRoom() *runtime.Disk { return &runtime.Disk{Budget: buildDisk, Reserve: buildReserve} }

// haveLayers tells whether all layers of a plan are there.
func (d *Deployer) haveLayers(ctx context.Context, made *plan.Plan) (bool, error) {
	for _, layer := range made.Layers {
		if have, err := d.engine.HasLayer(ctx, layer.Key); err != nil || !have {
			if err != nil {
				err = fmt.Errorf("look for the layer %s: %w", layer.Name, err)
			}
			return false, err
		}
	}
	return true, nil
}

// topKey is the key of the layer that runs: the source's, unless the plan holds
// it already.
func topKey(record store.App, made *plan.Plan, tree *source) string {
	switch {
	case made.Dockerfile != "":
		return digest("image", made.Dockerfile, tree.digest, "uid", strconv.Itoa(record.UID))
	case made.Sealed:
		return made.Base()
	}
	return digest(made.Base(), "source", tree.digest, "uid", strconv.Itoa(record.UID))
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *Deployer) buildLayer(ctx context.Context, record store.App, layer plan.Layer, tree *source, config map[string]string, disk *runtime.Disk, out *report) error {
	out.Step("Build", "%s", layer.Name)
	spec := runtime.LayerSpec{
		Key: layer.Key, Parent: layer.Parent, Builder: layer.Builder,
		Keep: layer.Keep, Isolated: layer.Offline,
		Labels: map[string]string{labelKind: layer.Name},
		Limits: buildLimits(),
		Disk:   disk,
	}
	if err := d.mountArchive(&spec, layer, record); err != nil {
		return err
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
		env = configEnv(config)
	}
	env = append(env, layer.Env...)
	passed, files := operators(layer)
	env = append(env, passed...)
	spec.Mounts = append(spec.Mounts, files...)
	for _, c := range layer.Commands {
		spec.Commands = append(spec.Commands, runtime.Command{Args: c.Args, Env: env, Dir: c.Dir})
	}
	var said io.Writer = out
	if layer.Root {
		said = nil // hundreds of lines of apt that say nothing to a pusher; a failure shows the last
	}
	err := out.timed(layer.Name, func() error { return d.engine.BuildLayer(ctx, spec, said) })
	if err == nil {
		return nil
	}
	if short, ok := errors.AsType[*runtime.DiskError](err); ok {
		return d.outgrown(layer, record, short)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if failed, ok := errors.AsType[*runtime.CommandError](err); ok {
		return d.buildFault(record.Name, layer, failed)
	}
	if none, ok := errors.AsType[*runtime.NotKept](err); ok {
		return fault.New(fault.Failed, "E243", "%s: %w", layer.Name, none).
			Hint("the build went through and left no such file or directory under /app")
	}
	return d.full(fmt.Errorf("make the layer %s: %w", layer.Name, err))
}

// configEnv is the app's config as a build's commands get it, with its names in
// BERTH_CONFIG. What would keep a build from finding its own tools is left out.
func configEnv(config map[string]string) []string {
	var env, names []string
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if name != "PATH" && name != "HOME" {
			env, names = append(env, name+"="+config[name]), append(names, name)
		}
	}
	return append(env, "BERTH_CONFIG="+strings.Join(names, " "))
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

// quoted marks lines as what a program printed.
func quoted(lines []string) []string {
	var marked []string
	for _, line := range lines {
		marked = append(marked, "| "+line)
	}
	return marked
}

// buildFault says which command failed, with the end of what it printed.
func (d *Deployer) buildFault(app string, layer plan.Layer, failed *runtime.CommandError) error {
	f := fault.New(fault.Failed, "E240", "%s: %s failed: %s", layer.Name, filepath.Base(failed.Args[0]), describe(failed.Exit))
	if p := layer.Failure; p != nil {
		f = fault.New(fault.Failed, p.Code, "%s", p.Message).With(p.Evidence...)
		f.Hints = append(f.Hints, p.Hints...)
	}
	lines := quoted(failed.Tail)
	f.With(lines...)
	f.Cause = failed
	if layer.Root {
		return f
	}
	return d.adviseSettings(f, app, lines)
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

// inputMode is the mode of an input's copy: programs of the repository stay ones.
func inputMode(f *os.File) fs.FileMode {
	if info, err := f.Stat(); err == nil && plan.Executable(info) {
		return 0o755
	}
	return 0o644
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
		dst, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, inputMode(src))
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
