package main

import (
	"context"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/web"
)

func (c *cli) routerCommands() []command {
	return []command{
		{
			use: "router:set APP PROPERTY [VALUE]", short: "say how requests are treated",
			long: "https-only  off answers plain HTTP too, in place of sending it to HTTPS\n" +
				"\nNo VALUE takes a property back. It counts at once.",
			example: "router:set shop https-only off",
			min:     1, max: 2,
			complete: func(words []string) []string {
				if len(words) == 0 {
					return deploy.RouterProperties()
				}
				return deploy.RouterValues(words[0])
			},
			run: func(ctx context.Context, app string, words []string) error {
				args := web.RouterSetArgs{AppArgs: web.AppArgs{App: app}, Property: words[0]}
				if len(words) > 1 {
					args.Value = words[1]
				}
				if err := c.ask(ctx, "router:set", args, nil); err != nil {
					return err
				}
				c.say("set for %s", app)
				return nil
			},
		},
		{
			use: "router:report APP", short: "show how requests are treated", example: "router:report shop",
			aliases: []string{"router"}, reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "router:report", web.AppArgs{App: app}, printRouter)
			},
		},
	}
}

func printRouter(t *table, r deploy.RouterReport) {
	t.row("app", r.App)
	for _, p := range r.Properties {
		usual := ""
		if !p.Set {
			usual = "(usual)"
		}
		t.row(p.Name, p.Value, usual)
	}
}
