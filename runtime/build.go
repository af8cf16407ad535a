package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berthd/berth/runtime/internal/lines"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// LayerSpec says how a layer is made. The layer's content is what the commands
// leave in the root filesystem (UID 0), or under /app alone (any other UID).
type LayerSpec struct {
	Key    string // identity: a digest of all that goes in; names the committed snapshot
	Parent string // key of the layer below; "" for none

	// Builder is the key of the layer whose root filesystem the commands see
	// when UID is not 0; "" is Parent. What they change outside /app is thrown
	// away, so that compilers can be there to build and be absent from the result.
	Builder string

	// Source is a directory of the host that is copied into /app before the
	// commands run; "" is none. Only with a UID other than 0.
	Source string

	// Keep names what the layer is to hold of /app; a last element of * and ? is
	// a pattern. When set, the commands work in Builder's own /app, and nothing
	// else of what they leave is kept. With UID 0 it names what the layer is to
	// hold of Builder's whole filesystem, and there are no commands.
	Keep []string

	Commands []Command
	UID      int
	Mounts   []Mount
	Limits   Limits
	Isolated bool  // no network at all
	Foreign  bool  // Parent is an image of somebody's making, see Spec
	Disk     *Disk // what may be written; nil is as much as there is
	Labels   map[string]string
}

// CommandError is a command that ended with a code other than 0.
type CommandError struct {
	Args []string
	Exit Exit
	Tail []string // the last lines of its output
}

func (e *CommandError) Error() string {
	name := strings.Join(e.Args, " ")
	if len(name) > 60 {
		name = name[:57] + "..."
	}
	switch {
	case e.Exit.OOM:
		return fmt.Sprintf("%s: killed, it needed more memory than its limit", name)
	case e.Exit.Lost:
		return fmt.Sprintf("%s: its container disappeared", name)
	case e.Exit.Signal != 0:
		return fmt.Sprintf("%s: ended by signal %d (%s)", name, e.Exit.Signal, unix.SignalName(unix.Signal(e.Exit.Signal)))
	}
	return fmt.Sprintf("%s: exit code %d", name, e.Exit.Code)
}

// BuildLayer makes the layer by running the commands in a container and
// commits it. It does nothing when the layer exists. Two calls with the same
// key wait for each other. A command that fails returns a *CommandError, one
// that goes beyond spec.Disk a *DiskError, and nothing is kept. Cancelling ctx
// kills the commands.
func (e *Engine) BuildLayer(ctx context.Context, spec LayerSpec, out io.Writer) error {
	err := e.MakeLayer(ctx, spec.Key, func(ctx context.Context, active string) error {
		if spec.UID == 0 && len(spec.Keep) > 0 {
			return e.pick(ctx, spec, active)
		}
		if spec.UID == 0 {
			return e.buildRoot(ctx, spec, active, out)
		}
		return e.buildApp(ctx, spec, active, out)
	})
	if err != nil {
		return fmt.Errorf("build layer %s: %w", spec.Key, err)
	}
	return nil
}

// buildRoot runs the commands as root on the snapshot itself.
func (e *Engine) buildRoot(ctx context.Context, spec LayerSpec, active string, out io.Writer) error {
	mounts, err := e.Prepare(ctx, active, spec.Parent)
	if err != nil {
		return err
	}
	writes := []writeDir{{name: "/", dir: layerDirs(mounts)[0], own: true}}
	if err := e.runCommands(ctx, spec, active, mounts, spec.Mounts, writes, out); err != nil {
		return err
	}
	return e.CommitAs(ctx, active, spec.Key, spec.Labels, map[string]string{labelBuilder: spec.Builder})
}

// buildApp runs the commands as the app's user on a filesystem that is thrown
// away. Only /app is the snapshot's, which is mounted for us and bound in; or,
// when the spec says what to keep, the scratch filesystem's own, and what is to
// be kept is copied.
func (e *Engine) buildApp(ctx context.Context, spec LayerSpec, active string, out io.Writer) (err error) {
	mounts, err := e.Prepare(ctx, active, spec.Parent)
	if err != nil {
		return err
	}
	scratch := active + "-scratch"
	below, err := e.Prepare(ctx, scratch, cmp.Or(spec.Builder, spec.Parent))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		err = errors.Join(err, outage.Retry(ctx, func() error { return e.Snapshots().Remove(ctx, scratch) }))
	}()
	writes := []writeDir{{name: "outside " + HomeDir, dir: layerDirs(below)[0], own: true}}
	err = e.Mounted(active, mounts, func(root string) error {
		app, err := OwnHome(root, spec.UID)
		if err != nil {
			return err
		}
		if len(spec.Keep) > 0 {
			writes[0].name = "the build"
			kept := writeDir{name: HomeDir, dir: layerDirs(mounts)[0], own: true}
			return e.buildAndKeep(ctx, spec, scratch, below, root, writes, kept, out)
		}
		if spec.Source != "" {
			if err := copyTree(ctx, spec.Source, root, HomeDir, spec.UID); err != nil {
				return err
			}
		}
		binds := slices.Concat([]Mount{{Source: app, Target: HomeDir, Writable: true}}, spec.Mounts)
		writes = append(writes, writeDir{name: HomeDir, dir: layerDirs(mounts)[0], own: true})
		return e.runCommands(ctx, spec, scratch, below, binds, writes, out)
	})
	if err != nil {
		return err
	}
	return e.CommitAs(ctx, active, spec.Key, spec.Labels, map[string]string{labelBuilder: spec.Builder})
}

// buildAndKeep runs the commands in the scratch filesystem's own /app and
// copies what is to be kept into the layer's, which is mounted at root.
func (e *Engine) buildAndKeep(ctx context.Context, spec LayerSpec, scratch string, mounts []mount.Mount, root string, writes []writeDir, kept writeDir, out io.Writer) error {
	if err := e.readySource(ctx, spec, scratch, mounts); err != nil {
		return err
	}
	if err := e.runCommands(ctx, spec, scratch, mounts, spec.Mounts, writes, out); err != nil {
		return err
	}
	// A copy may be larger than what it is of: holes and hard links are written out.
	ctx, unwatch := spec.Disk.watch(ctx, []writeDir{kept})
	return unwatch(e.Mounted(scratch, mounts, func(from string) error { return keep(ctx, from, root, HomeDir, spec.Keep, spec.UID) }))
}

// readySource puts the source into a scratch filesystem's own /app. It is
// unmounted again before a container has it: what an overlay that is mounted
// twice shows is not defined.
func (e *Engine) readySource(ctx context.Context, spec LayerSpec, scratch string, mounts []mount.Mount) error {
	return e.Mounted(scratch, mounts, func(root string) error {
		if _, err := OwnHome(root, spec.UID); err != nil || spec.Source == "" {
			return err
		}
		return copyTree(ctx, spec.Source, root, HomeDir, spec.UID)
	})
}

// NotKept is what a build was to leave and did not.
type NotKept struct{ Pattern string }

func (e *NotKept) Error() string { return "the build left no " + e.Pattern }

// keep copies what fits the patterns in a directory of one filesystem to the
// same of another.
func keep(ctx context.Context, from, to, dir string, patterns []string, uid int) error {
	// A root of its own below the mount: no link of the build's leads out.
	root, err := os.OpenRoot(filepath.Join(from, dir))
	if err != nil {
		return err
	}
	defer root.Close()
	for _, pattern := range patterns {
		found, err := fs.Glob(root.FS(), pattern)
		if err != nil {
			return fmt.Errorf("what to keep: %q: %w", pattern, err)
		}
		if len(found) == 0 {
			return &NotKept{pattern}
		}
		for _, name := range found {
			if err := copyPath(ctx, root, to, name, path.Join(dir, name), uid); err != nil {
				return err
			}
		}
	}
	return nil
}

// OwnHome makes /app of a mounted filesystem, when it is not there, and gives
// it to the user.
func OwnHome(root string, uid int) (string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer r.Close()
	name := strings.TrimPrefix(HomeDir, "/")
	if err := r.Mkdir(name, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := r.Lstat(name)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s of the layer below is not a directory", HomeDir)
	}
	return filepath.Join(root, name), r.Lchown(name, uid, uid)
}

// runCommands runs the commands one after the other, each in a container of
// its own, on the same filesystem. writes is where what they write lies, but
// for the mounts of the spec.
func (e *Engine) runCommands(ctx context.Context, spec LayerSpec, snapshot string, prepared []mount.Mount, binds []Mount, writes []writeDir, out io.Writer) (err error) {
	done, err := e.BeginBuild(ctx)
	if err != nil {
		return err
	}
	defer done()
	ctx, unwatch := spec.Disk.watch(ctx, slices.Concat(writes, writable(spec.Mounts)))
	defer func() { err = unwatch(err) }()
	ca, caps := caBundle, []string(nil)
	if spec.UID == 0 {
		ca, caps = rootCABundle, rootCaps
	}
	for _, cmd := range spec.Commands {
		text := &lines.Writer{Out: out}
		j := job{
			spec:     Spec{UID: spec.UID, Hostname: "build", Limits: spec.Limits, Mounts: binds, Isolated: spec.Isolated, Foreign: spec.Foreign, build: true},
			snapshot: snapshot, prepared: prepared,
			cmd: cmd, env: environment(spec.UID, ca, slices.Concat(proxyVariables(), cmd.Env)),
			ca: ca, caps: caps, merged: true,
			att: Attachment{Stdout: text},
		}
		exit, err := Exit{}, ErrInterrupted
		for try := 0; try < 3 && errors.Is(err, ErrInterrupted); try++ { // before the command has begun
			j.spec.ID = NewID()
			exit, err = e.run(ctx, j)
		}
		text.Flush()
		if err != nil {
			return fmt.Errorf("%s: %w", cmd.Args[0], err)
		}
		if exit.Code != 0 {
			return &CommandError{Args: cmd.Args, Exit: exit, Tail: text.Tail()}
		}
	}
	return nil
}
