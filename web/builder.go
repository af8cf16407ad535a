package web

import (
	"context"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/deploy"
)

// BuilderSetArgs give a property of an app's builds its value; an empty value
// takes it back.
type BuilderSetArgs struct {
	AppArgs
	Property string `json:"property"`
	Value    string `json:"value"`
}

// PlanArgs name an app and what of its repository is to be planned; an empty
// ref is what is live, or else the end of the deploy branch.
type PlanArgs struct {
	AppArgs
	Ref string `json:"ref,omitempty"`
}

func (a *API) builderReport(ctx context.Context, _ call, args AppArgs) (deploy.BuilderReport, error) {
	return a.deployer.BuilderReport(ctx, args.App)
}

func (a *API) builderMirror(ctx context.Context, _ call, _ NoArgs) (mirror.Report, error) {
	return a.deployer.Mirror(ctx)
}

func (a *API) builderSet(ctx context.Context, c call, args BuilderSetArgs) (deploy.BuilderReport, error) {
	return a.deployer.SetBuilder(ctx, args.App, args.Property, args.Value, c.user)
}

func (a *API) buildsPlan(ctx context.Context, _ call, args PlanArgs) (deploy.Planned, error) {
	return a.deployer.PlanBuild(ctx, args.App, args.Ref)
}
