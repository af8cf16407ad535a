package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/internal/lines"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// BuildSpec says how an image is made from a Dockerfile.
type BuildSpec struct {
	Context    string // directory on the host that COPY and ADD see
	Dockerfile string // its path in Context; "" is "Dockerfile"
	Target     string // stage to build; "" is the last one
	Args       map[string]string
	Secrets    map[string][]byte // for RUN --mount=type=secret; they are in no layer, no cache and no log

	// Bases are layers of the engine under names that FROM can use, with no
	// registry: "berth.local/stack".
	Bases  map[string]string
	Logins map[string]Login // by registry: "registry.example.com"; "docker.io" is the usual one

	Foreign bool // as PullSpec has it, of the images that FROM names

	// Owner names a cache: what one owner's builds leave is never another's.
	// Builds of one owner wait for each other.
	Owner  string
	Limits runtime.Limits    // of each RUN step
	Disk   *runtime.Disk     // whose Reserve is heeded; nil is as much as there is
	Labels map[string]string // of the layers
}

// DockerfileError is a Dockerfile that cannot be built. Its cause is a
// *runtime.CommandError when a RUN step failed, an *Error when FROM names an image
// that cannot be had, and what the parser says otherwise.
type DockerfileError struct {
	Path string // of the Dockerfile, in the context
	Line int    // 0 when no line is to blame
	Text string // the line
	Err  error
}

func (e *DockerfileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err)
}

func (e *DockerfileError) Unwrap() error { return e.Err }

const defaultDockerfile = "Dockerfile"

// BuildImage builds the image of a Dockerfile, and a layer of it. Cached steps
// of the same owner are not run again; if all steps are cached, the existing
// layer is returned. Steps are reported as they begin, with their output. An
// error that the author of the Dockerfile can fix is a *DockerfileError.
// Cancelling ctx ends the running step.
func (m *Maker) Build(ctx context.Context, spec BuildSpec, out io.Writer) (Image, error) {
	if spec.Dockerfile == "" {
		spec.Dockerfile = defaultDockerfile
	}
	img, err := m.build(ctx, spec, out)
	if err != nil {
		if ctx.Err() != nil {
			return Image{}, fmt.Errorf("build image: %w", context.Cause(ctx))
		}
		return Image{}, fmt.Errorf("build image: %w", dockerfileError(spec, err))
	}
	return img, nil
}

func (m *Maker) build(ctx context.Context, spec BuildSpec, out io.Writer) (img Image, err error) {
	if out == nil {
		out = io.Discard
	}
	out = lines.Locked(out) // images are pulled while steps report
	release, err := m.engine.Hold(ctx, "cache of "+spec.Owner)
	if err != nil {
		return img, err
	}
	defer release()
	end, err := m.engine.BeginBuild(ctx)
	if err != nil {
		return img, err
	}
	defer end()
	scratch, err := m.engine.Scratch()
	if err != nil {
		return img, err
	}
	defer os.RemoveAll(scratch)
	// Where it is written matters to the filesystem alone: what the steps write
	// is BuildKit's to count.
	ctx, unwatch := spec.Disk.Guard(ctx, "the image", scratch)
	defer func() { err = unwatch(err) }()
	ctx, done, err := m.engine.Lease(ctx)
	if err != nil {
		return img, err
	}
	defer done()
	ctx = m.quiet(ctx)
	b, err := m.openBuilder(ctx, spec, out)
	if err != nil && ctx.Err() == nil { // a cache that cannot be read is worth less than the build
		m.log.Warn("the build steps of an owner are forgotten", "owner", spec.Owner, "err", err)
		if err = m.forgetSteps(ctx, spec.Owner); err == nil {
			b, err = m.openBuilder(ctx, spec, out)
		}
	}
	if err != nil {
		return img, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()

	request, err := b.request(ctx)
	if err != nil {
		return img, err
	}
	attached, err := spec.attachments()
	if err != nil {
		return img, err
	}
	res, err := b.solve(ctx, request, attached, newStepWriter(out).write)
	if err != nil {
		return img, err
	}
	return m.layerOf(ctx, res, spec.Labels)
}

// request says in BuildKit's words what is to be built.
func (b *builder) request(ctx context.Context) (frontend.SolveRequest, error) {
	opts := map[string]string{
		"filename": filepath.ToSlash(filepath.Clean(b.spec.Dockerfile)),
		"target":   b.spec.Target,
		// Said to be known already, so that a "# syntax=" line does not have the
		// frontend, which we are, fetched from a registry.
		"cmdline": "",
	}
	for name, value := range b.spec.Args {
		opts["build-arg:"+name] = value
	}
	inputs := make(map[string]*pb.Definition)
	for name, layer := range b.spec.Bases {
		def, err := baseState(layer).Marshal(ctx)
		if err != nil {
			return frontend.SolveRequest{}, fmt.Errorf("base %s: %w", name, err)
		}
		config, err := b.maker.baseConfig(ctx, layer)
		if err != nil {
			return frontend.SolveRequest{}, fmt.Errorf("base %s: %w", name, err)
		}
		metadata, err := json.Marshal(map[string][]byte{exptypes.ExporterImageConfigKey: config})
		if err != nil {
			return frontend.SolveRequest{}, err
		}
		inputs[layer] = def.ToPB()
		opts["context:"+name] = "input:" + layer
		opts["input-metadata:"+layer] = string(metadata)
	}
	return frontend.SolveRequest{Frontend: frontendName, FrontendOpt: opts, FrontendInputs: inputs}, nil
}

// attachments are what the build may ask for: the context's files, as root's,
// and the secrets.
func (s BuildSpec) attachments() ([]session.Attachable, error) {
	if _, err := os.Stat(s.Context); err != nil {
		return nil, err
	}
	root := func(_ string, st *fstypes.Stat) fsutil.MapResult {
		st.Uid, st.Gid = 0, 0
		return fsutil.MapResultKeep
	}
	files, err := fsutil.NewFS(s.Context)
	if err != nil {
		return nil, err
	}
	if files, err = fsutil.NewFilterFS(files, &fsutil.FilterOpt{Map: root}); err != nil {
		return nil, err
	}
	return []session.Attachable{
		filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files, "dockerfile": files}),
		secretsprovider.FromMap(s.Secrets),
	}, nil
}

// layerOf makes a layer of ours over the last of the build's snapshots.
func (m *Maker) layerOf(ctx context.Context, res result, labels map[string]string) (Image, error) {
	config, err := m.keepConfig(ctx, res.config)
	if err != nil {
		return Image{}, fmt.Errorf("keep the configuration: %w", err)
	}
	key := "image-" + digest.FromString(res.snapshot + "\n" + config.String()).Encoded()[:24]
	err = m.engine.MakeLayer(ctx, key, func(ctx context.Context, active string) error {
		if _, err := m.engine.PrepareOver(ctx, active, res.snapshot); err != nil {
			return err
		}
		return m.engine.CommitAs(ctx, active, key, labels, imageLabels(config, config.String()))
	})
	if err != nil {
		return Image{}, fmt.Errorf("make the image's layer: %w", err)
	}
	return m.Image(ctx, key)
}

// dockerfileError finds out which line is to blame, if it is one.
func dockerfileError(spec BuildSpec, err error) error {
	_, theirs := errors.AsType[*buildUserError](err)
	if !theirs && (outage.Transient(outage.Native(err)) || errors.Is(err, runtime.ErrInterrupted)) { // containerd died
		return err
	}
	failed := &DockerfileError{Path: spec.Dockerfile, Err: err}
	if sources := errdefs.Sources(err); len(sources) > 0 {
		source := sources[len(sources)-1]
		failed.Line, failed.Text = sourceLine(source)
	}
	if cause, ok := errors.AsType[*runtime.CommandError](err); ok {
		failed.Err = cause
		return failed
	}
	if cause, ok := errors.AsType[*Error](err); ok {
		failed.Err = cause
		return failed
	}
	if cause, ok := errors.AsType[*buildUserError](err); ok {
		failed.Err = cause
		return failed
	}
	if failed.Line == 0 && !aboutDockerfile(err) {
		return err
	}
	failed.Err = errors.New(plainMessage(err))
	return failed
}

// aboutDockerfile tells whether an error that names no line is the Dockerfile's
// all the same: the frontend's, which reads it, or the loader's of what that made.
func aboutDockerfile(err error) bool {
	_, reading := errors.AsType[*errdefs.FrontendError](err)
	loading := strings.Contains(err.Error(), "failed to load LLB") // the error has no type
	return reading || loading
}

// sourceLine returns the first line that the parser points at.
func sourceLine(s *errdefs.Source) (number int, text string) {
	if len(s.Ranges) == 0 || s.Ranges[0].Start == nil {
		return 0, ""
	}
	number = int(s.Ranges[0].Start.Line)
	lines := strings.Split(string(s.Info.GetData()), "\n")
	if number < 1 || number > len(lines) {
		return 0, ""
	}
	return number, strings.TrimSpace(lines[number-1])
}

// plainMessage takes BuildKit's own steps off the front of a message.
func plainMessage(err error) string {
	text := err.Error()
	for _, step := range []string{"failed to solve: ", "failed to load LLB: ", "dockerfile parse error on line ", "failed to compute cache key: ", "failed to calculate checksum of ref "} {
		_, rest, found := strings.Cut(text, step)
		if !found {
			continue
		}
		text = rest
		if strings.HasSuffix(step, "line ") || strings.HasSuffix(step, "ref ") { // and its number or name
			if _, after, ok := strings.Cut(text, ": "); ok {
				text = after
			}
		}
	}
	return text
}

// internalStep begins the names of what BuildKit does that no Dockerfile asks for.
const internalStep = "[internal]"

// stepWriter writes what BuildKit reports as plain lines: each step when it
// begins, and what it says.
type stepWriter struct {
	out   io.Writer
	named map[digest.Digest]bool
	lines map[digest.Digest]*lines.Writer
}

func newStepWriter(out io.Writer) *stepWriter {
	return &stepWriter{out: out, named: make(map[digest.Digest]bool), lines: make(map[digest.Digest]*lines.Writer)}
}

func (w *stepWriter) write(status *client.SolveStatus) {
	for _, v := range status.Vertexes {
		internal := strings.HasPrefix(v.Name, internalStep)
		if v.Started == nil || w.named[v.Digest] || internal {
			continue
		}
		w.named[v.Digest] = true
		if v.Cached {
			fmt.Fprintf(w.out, "%s (cached)\n", v.Name)
		} else {
			fmt.Fprintln(w.out, v.Name)
		}
	}
	for _, l := range status.Logs {
		if w.lines[l.Vertex] == nil {
			w.lines[l.Vertex] = &lines.Writer{Out: w.out}
		}
		w.lines[l.Vertex].Write(l.Data)
	}
	for _, v := range status.Vertexes {
		if v.Completed != nil && w.lines[v.Digest] != nil {
			w.lines[v.Digest].Flush()
		}
	}
	for _, warning := range status.Warnings {
		fmt.Fprintf(w.out, "warning: %s\n", warning.Short)
	}
}

// baseState is a layer of ours as the start of a build.
func baseState(layer string) llb.State {
	unsaid := llb.WithCustomName(internalStep + " layer " + layer)
	var c llb.Constraints
	unsaid.SetConstraintsOption(&c)
	return llb.NewState(llb.NewSource(layerScheme+"://"+layer, nil, c).Output())
}

// baseConfig is the configuration that a build inherits from a layer.
func (m *Maker) baseConfig(ctx context.Context, layer string) ([]byte, error) {
	if _, config, err := m.image(ctx, layer); err == nil {
		return config, nil
	}
	if ok, err := m.engine.HasLayer(ctx, layer); err != nil || !ok {
		return nil, errors.Join(err, fmt.Errorf("there is no layer %s", layer))
	}
	platform := buildPlatform()
	return json.Marshal(map[string]any{
		"architecture": platform.Architecture, "os": platform.OS, "variant": platform.Variant,
		"config": map[string]any{
			"Env": runtime.BaseEnvironment(),
			"Cmd": []string{"/bin/bash"},
		},
		"rootfs": map[string]any{"type": "layers"},
	})
}
