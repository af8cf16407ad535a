package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/verbs"
)

func (c *cli) domainCommands() []command {
	strip := false
	change := func(ctx context.Context, verb, app string, args any) error {
		var now verbs.Domains
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
				return read(ctx, c, "domains:report", verbs.DomainsReportArgs{App: app}, printDomains)
			},
		},
		{
			use: "domains:add APP DOMAIN ...", short: "lead domains to an app",
			long: "www.example.com   the host\n" +
				"*.example.com     each host one part under it that has no app of its own\n" +
				"example.com/blog  the path and what is under it; the rest of the host may be\n" +
				"                  another app's. The longest path wins.",
			example: "domains:add shop www.example.com\ndomains:add blog example.com/blog --strip",
			min:     1, max: -1,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&strip, "strip", false, "the app sees /post for /blog/post, and /blog in X-Forwarded-Prefix")
			},
			run: func(ctx context.Context, app string, words []string) error {
				args := verbs.DomainsArgs{AppArgs: verbs.AppArgs{App: app}, Domains: words}
				return change(ctx, "domains:add", app, verbs.DomainsAddArgs{DomainsArgs: args, Strip: strip})
			},
		},
		{
			use: "domains:redirect APP HOST TARGET", short: "send a host's visitors to another",
			long: "The path and the query are kept, and so is the method (308). domains:remove\n" +
				"ends it.",
			example: "domains:redirect shop www.example.com example.com",
			aliases: []string{"redirect:set"}, min: 2, max: 2,
			run: func(ctx context.Context, app string, words []string) error {
				args := verbs.RedirectArgs{AppArgs: verbs.AppArgs{App: app}, From: words[0], To: words[1]}
				if err := c.ask(ctx, "domains:redirect", args, nil); err != nil {
					return err
				}
				c.say("%s leads to %s", words[0], words[1])
				return nil
			},
		},
		{
			use: "domains:remove APP DOMAIN ...", short: "undo domains:add or domains:redirect",
			example: "domains:remove shop www.example.com",
			aliases: []string{"redirect:unset"}, min: 1, max: -1,
			run: func(ctx context.Context, app string, words []string) error {
				return change(ctx, "domains:remove", app, verbs.DomainsArgs{AppArgs: verbs.AppArgs{App: app}, Domains: words})
			},
		},
		{
			use: "domains:set-global DOMAIN", short: "set the domain that all apps are under",
			long:    "An app answers at APP.DOMAIN, the admin page at berth.DOMAIN. A DNS record for\n*.DOMAIN has to lead here.",
			example: "domains:set-global example.com", noApp: true, min: 1, max: 1,
			run: func(ctx context.Context, _ string, words []string) error {
				var now verbs.Domains
				if err := c.ask(ctx, "domains:set-global", verbs.DomainArgs{Domain: words[0]}, &now); err != nil {
					return err
				}
				c.say("apps answer at APP.%s, the admin page at https://berth.%s", now.Global, now.Global)
				return nil
			},
		},
	}
}

func allHosts(d verbs.Domains) []string {
	hosts := d.Domains
	if d.Default != "" {
		hosts = append([]string{d.Default}, hosts...)
	}
	return hosts
}

func printDomains(t *table, d verbs.Domains) {
	t.row("global", d.Global)
	if d.App == "" {
		return
	}
	t.row("app", d.App)
	for i, host := range allHosts(d) {
		if slices.Contains(d.Stripped, host) {
			host += " (the app does not see the path)"
		}
		t.row(label(i, "hosts"), host)
	}
	for i, from := range slices.Sorted(maps.Keys(d.Redirects)) {
		t.row(label(i, "redirects"), from+" to "+d.Redirects[from])
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
