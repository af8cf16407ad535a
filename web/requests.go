package web

import (
	"context"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

// RequestArgs choose lines of an app's access log.
type RequestArgs struct {
	App    string `json:"app,omitempty"`    // empty is what no app was asked for, which is for admins
	Status string `json:"status,omitempty"` // "404", or "5xx" for a class
	Lines  int    `json:"lines,omitempty"`  // the last so many; negative is all, 0 is 100, or none when following
	Follow bool   `json:"follow,omitempty"` // and those that come, until the asker leaves
}

func (a RequestArgs) target() (string, bool) { return a.App, false }

func (a *API) routerLogs(ctx context.Context, c call, args RequestArgs) error {
	if args.App == "" {
		if err := c.user.May(store.RoleAdmin, ""); err != nil {
			return err
		}
	}
	if args.Lines == 0 && !args.Follow {
		args.Lines = defaultLogLines
	}
	q := deploy.RequestQuery{App: args.App, Status: args.Status, Lines: args.Lines, Follow: args.Follow}
	err := a.deployer.Requests(ctx, q, func(line deploy.RequestLine) error { return c.emit(line) })
	if args.Follow && ctx.Err() != nil {
		return nil // that is how following ends
	}
	return err
}

func (a *API) routerTraffic(ctx context.Context, _ call, args AppArgs) (deploy.Traffic, error) {
	return a.deployer.Traffic(ctx, args.App)
}
