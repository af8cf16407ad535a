package verbs

import (
	"context"

	"github.com/berthd/berth/deploy"
)

// InspectRoom is what ps:inspect asks for; *deploy.Apps documents it.
type InspectRoom interface {
	Inspect(ctx context.Context, app string) ([]deploy.Inspection, error)
}

type inspect struct{ InspectRoom }

func (n inspect) verbs() []Verb {
	return []Verb{look(Verb{
		Name: "ps:inspect", Role: reads,
		Short:   "show how instances were started",
		Long:    "Each instance with its command, environment, user, layer, limits and checks, as\nJSON. Values of the environment are masked, but for those that berth gives.",
		Example: "ps:inspect shop",
	}, n.inspect)}
}

func (n inspect) inspect(ctx context.Context, _ Call, args AppArgs) ([]deploy.Inspection, error) {
	return n.Inspect(ctx, args.App)
}
