package web

import (
	"context"

	"github.com/berthd/berth/deploy"
)

// GitSetArgs name a property of what pushes to an app do; an empty value takes
// it back.
type GitSetArgs struct {
	AppArgs
	Property string `json:"property"`
	Value    string `json:"value,omitempty"`
}

func (a *API) gitReport(ctx context.Context, _ call, args AppArgs) (deploy.GitReport, error) {
	return a.deployer.GitReport(ctx, args.App)
}

func (a *API) gitSet(ctx context.Context, c call, args GitSetArgs) (deploy.GitReport, error) {
	return a.deployer.SetGit(ctx, args.App, args.Property, args.Value, c.user)
}
