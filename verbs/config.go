package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// ConfigRoom is what the verbs of config ask for; *deploy.Releases documents it.
type ConfigRoom interface {
	SetConfig(ctx context.Context, app string, set map[string]string, unset []string, noRestart bool, by store.User, out io.Writer) (store.Release, error)
	ReplaceConfig(ctx context.Context, app string, set map[string]string, noRestart bool, by store.User, out io.Writer) (store.Release, error)
}

type variables struct {
	records
	ConfigRoom
}

func (n variables) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "config:show", Role: ofConfig(deploys),
			Short:   "show the config",
			Long:    "--global shows the config that all apps have, --merged what an app gets of that\nand of its own, which wins.",
			Example: "config:show shop\nconfig:show shop --merged",
			Aliases: []string{"config"},
		}, n.show),
		look(Verb{
			Name: "config:keys", Role: ofConfig(reads),
			Short:   "list the names of config variables",
			Example: "config:keys shop",
		}, n.keys),
		act(Verb{
			Name: "config:reveal", Role: admins, Hidden: true,
			Short: "show one value, and record who looked",
		}, n.reveal),
		look(Verb{
			Name: "config:get", Role: ofConfig(deploys),
			Short:   "print one value",
			Example: "config:get shop DATABASE_URL",
			Prints:  "{result.value}",
		}, n.get),
		act(Verb{
			Name: "config:set", Role: ofConfig(deploys),
			Short: "set config variables and roll them out",
			Long: "--stdin reads the lines of an .env file or JSON, which keeps values out of the\n" +
				"shell's history. It reads the output of config:export, also Dokku's. --encoded\n" +
				"decodes values from base64. --global sets variables of all apps; each app gets\n" +
				"them with its next release or restart, unless it has a variable of that name.",
			Example: "config:set shop COLOR=blue 'MOTTO=two words'\nconfig:set shop --stdin <.env\nconfig:set --global TZ=Europe/Berlin",
		}, n.set),
		act(Verb{
			Name: "config:import", Role: ofConfig(deploys),
			Short: "set config variables from a file",
			Long: "Without FILE, or with -, it reads standard input. It reads what config:export\n" +
				"writes, also Dokku's. --replace unsets all variables that are not in the file.",
			Example: "config:import shop .env\nconfig:export shop --format json | berth config:import blog --replace",
		}, n.importAll),
		act(Verb{
			Name: "config:unset", Role: ofConfig(deploys),
			Short:   "unset config variables and roll that out",
			Example: "config:unset shop COLOR",
		}, n.unset),
		act(Verb{
			Name: "config:clear", Role: ofConfig(deploys),
			Short:   "unset all config variables",
			Example: "config:clear shop",
		}, n.clear),
	}
}

// ConfigOf says whose config is meant: an app's, or with Global that of all apps.
type ConfigOf struct {
	App    string `json:"app,omitempty" cli:"[APP]"`
	Global bool   `json:"global,omitempty" flag:"global" help:"the config of all apps, in place of APP"`
}

func (a ConfigOf) target() (string, bool) { return a.App, false }

// check returns nil if just one of both is given.
func (a ConfigOf) check() error {
	switch {
	case a.App == "" && !a.Global:
		return fault.New(fault.Usage, code.ArgumentsInvalid, "the verbs of config need the name of an app, or global")
	case a.App != "" && a.Global:
		return fault.New(fault.Usage, code.ArgumentsInvalid, "the verbs of config take the name of an app or global, and not both")
	}
	return nil
}

// who is whom it is about, in words.
func (a ConfigOf) who() string {
	if a.Global {
		return "the config of all apps"
	}
	return a.App
}

// ConfigArgs name a config, and whether that of all apps is wanted with it.
type ConfigArgs struct {
	ConfigOf
	Merged bool `json:"merged,omitempty" flag:"merged" help:"with the config of all apps"`
}

// ConfigGetArgs name a config variable.
type ConfigGetArgs struct {
	ConfigArgs
	Name string `json:"name" cli:"NAME"`
}

// ConfigSetArgs give config variables their values.
type ConfigSetArgs struct {
	ConfigOf
	Set       map[string]string `json:"set"`
	NoRestart bool              `json:"no_restart,omitempty"` // keep them for the next release or restart
}

// ConfigImportArgs are ConfigSetArgs, and may unset everything else.
type ConfigImportArgs struct {
	ConfigSetArgs
	Replace bool `json:"replace,omitempty"`
}

// ConfigUnsetArgs name config variables to remove.
type ConfigUnsetArgs struct {
	ConfigOf
	Names     []string `json:"names"`
	NoRestart bool     `json:"no_restart,omitempty"`
}

// ConfigClearArgs name a config to empty.
type ConfigClearArgs struct {
	ConfigOf
	NoRestart bool `json:"no_restart,omitempty"`
}

// Variable is a config variable.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (n variables) show(_ context.Context, _ Call, args ConfigArgs) (config map[string]string, err error) {
	if err := args.check(); err != nil {
		return nil, err
	}
	err = n.db.View(func(tx *store.Tx) error {
		global, err := tx.Global.Get()
		if args.Global || err != nil {
			config = global
			return err
		}
		if _, err := tx.App(args.App); err != nil {
			return err
		}
		if config, err = tx.Config(args.App); err == nil && args.Merged {
			config = store.MergedConfig(global, config)
		}
		return err
	})
	return config, err
}

func (n variables) get(ctx context.Context, c Call, args ConfigGetArgs) (Variable, error) {
	config, err := n.show(ctx, c, args.ConfigArgs)
	if err != nil {
		return Variable{}, err
	}
	value, ok := config[args.Name]
	if !ok {
		whose := args.App
		if args.Global {
			whose = "--global"
		}
		return Variable{}, fault.New(fault.NotFound, code.ConfigUnknown, "%s has no config variable named %.60q", args.who(), args.Name).
			Hint("berth config:show %s shows them", whose)
	}
	return Variable{args.Name, value}, nil
}

func (n variables) set(ctx context.Context, c Call, args ConfigSetArgs) (store.Release, error) {
	if err := args.check(); err != nil {
		return store.Release{}, err
	}
	if len(args.Set) == 0 {
		return store.Release{}, fault.New(fault.Usage, code.ArgumentsInvalid, "config:set needs at least one NAME=VALUE")
	}
	if args.Global {
		return store.Release{}, n.changeGlobal(c, args.Set, func(map[string]string) []string { return nil })
	}
	return n.SetConfig(ctx, args.App, args.Set, nil, args.NoRestart, c.User, c.Out)
}

func (n variables) importAll(ctx context.Context, c Call, args ConfigImportArgs) (store.Release, error) {
	if !args.Replace {
		if len(args.Set) == 0 {
			return store.Release{}, fault.New(fault.Usage, code.ArgumentsInvalid, "there are no variables to import")
		}
		return n.set(ctx, c, args.ConfigSetArgs)
	}
	return n.replace(ctx, c, args.ConfigOf, args.Set, args.NoRestart)
}

func (n variables) clear(ctx context.Context, c Call, args ConfigClearArgs) (store.Release, error) {
	return n.replace(ctx, c, args.ConfigOf, nil, args.NoRestart)
}

func (n variables) replace(ctx context.Context, c Call, of ConfigOf, set map[string]string, noRestart bool) (store.Release, error) {
	if err := of.check(); err != nil {
		return store.Release{}, err
	}
	if of.Global {
		return store.Release{}, n.changeGlobal(c, set, func(now map[string]string) []string { return deploy.OtherNames(now, set) })
	}
	return n.ReplaceConfig(ctx, of.App, set, noRestart, c.User, c.Out)
}

func (n variables) unset(ctx context.Context, c Call, args ConfigUnsetArgs) (store.Release, error) {
	if err := args.check(); err != nil {
		return store.Release{}, err
	}
	if len(args.Names) == 0 {
		return store.Release{}, fault.New(fault.Usage, code.ArgumentsInvalid, "config:unset needs at least one NAME")
	}
	if args.Global {
		return store.Release{}, n.changeGlobal(c, nil, func(map[string]string) []string { return args.Names })
	}
	return n.SetConfig(ctx, args.App, nil, args.Names, args.NoRestart, c.User, c.Out)
}

// changeGlobal sets and unsets config of all apps. It restarts none of them: one
// that cannot start with it would take all others along.
func (n variables) changeGlobal(c Call, set map[string]string, unsets func(now map[string]string) []string) error {
	if err := deploy.ValidConfig(set); err != nil {
		return err
	}
	err := n.db.Update(func(tx *store.Tx) error {
		before, err := tx.Global.Get()
		if err != nil {
			return err
		}
		after, unset := maps.Clone(before), unsets(before)
		maps.Copy(after, set)
		for _, name := range unset {
			delete(after, name)
		}
		if maps.Equal(before, after) {
			return nil
		}
		return errors.Join(tx.Global.Put(after), event(tx, c.User, "", "config", "%s for all apps", deploy.ConfigText(set, unset)))
	})
	return fault.ExplainDiskFull(err)
}

// keys are no secrets.
func (n variables) keys(ctx context.Context, c Call, args ConfigArgs) ([]string, error) {
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
