package verbs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// ProcessRoom is what the verbs of processes ask for; *deploy.Processes documents it.
type ProcessRoom interface {
	Status(ctx context.Context, app string) (deploy.AppStatus, error)
	Scale(ctx context.Context, app string, formation map[string]int, by store.User, out io.Writer) error
	SetProcesses(ctx context.Context, app, property, value string, by store.User, out io.Writer) error
	Restart(ctx context.Context, app, process string, by store.User, out io.Writer) error
	Unscale(ctx context.Context, app string, by store.User, out io.Writer) error
	Stop(ctx context.Context, app, process string, by store.User, out io.Writer) error
	Start(ctx context.Context, app, process string, by store.User, out io.Writer) error
}

// RebuildRoom is what they ask of builds; deploy.Rebuilds documents it.
type RebuildRoom interface {
	Rebuild(ctx context.Context, app string, by store.User, out io.Writer) error
}

type processes struct {
	records
	ProcessRoom
	rebuilds RebuildRoom
}

func (n processes) verbs() []Verb {
	return []Verb{
		reporter(formation.Properties, Verb{
			Short:   "show the processes of an app",
			Example: "ps:report shop\nps:report shop --running",
			Aliases: []string{"ps"},
			Keys:    keysOf(Report.keys),
		}, n.report),
		act(Verb{
			Name: "ps:scale", Role: deploys,
			Short: "set the number of instances of each type",
			Long: "Without TYPE=N it shows the numbers. What app.json says of a type applies again\n" +
				"from the next push; --clear resets at once what was scaled by hand.",
			Example: "ps:scale shop web=2 worker=1",
			Done:    "scaled {app}: {result.state}",
		}, n.scale),
		setter(formation.Properties, Verb{
			Short:   "set how processes run",
			Example: "ps:set shop rollout stop-first\nps:set shop memory 1g\nps:set --global memory 256m",
			Done:    "set for {app}",
		}, n.set),
		act(Verb{
			Name: "ps:restart", Role: deploys,
			Short:   "restart an app without downtime",
			Example: "ps:restart shop web\nps:restart --all --parallel 2",
		}, n.restart),
		act(Verb{
			Name: "ps:rebuild", Role: deploys,
			Short: "build what is live again, and deploy it",
			Long: "It uses the same commit and the current settings of the builder, config and\n" +
				"versions. An image is pulled again.",
			Example: "ps:rebuild shop",
		}, n.rebuild),
		act(Verb{
			Name: "ps:stop", Role: deploys,
			Short:   "stop an app and keep its release",
			Example: "ps:stop shop",
		}, n.stop),
		act(Verb{
			Name: "ps:start", Role: deploys,
			Short:   "start a stopped app",
			Example: "ps:start shop",
		}, n.start),
	}
}

// ScaleArgs say how many instances of which process types should run.
type ScaleArgs struct {
	AppArgs
	Formation  map[string]int `json:"formation"`
	SkipDeploy bool           `json:"skip_deploy,omitempty"` // it counts from the next release or restart
	Clear      bool           `json:"clear,omitempty"`       // as app.json says, or as is usual
}

// RestartArgs name an app and perhaps one of its process types, or all apps.
type RestartArgs struct {
	AllArgs
	Process string `json:"process,omitempty" cli:"[TYPE]"`
}

// Report is what should run of an app, and what does; with no app it is what is
// set for all of them.
type Report struct {
	App       string            `json:"app"`
	State     deploy.AppState   `json:"state"`
	Release   int               `json:"release"`
	Formation map[string]int    `json:"formation"`
	Rollout   store.Rollout     `json:"rollout"`
	Limits    store.Limits      `json:"limits"` // of each instance, the usual ones filled in
	Instances []deploy.Instance `json:"instances"`

	Properties []property.Row `json:"properties"`

	// Done has the apps, by their states, where it was asked for all of them.
	Done map[string]deploy.AppState `json:"done,omitempty"`
}

// keys are the values of Dokku's report.
func (r Report) keys() []Key {
	up := 0
	for _, i := range r.Instances {
		if i.State == deploy.InstanceUp {
			up++
		}
	}
	running := "false"
	switch {
	case up > 0 && up == len(r.Instances):
		running = "true"
	case up > 0:
		running = "mixed"
	}
	keys := []Key{
		{"deployed", fmt.Sprint(r.Release > 0)}, {"processes", fmt.Sprint(len(r.Instances))}, {"running", running},
		{"ps-can-scale", "true"}, {"restore", fmt.Sprint(r.State != deploy.StateStopped)},
	}
	for _, i := range r.Instances {
		keys = append(keys, Key{"status-" + strings.ReplaceAll(i.Name, ".", "-"), string(i.State)})
	}
	return keys
}

func (n processes) report(ctx context.Context, _ Call, args ReportArgs) (Report, error) {
	return n.reportOf(ctx, args.App)
}

func (n processes) scale(ctx context.Context, c Call, args ScaleArgs) (Report, error) {
	if args.Clear && len(args.Formation) == 0 {
		if err := n.Unscale(ctx, args.App, c.User, c.Out); err != nil {
			return Report{}, err
		}
		return n.reportOf(ctx, args.App)
	}
	if len(args.Formation) == 0 || args.Clear {
		return Report{}, fault.New(fault.Usage, code.ArgumentsInvalid, "ps:scale needs a process type and a number").Hint("berth ps:scale %s web=2", args.App)
	}
	var err error
	if args.SkipDeploy {
		err = n.db.Update(func(tx *store.Tx) error { return deploy.PlanFormation(tx, args.App, args.Formation, c.User) })
	} else {
		err = n.Scale(ctx, args.App, args.Formation, c.User, c.Out)
	}
	if err != nil {
		return Report{}, err
	}
	return n.reportOf(ctx, args.App)
}

func (n processes) set(ctx context.Context, c Call, args PropertyArgs) (Report, error) {
	if err := n.SetProcesses(ctx, args.App, args.Property, args.Value, c.User, c.Out); err != nil {
		return Report{}, err
	}
	return n.reportOf(ctx, args.App)
}

func (n processes) restart(ctx context.Context, c Call, args RestartArgs) (Report, error) {
	return n.each(ctx, c, args.AllArgs, "restarted", store.App.Runs, func(ctx context.Context, app string, out io.Writer) error {
		return n.Restart(ctx, app, args.Process, c.User, out)
	})
}

func (n processes) rebuild(ctx context.Context, c Call, args AllArgs) (Report, error) {
	return n.each(ctx, c, args, "rebuilt", store.App.Deployed, func(ctx context.Context, app string, out io.Writer) error {
		return n.rebuilds.Rebuild(ctx, app, c.User, out)
	})
}

func (n processes) stop(ctx context.Context, c Call, args RestartArgs) (Report, error) {
	return n.each(ctx, c, args.AllArgs, "stopped", store.App.Deployed, func(ctx context.Context, app string, out io.Writer) error {
		return n.Stop(ctx, app, args.Process, c.User, out)
	})
}

func (n processes) start(ctx context.Context, c Call, args RestartArgs) (Report, error) {
	return n.each(ctx, c, args.AllArgs, "started", store.App.Deployed, func(ctx context.Context, app string, out io.Writer) error {
		return n.Start(ctx, app, args.Process, c.User, out)
	})
}

// reportOf is the report on an app, or with "" on what is set for all of them.
func (n processes) reportOf(ctx context.Context, app string) (r Report, err error) {
	r = Report{App: app, Formation: map[string]int{}, Instances: []deploy.Instance{}}
	err = n.db.View(func(tx *store.Tx) error {
		r.Properties, err = formation.Properties.Report(tx, app)
		return err
	})
	if err != nil {
		return r, err
	}
	var status deploy.AppStatus
	if app != "" {
		if status, err = n.Status(ctx, app); err != nil {
			return Report{}, err
		}
	}
	counts, err := formation.Counts(n.db, status.App)
	if err != nil {
		return Report{}, err
	}
	r.State, r.Release, r.Rollout, r.Limits = status.State, status.Release, counts.Rollout, deploy.EffectiveLimits(counts)
	r.Instances = append(r.Instances, status.Instances...)
	wanted := status.App
	wanted.Stopped = false // what runs once it is started
	for process, n := range status.Formation {
		r.Formation[process] = n
	}
	if status.Release == 0 {
		return r, nil
	}
	return r, n.db.View(func(tx *store.Tx) error {
		release, err := tx.ReleaseWithoutConfig(app, status.Release)
		if slices.ContainsFunc(release.Mounts, store.Mount.Alone) {
			r.Rollout = store.StopFirst // whatever ps:set says
		}
		for _, p := range release.Processes {
			r.Formation[p.Type] = wanted.Instances(p.Type)
		}
		return err
	})
}
