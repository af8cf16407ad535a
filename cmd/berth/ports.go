package main

import (
	"context"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/verbs"
)

func (c *cli) portCommands() []command {
	change := func(ctx context.Context, verb, app string, args any) error {
		var now deploy.PortsReport
		if err := c.ask(ctx, verb, args, &now); err != nil {
			return err
		}
		if len(now.Ports) == 0 {
			c.say("%s has no ports", app)
			return nil
		}
		names := make([]string, len(now.Ports))
		for n, p := range now.Ports {
			names[n] = p.String()
		}
		c.say("%s has the ports %s", app, strings.Join(names, ", "))
		for _, p := range now.Ports {
			if len(p.Silent) > 0 {
				c.say("%s does not listen on %d yet", strings.Join(p.Silent, ", "), p.Container)
			}
		}
		return nil
	}
	return []command{
		{
			use: "ports:report [APP]", short: "show the TCP ports", example: "ports:report shop",
			aliases: []string{"ports", "ports:list"}, maybeApp: true, reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "ports:report", verbs.PortsReportArgs{App: app}, printPorts)
			},
		},
		{
			use: "ports:add APP PORT ...", short: "lead TCP ports to an app",
			long: "tcp:5432:5432  everything that comes to the port, as it is\n" +
				"tls:993:143    berth ends TLS, with the certificate of the app's host that the\n" +
				"               client names\n" +
				"\nWithout checks of its own in app.json the app is healthy once it listens there.\n" +
				"HTTP and HTTPS need no ports.",
			example: "ports:add db tcp:5432:5432\nports:add mail tls:993:143 tcp:25:2525", min: 1, max: -1,
			run: func(ctx context.Context, app string, words []string) error {
				return change(ctx, "ports:add", app, verbs.PortsArgs{AppArgs: verbs.AppArgs{App: app}, Ports: words})
			},
		},
		{
			use: "ports:remove APP PORT ...", short: "close TCP ports",
			example: "ports:remove db tcp:5432:5432", min: 1, max: -1,
			run: func(ctx context.Context, app string, words []string) error {
				return change(ctx, "ports:remove", app, verbs.PortsArgs{AppArgs: verbs.AppArgs{App: app}, Ports: words})
			},
		},
		{
			use: "ports:clear APP", short: "close all TCP ports of an app", example: "ports:clear db",
			run: func(ctx context.Context, app string, _ []string) error {
				return change(ctx, "ports:clear", app, verbs.AppArgs{App: app})
			},
		},
	}
}

func printPorts(t *table, r deploy.PortsReport) {
	for _, p := range r.Ports {
		state := "open"
		switch {
		case p.Error != "":
			state = p.Error
		case len(p.Silent) > 0:
			state = "open, but " + strings.Join(p.Silent, ", ") + " does not listen"
		}
		t.row(p.App, p.String(), state)
	}
}
