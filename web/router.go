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

func (a *API) routerReportGlobal(ctx context.Context, _ call, _ NoArgs) (deploy.RouterReport, error) {
	return a.deployer.GlobalRouterReport(ctx)
}

func (a *API) routerSetGlobal(ctx context.Context, c call, args SetArgs) (deploy.RouterReport, error) {
	return a.deployer.SetGlobalRouter(ctx, args.Property, args.Value, c.user)
}

func (a *API) maintenanceOn(ctx context.Context, c call, args AppArgs) (deploy.RouterReport, error) {
	return a.maintain(ctx, c, args, true)
}

func (a *API) maintenanceOff(ctx context.Context, c call, args AppArgs) (deploy.RouterReport, error) {
	return a.maintain(ctx, c, args, false)
}

func (a *API) maintain(ctx context.Context, c call, args AppArgs, on bool) (deploy.RouterReport, error) {
	if err := a.deployer.SetMaintenance(ctx, args.App, on, c.user); err != nil {
		return deploy.RouterReport{}, err
	}
	return a.deployer.RouterReport(ctx, args.App)
}

// HTTPUserArgs name a user of an app's pages.
type HTTPUserArgs struct {
	AppArgs
	User string `json:"user"`
}

// HTTPUserAddArgs give one a password.
type HTTPUserAddArgs struct {
	HTTPUserArgs
	Password string `json:"password"`
}

func (a *API) httpAuthAdd(ctx context.Context, c call, args HTTPUserAddArgs) (deploy.RouterReport, error) {
	if err := a.deployer.AddHTTPUser(ctx, args.App, args.User, args.Password, c.user); err != nil {
		return deploy.RouterReport{}, err
	}
	return a.deployer.RouterReport(ctx, args.App)
}

func (a *API) httpAuthRemove(ctx context.Context, c call, args HTTPUserArgs) (deploy.RouterReport, error) {
	if err := a.deployer.RemoveHTTPUser(ctx, args.App, args.User, c.user); err != nil {
		return deploy.RouterReport{}, err
	}
	return a.deployer.RouterReport(ctx, args.App)
}
