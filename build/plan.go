package build

import (
	"context"
	"errors"
	"slices"
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
	"github.com/berthd/berth/store/fault/code"
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
func (b *Builder) PlanBuild(ctx context.Context, app, ref string) (Planned, error) {
	record, err := find(b.db, app)
	if err != nil {
		return Planned{}, err
	}
	repo, err := b.cfg.Git.Open(ctx, record.ID())
	if err != nil {
		return Planned{}, err
	}
	if ref == "" {
		if ref, err = b.plannedRef(record); err != nil {
			return Planned{}, err
		}
	}
	id, found, err := repo.Resolve(ctx, ref)
	if err != nil {
		return Planned{}, err
	}
	if !found {
		return Planned{}, fault.New(fault.NotFound, code.CommitUnknown, "the repository of %s has no commit %.60q", app, ref).
			Hint("--ref takes a branch, a tag or a commit that was pushed")
	}
	commit, err := repo.ReadCommit(ctx, id)
	if err != nil {
		return Planned{}, err
	}
	tree, err := b.checkout(ctx, record, commit, repo, progress.New())
	if err != nil {
		return Planned{}, err
	}
	defer tree.remove()
	made, _, err := b.detect(record, tree, runtime.StackKey())
	if err != nil {
		return Planned{}, err
	}
	how, err := b.of(record)
	if err != nil {
		return Planned{}, err
	}
	planned := Planned{App: app, Commit: commit.ID, Subject: commit.Subject, BuildDir: how.BuildDir, Plan: made, Layers: []PlannedLayer{}}
	for _, l := range made.Layers {
		have, err := b.engine.HasLayer(ctx, l.Key)
		if err != nil {
			return Planned{}, err
		}
		planned.Layers = append(planned.Layers, PlannedLayer{l, have})
	}
	return planned, nil
}

// plannedRef is what is planned when nobody says what.
func (b *Builder) plannedRef(record store.App) (string, error) {
	built, err := live(b.db, record)
	switch {
	case err != nil:
		return "", err
	case built.Commit != "":
		return built.Commit, nil
	case record.Branch != "":
		return "refs/heads/" + record.Branch, nil
	}
	return "", NeverDeployed(record.Name)
}

// NeverDeployed returns the fault (E112) of an app that has no release yet.
func NeverDeployed(app string) error {
	return fault.New(fault.Conflict, code.AppNotDeployed, "nothing has been deployed to %s yet", app).Hint("git push berth main deploys it")
}

// detect turns the tree into a plan, with the config that a release of it has.
func (b *Builder) detect(record store.App, tree *source, stack string) (made *plan.Plan, config map[string]string, err error) {
	how, err := b.of(record)
	if err != nil {
		return nil, nil, err
	}
	made, err = buildpacks.Detect(plan.Request{
		FS: tree.root.FS(), Digest: tree.digest, Stack: stack, Owner: strconv.Itoa(record.UID),
		Language: how.Selected, Versions: record.Versions, Test: how.Test,
		Mirror: b.cfg.Mirror,
		Config: func(manifest appjson.Manifest) (string, error) {
			config, err = b.deploys.Config(record, manifest)
			return b.db.Fingerprint(config), err
		},
	})
	if err != nil {
		return nil, nil, b.addressedProblem(record.Name, err)
	}
	made.Notes = b.addressed(record.Name, made.Notes)
	return made, config, nil
}

// addressedProblem is addressed for the hints of a problem; any other error stays
// as it is.
func (b *Builder) addressedProblem(app string, err error) error {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		return err
	}
	own := *p
	own.Hints = b.addressed(app, p.Hints)
	return &own
}

// addressed puts the app's name, and the way to berth, into advice that a plan
// gives for any app.
func (b *Builder) addressed(app string, advice []string) []string {
	own := make([]string, len(advice))
	for i, line := range advice {
		own[i] = strings.ReplaceAll(line, "builder:set APP", b.deploys.SSHCommand()+" builder:set "+app)
	}
	return own
}

// Plan finds out what the source is and says so.
func (b *Builder) plan(ctx context.Context, record store.App, tree *source, out *progress.Report) (made *plan.Plan, config map[string]string, err error) {
	stack, err := b.stack(ctx, out)
	if err != nil {
		return nil, nil, err
	}
	err = out.Timed("detect", func() error {
		made, config, err = b.detect(record, tree, stack)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	out.Step("Detect", "%s", made.Summary)
	for _, line := range made.Overview(progress.Columns - len(progress.Indent)) {
		out.Detail("%s", line)
	}
	for _, note := range made.Notes {
		out.Detail("%s", note)
	}
	if process, is := SoleProcess(made); is {
		if _, set := record.Formation[process]; !set {
			out.Detail("%s gets one instance: there is no other process", process)
		}
	}
	return made, config, nil
}

// OnDemand are process types that Procfiles name for `run` alone: Heroku's own
// buildpacks add them.
var OnDemand = []string{"release", "console", "rake"}

// SoleProcess returns the process type of a plan that is to run once though it
// is not web: the only one that the plan has.
func SoleProcess(made *plan.Plan) (process string, is bool) {
	for _, p := range made.Processes {
		switch {
		case slices.Contains(OnDemand, p.Type):
		case process != "" || p.Type == "web":
			return "", false
		default:
			process = p.Type
		}
	}
	return process, process != ""
}
