package web

import (
	"context"
	"maps"
	"slices"

	"github.com/berthd/berth/store"
)

// FromImageArgs name an app and the image that it is to run.
type FromImageArgs struct {
	AppArgs
	Image string `json:"image"`
}

// RegistryLoginArgs say who berth is to a registry.
type RegistryLoginArgs struct {
	NoArgs
	Host     string `json:"host"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// RegistryArgs name a registry.
type RegistryArgs struct {
	NoArgs
	Host string `json:"host"`
}

// Registry is a registry that berth has a login for.
type Registry struct {
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
	err := a.deployer.LoginRegistry(ctx, args.Host, store.RegistryLogin{Username: args.Username, Password: args.Password}, c.user)
	return Registry{args.Host, args.Username}, err
}

func (a *API) registryLogout(ctx context.Context, c call, args RegistryArgs) (Registry, error) {
	return Registry{Host: args.Host}, a.deployer.LogoutRegistry(ctx, args.Host, c.user)
}

func (a *API) registryReport(context.Context, call, NoArgs) (registries []Registry, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		logins, err := tx.Registries()
		for _, host := range slices.Sorted(maps.Keys(logins)) {
			registries = append(registries, Registry{host, logins[host].Username})
		}
		return err
	})
	return list(registries, err)
}
