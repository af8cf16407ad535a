package web

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// RenameArgs name an app and what it is to be called.
type RenameArgs struct {
	AppArgs
	To string `json:"to"`
}

// DestroyArgs name an app twice, so that none is destroyed by a slip.
type DestroyArgs struct {
	AppArgs
	Confirm string `json:"confirm"` // the app's name again
}

func (a *API) appsCreate(ctx context.Context, c call, args AppArgs) (deploy.AppStatus, error) {
	if err := c.user.May(store.RoleDeploy, ""); err != nil { // it is nobody's own yet
		return deploy.AppStatus{}, err
	}
	if _, err := a.deployer.CreateApp(ctx, args.App, c.user); err != nil {
		return deploy.AppStatus{}, err
	}
	return a.deployer.Status(ctx, args.App)
}

func (a *API) appsList(ctx context.Context, c call, _ NoArgs) ([]deploy.AppStatus, error) {
	apps, err := list(a.deployer.Statuses(ctx))
	return slices.DeleteFunc(apps, func(s deploy.AppStatus) bool {
		return c.user.May(store.RoleRead, s.Name) != nil
	}), err
}

func (a *API) appsInfo(ctx context.Context, _ call, args AppArgs) (deploy.AppStatus, error) {
	return a.deployer.Status(ctx, args.App)
}

func (a *API) appsRename(ctx context.Context, c call, args RenameArgs) (deploy.AppStatus, error) {
	if err := c.user.May(store.RoleDeploy, ""); err != nil { // the new name is nobody's own yet
		return deploy.AppStatus{}, err
	}
	if _, err := a.deployer.RenameApp(ctx, args.App, args.To, c.user, c.out); err != nil {
		return deploy.AppStatus{}, err
	}
	return a.deployer.Status(ctx, args.To)
}

func (a *API) appsDestroy(ctx context.Context, c call, args DestroyArgs) (struct{}, error) {
	if err := a.exists(args.App); err != nil {
		return struct{}{}, err
	}
	if args.Confirm != args.App {
		return struct{}{}, fault.New(fault.Usage, "E153", "destroying %s was not confirmed", args.App).
			Hint("it removes the app's releases, config, logs and repository for good").
			Hint("berth apps:destroy %s --force does it", args.App)
	}
	return struct{}{}, a.deployer.DestroyApp(ctx, args.App, c.user, c.out)
}

// exists returns nil when there is such an app, else the fault (E101).
func (a *API) exists(app string) error {
	return a.db.View(func(tx *store.Tx) error {
		_, err := tx.App(app)
		return err
	})
}

// ScaleArgs say how many instances of which process types should run.
type ScaleArgs struct {
	AppArgs
	Formation map[string]int `json:"formation"`
}

// RestartArgs name an app and perhaps one of its process types.
type RestartArgs struct {
	AppArgs
	Process string `json:"process,omitempty"`
}

// PSSetArgs name a property of how an app's processes are run; an empty value
// takes it back.
type PSSetArgs struct {
	AppArgs
	Property string `json:"property"`
	Value    string `json:"value,omitempty"`
}

// Report is what should run of an app, and what does.
type Report struct {
	App       string            `json:"app"`
	State     deploy.AppState   `json:"state"`
	Release   int               `json:"release"`
	Formation map[string]int    `json:"formation"`
	Rollout   store.Rollout     `json:"rollout"`
	Limits    store.Limits      `json:"limits"` // of each instance, the usual ones filled in
	Instances []deploy.Instance `json:"instances"`
}

func (a *API) psReport(ctx context.Context, _ call, args AppArgs) (Report, error) {
	return a.report(ctx, args.App)
}

func (a *API) psScale(ctx context.Context, c call, args ScaleArgs) (Report, error) {
	if len(args.Formation) == 0 {
		return Report{}, fault.New(fault.Usage, "E140", "ps:scale needs a process type and a number").Hint("berth ps:scale %s web=2", args.App)
	}
	if err := a.deployer.Scale(ctx, args.App, args.Formation, c.user, c.out); err != nil {
		return Report{}, err
	}
	return a.report(ctx, args.App)
}

func (a *API) psSet(ctx context.Context, c call, args PSSetArgs) (Report, error) {
	var err error
	switch {
	case args.Property == "rollout":
		err = a.deployer.SetRollout(ctx, args.App, store.Rollout(args.Value), c.user)
	case slices.Contains(deploy.LimitProperties(), args.Property):
		err = a.deployer.SetLimit(ctx, args.App, args.Property, args.Value, c.user, c.out)
	default:
		err = fault.New(fault.Usage, "E188", "processes have no property %.60q", args.Property).
			Hint("they have rollout, %s", strings.Join(deploy.LimitProperties(), ", "))
	}
	if err != nil {
		return Report{}, err
	}
	return a.report(ctx, args.App)
}

func (a *API) psRestart(ctx context.Context, c call, args RestartArgs) (Report, error) {
	if err := a.deployer.Restart(ctx, args.App, args.Process, c.user, c.out); err != nil {
		return Report{}, err
	}
	return a.report(ctx, args.App)
}

func (a *API) psStop(ctx context.Context, c call, args AppArgs) (Report, error) {
	if err := a.deployer.Stop(ctx, args.App, c.user, c.out); err != nil {
		return Report{}, err
	}
	return a.report(ctx, args.App)
}

func (a *API) psStart(ctx context.Context, c call, args AppArgs) (Report, error) {
	if err := a.deployer.Start(ctx, args.App, c.user, c.out); err != nil {
		return Report{}, err
	}
	return a.report(ctx, args.App)
}

func (a *API) report(ctx context.Context, app string) (Report, error) {
	status, err := a.deployer.Status(ctx, app)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		App: app, State: status.State, Release: status.Release,
		Rollout: cmp.Or(status.Rollout, store.StartFirst), Limits: deploy.EffectiveLimits(status.Limits), Formation: map[string]int{}, Instances: append([]deploy.Instance{}, status.Instances...),
	}
	wanted := status.App
	wanted.Stopped = false // what runs once it is started
	for process, n := range status.Formation {
		r.Formation[process] = n
	}
	if status.Release == 0 {
		return r, nil
	}
	return r, a.db.View(func(tx *store.Tx) error {
		release, err := tx.ReleaseWithoutConfig(app, status.Release)
		for _, p := range release.Processes {
			r.Formation[p.Type] = wanted.Instances(p.Type)
		}
		return err
	})
}
