package verbs

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/store"
)

// CheckRoom is what the verbs of checks ask for; *deploy.Checks documents it.
type CheckRoom interface {
	CheckReports(ctx context.Context, app string) ([]deploy.CheckReport, error)
	RunChecks(ctx context.Context, app, process string) ([]deploy.CheckResult, error)
	SkipChecks(ctx context.Context, app string, types []string, on bool, by store.User, out io.Writer) error
}

type checks struct {
	CheckRoom
	ProcessRoom
}

func (n checks) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "checks:report", Role: reads,
			Short:   "show the health checks of an app",
			Long:    "They come from the healthchecks of app.json. A process type without any has the\nusual check: web is asked for GET /, others have to stay up.",
			Example: "checks:report shop",
			Aliases: []string{"checks"},
		}, n.report),
		look(Verb{
			Name: "checks:run", Role: deploys,
			Short:   "make the checks of what runs, once",
			Long:    "Of one process type or one instance, or of all. It changes nothing, and fails\nwhen a check does.",
			Example: "checks:run shop\nchecks:run shop web.1",
		}, n.run),
		act(Verb{
			Name: "checks:skip", Role: deploys,
			Short:   "wait for no check when instances start",
			Long:    "An instance counts as healthy once it runs and, where it is web, listens. It\ncounts from the next start; what runs is still looked at.",
			Example: "checks:skip shop\nchecks:skip shop worker,clock",
			Done:    "checks of {app} are skipped when instances start",
		}, n.skip),
		act(Verb{
			Name: "checks:disable", Role: deploys,
			Short:   "skip checks, and stop before starting",
			Long:    "It is checks:skip and ps:set rollout stop-first: the old instances stop before\nthe new ones start, and requests wait meanwhile.",
			Example: "checks:disable shop",
			Done:    "checks of {app} are disabled: the old stops before the new starts",
		}, n.disable),
		act(Verb{
			Name: "checks:enable", Role: deploys,
			Short:   "undo checks:skip and checks:disable",
			Example: "checks:enable shop\nchecks:enable shop worker",
			Done:    "checks of {app} are waited for",
		}, n.enable),
	}
}

// CheckTypesArgs name an app and perhaps some of its process types.
type CheckTypesArgs struct {
	AppArgs
	Types string `json:"types,omitempty" cli:"[TYPES]"` // "web,worker"
}

func (a CheckTypesArgs) types() (list []string) {
	for part := range strings.SplitSeq(a.Types, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func (n checks) report(ctx context.Context, _ Call, args AppArgs) ([]deploy.CheckReport, error) {
	return n.CheckReports(ctx, args.App)
}

func (n checks) run(ctx context.Context, _ Call, args RestartArgs) ([]deploy.CheckResult, error) {
	return n.RunChecks(ctx, args.App, args.Process)
}

func (n checks) skip(ctx context.Context, c Call, args CheckTypesArgs) (struct{}, error) {
	return struct{}{}, n.SkipChecks(ctx, args.App, args.types(), false, c.User, c.Out)
}

func (n checks) disable(ctx context.Context, c Call, args AppArgs) (struct{}, error) {
	return struct{}{}, errors.Join(
		n.SkipChecks(ctx, args.App, nil, false, c.User, c.Out), n.SetProcesses(ctx, args.App, formation.Rollout, string(store.StopFirst), c.User, c.Out))
}

func (n checks) enable(ctx context.Context, c Call, args CheckTypesArgs) (struct{}, error) {
	err := n.SkipChecks(ctx, args.App, args.types(), true, c.User, c.Out)
	if err == nil && args.Types == "" {
		err = n.SetProcesses(ctx, args.App, formation.Rollout, "", c.User, c.Out)
	}
	return struct{}{}, err
}
