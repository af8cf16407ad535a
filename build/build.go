package build

import (
	"context"
	"crypto/rand"
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

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/advice"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// Image is what a release's processes run in.
type Image struct {
	Base    string       // the layer that holds all but the source
	Top     string       // the layer of the source
	Foreign *store.Image // set when it is of somebody's making
	Args    []string     // what such an image runs by itself
}

// Whole tells that no source is to be added: base holds it already.
func (i Image) Whole() bool { return i.Base == i.Top }

// stack returns the base layer, made on the machine's first use. Where another
// push or the start of berth makes it just now, it waits for that.
func (b *Builder) stack(ctx context.Context, out *progress.Report) (key string, err error) {
	key = runtime.StackKey()
	have, err := b.engine.HasLayer(ctx, key)
	if err != nil {
		return "", fmt.Errorf("look for the base filesystem: %w", err)
	}
	if have {
		return key, nil
	}
	out.Step("Base", "%s, made once on this machine", runtime.StackTitle)
	began := time.Now()
	if others, leave := b.enterStack(began); leave != nil {
		defer leave()
	} else {
		out.UnderWay(others)
	}
	err = out.Timed("stack", func() error {
		_, err := b.engine.StackLayer(ctx, out.RecordOnly())
		return err
	})
	err = fault.ExplainDiskFull(err)
	if failed, ok := errors.AsType[*runtime.CommandError](err); ok && fault.From(err) == nil {
		return "", baseFault(failed)
	}
	if err != nil {
		return "", fmt.Errorf("make the base filesystem: %w", err)
	}
	out.Detail("ready after %s", progress.Seconds(time.Since(began)))
	return key, nil
}

// enterStack notes that the base filesystem is being made from now on, until
// leave is called. When somebody makes it already, leave is nil, and began is
// when that was.
func (b *Builder) enterStack(now time.Time) (began time.Time, leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stackBegan.IsZero() {
		return b.stackBegan, nil
	}
	b.stackBegan = now
	return now, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stackBegan = time.Time{}
	}
}

// baseFault says why the base filesystem could not be made, in the words of the
// program that makes it.
func baseFault(failed *runtime.CommandError) error {
	f := fault.New(fault.Failed, code.BaseFailed, "the base filesystem could not be made: %s", describe(failed.Exit)).
		With(Quoted(failed.Tail)...).
		Hint("check that this machine can reach Debian's archive, then push the same commit again")
	f.Cause = failed
	return advice.Network(f, failed.Tail)
}

// Build makes the plan's layers, those that are not there yet, and returns the
// image that comes of them. When one has to be made, it waits for a place among
// the machine's builds, and it is from then that its time counts. A layer that
// was made stays, whatever becomes of those after it.
func (b *Builder) build(ctx context.Context, record store.App, by store.User, build *store.Build, made *plan.Plan, tree *source, config map[string]string, out *progress.Report) (Image, error) {
	if made.Dockerfile != "" {
		return b.buildImage(ctx, record, by, made, tree, config, out)
	}
	whole, err := b.haveLayers(ctx, made)
	if err != nil {
		return Image{}, err
	}
	if whole {
		for _, layer := range made.Layers {
			out.Reuse(layer.Name)
		}
	} else if err := b.buildLayers(ctx, record, build, made, tree, config, out); err != nil {
		return Image{}, err
	}
	out.Reused(len(made.Layers))
	if err := b.complete(ctx, made); err != nil {
		return Image{}, err
	}
	return Image{Base: made.Base(), Top: topKey(record, made, tree)}, nil
}

// buildLayers waits for a place among the machine's builds and makes what is
// missing of a plan's layers.
func (b *Builder) buildLayers(ctx context.Context, record store.App, build *store.Build, made *plan.Plan, tree *source, config map[string]string, out *progress.Report) error {
	leave, err := b.awaitPlace(ctx, out)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.roomToBuild(ctx, record); err != nil {
		return err
	}
	if err := networkToBuild(b.engine.Stranded()); err != nil {
		return err
	}
	if err := b.noteLayers(build, made); err != nil {
		return err
	}
	defer b.deploys.Background(func(ctx context.Context) { b.trimCaches(ctx, record) })
	return b.makeLayers(ctx, record, made, tree, config, out)
}

// noteLayers writes down which layers of the app's own a build makes, before it
// does: what is there of them when it ends, fails or is cut off is kept for the
// next.
func (b *Builder) noteLayers(build *store.Build, made *plan.Plan) error {
	build.Layers = nil
	for _, layer := range made.Layers {
		if !layer.Root {
			build.Layers = append(build.Layers, layer.Key)
		}
	}
	return fault.ExplainDiskFull(b.db.Update(func(tx *store.Tx) error { return tx.Builds.Put(*build) }))
}

// makeLayers makes what is missing of a plan's layers: the shared ones in a time
// of their own, the others in the build's.
func (b *Builder) makeLayers(ctx context.Context, record store.App, made *plan.Plan, tree *source, config map[string]string, out *progress.Report) error {
	disk, left := buildRoom(), b.buildAllowance("the build", code.BuildTimeout)
	left.spent.Hint("finished steps are kept: push again to continue from there")
	for n, layer := range made.Layers {
		have, err := b.engine.HasLayer(ctx, layer.Key) // another build may have made it while this one waited
		if err != nil {
			return fmt.Errorf("look for the layer %s: %w", layer.Name, err)
		}
		if have {
			out.Reuse(layer.Name)
			continue
		}
		out.Step("Build", "%s", layer.Name)
		began := time.Now()
		err = out.Timed(layer.Name, func() error {
			if layer.Shared() {
				return b.awaitShared(ctx, made.Layers[n:], out)
			}
			return left.spend(ctx, func(ctx context.Context) error {
				return b.makeLayer(ctx, record, layer, tree, config, disk, out)
			})
		})
		if err != nil {
			return b.addressedProblem(record.Name, err)
		}
		if layer.Shared() {
			out.Detail("ready after %s", progress.Seconds(time.Since(began)))
		}
	}
	return nil
}

// makeLayer makes a layer, of its other source if that fails.
func (b *Builder) makeLayer(ctx context.Context, record store.App, layer plan.Layer, tree *source, config map[string]string, disk *runtime.Disk, out *progress.Report) error {
	err := b.buildLayer(ctx, record, layer, tree, config, disk, out)
	if layer.Else != nil && commandFailed(ctx, err) {
		other := *layer.Else
		other.Key, other.Parent = layer.Key, layer.Parent
		err = b.buildLayer(ctx, record, other, tree, config, disk, out)
	}
	return err
}

// complete adds to the plan what its build has found out.
func (b *Builder) complete(ctx context.Context, made *plan.Plan) error {
	if made.Late == nil {
		return nil
	}
	data, err := b.engine.ReadFile(ctx, made.Base(), made.Late.File)
	if err != nil {
		return fmt.Errorf("read what the build left: %w", err)
	}
	return made.Late.Read(data, made)
}

// buildRoom is what a build may write.
func buildRoom() *runtime.Disk { return &runtime.Disk{Budget: buildDisk, Reserve: buildReserve} }

// haveLayers tells whether all layers of a plan are there.
func (b *Builder) haveLayers(ctx context.Context, made *plan.Plan) (bool, error) {
	for _, layer := range made.Layers {
		if have, err := b.engine.HasLayer(ctx, layer.Key); err != nil || !have {
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

func (b *Builder) buildLayer(ctx context.Context, record store.App, layer plan.Layer, tree *source, config map[string]string, disk *runtime.Disk, out *progress.Report) error {
	spec := runtime.LayerSpec{
		Key: layer.Key, Parent: layer.Parent, Builder: layer.Builder,
		Keep: layer.Keep, Isolated: layer.Offline,
		Labels: map[string]string{labelKind: layer.Name},
		Limits: buildLimits(),
		Disk:   disk,
	}
	if err := b.mountArchive(&spec, layer); err != nil {
		return err
	}
	if !layer.Root {
		spec.UID = record.UID
		spec.Labels[labelApp] = strconv.Itoa(record.UID)
		if layer.Source {
			spec.Source = tree.path
		}
		if err := mountInputs(&spec, layer, tree); err != nil {
			return err
		}
		if err := b.mountCaches(&spec, layer, record); err != nil {
			return err
		}
	}
	var env []string
	if layer.Config != plan.ConfigNone {
		env = configEnv(config, tree.commit)
	}
	env = append(env, layer.Env...)
	passed, files := operators(layer)
	env = append(env, passed...)
	spec.Mounts = append(spec.Mounts, files...)
	if layer.Root && !layer.Offline && usesApt(layer.Commands) {
		spec.Commands = append(spec.Commands, lookAhead(env))
	}
	for _, c := range layer.Commands {
		spec.Commands = append(spec.Commands, runtime.Command{Args: c.Args, Env: env, Dir: c.Dir})
	}
	var said io.Writer = out
	if layer.Root {
		said = out.RecordOnly() // hundreds of lines of apt that say nothing to a pusher; a failure shows the last
	}
	err := b.engine.BuildLayer(ctx, spec, said)
	if err == nil {
		return nil
	}
	if short, ok := errors.AsType[*runtime.DiskError](err); ok {
		return b.outgrown(layer, record, short)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if failed, ok := errors.AsType[*runtime.CommandError](err); ok {
		return b.buildFault(record.Name, layer, failed)
	}
	if none, ok := errors.AsType[*runtime.NotKept](err); ok {
		return fault.New(fault.Failed, code.BuildOutputMissing, "%s: %w", layer.Name, none).
			Hint("the build succeeded but created no such file or directory under /app")
	}
	return fault.ExplainDiskFull(fmt.Errorf("make the layer %s: %w", layer.Name, err))
}

// usesApt tells whether one of the commands fetches by apt.
func usesApt(commands []plan.Command) bool {
	return slices.ContainsFunc(commands, func(c plan.Command) bool { return c.Args[0] == "apt-get" })
}

// lookAhead finds out which archive does not answer before apt tries for
// minutes. It is no part of the layer, and of its key neither.
func lookAhead(env []string) runtime.Command {
	c := runtime.ReachArchives()
	c.Env = env
	return c
}

// configEnv is the app's config as a build's commands get it, with its names in
// BERTH_CONFIG. What would keep a build from finding its own tools is left out.
// Beside it stands the commit, under Heroku's name and Dokku's: no key of a layer
// depends on it, so that a step that is reused has seen an earlier one.
func configEnv(config map[string]string, commit string) []string {
	var env, names []string
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if name != "PATH" && name != "HOME" {
			env, names = append(env, name+"="+config[name]), append(names, name)
		}
	}
	if config["PORT"] == "" {
		env = append(env, "PORT="+strconv.Itoa(store.UsualPort)) // a build that loads the app's settings reads it
	}
	for _, name := range []string{"SOURCE_VERSION", "GIT_REV"} {
		if _, own := config[name]; !own && commit != "" {
			env = append(env, name+"="+commit)
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

// Quoted marks lines as what a program printed.
func Quoted(lines []string) []string {
	var marked []string
	for _, line := range lines {
		marked = append(marked, "| "+line)
	}
	return marked
}

// buildFault says which command failed, with the end of what it printed.
func (b *Builder) buildFault(app string, layer plan.Layer, failed *runtime.CommandError) error {
	if failed.Exit.OOM || failed.Exit.Signal == int(unix.SIGKILL) {
		return killedFault(layer, failed)
	}
	f := fault.New(fault.Failed, code.BuildStepFailed, "%s: %s failed: %s", layer.Name, filepath.Base(failed.Args[0]), describe(failed.Exit))
	if p := layer.Failure; p != nil {
		f = fault.New(fault.Failed, p.Code, "%s", p.Message).With(p.Evidence...)
		f.Hints = append(f.Hints, p.Hints...)
	}
	lines := Quoted(failed.Tail)
	f.With(lines...)
	f.Cause = failed
	advice.Network(f, failed.Tail)
	if layer.Root {
		return f
	}
	return advice.Settings(f, b.deploys.SSHCommand(), app, lines)
}

// killedFault says that a command of a build was killed: the kernel does so to
// what needs more memory than there is.
func killedFault(layer plan.Layer, failed *runtime.CommandError) error {
	program := filepath.Base(failed.Args[0])
	f := fault.New(fault.Failed, code.BuildKilled, "%s: %s was killed: it needed more than the memory limit of a build, %s", layer.Name, program, units.Bytes(buildMemory))
	f.Hint("reduce the memory use of the build, or build elsewhere and deploy an image: berth help git:from-image")
	if !failed.Exit.OOM {
		f = fault.New(fault.Failed, code.BuildKilled, "%s: %s was killed (SIGKILL), as the kernel does when memory is short", layer.Name, program)
		f.Hint("check the free memory of the machine: free -m, dmesg").Hint("then push the same commit again")
	}
	f.With(Quoted(failed.Tail)...)
	f.Cause = failed
	return f
}

// mountInputs shows the files of the repository that a layer depends on, and no others.
func mountInputs(spec *runtime.LayerSpec, layer plan.Layer, tree *source) error {
	if len(layer.Inputs) == 0 {
		return nil
	}
	dir := tree.path
	if len(layer.Inputs) != 1 || layer.Inputs[0] != "." {
		dir = filepath.Join(tree.dir, "inputs-"+spec.Key[:12])
		if err := copyInputs(tree.root, dir, layer.Inputs); err != nil {
			return fault.ExplainDiskFull(fmt.Errorf("copy the files that %s depends on: %w", layer.Name, err))
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
func (b *Builder) addSource(ctx context.Context, record store.App, img Image, tree *source) error {
	have, err := b.engine.HasLayer(ctx, img.Top)
	if err == nil && !have {
		err = b.engine.AddTree(ctx, img.Top, img.Base, tree.path, "/app", record.UID, map[string]string{labelApp: strconv.Itoa(record.UID), labelKind: "source"})
	}
	if err != nil {
		return fault.ExplainDiskFull(fmt.Errorf("keep the source as a layer: %w", err))
	}
	return nil
}

// describe says how a program of a build ended.
func describe(exit runtime.Exit) string { return advice.Exit(exit).String() }

// advise adds the hints that follow from what a program of a build printed.
func advise(f *fault.Error, lines []string, exit runtime.Exit) *fault.Error {
	return advice.Give(f, lines, advice.Exit(exit))
}

// newKey returns a key for a layer that is made anew each time: one that no layer
// has had, for the numbers of builds come again when an older state file is put
// back.
func newKey(kind string) string { return digest(kind, rand.Text()) }
