package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/verbs"
)

var routerShows = map[string]printer{
	"http-auth:remove-user": asText(func(c *cli, app string, now edge.RouterReport) {
		if len(now.Users) == 0 {
			c.say("%s no longer asks visitors for a password", app)
		} else {
			c.say("%s asks visitors for a password; users: %s", app, strings.Join(now.Users, ", "))
		}
	}),
}

func (c *cli) routerCommands() []command {
	global := false
	forAll := func(cmd *cobra.Command) {
		cmd.Flags().BoolVar(&global, "global", false, "set it for all apps instead of APP")
	}
	return []command{
		{
			use: "router:set APP|--global PROPERTY [VALUE]",

			maybeApp: true, max: -1, flags: forAll,

			run: func(ctx context.Context, app string, words []string) error {
				switch {
				case global:
					return c.setGlobalRouter(ctx, app, words)
				case app == "":
					return usage("router:set needs the name of an app").Hint("--global instead of the name sets it for all apps")
				case len(words) == 0:
					return usage("router:set needs a property").Hint("the properties are %s", strings.Join(edge.RouterProperties(), ", "))
				}
				args := verbs.RouterSetArgs{AppArgs: verbs.AppArgs{App: app}, Property: words[0], Value: strings.Join(words[1:], " ")}
				if edge.RouterPage(args.Property) && args.Value != "" {
					var err error
					if args.Value, err = c.readFile(args.Value); err != nil {
						return err
					}
				}
				if err := c.ask(ctx, "router:set", args, nil); err != nil {
					return err
				}
				c.say("set for %s", app)
				return nil
			},
		},
		{
			use:      "router:report APP|--global",
			reads:    true,
			maybeApp: true, flags: forAll,
			run: func(ctx context.Context, app string, _ []string) error {
				switch {
				case global && app == "":
					return read(ctx, c, "router:report-global", nil, printRouter)
				case global || app == "":
					return usage("router:report needs the name of an app, or --global")
				}
				return read(ctx, c, "router:report", verbs.AppArgs{App: app}, printRouter)
			},
		},
	}
}

// setGlobalRouter is router:set --global. Its first word has been taken for an
// app.
func (c *cli) setGlobalRouter(ctx context.Context, first string, words []string) error {
	if c.app != "" || first == "" {
		return usage("router:set --global needs a property and no app").Hint("the properties are %s", strings.Join(edge.GlobalRouterProperties(), ", "))
	}
	args := verbs.SetArgs{Property: first, Value: strings.Join(words, " ")}
	if err := c.ask(ctx, "router:set-global", args, nil); err != nil {
		return err
	}
	c.say("set for all apps")
	return nil
}

func printRouter(t *table, r edge.RouterReport) {
	if r.App != "" {
		t.row("app", r.App)
		t.row("maintenance", onOff(r.Maintenance))
	}
	for _, p := range r.Properties {
		usual := ""
		if !p.Set {
			usual = "(usual)"
		}
		t.row(p.Name, p.Value, usual)
	}
	for i, name := range r.Users {
		t.row(label(i, "users"), name)
	}
}
