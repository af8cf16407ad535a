package web

import (
	"context"

	"github.com/berthd/berth/deploy"
)

// RouterSetArgs give a property of an app's routing its value; an empty value
// takes it back.
type RouterSetArgs struct {
	AppArgs
	Property string `json:"property"`
	Value    string `json:"value"`
}

func (a *API) routerReport(ctx context.Context, _ call, args AppArgs) (deploy.RouterReport, error) {
	return a.deployer.RouterReport(ctx, args.App)
}

func (a *API) routerSet(ctx context.Context, c call, args RouterSetArgs) (deploy.RouterReport, error) {
	return a.deployer.SetRouter(ctx, args.App, args.Property, args.Value, c.user)
}
