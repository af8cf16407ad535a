package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// GitReport is what pushes to an app do.
type GitReport struct {
	App          string `json:"app"`
	DeployBranch string `json:"deploy_branch"`    // "" until the first push
	Commit       string `json:"commit,omitempty"` // of the release that is live
	URL          string `json:"url"`
}

// GitReport returns what pushes to the app do.
func (d *Deployer) GitReport(_ context.Context, app string) (report GitReport, err error) {
	record, _, err := d.find(app)
	if err != nil {
		return report, err
	}
	live, err := d.liveReleaseOrNone(record)
	return GitReport{App: app, DeployBranch: record.Branch, Commit: live.Commit, URL: d.edge.GitURL(app)}, err
}

// SetDeployBranch sets the branch that is deployed when it is pushed; "" is the
// branch of the next push. It deploys nothing. It deletes the branch from the
// repository: otherwise git would call a push of the same commit up to date,
// and berth would not see it.
func (d *Deployer) SetDeployBranch(ctx context.Context, app, branch string, by store.User) error {
	before, _, err := d.find(app)
	if err != nil {
		return err
	}
	repo, err := d.cfg.Git.Open(ctx, before.ID())
	if err != nil {
		return err
	}
	if branch != "" && !repo.ValidBranch(ctx, branch) {
		return fault.New(fault.Usage, code.BranchInvalid, "%.60q is not a branch name", branch).
			Hint("write it as git branch lists it: main")
	}
	if before.Branch == branch {
		return nil
	}
	if branch != "" {
		// Before the transaction: git may be slow, and nobody else can write meanwhile.
		if err := repo.DropBranch(ctx, branch); err != nil {
			return fault.New(fault.Conflict, code.BranchBusy, "the branch %.60s is being pushed: %w", branch, err).
				Hint("try again when the push has ended")
		}
	}
	text := "set the deploy branch to " + branch
	if branch == "" {
		text = "unset the deploy branch"
	}
	err = d.db.Update(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		if record.UID != before.UID || record.Branch != before.Branch {
			return errBranchChanged(record)
		}
		record.Branch = branch
		return errors.Join(tx.PutApp(record), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "git", Text: text}))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	d.publish(app)
	return nil
}

// errBranchChanged is what ends an operation that began with another deploy
// branch than the app has now.
func errBranchChanged(record store.App) error {
	return fault.New(fault.Conflict, code.BranchChanged, "the deploy branch of %s was changed in the meantime", record.Name).
		Hint("check the branch, then try again: berth git:report %s", record.Name)
}

// GitProperties are what can be set of pushes to an app.
var GitProperties = property.List{
	Noun: "git", Has: "git has", Code: code.GitPropertyUnknown,
	Note: "Then the next branch that is pushed becomes the deploy branch. Setting it deploys nothing.",
	Properties: []property.Property{
		{Name: "deploy-branch", Meaning: "the branch that is deployed when it is pushed; by default the first branch that was pushed"},
	},
	Kept: property.Fields{Noun: "git", Of: map[string]property.Field{
		"deploy-branch": {
			Get: func(app store.App) string { return app.Branch },
			Set: func(app *store.App, value string) { app.Branch = value },
		},
	}},
}

// SetGit sets a property of what pushes to an app do; "" unsets it.
func (d *Deployer) SetGit(ctx context.Context, app, name, value string, by store.User) (GitReport, error) {
	if _, _, err := d.find(app); err != nil {
		return GitReport{}, err
	}
	if _, err := GitProperties.Find(name); err != nil { // git itself checks the value
		return GitReport{}, err
	}
	if err := d.SetDeployBranch(ctx, app, value, by); err != nil {
		return GitReport{}, fmt.Errorf("set the deploy branch: %w", err)
	}
	return d.GitReport(ctx, app)
}
