package verbs

import (
	"context"
	"io"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

// ReleaseRoom is what the verbs of releases ask for; *deploy.Releases documents it.
type ReleaseRoom interface {
	Rollback(ctx context.Context, app string, number int, by store.User, out io.Writer) (store.Release, error)
}

type releases struct {
	records
	ReleaseRoom
}

func (n releases) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "releases", Role: reads,
			Short:   "list the releases",
			Example: "releases shop",
			Aliases: []string{"releases:list"},
		}, n.list),
		look(Verb{
			Name: "releases:info", Role: reads,
			Short:   "show a release, by default the live one",
			Example: "releases:info shop v18",
		}, n.info),
		look(Verb{
			Name: "releases:compare", Role: deploys, Hidden: true,
			Short: "show what a rollback would change",
		}, n.compare),
		act(Verb{
			Name: "rollback", Role: deploys,
			Short:   "roll back to an earlier release",
			Long:    "Without N it rolls back to the release before the live one. The rollback\ncreates a new release.",
			Example: "rollback shop v17",
			Aliases: []string{"releases:rollback"},
			Done:    "v{result.number} of {app}: {result.description}",
		}, n.rollback),
	}
}

// NumberArgs name an app's release or build by its number; 0 is what the verb
// takes for the current one.
type NumberArgs struct {
	AppArgs
	Number int `json:"number,omitempty" cli:"[N]"`
}

// LimitArgs name an app and how many of its records are wanted; 0 is all.
type LimitArgs struct {
	AppArgs
	Limit int `json:"limit,omitempty" flag:"num,n" default:"15" help:"number of newest releases to show, 0 for all"`
}

func (n releases) list(_ context.Context, _ Call, args LimitArgs) (releases []store.Release, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(args.App); err != nil {
			return err
		}
		releases, err = list(tx.Releases(args.App, max(0, args.Limit)))
		return err
	})
	return releases, err
}

// info takes number 0 for the release that is live.
func (n releases) info(_ context.Context, _ Call, args NumberArgs) (store.Release, error) {
	return n.release(args.App, args.Number)
}

// rollback takes number 0 for the release before the live one.
func (n releases) rollback(ctx context.Context, c Call, args NumberArgs) (store.Release, error) {
	return n.Rollback(ctx, args.App, args.Number, c.User, c.Out)
}

// Comparison is a release beside the live one.
type Comparison struct {
	Live    store.Release `json:"live"`
	Release store.Release `json:"release"`
	Config  []string      `json:"config"` // the names whose values are not the same
}

func (n releases) compare(_ context.Context, _ Call, args NumberArgs) (compared Comparison, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		app, err := tx.App(args.App)
		if err != nil {
			return err
		}
		if app.Release == 0 {
			return deploy.NeverDeployed(args.App)
		}
		if compared.Live, err = tx.Release(args.App, app.Release); err != nil {
			return err
		}
		compared.Release, err = tx.Release(args.App, args.Number)
		return err
	})
	compared.Config, _ = list(differing(compared.Live.Variables(), compared.Release.Variables()), nil)
	compared.Live.Global, compared.Release.Global = nil, nil
	compared.Live.Config, compared.Release.Config = nil, nil // values are secrets, names are not
	return compared, err
}

func differing(a, b map[string]string) (names []string) {
	for name, value := range a {
		if other, there := b[name]; !there || other != value {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
