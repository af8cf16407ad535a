package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/verbs"
)

func (c *cli) routerCommands() []command {
	global := false
	forAll := func(cmd *cobra.Command) {
		cmd.Flags().BoolVar(&global, "global", false, "for all apps, in place of APP")
	}
	return []command{
		{
			use: "router:set APP|--global PROPERTY [VALUE]", short: "say how requests are treated",
			long: "https-only        off answers plain HTTP too, in place of sending it to HTTPS\n" +
				"balance           round-robin, least-connections, or sticky by a cookie\n" +
				"protocol          http (gRPC included) or h2c\n" +
				"max-body          how long a request may be: 64k, 100m, 2g, unlimited\n" +
				"min-body-rate     bytes a second that it has to come with, or off\n" +
				"rate-limit        requests of one address: 10/s, 100/m, 1000/h, off\n" +
				"max-in-flight     requests of one address at once, or off\n" +
				"response-timeout  how long the app may take to begin its response: 5m\n" +
				"stream-grace      how long WebSockets go on when a release replaces theirs: 5m\n" +
				"hsts              on, off or SECONDS, then perhaps subdomains and preload\n" +
				"compress          off passes responses as the app makes them\n" +
				"access-log        off, or paths to leave out queries, which may hold secrets\n" +
				"maintenance-page  FILE of HTML, - is standard input\n" +
				"error-page        the same, for when the app does not answer (502, 503, 504)\n" +
				"header:NAME       a header of every response, in place of the app's own\n" +
				"\nWith --global, for all apps:\n" +
				"trusted-proxies   addresses and networks of the proxies in front, whose word for\n" +
				"                  who the client is counts; private and loopback are some\n" +
				"proxy-protocol    on: they begin each connection with a PROXY header; optional\n" +
				"max-connections-per-address  of a client, at all ports together, or off\n" +
				"\nNo VALUE takes a property back. It counts at once and fails no request.",
			example: "router:set shop max-body 500m\nrouter:set shop hsts on subdomains\n" +
				"router:set shop header:X-Frame-Options DENY\nrouter:set shop error-page sorry.html\n" +
				"router:set --global trusted-proxies 192.0.2.10 2001:db8::/32",
			maybeApp: true, max: -1, flags: forAll,
			complete: func(words []string) []string {
				if len(words) == 0 {
					return append(deploy.RouterProperties(), deploy.GlobalRouterProperties()...)
				}
				return deploy.RouterValues(words[0])
			},
			run: func(ctx context.Context, app string, words []string) error {
				switch {
				case global:
					return c.setGlobalRouter(ctx, app, words)
				case app == "":
					return usage("router:set needs the name of an app").Hint("--global in its place is for all of them")
				case len(words) == 0:
					return usage("router:set needs a property").Hint("there are %s", strings.Join(deploy.RouterProperties(), ", "))
				}
				args := verbs.RouterSetArgs{AppArgs: verbs.AppArgs{App: app}, Property: words[0], Value: strings.Join(words[1:], " ")}
				if deploy.RouterPage(args.Property) && args.Value != "" {
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
			use: "router:report APP|--global", short: "show how requests are treated", example: "router:report shop",
			aliases: []string{"router", "maintenance:report", "http-auth:report"}, reads: true,
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
		{
			use: "maintenance:on APP", short: "show a page in the app's place",
			long:    "The app goes on and gets no requests. router:set APP maintenance-page FILE\nmakes the page your own.",
			example: "maintenance:on shop", aliases: []string{"maintenance:enable"},
			run: func(ctx context.Context, app string, _ []string) error {
				if err := c.ask(ctx, "maintenance:on", verbs.AppArgs{App: app}, nil); err != nil {
					return err
				}
				c.say("%s is under maintenance", app)
				return nil
			},
		},
		{
			use: "maintenance:off APP", short: "lead requests to the app again", example: "maintenance:off shop",
			aliases: []string{"maintenance:disable"},
			run: func(ctx context.Context, app string, _ []string) error {
				if err := c.ask(ctx, "maintenance:off", verbs.AppArgs{App: app}, nil); err != nil {
					return err
				}
				c.say("%s answers again", app)
				return nil
			},
		},
		{
			use: "http-auth:add-user APP USER [PASSWORD]", short: "ask visitors for a password",
			long: "From then on nobody sees the app without one. A password that is not given is\n" +
				"read from standard input, where no list of processes shows it. The app does\nnot see it either.",
			example: "http-auth:add-user shop alice <password.txt",
			min:     1, max: 2,
			run: func(ctx context.Context, app string, words []string) error {
				args := verbs.HTTPUserAddArgs{HTTPUserArgs: verbs.HTTPUserArgs{AppArgs: verbs.AppArgs{App: app}, User: words[0]}}
				if len(words) > 1 {
					args.Password = words[1]
				} else {
					text, err := readAtMost(c.in, maxStdin)
					if err != nil {
						return err
					}
					args.Password = strings.TrimRight(text, "\r\n")
				}
				if err := c.ask(ctx, "http-auth:add-user", args, nil); err != nil {
					return err
				}
				c.say("%s may enter %s; nobody without a password does", words[0], app)
				return nil
			},
		},
		{
			use: "http-auth:remove-user APP USER", short: "take a password away", example: "http-auth:remove-user shop alice",
			min: 1, max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				args := verbs.HTTPUserArgs{AppArgs: verbs.AppArgs{App: app}, User: words[0]}
				var now deploy.RouterReport
				if err := c.ask(ctx, "http-auth:remove-user", args, &now); err != nil {
					return err
				}
				if len(now.Users) == 0 {
					c.say("everybody may enter %s", app)
				} else {
					c.say("%s may enter %s", strings.Join(now.Users, ", "), app)
				}
				return nil
			},
		},
	}
}

// setGlobalRouter is router:set --global. Its first word has been taken for an
// app.
func (c *cli) setGlobalRouter(ctx context.Context, first string, words []string) error {
	if c.app != "" || first == "" {
		return usage("router:set --global takes a property, and no app").Hint("there are %s", strings.Join(deploy.GlobalRouterProperties(), ", "))
	}
	args := verbs.SetArgs{Property: first, Value: strings.Join(words, " ")}
	if err := c.ask(ctx, "router:set-global", args, nil); err != nil {
		return err
	}
	c.say("set for all apps")
	return nil
}

func printRouter(t *table, r deploy.RouterReport) {
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
