package web

import (
	"context"

	"github.com/berthd/berth/deploy"
)

func (a *API) networkReportGlobal(ctx context.Context, _ call, _ NoArgs) (deploy.NetworkReport, error) {
	return a.deployer.NetworkReport(ctx)
}

func (a *API) networkSetGlobal(ctx context.Context, c call, args SetArgs) (deploy.NetworkReport, error) {
	return a.deployer.SetNetwork(ctx, args.Property, args.Value, c.user)
}

func (a *API) doctor(ctx context.Context, _ call, _ NoArgs) ([]deploy.Finding, error) {
	return a.deployer.Findings(ctx)
}
