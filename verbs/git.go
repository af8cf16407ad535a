package verbs

import (
	"context"
	"io"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

// GitRoom is what the verbs of git ask for; *deploy.Deployer documents it.
type GitRoom interface {
	GitReport(ctx context.Context, app string) (deploy.GitReport, error)
	SetGit(ctx context.Context, app, property, value string, by store.User) (deploy.GitReport, error)
	FromImage(ctx context.Context, app, ref string, by store.User, out io.Writer) error
}

type repositories struct {
	records
	GitRoom
}

func (n repositories) verbs() []Verb {
	return []Verb{
		setter(deploy.GitProperties, Verb{
			Short:   "set the deploy branch of an app",
			Example: "git:set shop deploy-branch main",
		}, n.set),
		look(Verb{
			Name: "git:report", Role: reads,
			Short:   "show the deploy branch of an app",
			Example: "git:report shop",
		}, n.report),
		act(Verb{
			Name: "git:from-image", Role: deploys,
			Short:   "deploy a container image",
			Long:    "It is pulled, checked and rolled out like a push. A private image needs\nregistry:login first.",
			Example: "git:from-image shop registry.example.com/shop:1.4",
		}, n.fromImage),
	}
}

func (n repositories) report(ctx context.Context, _ Call, args AppArgs) (deploy.GitReport, error) {
	return n.GitReport(ctx, args.App)
}

func (n repositories) set(ctx context.Context, c Call, args PropertyArgs) (deploy.GitReport, error) {
	return n.SetGit(ctx, args.App, args.Property, args.Value, c.User)
}

// FromImageArgs name an app and the image that it is to run.
type FromImageArgs struct {
	AppArgs
	Image string `json:"image" cli:"IMAGE"`
}

func (n repositories) fromImage(ctx context.Context, c Call, args FromImageArgs) (release store.Release, err error) {
	if err := n.FromImage(ctx, args.App, args.Image, c.User, c.Out); err != nil {
		return release, err
	}
	return n.release(args.App, 0)
}
