package verbs

import (
	"context"

	"github.com/berthd/berth/build"
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
		setter(build.BuilderProperties, Verb{
			Short: "set how an app is built",
			Example: "builder:set shop build-dir apps/api\nbuilder:set shop selected\n" +
				"builder:set --global test on",
			Done: "set for {app}; used from the next push",
		}, n.set),
		reporter(build.BuilderProperties, Verb{
			Short:   "show how an app is built",
			Example: "builder:report shop\nbuilder:report shop --builder-selected",
			Aliases: []string{"builder"},
			Keys:    keysOf(func(r build.BuilderReport) []Key { return []Key{{"builder-detected", r.Language}} }),
		}, n.report),
		look(Verb{
			Name: "builder:mirror", Role: reads,
			Short: "list the tool archives of the mirror",
			Long: "An operator puts them into folders of berth serve --mirror, under the names that\n" +
				"upstream gives them: node/node-v22.9.0-linux-x64.tar.xz. Ignored files are\n" +
				"listed with the reason.",
			Example: "builder:mirror",
		}, n.mirror),
		look(Verb{
			Name: "builds:plan", Role: reads,
			Short: "show what would be built (dry run)",
			Long: "For an app it plans the live commit, or --ref. An argument with a / in it is a\n" +
				"directory on this machine and needs no running berth: builds:plan ./",
			Example: "builds:plan shop --ref main\nbuilds:plan ./ --format json",
		}, n.plan),
	}
}

// PlanArgs name an app and what of its repository is to be planned; an empty
// ref is what is live, or else the end of the deploy branch.
type PlanArgs struct {
	AppArgs
	Ref string `json:"ref,omitempty"`
}

func (n builder) report(ctx context.Context, _ Call, args ReportArgs) (build.BuilderReport, error) {
	return n.BuilderReport(ctx, args.App)
}

func (n builder) mirror(ctx context.Context, _ Call, _ NoArgs) (mirror.Report, error) {
	return n.Mirror(ctx)
}

func (n builder) set(ctx context.Context, c Call, args PropertyArgs) (build.BuilderReport, error) {
	return n.SetBuilder(ctx, args.App, args.Property, args.Value, c.User)
}

func (n builder) plan(ctx context.Context, _ Call, args PlanArgs) (build.Planned, error) {
	return n.PlanBuild(ctx, args.App, args.Ref)
}
