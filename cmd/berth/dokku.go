package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/verbs"
)

// reports are what report puts one after the other.
var reports = []string{
	"apps:info", "ps:report", "domains:report", "ports:report", "certs:report", "git:report", "builder:report", "router:report",
}

// dokkuCommands are those that Dokku's users type and that are no verb: what berth
// does by itself, and all reports at once.
func (c *cli) dokkuCommands() []command {
	commands := []command{
		{
			after: "apps:info", use: "report [APP]", short: "show all reports of an app or all apps", maybeApp: true,
			example: "report shop",
			run:     func(ctx context.Context, app string, _ []string) error { return c.report(ctx, app) },
		},
	}
	taken := map[string]bool{}
	for _, v := range verbs.All() {
		taken[v.Name] = true
		for _, alias := range v.Aliases {
			taken[alias] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(verbs.DokkuDone)) {
		if taken[name] {
			continue
		}
		commands = append(commands, command{
			use: name + " [APP]", short: "nothing to do: berth does it by itself", noApp: true, max: -1,
			long:    "For scripts that were written for Dokku:\n" + verbs.DokkuDone[name] + ".",
			example: name,
			run: func(context.Context, string, []string) error {
				c.say("%s", verbs.DokkuDone[name])
				return nil
			},
		})
	}
	return commands
}

// report prints the reports of an app, or of all that one may see.
func (c *cli) report(ctx context.Context, app string) error {
	apps := []string{app}
	if app == "" {
		var all []deploy.AppStatus
		if err := c.ask(ctx, "apps:list", nil, &all); err != nil {
			return err
		}
		apps = nil
		for _, one := range all {
			apps = append(apps, one.Name)
		}
	}
	for _, name := range apps {
		for _, report := range reports {
			if !c.global.quiet {
				fmt.Fprintf(c.out, "=====> %s %s\n", name, report)
			}
			one, words := *c, []string{report, name}
			if c.global.quiet {
				words = append(words, "--quiet")
			}
			if err := one.execute(ctx, words); err != nil {
				return err
			}
		}
	}
	return nil
}
