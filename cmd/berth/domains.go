package main

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/web"
)

func (c *cli) domainCommands() []command {
	global, strip := false, false
	change := func(ctx context.Context, verb, app string, args any) error {
		var now web.Domains
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
				args := web.DomainsArgs{AppArgs: web.AppArgs{App: app}, Domains: words}
				return change(ctx, "domains:add", app, web.DomainsAddArgs{DomainsArgs: args, Strip: strip})
			},
		},
		{
			use: "domains:redirect APP HOST TARGET", short: "send a host's visitors to another",
			long: "The path and the query are kept, and so is the method (308). domains:remove\n" +
				"ends it.",
			example: "domains:redirect shop www.example.com example.com",
			aliases: []string{"redirect:set"}, min: 2, max: 2,
			run: func(ctx context.Context, app string, words []string) error {
				args := web.RedirectArgs{AppArgs: web.AppArgs{App: app}, From: words[0], To: words[1]}
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
				return change(ctx, "domains:remove", app, web.DomainsArgs{AppArgs: web.AppArgs{App: app}, Domains: words})
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
		{
			use: "letsencrypt:set --global NAME VALUE", short: "say how certificates come about",
			long: "email   contact of the ACME account; with it certificates come from Let's\n" +
				"        Encrypt, without it from the appliance's own CA\n" +
				"server  address of another CA's ACME directory\n" +
				"roots   file of PEM certificates trusted for that server, - is standard input\n" +
				"An empty VALUE takes a property back.",
			example: "letsencrypt:set --global email ops@example.com", noApp: true, min: 2, max: 2,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&global, "global", false, "for all apps; there is no other way")
			},
			run: func(ctx context.Context, _ string, words []string) error {
				if !global {
					return usage("certificates are set for all apps at once").Hint("berth letsencrypt:set --global %s VALUE", words[0])
				}
				args := web.SetArgs{Property: words[0], Value: words[1]}
				if args.Property == "roots" && args.Value != "" {
					var err error
					if args.Value, err = c.readFile(args.Value); err != nil {
						return err
					}
				}
				var now web.LetsEncrypt
				if err := c.ask(ctx, "letsencrypt:set", args, &now); err != nil {
					return err
				}
				c.say("certificates come from %s", issuer(now))
				return nil
			},
		},
		{
			use: "letsencrypt:report", short: "show where certificates come from", example: "letsencrypt:report",
			noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				return read(ctx, c, "letsencrypt:report", nil, func(t *table, now web.LetsEncrypt) {
					t.row("certificates", "from "+issuer(now))
					t.row("email", now.Email)
					t.row("server", now.Server)
				})
			},
		},
		{
			use: "certs:root", short: "print the certificate of berth's own CA",
			long:    "Whoever trusts it can open the apps without a warning, before Let's Encrypt is\nset up.",
			example: "certs:root >berth.pem", noApp: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				var root web.Root
				if err := c.ask(ctx, "certs:root", nil, &root); err != nil {
					return err
				}
				_, err := io.WriteString(c.out, root.PEM)
				return err
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
		if slices.Contains(d.Stripped, host) {
			host += " (the app does not see the path)"
		}
		t.row(label(i, "hosts"), host)
	}
	for i, from := range slices.Sorted(maps.Keys(d.Redirects)) {
		t.row(label(i, "redirects"), from+" to "+d.Redirects[from])
	}
}

func issuer(now web.LetsEncrypt) string {
	switch {
	case now.Email == "":
		return "the appliance's own CA, see certs:root"
	case now.Server != "":
		return now.Server
	}
	return "Let's Encrypt, as " + now.Email
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
