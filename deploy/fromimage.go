package deploy

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
)

// FromImage deploys a ready image of a registry: it is pulled, released and
// rolled out as a push is.
func (d *Deployer) FromImage(ctx context.Context, name, ref string, by store.User, out io.Writer) error {
	return d.fromImage(ctx, Push{App: name, By: by, Out: out, direct: true}, strings.TrimSpace(ref))
}

// fromImage is FromImage for a push that may have its turn already.
func (d *Deployer) fromImage(ctx context.Context, p Push, ref string) error {
	by := p.By
	commit := git.Commit{Subject: "image " + ref}
	turn := ticket{what: fmt.Sprintf("the deploy of %s by %s", progress.Clip(ref, 60), by.Name)}
	return d.attempt(ctx, p, commit, turn, func(ctx context.Context, a *app, record store.App, build *store.Build, out *progress.Report) (store.Release, error) {
		out.Title("%s  %s  by %s  build %d", record.Name, progress.Clip(ref, 60), by.Name, build.Number)
		made := &plan.Plan{Language: "image", Summary: "image " + ref, Versions: record.Versions}
		build.Language, build.Summary = made.Language, made.Summary
		img, unpin, err := d.build.Pull(ctx, record, by, made, ref, out)
		if err != nil {
			return store.Release{}, err
		}
		defer unpin()
		release := releaseOf(record, *build, commit, made, img)
		release.Description, release.Subject = "Deploy image "+ref, ""
		return d.releaseBuild(ctx, a, record, release, made, rollout{by: by}, out)
	})
}
