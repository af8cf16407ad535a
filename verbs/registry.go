package verbs

import (
	"cmp"
	"context"
	"slices"

	"github.com/berthd/berth/store"
)

// RegistryRoom is what the verbs of registries ask for; *build.Builder documents it.
type RegistryRoom interface {
	LoginRegistry(ctx context.Context, app, host string, login store.RegistryLogin, by store.User) error
	LogoutRegistry(ctx context.Context, app, host string, by store.User) error
}

type registries struct {
	records
	RegistryRoom
}

func (n registries) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "registry:login", Role: ownLogin,
			Short: "store registry credentials",
			Long: "Without PASSWORD it is read from standard input, which keeps it out of process\nlists. It is stored encrypted.\n" +
				"berth uses it for git:from-image and for FROM in Dockerfiles: with --app for\n" +
				"that app, else for all apps, except where a key that is bound to apps deploys.\n" +
				"docker.io is the registry of images whose name has no registry.",
			Example: "registry:login registry.example.com deployer <token",
			Done:    "logged in to {host} as {username}",
		}, n.login),
		act(Verb{
			Name: "registry:logout", Role: ownLogin,
			Short:   "delete registry credentials",
			Long:    "With --app it deletes the credentials of that app.",
			Example: "registry:logout registry.example.com",
			Done:    "deleted",
		}, n.logout),
		look(Verb{
			Name: "registry:report", Role: ownLogin,
			Short:   "list the registries with credentials",
			Long:    "With --app it lists those of that app.",
			Example: "registry:report",
			Aliases: []string{"registry"},
		}, n.report),
	}
}

// RegistryReportArgs name an app, or "" for the machine.
type RegistryReportArgs struct {
	App string `json:"app,omitempty"`
}

func (a RegistryReportArgs) target() (string, bool) { return a.App, false }

// RegistryArgs name a registry.
type RegistryArgs struct {
	RegistryReportArgs
	Host string `json:"host" cli:"HOST"`
}

// RegistryLoginArgs say who berth is to a registry.
type RegistryLoginArgs struct {
	RegistryArgs
	Username string `json:"username" cli:"USER"`
	Password string `json:"password" cli:"[PASSWORD]" stdin:"type the password"`
}

// Registry is a registry that berth has a login for.
type Registry struct {
	App      string `json:"app,omitempty"` // empty: the machine's
	Host     string `json:"host"`
	Username string `json:"username"`
}

func (n registries) login(ctx context.Context, c Call, args RegistryLoginArgs) (Registry, error) {
	err := n.LoginRegistry(ctx, args.App, args.Host, store.RegistryLogin{Username: args.Username, Password: args.Password}, c.User)
	return Registry{args.App, args.Host, args.Username}, err
}

func (n registries) logout(ctx context.Context, c Call, args RegistryArgs) (Registry, error) {
	return Registry{App: args.App, Host: args.Host}, n.LogoutRegistry(ctx, args.App, args.Host, c.User)
}

// report lists an app's logins, or for admins the machine's and all apps'.
func (n registries) report(_ context.Context, _ Call, args RegistryReportArgs) (registries []Registry, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		logins, err := tx.Registries.All()
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
