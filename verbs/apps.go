package verbs

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// AppRoom is what the verbs of apps ask for; *deploy.Apps documents it, and
// *deploy.Deployer CloneApp.
type AppRoom interface {
	CreateApp(ctx context.Context, name string, by store.User) (store.App, error)
	CloneApp(ctx context.Context, from, to string, deploy, storage bool, by store.User, out io.Writer) error
	RenameApp(ctx context.Context, from, to string, by store.User, out io.Writer) (store.App, error)
	DestroyApp(ctx context.Context, name string, by store.User, out io.Writer) error
	Status(ctx context.Context, app string) (deploy.AppStatus, error)
	Statuses(ctx context.Context) ([]deploy.AppStatus, error)
}

type apps struct {
	records
	AppRoom
}

func (n apps) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "apps:create", Role: newApp,
			Short:   "create an empty app",
			Long:    "Prints the git URL to push to. A git push to a new name creates the app as well.",
			Example: "apps:create shop",
			Done:    "created {app}; to deploy to it:\n  git remote add berth {result.git_url}\n  git push berth main",
			Prints:  "{result.git_url}",
		}, n.create),
		look(Verb{
			Name: "apps:list", Role: reads,
			Short:   "list the apps",
			Example: "apps:list --format json",
			Aliases: []string{"apps"},
		}, n.list),
		look(Verb{
			Name: "apps:info", Role: reads,
			Short:   "show one app",
			Example: "apps:info shop",
			Aliases: []string{"apps:report"},
			Keys: keysOf(func(s deploy.AppStatus) []Key {
				return []Key{{"app-created-at", fmt.Sprint(s.CreatedAt.Unix())}}
			}),
		}, n.info),
		act(Verb{
			Name: "apps:rename", Role: newApp,
			Short:   "rename an app",
			Example: "apps:rename shop store",
			Done:    "renamed {app} to {to}; to push to it:\n  git remote set-url berth {result.git_url}",
		}, n.rename),
		act(Verb{
			Name: "apps:clone", Role: newApp,
			Short: "copy an app to a new app",
			Long: "Copies the config, the formation, the properties of builder:set, ps:set,\n" +
				"router:set and git:set, and the users of http-auth. Then deploys the live\n" +
				"release. Domains, ports, certificates and releases are not copied,\n" +
				"volumes only with --with-storage.",
			Example: "apps:clone shop shop-next\napps:clone --skip-deploy --ignore-existing shop review-42",
			Done:    "to push to {to}:\n  git remote add {to} {result.git_url}",
		}, n.clone),
		act(Verb{
			Name: "apps:destroy", Role: deploys,
			Short:   "destroy an app and all of its data",
			Long:    "Asks you to confirm with the app's name, unless --force is given.",
			Example: "apps:destroy shop --force",
		}, n.destroy),
	}
}

// CreateArgs name an app that is not there yet.
type CreateArgs struct {
	App string `json:"app" cli:"NAME"`
}

func (a CreateArgs) target() (string, bool) { return a.App, true }

// RenameArgs name an app and what it is to be called.
type RenameArgs struct {
	AppArgs
	To string `json:"to" cli:"NAME"`
}

// DestroyArgs name an app twice, so that none is destroyed by a slip.
type DestroyArgs struct {
	AppArgs
	Confirm string `json:"confirm"` // the app's name again
}

func (n apps) create(ctx context.Context, c Call, args CreateArgs) (deploy.AppStatus, error) {
	if _, err := n.CreateApp(ctx, args.App, c.User); err != nil {
		return deploy.AppStatus{}, err
	}
	return n.Status(ctx, args.App)
}

func (n apps) list(ctx context.Context, c Call, _ NoArgs) ([]deploy.AppStatus, error) {
	apps, err := list(n.Statuses(ctx))
	return slices.DeleteFunc(apps, func(s deploy.AppStatus) bool {
		return !sees(c.User, s.Name)
	}), err
}

func (n apps) info(ctx context.Context, _ Call, args AppArgs) (deploy.AppStatus, error) {
	return n.Status(ctx, args.App)
}

func (n apps) rename(ctx context.Context, c Call, args RenameArgs) (deploy.AppStatus, error) {
	if _, err := n.RenameApp(ctx, args.App, args.To, c.User, c.Out); err != nil {
		return deploy.AppStatus{}, err
	}
	return n.Status(ctx, args.To)
}

// CloneArgs name an app, and the copy to create.
type CloneArgs struct {
	App            string `json:"app" cli:"OLD"`
	To             string `json:"to" cli:"NEW"`
	SkipDeploy     bool   `json:"skip_deploy,omitempty" flag:"skip-deploy" help:"copy the settings, do not deploy"`
	WithStorage    bool   `json:"with_storage,omitempty" flag:"with-storage" help:"also copy the volumes"`
	IgnoreExisting bool   `json:"ignore_existing,omitempty" flag:"ignore-existing" help:"if NEW exists, change nothing and succeed"`
}

func (a CloneArgs) target() (string, bool) { return a.App, true }

func (n apps) clone(ctx context.Context, c Call, args CloneArgs) (deploy.AppStatus, error) {
	there, err := n.Status(ctx, args.To)
	if err == nil && args.IgnoreExisting {
		return there, n.exists(args.App)
	}
	if err := n.CloneApp(ctx, args.App, args.To, !args.SkipDeploy, args.WithStorage, c.User, c.Out); err != nil {
		return deploy.AppStatus{}, err
	}
	return n.Status(ctx, args.To)
}

func (n apps) destroy(ctx context.Context, c Call, args DestroyArgs) (struct{}, error) {
	if err := n.exists(args.App); err != nil {
		return struct{}{}, err
	}
	if args.Confirm != args.App {
		return struct{}{}, fault.New(fault.Usage, code.DestroyUnconfirmed, "destroying %s was not confirmed", args.App).
			Hint("it removes the app's releases, config, logs and repository for good").
			Hint("berth apps:destroy %s --force does it", args.App)
	}
	return struct{}{}, n.DestroyApp(ctx, args.App, c.User, c.Out)
}
