package deploy

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/berthd/berth/build/progress"

	"github.com/berthd/berth/buildpacks"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/plan"
	problem "github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// Planned is the plan of a commit, and what of it is there already.
type Planned struct {
	App      string `json:"app,omitempty"` // "" for a directory that is no app's
	Commit   string `json:"commit,omitempty"`
	Subject  string `json:"subject,omitempty"`
	BuildDir string `json:"build_dir,omitempty"`
	*plan.Plan
	Layers []PlannedLayer `json:"layers"` // in the place of the plan's
}

// PlannedLayer is a layer of a plan.
type PlannedLayer struct {
	plan.Layer
	Present bool `json:"present"` // it is there, and would not be built
}

// PlanBuild plans what a push would build, and builds nothing. ref names a
// branch, a tag or a commit of the app's repository; "" is the commit of the
// live release, or else the end of the deploy branch.
func (d *Deployer) PlanBuild(ctx context.Context, app, ref string) (Planned, error) {
	record, _, err := d.find(app)
	if err != nil {
		return Planned{}, err
	}
	repo, err := d.cfg.Git.Open(ctx, app)
	if err != nil {
		return Planned{}, err
	}
	if ref == "" {
		if ref, err = d.plannedRef(record); err != nil {
			return Planned{}, err
		}
	}
	id, found, err := repo.Resolve(ctx, ref)
	if err != nil {
		return Planned{}, err
	}
	if !found {
		return Planned{}, fault.New(fault.NotFound, "E177", "the repository of %s has no commit %.60q", app, ref).
			Hint("--ref takes a branch, a tag or a commit that was pushed")
	}
	commit, err := repo.ReadCommit(ctx, id)
	if err != nil {
		return Planned{}, err
	}
	tree, err := d.checkout(ctx, record, commit, repo, progress.New())
	if err != nil {
		return Planned{}, err
	}
	defer tree.remove()
	made, _, err := d.detect(record, tree, runtime.StackKey())
	if err != nil {
		return Planned{}, err
	}
	planned := Planned{App: app, Commit: commit.ID, Subject: commit.Subject, BuildDir: record.Builder.BuildDir, Plan: made, Layers: []PlannedLayer{}}
	for _, l := range made.Layers {
		have, err := d.engine.HasLayer(ctx, l.Key)
		if err != nil {
			return Planned{}, err
		}
		planned.Layers = append(planned.Layers, PlannedLayer{l, have})
	}
	return planned, nil
}

// plannedRef is what is planned when nobody says what.
func (d *Deployer) plannedRef(record store.App) (string, error) {
	live, err := d.liveWithoutConfig(record)
	switch {
	case err != nil:
		return "", err
	case live.Commit != "":
		return live.Commit, nil
	case record.Branch != "":
		return "refs/heads/" + record.Branch, nil
	}
	return "", errEmpty(record.Name)
}

// detect turns the tree into a plan, with the config that a release of it has.
func (d *Deployer) detect(record store.App, tree *source, stack string) (made *plan.Plan, config map[string]string, err error) {
	made, err = buildpacks.Detect(plan.Request{
		FS: tree.root.FS(), Digest: tree.digest, Stack: stack, Owner: strconv.Itoa(record.UID),
		Language: record.Builder.Selected, Versions: record.Versions, Test: record.Builder.Test,
		Mirror: d.cfg.Mirror,
		Config: func(manifest appjson.Manifest) (string, error) {
			config, err = d.configFor(record, manifest)
			return d.db.Fingerprint(config), err
		},
	})
	if err != nil {
		return nil, nil, d.addressedProblem(record.Name, err)
	}
	made.Notes = d.addressed(record.Name, made.Notes)
	return made, config, nil
}

// addressedProblem is addressed for the hints of a problem; any other error stays
// as it is.
func (d *Deployer) addressedProblem(app string, err error) error {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		return err
	}
	own := *p
	own.Hints = d.addressed(app, p.Hints)
	return &own
}

// addressed puts the app's name, and the way to berth, into advice that a plan
// gives for any app.
func (d *Deployer) addressed(app string, advice []string) []string {
	own := make([]string, len(advice))
	for i, line := range advice {
		own[i] = strings.ReplaceAll(line, "builder:set APP", d.sshCommand()+" builder:set "+app)
	}
	return own
}
