package verbs

import (
	"context"
	"errors"

	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// OneOffRoom is what the verbs of one-offs ask for; *jobs.Jobs documents it.
type OneOffRoom interface {
	Enter(ctx context.Context, app string, o jobs.EnterOptions, att runtime.Attachment, by store.User) (int, error)
	OneOff(ctx context.Context, app, name string) (store.OneOff, error)
	OneOffs(ctx context.Context, app string, all bool) ([]store.OneOff, error)
	RetireOneOffs(ctx context.Context, app string, by store.User) ([]store.OneOff, error)
	RunDetached(ctx context.Context, app string, o jobs.OneOffOptions, by store.User) (store.OneOff, error)
	RunOnce(ctx context.Context, app string, o jobs.OneOffOptions, att runtime.Attachment, by store.User) (int, error)
	StopOneOffs(ctx context.Context, app, name string, by store.User) ([]store.OneOff, error)
}

type oneOffs struct {
	records
	OneOffRoom
	logs LogRoom
}

func (n oneOffs) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "run", Role: deploys, Attached: true,
			Short: "run a one-off command",
			Long: "It runs in a fresh container of the live release and ends with the command's\n" +
				"exit code. It gets a terminal if there is one (over SSH: ssh -t), unless -T is\n" +
				"given. One argument with spaces is run by bash.",
			Example: "run shop -- python manage.py migrate\nrun -T shop cat schema.sql >schema.sql\nrun -e COLOR=blue --ttl-seconds 600 shop python job.py",
		}, n.run),
		act(Verb{
			Name: "run:detached", Role: deploys,
			Short: "run a command in the background",
			Usage: "run:detached APP [--] COMMAND ...",
			Long: "It prints the name of the one-off command. The command continues when the\n" +
				"connection breaks and when berth restarts. It is stopped after 24 hours, or\n" +
				"after --ttl-seconds.",
			Example: "run:detached shop python import.py\nrun:detached --ttl-seconds 3600 -e COLOR=blue shop python job.py",
			Prints:  "{result.name}",
		}, n.detach),
		look(Verb{
			Name: "run:list", Role: reads,
			Short:   "list running one-off commands",
			Example: "run:list shop\nrun:list shop --all",
		}, n.list),
		follow[logs.LogLine](Verb{
			Name: "run:logs", Role: reads,
			Short:   "show output of detached one-offs",
			Example: "run:logs shop run.12\nrun:logs --container shop.run.12 -t",
		}, n.showLogs),
		act(Verb{
			Name: "run:stop", Role: deploys,
			Short:   "stop one-off commands",
			Long:    "Without a name, all running one-off commands of the app are stopped.",
			Example: "run:stop shop run.12\nrun:stop --container shop.run.12",
		}, n.stop),
		act(Verb{
			Name: "run:retire", Role: deploys,
			Short:   "stop one-offs past their time to live",
			Long:    "berth stops them by itself, so usually none is left.",
			Example: "run:retire shop",
		}, n.retire),
		act(Verb{
			Name: "enter", Role: deploys, Attached: true,
			Short: "run a command in a live instance",
			Long: "INSTANCE is web.1, or web for the first web instance, which is also the\n" +
				"default. The default command is a shell. The command runs as the app's user\n" +
				"with the files, network and limits of the instance. It is killed when the\n" +
				"instance stops, for example in a deploy. Use run for commands that must not\n" +
				"be interrupted.",
			Example: "enter shop\nenter shop web.2\nenter shop worker ps aux",
		}, n.enter),
	}
}

// RunArgs say what to run.
type RunArgs struct {
	AppArgs
	Args     []string     `json:"args"`
	Env      []string     `json:"env,omitempty"` // NAME=value
	TTL      int          `json:"ttl_seconds,omitempty"`
	Terminal bool         `json:"terminal,omitempty"`
	Size     runtime.Size `json:"size,omitzero"`
}

// run runs a one-off command with the streams of whoever asks. Its result is
// the exit code.
func (n oneOffs) run(ctx context.Context, c Call, args RunArgs) (int, error) {
	if len(args.Args) == 0 || args.Args[0] == "" {
		return 0, fault.New(fault.Usage, code.ArgumentsInvalid, "run needs a command").Hint("berth run %s -- COMMAND", args.App)
	}
	ttl, err := seconds(args.TTL)
	if err != nil {
		return 0, err
	}
	att := *c.Streams
	att.Terminal, att.Size = args.Terminal, args.Size
	return n.RunOnce(ctx, args.App, jobs.OneOffOptions{Args: args.Args, Env: args.Env, TTL: ttl}, att, c.User)
}

// RunDetachedArgs say what to run in the background.
type RunDetachedArgs struct {
	AppArgs
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"` // NAME=value
	TTL  int      `json:"ttl_seconds,omitempty"`
}

func (n oneOffs) detach(ctx context.Context, c Call, args RunDetachedArgs) (store.OneOff, error) {
	if len(args.Args) == 0 || args.Args[0] == "" {
		return store.OneOff{}, fault.New(fault.Usage, code.ArgumentsInvalid, "run:detached needs a command").Hint("berth run:detached %s -- COMMAND", args.App)
	}
	ttl, err := seconds(args.TTL)
	if err != nil {
		return store.OneOff{}, err
	}
	return n.RunDetached(ctx, args.App, jobs.OneOffOptions{Args: args.Args, Env: args.Env, TTL: ttl}, c.User)
}

// RunListArgs choose one-offs. Without an app they are those of all apps.
type RunListArgs struct {
	App string `json:"app,omitempty" cli:"[APP]"`
	All bool   `json:"all,omitempty" flag:"all" help:"also detached ones that have ended"`
}

func (a RunListArgs) target() (string, bool) { return a.App, false }

func (n oneOffs) list(ctx context.Context, c Call, args RunListArgs) ([]store.OneOff, error) {
	return n.each(c, args.App, func(app string) ([]store.OneOff, error) { return n.OneOffs(ctx, app, args.All) })
}

// each calls fn for an app, or with "" for all apps that the user may reach.
func (n oneOffs) each(c Call, app string, fn func(app string) ([]store.OneOff, error)) ([]store.OneOff, error) {
	if app != "" {
		return list(fn(app))
	}
	apps, err := n.db.Apps()
	if err != nil {
		return nil, err
	}
	all := []store.OneOff{}
	for _, record := range apps {
		if !sees(c.User, record.Name) {
			continue
		}
		some, err := fn(record.Name)
		if err != nil && !gone(err) {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// gone tells whether an app was destroyed meanwhile.
func gone(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == code.AppUnknown
}

// OneOffArgs name one of an app's.
type OneOffArgs struct {
	AppArgs
	Name string `json:"name,omitempty"`
}

func (n oneOffs) showLogs(ctx context.Context, c Call, args SourceLogArgs) error {
	source := jobs.OneOffSource
	if args.ID != "" {
		one, err := n.OneOff(ctx, args.App, args.ID)
		if err != nil {
			return err
		}
		source = one.Source()
	}
	return appLogs{n.records, n.logs}.follow(ctx, c, LogArgs{AppArgs: args.AppArgs, Process: source, Lines: args.Lines, Follow: args.Follow})
}

func (n oneOffs) stop(ctx context.Context, c Call, args OneOffArgs) ([]store.OneOff, error) {
	return list(n.StopOneOffs(ctx, args.App, args.Name, c.User))
}

// RetireArgs name an app, or all of them.
type RetireArgs struct {
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (a RetireArgs) target() (string, bool) { return a.App, false }

func (n oneOffs) retire(ctx context.Context, c Call, args RetireArgs) ([]store.OneOff, error) {
	return n.each(c, args.App, func(app string) ([]store.OneOff, error) {
		if args.App == "" && c.User.May(store.RoleDeploy, app) != nil {
			return nil, nil
		}
		return n.RetireOneOffs(ctx, app, c.User)
	})
}

// EnterArgs say where to run what.
type EnterArgs struct {
	AppArgs
	Instance  string       `json:"instance,omitempty"`
	Container string       `json:"container,omitempty"` // in the place of Instance
	Args      []string     `json:"args,omitempty"`
	Terminal  bool         `json:"terminal,omitempty"`
	Size      runtime.Size `json:"size,omitzero"`
}

// enter runs a command in an instance with the streams of whoever asks. Its
// result is the exit code.
func (n oneOffs) enter(ctx context.Context, c Call, args EnterArgs) (int, error) {
	att := *c.Streams
	att.Terminal, att.Size = args.Terminal, args.Size
	return n.Enter(ctx, args.App, jobs.EnterOptions{Instance: args.Instance, Container: args.Container, Args: args.Args}, att, c.User)
}
