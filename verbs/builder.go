package verbs

import (
	"context"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/buildpacks"
	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/store"
)

// BuilderRoom is what the verbs of builder ask for; *build.Builder documents it.
type BuilderRoom interface {
	SetBuilder(ctx context.Context, app, property, value string, by store.User) (build.BuilderReport, error)
	BuilderReport(ctx context.Context, app string) (build.BuilderReport, error)
	Mirror(ctx context.Context) (mirror.Report, error)
	PlanBuild(ctx context.Context, app, ref string) (build.Planned, error)
}

type builder struct {
	BuilderRoom
}

func (n builder) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "builder:set", Role: deploys,
			Short: "say how an app is built",
			Long: "selected   the builder, in the place of the one the source tells\n" +
				"build-dir  the directory of the repository that is built, apps/api say\n" +
				"test       on runs the language's usual tests, where app.json names none\n" +
				"versions   latest forgets which versions of tools were resolved\n" +
				"\nNo VALUE takes a property back. It counts from the next push on.",
			Example: "builder:set shop build-dir apps/api\nbuilder:set shop selected",
			Done:    "set for {app}; it counts from the next push on",
			Values: func(words []string) []string {
				switch {
				case len(words) == 0:
					return build.BuilderProperties
				case words[0] == "selected":
					return buildpacks.Languages()
				case words[0] == "test":
					return []string{"on", "off"}
				case words[0] == "versions":
					return []string{"latest"}
				}
				return nil
			},
		}, n.set),
		look(Verb{
			Name: "builder:report", Role: reads,
			Short:   "show how an app is built",
			Example: "builder:report shop",
			Aliases: []string{"builder"},
		}, n.report),
		look(Verb{
			Name: "builder:mirror", Role: reads,
			Short: "list the mirror's archives of tools",
			Long: "An operator puts them into folders of berth serve --mirror, under the names that\n" +
				"upstream gives them: node/node-v22.9.0-linux-x64.tar.xz. Ignored files are\n" +
				"listed with the reason.",
			Example: "builder:mirror",
		}, n.mirror),
		look(Verb{
			Name: "builds:plan", Role: reads,
			Short: "show what would be built, build nothing",
			Long: "Of an app it is the commit that is live, or --ref. A word with a / in it is a\n" +
				"directory on this machine, which needs no berth that runs: builds:plan ./",
			Example: "builds:plan shop --ref main\nbuilds:plan ./ --format json",
		}, n.plan),
	}
}

// BuilderSetArgs give a property of an app's builds its value; an empty value
// takes it back.
type BuilderSetArgs struct {
	AppArgs
	Property string `json:"property" cli:"PROPERTY"`
	Value    string `json:"value" cli:"[VALUE]"`
}

// PlanArgs name an app and what of its repository is to be planned; an empty
// ref is what is live, or else the end of the deploy branch.
type PlanArgs struct {
	AppArgs
	Ref string `json:"ref,omitempty"`
}

func (n builder) report(ctx context.Context, _ Call, args AppArgs) (build.BuilderReport, error) {
	return n.BuilderReport(ctx, args.App)
}

func (n builder) mirror(ctx context.Context, _ Call, _ NoArgs) (mirror.Report, error) {
	return n.Mirror(ctx)
}

func (n builder) set(ctx context.Context, c Call, args BuilderSetArgs) (build.BuilderReport, error) {
	return n.SetBuilder(ctx, args.App, args.Property, args.Value, c.User)
}

func (n builder) plan(ctx context.Context, _ Call, args PlanArgs) (build.Planned, error) {
	return n.PlanBuild(ctx, args.App, args.Ref)
}
