package main

import (
	"context"
	"os"
	"strings"

	"github.com/berthd/berth/web"
)

func (c *cli) domainCommands() []command {
	change := func(ctx context.Context, verb, app string, words []string) error {
		var now web.Domains
		args := web.DomainsArgs{AppArgs: web.AppArgs{App: app}, Domains: words}
		if err := c.ask(ctx, verb, args, &now); err != nil {
			return err
		}
		c.say("%s answers at %s", app, strings.Join(allHosts(now), ", "))
		return nil
	}
	return []command{
		{
			use: "domains:report [APP]", short: "show the domains", example: "domains:report shop",
			aliases: []string{"domains"}, maybeApp: true, reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "domains:report", web.DomainsReportArgs{App: app}, printDomains)
			},
		},
		{
			use: "domains:add APP HOST ...", short: "lead hosts to an app", example: "domains:add shop www.example.com",
			min: 1, max: -1,
			run: func(ctx context.Context, app string, words []string) error {
				return change(ctx, "domains:add", app, words)
			},
		},
		{
			use: "domains:remove APP HOST ...", short: "undo domains:add", example: "domains:remove shop www.example.com",
			min: 1, max: -1,
			run: func(ctx context.Context, app string, words []string) error {
				return change(ctx, "domains:remove", app, words)
			},
		},
		{
			use: "domains:set-global DOMAIN", short: "set the domain that all apps are under",
			long:    "An app answers at APP.DOMAIN, the admin page at berth.DOMAIN. A DNS record for\n*.DOMAIN has to lead here.",
			example: "domains:set-global example.com", noApp: true, min: 1, max: 1,
			run: func(ctx context.Context, _ string, words []string) error {
				var now web.Domains
				if err := c.ask(ctx, "domains:set-global", web.DomainArgs{Domain: words[0]}, &now); err != nil {
					return err
				}
				c.say("apps answer at APP.%s, the admin page at https://berth.%s", now.Global, now.Global)
				return nil
			},
		},
	}
}

func allHosts(d web.Domains) []string {
	hosts := d.Domains
	if d.Default != "" {
		hosts = append([]string{d.Default}, hosts...)
	}
	return hosts
}

func printDomains(t *table, d web.Domains) {
	t.row("global", d.Global)
	if d.App == "" {
		return
	}
	t.row("app", d.App)
	for i, host := range allHosts(d) {
		t.row(label(i, "hosts"), host)
	}
}

// readFile reads a file of whoever asks; - is standard input, and over SSH the
// only one: the files of the machine are not the asker's.
func (c *cli) readFile(name string) (string, error) {
	if name == "-" {
		return readAtMost(c.in, maxStdin)
	}
	if !c.local {
		return "", usage("over SSH there are no files of yours to read").Hint("ssh berth@HOST COMMAND <%s, without the file's name", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return "", usage("%w", err)
	}
	defer file.Close()
	return readAtMost(file, maxStdin)
}
