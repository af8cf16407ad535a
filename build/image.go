package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/dockerfile"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/images"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// stackImage is the name by which a Dockerfile can begin with berth's own base
// filesystem, with no registry. It has a host in it, so that no registry is ever
// asked for it.
const stackImage = "berth.local/stack"

// buildImage makes the image that the app's Dockerfile describes, unless it was
// made of the same tree before, and adds to the plan what it runs.
//
// The app's config reaches RUN as secrets (--mount=type=secret,id=NAME,env=NAME)
// and in no other way: build arguments stay in the image for all to read.
func (b *Builder) buildImage(ctx context.Context, record store.App, by store.User, made *plan.Plan, tree *source, config map[string]string, out *progress.Report) (Image, error) {
	key := topKey(record, made, tree)
	have, err := b.engine.HasLayer(ctx, key)
	if err != nil {
		return Image{}, fmt.Errorf("look for the image: %w", err)
	}
	if have {
		out.Step("Build", "image reused")
	} else if err := b.makeImage(ctx, record, by, key, made, tree, config, out); err != nil {
		return Image{}, err
	}
	img, err := b.images.Image(ctx, key)
	if err != nil {
		return Image{}, err
	}
	return adoptImage(made, img, "")
}

func (b *Builder) makeImage(ctx context.Context, record store.App, by store.User, key string, made *plan.Plan, tree *source, config map[string]string, out *progress.Report) error {
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
	logins, err := b.logins(record.Name, by)
	if err != nil {
		return err
	}
	stack, err := b.stack(ctx, out)
	if err != nil {
		return err
	}
	secrets := map[string][]byte{}
	for name, value := range config {
		secrets[name] = []byte(value)
	}
	out.Step("Build", "%s", made.Dockerfile)
	left := b.buildAllowance("the build", code.BuildTimeout)
	left.spent.Hint("finished steps are kept: push again to continue from there")
	make := func(ctx context.Context) error {
		img, err := b.images.Build(ctx, images.BuildSpec{
			Context: tree.path, Dockerfile: made.Dockerfile, Secrets: secrets,
			Bases: map[string]string{stackImage: stack}, Logins: logins, Foreign: true,
			Owner: strconv.Itoa(record.UID), Limits: buildLimits(), Disk: &runtime.Disk{Reserve: buildReserve}, Labels: map[string]string{labelKind: "image"}, // nobody's, until the app's own stands on it
		}, out)
		if err != nil {
			return err
		}
		return b.images.Own(ctx, img, key, record.UID, imageLabels(record))
	}
	err = out.Timed("image", func() error {
		return left.spend(ctx, func(ctx context.Context) error { return because(ctx, make(ctx)) })
	})
	if short, ok := errors.AsType[*runtime.DiskError](err); ok {
		return b.outgrown(plan.Layer{Name: made.Dockerfile}, record, short)
	}
	return b.imageFault(ctx, err)
}

// because returns why work was ended, when it was, in the place of what came of it.
func because(ctx context.Context, err error) error {
	if _, disk := errors.AsType[*runtime.DiskError](err); err != nil && !disk && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func imageLabels(record store.App) map[string]string {
	return map[string]string{labelApp: strconv.Itoa(record.UID), labelKind: "image"}
}

// adoptImage adds to a plan what an image runs, and returns it as a release's.
func adoptImage(made *plan.Plan, img images.Image, ref string) (Image, error) {
	args := img.Config.Args()
	if len(args) > 0 {
		made.Infer("web", strings.Join(args, " "))
	}
	if len(made.Processes) == 0 {
		return Image{}, dockerfile.NoCommand()
	}
	made.Env = map[string]string{}
	for _, kv := range img.Config.Env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			made.Env[name] = value
		}
	}
	return Image{Base: img.Layer, Top: img.Layer, Args: args, Foreign: &store.Image{
		Ref: ref, Digest: img.Digest, Entrypoint: img.Config.Entrypoint, Dir: img.Config.Dir,
		Ports: slices.Clone(img.Config.Ports), Volumes: slices.Clone(img.Config.Volumes), StopSignal: img.Config.StopSignal,
	}}, nil
}

// imageFault says why an image could not be had, as far as somebody can act on it.
func (b *Builder) imageFault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if fault.From(err) != nil { // the allowance is spent
		return err
	}
	if none, ok := errors.AsType[*images.Error](err); ok {
		f := fault.New(fault.Failed, code.ImageUnavailable, "the image %s is not available: %w", none.Ref, none.Kind)
		if none.Cause != nil {
			f.With(progress.Clip(none.Cause.Error(), 300))
		}
		switch none.Kind {
		case images.ErrDenied:
			f.Hint("store credentials: %s registry:login HOST USER", b.deploys.SSHCommand()).
				Hint("add --app APP to store them for that app only; keys that are bound to apps need that")
		case images.ErrAddress:
			f.Hint("an admin can allow this registry: %s registry:login HOST USER", b.deploys.SSHCommand())
		case images.ErrNotFound:
			f.Hint("check the name and the tag; a private image needs registry:login")
		}
		return f
	}
	if errors.Is(err, runtime.ErrReserved) {
		_, at, _ := strings.Cut(err.Error(), runtime.ErrReserved.Error()+": ")
		return fault.New(fault.Failed, code.ImageReserved, "the image has a file or link at %s, which berth needs for its own files", at).
			Hint("remove it from the image: /.berth is reserved")
	}
	if bad, ok := errors.AsType[*images.DockerfileError](err); ok {
		at := bad.Path
		if bad.Line > 0 {
			at = fmt.Sprintf("%s, line %d", bad.Path, bad.Line)
		}
		failed, ran := errors.AsType[*runtime.CommandError](bad.Err)
		if !ran {
			f := fault.From(dockerfile.Failed(at, bad.Err.Error(), bad.Text))
			f.Cause = bad.Err
			return f
		}
		f := fault.From(dockerfile.Failed(at, describe(failed.Exit), bad.Text))
		lines := Quoted(failed.Tail)
		return advise(f.With(lines...), lines, failed.Exit)
	}
	return fault.ExplainDiskFull(fmt.Errorf("make the image: %w", err))
}

// Pull brings an image here and gives it to the app. Its layer stays until
// unpin is called, or a release has it.
func (b *Builder) Pull(ctx context.Context, record store.App, by store.User, made *plan.Plan, ref string, out *progress.Report) (img Image, unpin func(), err error) {
	if err := b.roomToBuild(ctx, record); err != nil {
		return Image{}, nil, err
	}
	logins, err := b.logins(record.Name, by)
	if err != nil {
		return Image{}, nil, err
	}
	out.Step("Pull", "%s", progress.Clip(ref, progress.Columns-len("-----> Pull     ")))
	left := b.buildAllowance("the pull", code.BuildTimeout)
	fetch := func(ctx context.Context) error {
		pulled, err := b.images.Pull(ctx, images.PullSpec{Ref: ref, Logins: logins, Foreign: true}, out)
		if err != nil {
			return b.imageFault(ctx, err)
		}
		key := digest("image", pulled.Digest, "uid", fmt.Sprint(record.UID))
		unpin = b.pins.pin(key, pulled.Layer)
		if err := b.images.Own(ctx, pulled, key, record.UID, imageLabels(record)); err != nil {
			unpin()
			return b.imageFault(ctx, err)
		}
		pulled.Layer = key
		img, err = adoptImage(made, pulled, ref)
		if err != nil {
			unpin()
		}
		return err
	}
	err = out.Timed("pull", func() error { return left.spend(ctx, fetch) })
	return img, unpin, err
}
