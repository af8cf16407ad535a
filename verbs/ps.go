package verbs

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// ProcessRoom is what the verbs of processes ask for; *deploy.Processes documents it.
type ProcessRoom interface {
	Status(ctx context.Context, app string) (deploy.AppStatus, error)
	Scale(ctx context.Context, app string, formation map[string]int, by store.User, out io.Writer) error
	SetLimit(ctx context.Context, app, property, value string, by store.User, out io.Writer) error
	SetRollout(ctx context.Context, app string, rollout store.Rollout, by store.User) error
	Restart(ctx context.Context, app, process string, by store.User, out io.Writer) error
	Unscale(ctx context.Context, app string, by store.User, out io.Writer) error
	Stop(ctx context.Context, app, process string, by store.User, out io.Writer) error
	Start(ctx context.Context, app, process string, by store.User, out io.Writer) error
}

// OneOffRoom is what the verb run asks for; *jobs.Jobs documents it.
type OneOffRoom interface {
	RunOnce(ctx context.Context, app string, args []string, att runtime.Attachment, by store.User) (int, error)
}

type processes struct {
	records
	ProcessRoom
	OneOffRoom
}

func (n processes) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "ps:report", Role: reads,
			Short:   "show what runs",
			Example: "ps:report shop",
			Aliases: []string{"ps"},
		}, n.report),
		act(Verb{
			Name: "ps:scale", Role: deploys,
			Short: "set how many of each type run",
			Long: "Without TYPE=N it shows them. What app.json says of a type counts again from the\n" +
				"next push on; --clear takes back at once what was scaled by hand.",
			Example: "ps:scale shop web=2 worker=1",
			Done:    "scaled {app}: {result.state}",
		}, n.scale),
		act(Verb{
			Name: "ps:set", Role: deploys,
			Short: "say how processes are run",
			Long: "rollout  start-first  the new release is up before the old one stops (usual)\n" +
				"         stop-first   the old one stops before the new one starts, and requests\n" +
				"                      wait: for an app of which two must not run at once\n" +
				"memory     of each instance, job and one-off: 512MB (usual), 2GB\n" +
				"processes  and threads, likewise: 1024 (usual)\n" +
				"\nNo VALUE takes a property back. rollout counts from the next rollout, the\n" +
				"limits at once. resource:limit sets them by process type, and more of them.",
			Example: "ps:set shop rollout stop-first\nps:set shop memory 1GB",
			Done:    "set for {app}",
			Values: func(words []string) []string {
				if len(words) == 0 {
					return append([]string{"rollout"}, deploy.LimitProperties()...)
				}
				if words[0] != "rollout" {
					return nil
				}
				return []string{string(store.StartFirst), string(store.StopFirst)}
			},
		}, n.set),
		act(Verb{
			Name: "ps:restart", Role: deploys,
			Short:   "replace what runs, without downtime",
			Example: "ps:restart shop web",
			Done:    "restarted {app}: {result.state}",
		}, n.restart),
		act(Verb{
			Name: "ps:stop", Role: deploys,
			Short:   "stop all of it, keep the release",
			Example: "ps:stop shop",
			Done:    "stopped {app}: {result.state}",
		}, n.stop),
		act(Verb{
			Name: "ps:start", Role: deploys,
			Short:   "undo ps:stop",
			Example: "ps:start shop",
			Done:    "started {app}: {result.state}",
		}, n.start),
		act(Verb{
			Name: "run", Role: deploys, Attached: true,
			Short: "run a one-off command",
			Long: "It runs in a fresh container of the live release and ends with the command's\n" +
				"exit code. At a terminal it gets one (over SSH: ssh -t), unless -T is given.\n" +
				"One word with spaces is given to bash.",
			Example: "run shop -- python manage.py migrate\nrun -T shop cat schema.sql >schema.sql",
		}, n.run),
	}
}

// ScaleArgs say how many instances of which process types should run.
type ScaleArgs struct {
	AppArgs
	Formation map[string]int `json:"formation"`
	Clear     bool           `json:"clear,omitempty"` // as app.json says, or as is usual
}

// RestartArgs name an app and perhaps one of its process types.
type RestartArgs struct {
	AppArgs
	Process string `json:"process,omitempty" cli:"[TYPE]"`
}

// PSSetArgs name a property of how an app's processes are run; an empty value
// takes it back.
type PSSetArgs struct {
	AppArgs
	Property string `json:"property" cli:"PROPERTY"`
	Value    string `json:"value,omitempty" cli:"[VALUE]"`
}

// Report is what should run of an app, and what does.
type Report struct {
	App       string            `json:"app"`
	State     deploy.AppState   `json:"state"`
	Release   int               `json:"release"`
	Formation map[string]int    `json:"formation"`
	Rollout   store.Rollout     `json:"rollout"`
	Limits    store.Limits      `json:"limits"` // of each instance, the usual ones filled in
	Instances []deploy.Instance `json:"instances"`
}

func (n processes) report(ctx context.Context, _ Call, args AppArgs) (Report, error) {
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
	if err := n.Scale(ctx, args.App, args.Formation, c.User, c.Out); err != nil {
		return Report{}, err
	}
	return n.reportOf(ctx, args.App)
}

func (n processes) set(ctx context.Context, c Call, args PSSetArgs) (Report, error) {
	var err error
	switch {
	case args.Property == "rollout":
		err = n.SetRollout(ctx, args.App, store.Rollout(args.Value), c.User)
	case slices.Contains(deploy.LimitProperties(), args.Property):
		err = n.SetLimit(ctx, args.App, args.Property, args.Value, c.User, c.Out)
	default:
		err = deploy.NoProcessProperty(args.Property)
	}
	if err != nil {
		return Report{}, err
	}
	return n.reportOf(ctx, args.App)
}

func (n processes) restart(ctx context.Context, c Call, args RestartArgs) (Report, error) {
	if err := n.Restart(ctx, args.App, args.Process, c.User, c.Out); err != nil {
		return Report{}, err
	}
	return n.reportOf(ctx, args.App)
}

func (n processes) stop(ctx context.Context, c Call, args RestartArgs) (Report, error) {
	if err := n.Stop(ctx, args.App, args.Process, c.User, c.Out); err != nil {
		return Report{}, err
	}
	return n.reportOf(ctx, args.App)
}

func (n processes) start(ctx context.Context, c Call, args RestartArgs) (Report, error) {
	if err := n.Start(ctx, args.App, args.Process, c.User, c.Out); err != nil {
		return Report{}, err
	}
	return n.reportOf(ctx, args.App)
}

func (n processes) reportOf(ctx context.Context, app string) (Report, error) {
	status, err := n.Status(ctx, app)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		App: app, State: status.State, Release: status.Release,
		Rollout: cmp.Or(status.Rollout, store.StartFirst), Limits: deploy.EffectiveLimits(status.App), Formation: map[string]int{}, Instances: append([]deploy.Instance{}, status.Instances...),
	}
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

// RunArgs say what to run.
type RunArgs struct {
	AppArgs
	Args     []string     `json:"args"`
	Terminal bool         `json:"terminal,omitempty"`
	Size     runtime.Size `json:"size,omitzero"`
}

// run runs a one-off command with the streams of whoever asks. Its result is
// the exit code.
func (n processes) run(ctx context.Context, c Call, args RunArgs) (int, error) {
	if len(args.Args) == 0 || args.Args[0] == "" {
		return 0, fault.New(fault.Usage, code.ArgumentsInvalid, "run needs a command").Hint("berth run %s -- COMMAND", args.App)
	}
	att := *c.Streams
	att.Terminal, att.Size = args.Terminal, args.Size
	return n.RunOnce(ctx, args.App, args.Args, att, c.User)
}
