package web

import (
	"bytes"
	"context"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// ConfigGetArgs name a config variable.
type ConfigGetArgs struct {
	AppArgs
	Name string `json:"name"`
}

// ConfigSetArgs give config variables their values.
type ConfigSetArgs struct {
	AppArgs
	Set       map[string]string `json:"set"`
	NoRestart bool              `json:"no_restart,omitempty"` // keep them for the next release
}

// ConfigUnsetArgs name config variables to remove.
type ConfigUnsetArgs struct {
	AppArgs
	Names     []string `json:"names"`
	NoRestart bool     `json:"no_restart,omitempty"`
}

// Variable is a config variable.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (a *API) configShow(_ context.Context, _ call, args AppArgs) (config map[string]string, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(args.App); err != nil {
			return err
		}
		config, err = tx.Config(args.App)
		return err
	})
	return config, err
}

func (a *API) configGet(ctx context.Context, c call, args ConfigGetArgs) (Variable, error) {
	config, err := a.configShow(ctx, c, args.AppArgs)
	if err != nil {
		return Variable{}, err
	}
	value, ok := config[args.Name]
	if !ok {
		return Variable{}, fault.New(fault.NotFound, "E154", "%s has no config variable named %.60q", args.App, args.Name).
			Hint("berth config:show %s shows them", args.App)
	}
	return Variable{args.Name, value}, nil
}

func (a *API) configSet(ctx context.Context, c call, args ConfigSetArgs) (store.Release, error) {
	if len(args.Set) == 0 {
		return store.Release{}, fault.New(fault.Usage, "E140", "config:set needs at least one NAME=VALUE")
	}
	return a.deployer.SetConfig(ctx, args.App, args.Set, nil, args.NoRestart, c.user, c.out)
}

func (a *API) configUnset(ctx context.Context, c call, args ConfigUnsetArgs) (store.Release, error) {
	if len(args.Names) == 0 {
		return store.Release{}, fault.New(fault.Usage, "E140", "config:unset needs at least one NAME")
	}
	return a.deployer.SetConfig(ctx, args.App, nil, args.Names, args.NoRestart, c.user, c.out)
}

// NumberArgs name an app's release or build by its number; 0 is what the verb
// takes for the current one.
type NumberArgs struct {
	AppArgs
	Number int `json:"number,omitempty"`
}

// LimitArgs name an app and how many of its records are wanted; 0 is all.
type LimitArgs struct {
	AppArgs
	Limit int `json:"limit,omitempty"`
}

func (a *API) releases(_ context.Context, _ call, args LimitArgs) (releases []store.Release, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(args.App); err != nil {
			return err
		}
		releases, err = list(tx.Releases(args.App, max(0, args.Limit)))
		return err
	})
	return releases, err
}

// releasesInfo takes number 0 for the release that is live.
func (a *API) releasesInfo(_ context.Context, _ call, args NumberArgs) (release store.Release, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		app, err := tx.App(args.App)
		if err != nil {
			return err
		}
		number := args.Number
		if number == 0 {
			number = app.Release
		}
		if number == 0 {
			return neverDeployed(args.App)
		}
		release, err = tx.ReleaseWithoutConfig(args.App, number)
		return err
	})
	return release, err
}

func neverDeployed(app string) error {
	return fault.New(fault.Conflict, "E112", "nothing has been deployed to %s yet", app).Hint("git push berth main deploys it")
}

// rollback takes number 0 for the release before the live one.
func (a *API) rollback(ctx context.Context, c call, args NumberArgs) (store.Release, error) {
	return a.deployer.Rollback(ctx, args.App, args.Number, c.user, c.out)
}

func (a *API) buildsList(_ context.Context, _ call, args LimitArgs) (builds []store.Build, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(args.App); err != nil {
			return err
		}
		builds, err = list(tx.Builds(args.App, max(0, args.Limit)))
		return err
	})
	return builds, err
}

// buildsInfo takes number 0 for the last build.
func (a *API) buildsInfo(_ context.Context, _ call, args NumberArgs) (build store.Build, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		app, err := tx.App(args.App)
		if err != nil {
			return err
		}
		number := args.Number
		if number == 0 {
			number = app.LastBuild
		}
		if number == 0 {
			return neverDeployed(args.App)
		}
		build, err = tx.Build(args.App, number)
		return err
	})
	return build, err
}

// buildsOutput emits the lines of a build's output, until the build has ended.
func (a *API) buildsOutput(ctx context.Context, c call, args NumberArgs) error {
	build, err := a.buildsInfo(ctx, c, args)
	if err != nil {
		return err
	}
	lines := &lineWriter{emit: c.emit}
	if err := a.deployer.FollowBuild(ctx, args.App, build.Number, lines); err != nil {
		return err
	}
	return lines.flush()
}

// buildsCancel takes number 0 for the build under way. Its result is the build's
// record, with number 0 when it was a push whose build had not begun.
func (a *API) buildsCancel(ctx context.Context, c call, args NumberArgs) (store.Build, error) {
	return a.deployer.CancelBuild(ctx, args.App, args.Number, c.user)
}

func (a *API) buildsCache(ctx context.Context, _ call, args AppArgs) (deploy.Caches, error) {
	return a.deployer.Caches(ctx, args.App)
}

// buildsCacheClear returns what was removed.
func (a *API) buildsCacheClear(ctx context.Context, c call, args AppArgs) (deploy.Caches, error) {
	return a.deployer.ClearCaches(ctx, args.App, c.user, c.out)
}

// lineWriter emits what is written to it, a line at a time.
type lineWriter struct {
	emit func(any) error
	rest []byte
}

func (w *lineWriter) Write(text []byte) (int, error) {
	w.rest = append(w.rest, text...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(text), nil
		}
		w.rest = rest
		if err := w.emit(string(line)); err != nil {
			return 0, err
		}
	}
}

func (w *lineWriter) flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	return w.emit(string(w.rest))
}
