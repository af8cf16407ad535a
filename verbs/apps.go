package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/edge"
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
	hosts DomainRoom
}

func (n apps) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "apps:create", Role: newApp,
			Short: "create an empty app",
			Long: "Prints the git URL to push to. A git push to a new name creates the app as well.\n" +
				"An app whose name is a host name, such as example.com, answers at that host.",
			Example: "apps:create shop\napps:create example.com",
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
			Name: "apps:lock", Role: deploys,
			Short: "refuse deploys until apps:unlock",
			Long: "Pushes, ps:rebuild and git:from-image are refused. The live release\n" +
				"keeps running; rollback, config and scaling are not locked.",
			Example: "apps:lock shop",
			Done:    "locked {app}: no deploys until berth apps:unlock {app}",
		}, n.lock),
		act(Verb{
			Name: "apps:unlock", Role: deploys,
			Short:   "undo apps:lock",
			Example: "apps:unlock shop",
			Done:    "unlocked {app}",
		}, n.unlock),
		look(Verb{
			Name: "apps:locked", Role: reads,
			Short:   "exit with 0 if it is locked, else 1",
			Example: "apps:locked shop",
		}, n.locked),
		look(Verb{
			Name: "url", Role: reads,
			Short:   "print the app's URL",
			Example: "url shop",
		}, n.url),
		look(Verb{
			Name: "urls", Role: reads,
			Short:   "print all URLs of the app",
			Example: "urls shop",
		}, n.urls),
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
	App     string `json:"app" cli:"NAME"`
	NoVhost bool   `json:"no_vhost,omitempty" flag:"no-vhost" help:"disable its domains until domains:enable"`
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
	if args.NoVhost {
		if err := n.hosts.SetHostless(ctx, args.App, true, c.User); err != nil {
			return deploy.AppStatus{}, err
		}
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

// LockState says whether deploys of an app are locked.
type LockState struct {
	App    string    `json:"app"`
	Locked bool      `json:"locked"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

func lockState(app store.App) LockState {
	if app.Locked == nil {
		return LockState{App: app.Name}
	}
	return LockState{app.Name, true, app.Locked.By, app.Locked.At}
}

// lock keeps the lock that there is: it tells who locked first.
func (n apps) lock(_ context.Context, c Call, args AppArgs) (LockState, error) {
	return n.setLock(c, args.App, func(app *store.App) bool {
		if app.Locked != nil {
			return false
		}
		app.Locked = &store.Lock{By: c.User.Name, At: time.Now().UTC()}
		return true
	}, "locked deploys")
}

func (n apps) unlock(_ context.Context, c Call, args AppArgs) (LockState, error) {
	return n.setLock(c, args.App, func(app *store.App) bool {
		locked := app.Locked != nil
		app.Locked = nil
		return locked
	}, "unlocked deploys")
}

// setLock changes the lock; change tells whether it did.
func (n apps) setLock(c Call, name string, change func(*store.App) bool, text string) (state LockState, err error) {
	err = n.db.Update(func(tx *store.Tx) error {
		app, err := tx.App(name)
		if err != nil {
			return err
		}
		changed := change(&app)
		state = lockState(app)
		if !changed {
			return nil
		}
		return errors.Join(tx.PutApp(app), event(tx, c.User, name, "lock", "%s", text))
	})
	return state, err
}

func (n apps) locked(_ context.Context, _ Call, args AppArgs) (state LockState, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		app, err := tx.App(args.App)
		state = lockState(app)
		return err
	})
	return state, err
}

func (n apps) urls(ctx context.Context, _ Call, args AppArgs) ([]string, error) {
	status, err := n.Status(ctx, args.App)
	if err == nil && len(status.URLs) == 0 {
		err = edge.NoHost(args.App)
	}
	return status.URLs, err
}

func (n apps) url(ctx context.Context, c Call, args AppArgs) (string, error) {
	urls, err := n.urls(ctx, c, args)
	if err != nil {
		return "", err
	}
	return urls[0], nil
}
