package verbs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// ConfigRoom is what the verbs of config ask for; *deploy.Releases documents it.
type ConfigRoom interface {
	SetConfig(ctx context.Context, app string, set map[string]string, unset []string, noRestart bool, by store.User, out io.Writer) (store.Release, error)
}

type variables struct {
	records
	ConfigRoom
}

func (n variables) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "config:show", Role: deploys,
			Short:   "show the config",
			Example: "config:show shop",
			Aliases: []string{"config"},
		}, n.show),
		look(Verb{
			Name: "config:keys", Role: reads,
			Short:   "list the names of config variables",
			Example: "config:keys shop",
		}, n.keys),
		act(Verb{
			Name: "config:reveal", Role: admins, Hidden: true,
			Short: "show one value, and record who looked",
		}, n.reveal),
		look(Verb{
			Name: "config:get", Role: deploys,
			Short:   "print one value",
			Example: "config:get shop DATABASE_URL",
			Prints:  "{result.value}",
		}, n.get),
		act(Verb{
			Name: "config:set", Role: deploys,
			Short:   "set config variables and roll them out",
			Long:    "--stdin reads the lines of an .env file or a JSON object, which keeps values out\nof the shell's history. It reads the output of config:export, also Dokku's.",
			Example: "config:set shop COLOR=blue 'MOTTO=two words'\nconfig:set shop --stdin <.env",
		}, n.set),
		act(Verb{
			Name: "config:unset", Role: deploys,
			Short:   "unset config variables and roll that out",
			Example: "config:unset shop COLOR",
		}, n.unset),
	}
}

// ConfigGetArgs name a config variable.
type ConfigGetArgs struct {
	AppArgs
	Name string `json:"name" cli:"NAME"`
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

func (n variables) show(_ context.Context, _ Call, args AppArgs) (config map[string]string, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(args.App); err != nil {
			return err
		}
		config, err = tx.Config(args.App)
		return err
	})
	return config, err
}

func (n variables) get(ctx context.Context, c Call, args ConfigGetArgs) (Variable, error) {
	config, err := n.show(ctx, c, args.AppArgs)
	if err != nil {
		return Variable{}, err
	}
	value, ok := config[args.Name]
	if !ok {
		return Variable{}, fault.New(fault.NotFound, code.ConfigUnknown, "%s has no config variable named %.60q", args.App, args.Name).
			Hint("berth config:show %s shows them", args.App)
	}
	return Variable{args.Name, value}, nil
}

func (n variables) set(ctx context.Context, c Call, args ConfigSetArgs) (store.Release, error) {
	if len(args.Set) == 0 {
		return store.Release{}, fault.New(fault.Usage, code.ArgumentsInvalid, "config:set needs at least one NAME=VALUE")
	}
	return n.SetConfig(ctx, args.App, args.Set, nil, args.NoRestart, c.User, c.Out)
}

func (n variables) unset(ctx context.Context, c Call, args ConfigUnsetArgs) (store.Release, error) {
	if len(args.Names) == 0 {
		return store.Release{}, fault.New(fault.Usage, code.ArgumentsInvalid, "config:unset needs at least one NAME")
	}
	return n.SetConfig(ctx, args.App, nil, args.Names, args.NoRestart, c.User, c.Out)
}

// keys are no secrets.
func (n variables) keys(ctx context.Context, c Call, args AppArgs) ([]string, error) {
	config, err := n.show(ctx, c, args)
	return list(slices.Sorted(maps.Keys(config)), err)
}

// reveal shows a value to somebody at a screen, where others may look on.
func (n variables) reveal(ctx context.Context, c Call, args ConfigGetArgs) (Variable, error) {
	variable, err := n.get(ctx, c, args)
	if err != nil {
		return Variable{}, err
	}
	err = n.db.Update(func(tx *store.Tx) error {
		return event(tx, c.User, args.App, "config", "read the value of %s", args.Name)
	})
	if err != nil {
		return Variable{}, fmt.Errorf("remember who looked at %s of %s: %w", args.Name, args.App, err)
	}
	return variable, nil
}
