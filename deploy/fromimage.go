package deploy

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/berthd/berth/build/progress"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/runtime/images"
	"github.com/berthd/berth/store"
)

// FromImage deploys a ready image of a registry: it is pulled, released and
// rolled out as a push is.
func (d *Deployer) FromImage(ctx context.Context, name, ref string, by store.User, out io.Writer) error {
	ref = strings.TrimSpace(ref)
	p := Push{App: name, By: by, Out: out, direct: true}
	commit := git.Commit{Subject: "image " + ref}
	turn := ticket{what: fmt.Sprintf("the deploy of %s by %s", progress.Clip(ref, 60), by.Name)}
	return d.attempt(ctx, p, commit, turn, func(ctx context.Context, a *app, record store.App, build *store.Build, out *progress.Report) (store.Release, error) {
		out.Title("%s  %s  by %s  build %d", record.Name, progress.Clip(ref, 60), by.Name, build.Number)
		made := &plan.Plan{Language: "image", Summary: "image " + ref, Versions: record.Versions}
		build.Language, build.Summary = made.Language, made.Summary
		img, unpin, err := d.pull(ctx, record, by, made, ref, out)
		if err != nil {
			return store.Release{}, err
		}
		defer unpin()
		release := releaseOf(record, *build, commit, made, img)
		release.Description, release.Subject = "Deploy image "+ref, ""
		return d.releaseBuild(ctx, a, record, release, made, rollout{}, out)
	})
}

// pull brings an image here and gives it to the app. Its layer stays until
// unpin is called, or a release has it.
func (d *Deployer) pull(ctx context.Context, record store.App, by store.User, made *plan.Plan, ref string, out *progress.Report) (img image, unpin func(), err error) {
	if err := d.roomToBuild(ctx, record); err != nil {
		return image{}, nil, err
	}
	logins, err := d.logins(record.Name, by)
	if err != nil {
		return image{}, nil, err
	}
	out.Step("Pull", "%s", progress.Clip(ref, progress.Columns-len("-----> Pull     ")))
	left := d.buildAllowance("the pull", codeTooLong)
	fetch := func(ctx context.Context) error {
		pulled, err := d.images.Pull(ctx, images.PullSpec{Ref: ref, Logins: logins, Foreign: true}, out)
		if err != nil {
			return d.imageFault(ctx, err)
		}
		key := digest("image", pulled.Digest, "uid", fmt.Sprint(record.UID))
		unpin = d.pins.pin(key, pulled.Layer)
		if err := d.images.Own(ctx, pulled, key, record.UID, imageLabels(record)); err != nil {
			unpin()
			return d.imageFault(ctx, err)
		}
		pulled.Layer = key
		img, err = d.adoptImage(made, pulled, ref)
		if err != nil {
			unpin()
		}
		return err
	}
	err = out.Timed("pull", func() error { return left.spend(ctx, fetch) })
	return img, unpin, err
}
