package deploy

import (
	"context"
	"fmt"
	"io"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
)

// Rebuilds builds again what apps run.
type Rebuilds struct {
	Deployer *Deployer
}

// Rebuild builds the commit that is live once more, and rolls it out as a new
// release: with what has been set since of the builder, and versions that have
// come since. An image is pulled again, by its digest. A push that waits is not
// sent away, and comes after.
func (r Rebuilds) Rebuild(ctx context.Context, name string, by store.User, w io.Writer) error {
	d := r.Deployer
	if err := d.ready(ctx); err != nil {
		return err
	}
	out := progress.New(w)
	t := ticket{what: "the rebuild by " + by.Name}
	record, a, leave, err := d.buildTurn(ctx, name, t, out.Waiting)
	if err != nil {
		return err
	}
	defer leave()
	live, err := d.liveReleaseOrNone(record) // now that no push can put another in its place
	if err != nil {
		return err
	}
	turn := &Turn{ticket: &t, app: a, lines: []*line{&a.builds}}
	switch {
	case live.Number == 0:
		return NeverDeployed(name)
	case live.Image != nil && live.Image.Ref != "":
		return d.fromImage(ctx, Push{App: name, UID: record.UID, By: by, Out: w, Turn: turn, direct: true}, pinned(*live.Image))
	}
	repo, err := d.cfg.Git.Open(ctx, record.ID())
	if err != nil {
		return err
	}
	if _, there, err := repo.Resolve(ctx, live.Commit); err != nil {
		return err
	} else if !there {
		return notKept(name, live)
	}
	commit, err := repo.ReadCommit(ctx, live.Commit)
	if err != nil {
		return fmt.Errorf("read the commit that is live: %w", err)
	}
	p := Push{App: name, UID: record.UID, Branch: record.Branch, Commit: live.Commit, Repo: repo, By: by, Out: w, Turn: turn, direct: true}
	return d.attempt(ctx, p, commit, t, func(ctx context.Context, a *app, record store.App, build *store.Build, out *progress.Report) (store.Release, error) {
		out.Title("%s", headline(record.Name, commit, by.Name, build.Number))
		return d.deploy(ctx, a, record, build, commit, p, out)
	})
}
