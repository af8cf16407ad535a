package main

import (
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
)

var gitShows = map[string]printer{
	"git:set": asText(func(c *cli, app string, now deploy.GitReport) {
		if now.DeployBranch == "" {
			c.say("the next branch that is pushed to %s becomes its deploy branch", app)
			return
		}
		c.say("%s deploys %s; to deploy it: git push berth %s", app, now.DeployBranch, now.DeployBranch)
	}),
	"git:report": asTable(func(t *table, r deploy.GitReport) {
		t.row("deploy branch", r.DeployBranch)
		t.row("commit", r.Commit)
		t.row("url", r.URL)
	}),
	"git:from-image": asText(func(*cli, string, store.Release) {}), // the rollout has said it all
}
