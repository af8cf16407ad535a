package main

import (
	"context"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/verbs"
)

func (c *cli) gitCommands() []command {
	return []command{
		{
			use: "git:set APP PROPERTY [VALUE]", short: "say what pushes to an app do",
			long: "deploy-branch  the branch whose pushes are deployed: the app's first one, until\n" +
				"               it is set. Nothing is deployed before the next push of it.\n" +
				"\nNo VALUE takes it back: the next branch that is pushed becomes it.",
			example: "git:set shop deploy-branch main", min: 1, max: 2,
			complete: func(words []string) []string {
				if len(words) == 0 {
					return deploy.GitProperties
				}
				return nil
			},
			run: func(ctx context.Context, app string, words []string) error {
				args := verbs.GitSetArgs{AppArgs: verbs.AppArgs{App: app}, Property: words[0]}
				if len(words) > 1 {
					args.Value = words[1]
				}
				var now deploy.GitReport
				if err := c.ask(ctx, "git:set", args, &now); err != nil {
					return err
				}
				if now.DeployBranch == "" {
					c.say("the next branch that is pushed to %s becomes its deploy branch", app)
					return nil
				}
				c.say("%s deploys %s; to deploy it: git push berth %s", app, now.DeployBranch, now.DeployBranch)
				return nil
			},
		},
		{
			use: "git:report APP", short: "show what pushes to an app do", example: "git:report shop", reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "git:report", verbs.AppArgs{App: app}, func(t *table, r deploy.GitReport) {
					t.row("deploy branch", r.DeployBranch)
					t.row("commit", r.Commit)
					t.row("url", r.URL)
				})
			},
		},
	}
}
