package web

import (
	"cmp"
	"context"
	"slices"

	"github.com/berthd/berth/store"
)

// FromImageArgs name an app and the image that it is to run.
type FromImageArgs struct {
	AppArgs
	Image string `json:"image"`
}

// RegistryReportArgs name an app, or "" for the machine.
type RegistryReportArgs struct {
	App string `json:"app,omitempty"`
}

func (a RegistryReportArgs) target() (string, bool) { return a.App, false }

// RegistryArgs name a registry.
type RegistryArgs struct {
	RegistryReportArgs
	Host string `json:"host"`
}

// RegistryLoginArgs say who berth is to a registry.
type RegistryLoginArgs struct {
	RegistryArgs
	Username string `json:"username"`
	Password string `json:"password"`
}

// Registry is a registry that berth has a login for.
type Registry struct {
	App      string `json:"app,omitempty"` // empty: the machine's
	Host     string `json:"host"`
	Username string `json:"username"`
}

func (a *API) gitFromImage(ctx context.Context, c call, args FromImageArgs) (release store.Release, err error) {
	if err := a.deployer.FromImage(ctx, args.App, args.Image, c.user, c.out); err != nil {
		return release, err
	}
	return a.releasesInfo(ctx, c, NumberArgs{AppArgs: args.AppArgs})
}

func (a *API) registryLogin(ctx context.Context, c call, args RegistryLoginArgs) (Registry, error) {
	if err := mayLogin(c.user, args.App); err != nil {
		return Registry{}, err
	}
	err := a.deployer.LoginRegistry(ctx, args.App, args.Host, store.RegistryLogin{Username: args.Username, Password: args.Password}, c.user)
	return Registry{args.App, args.Host, args.Username}, err
}

func (a *API) registryLogout(ctx context.Context, c call, args RegistryArgs) (Registry, error) {
	if err := mayLogin(c.user, args.App); err != nil {
		return Registry{}, err
	}
	return Registry{App: args.App, Host: args.Host}, a.deployer.LogoutRegistry(ctx, args.App, args.Host, c.user)
}

// registryReport lists an app's logins, or for admins the machine's and all apps'.
func (a *API) registryReport(_ context.Context, c call, args RegistryReportArgs) (registries []Registry, err error) {
	if err := mayLogin(c.user, args.App); err != nil {
		return nil, err
	}
	err = a.db.View(func(tx *store.Tx) error {
		logins, err := tx.Registries()
		for place, login := range logins {
			if args.App == "" || place.App == args.App {
				registries = append(registries, Registry{place.App, place.Host, login.Username})
			}
		}
		return err
	})
	slices.SortFunc(registries, func(x, y Registry) int { return cmp.Or(cmp.Compare(x.App, y.App), cmp.Compare(x.Host, y.Host)) })
	return list(registries, err)
}

// mayLogin lets those who deploy an app look after its logins, and admins after
// the machine's.
func mayLogin(user store.User, app string) error {
	if app == "" {
		return user.May(store.RoleAdmin, "")
	}
	return user.May(store.RoleDeploy, app)
}
