package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/verbs"
)

func (c *cli) letsencryptCommands() []command {
	global := false
	cron := [2]bool{}
	ofApp := func(verb, done string) func(context.Context, string, []string) error {
		return func(ctx context.Context, app string, _ []string) error {
			var rows []verbs.Certificate
			if err := c.ask(ctx, verb, verbs.AppArgs{App: app}, &rows); err != nil {
				return err
			}
			c.say(done, app)
			t := newTable(c.out)
			printCertificates(t, rows)
			return t.flush()
		}
	}
	return []command{
		{
			use: "letsencrypt:set --global NAME VALUE", short: "say how certificates come about",
			long: "email   contact of the ACME account; with it certificates come from Let's\n" +
				"        Encrypt, without it from the appliance's own CA\n" +
				"server  another CA's ACME directory: an address, letsencrypt, staging or zerossl\n" +
				"roots   file of PEM certificates trusted for that server\n" +
				"profile           kind of certificates, as the CA names it\n" +
				"eab-kid, eab-hmac-key      external account, for a CA that knows its customers\n" +
				"fallback-server, fallback-roots, fallback-eab-kid, fallback-eab-hmac-key\n" +
				"                  likewise of a second CA, asked when the first does not deliver\n" +
				"ip-addresses      on: the machine's public addresses are certified too\n" +
				"dns-provider      cloudflare, route53, digitalocean, hetzner, gandi or rfc2136:\n" +
				"                  names are proved by records there, wildcards among them\n" +
				"dns-provider-NAME a setting of the provider, CLOUDFLARE_DNS_API_TOKEN say\n" +
				"dns-resolvers     asked for those records in place of the system's\n" +
				"An empty VALUE takes a property back. roots and secrets are read from the file\n" +
				"VALUE when it is @FILE, from standard input when it is -.",
			example: "letsencrypt:set --global email ops@example.com\nletsencrypt:set --global dns-provider-DO_AUTH_TOKEN - <token",
			noApp:   true, min: 2, max: 2,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&global, "global", false, "for all apps; there is no other way")
			},
			run: func(ctx context.Context, _ string, words []string) error {
				if !global {
					return usage("certificates are set for all apps at once").Hint("berth letsencrypt:set --global %s VALUE", words[0])
				}
				args := verbs.SetArgs{Property: words[0], Value: words[1]}
				file, named := strings.CutPrefix(args.Value, "@")
				if args.Value == "-" || strings.HasSuffix(args.Property, "roots") && args.Value != "" {
					file, named = strings.TrimPrefix(args.Value, "@"), true
				}
				if named {
					text, err := c.readFile(file)
					if err != nil {
						return err
					}
					args.Value = strings.TrimRight(text, "\r\n")
				}
				var now verbs.LetsEncrypt
				if err := c.ask(ctx, "letsencrypt:set", args, &now); err != nil {
					return err
				}
				c.say("certificates come from %s", issuer(now))
				if now.Incomplete != "" {
					c.say("not used yet: %s", now.Incomplete)
				}
				return nil
			},
		},
		{
			use: "letsencrypt:report", short: "show where certificates come from", example: "letsencrypt:report",
			noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				return read(ctx, c, "letsencrypt:report", nil, func(t *table, now verbs.LetsEncrypt) {
					t.row("certificates", "from "+issuer(now))
					t.row("email", now.Email)
					t.row("server", now.Server)
					for _, more := range [][2]string{
						{"profile", now.Profile}, {"external account", now.KeyID},
						{"fallback", now.Fallback}, {"its account", now.FallbackKeyID},
						{"DNS provider", now.DNSProvider}, {"its settings", strings.Join(now.DNSSettings, ", ")},
						{"resolvers", strings.Join(now.DNSResolvers, ", ")}, {"not used yet", now.Incomplete},
					} {
						if more[1] != "" {
							t.row(more[0], more[1])
						}
					}
					if now.Addresses {
						t.row("addresses", "certified too")
					}
				})
			},
		},
		{
			use: "letsencrypt:list [APP]", short: "show the CA's certificates and errors", example: "letsencrypt:list",
			aliases: []string{"letsencrypt:ls"}, maybeApp: true, reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "letsencrypt:list", verbs.DomainsReportArgs{App: app}, printCertificates)
			},
		},
		{
			use: "letsencrypt:enable APP", short: "ask the CA for an app's certificates now",
			long:    "It is asked by itself when a domain is added; this asks again at once after a\nfailure, undoes letsencrypt:disable, and waits for the answer.",
			example: "letsencrypt:enable shop",
			run:     ofApp("letsencrypt:enable", "%s is certified by the CA"),
		},
		{
			use: "letsencrypt:disable APP", short: "keep an app's hosts from the CA",
			long:    "They are served with certificates of their own, or of the appliance's CA.",
			example: "letsencrypt:disable shop",
			run:     ofApp("letsencrypt:disable", "%s is certified by the appliance's own CA, or by its own certificates"),
		},
		{
			use: "letsencrypt:active APP", short: "tell whether the CA certifies an app", example: "letsencrypt:active shop",
			long: "It prints true or false; the exit code is 0 for true and 1 for false.",
			run: func(ctx context.Context, app string, _ []string) error {
				var now verbs.Active
				if err := c.ask(ctx, "letsencrypt:active", verbs.AppArgs{App: app}, &now); err != nil {
					return err
				}
				fmt.Fprintln(c.out, now.Active)
				if !now.Active {
					return exitCode(1)
				}
				return nil
			},
		},
		{
			use: "letsencrypt:revoke APP", short: "declare an app's certificates void",
			long:    "New ones with new keys are ordered, unless letsencrypt:disable was said before.",
			example: "letsencrypt:revoke shop",
			run: func(ctx context.Context, app string, _ []string) error {
				var revoked verbs.Count
				if err := c.ask(ctx, "letsencrypt:revoke", verbs.AppArgs{App: app}, &revoked); err != nil {
					return err
				}
				if revoked.Count == 0 {
					c.say("%s has no certificates of the CA", app)
					return nil
				}
				c.say("revoked, and new ones are on their way: %s", strings.Join(revoked.Names, ", "))
				return nil
			},
		},
		{
			use: "letsencrypt:cleanup [APP]", short: "forget certificates of former hosts", example: "letsencrypt:cleanup",
			maybeApp: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				var deleted verbs.Count
				if err := c.ask(ctx, "letsencrypt:cleanup", nil, &deleted); err != nil {
					return err
				}
				if deleted.Count == 0 {
					c.say("nothing to forget")
					return nil
				}
				c.say("forgotten: %s", strings.Join(deleted.Names, ", "))
				return nil
			},
		},
		{
			use: "letsencrypt:auto-renew [APP]", short: "renewing is always on", example: "letsencrypt:auto-renew",
			maybeApp: true, max: 0,
			run: func(context.Context, string, []string) error {
				c.say("certificates renew themselves, always: when the CA says so, or when a third of\ntheir life is left. There is nothing to start.")
				return nil
			},
		},
		{
			use: "letsencrypt:cron-job", short: "renewing needs no cron job", example: "letsencrypt:cron-job --add", noApp: true,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&cron[0], "add", false, "there is nothing to add")
				cmd.Flags().BoolVar(&cron[1], "remove", false, "there is nothing to remove")
			},
			run: func(context.Context, string, []string) error {
				if cron[1] {
					return usage("renewing cannot be turned off").Hint("berth letsencrypt:disable APP takes an app's hosts from the CA")
				}
				c.say("certificates renew themselves without a cron job")
				return nil
			},
		},
	}
}

// printCertificates lists what hosts are served with, and what went wrong.
func printCertificates(t *table, rows []verbs.Certificate) {
	t.row("APP", "HOST", "FROM", "ISSUER", "EXPIRES", "STATE")
	for _, row := range rows {
		t.row(or(row.App, "berth"), row.Host, servedBy(row.Source), or(row.Issuer, "-"), expiry(row, time.Now()), state(row, time.Now()))
	}
	for _, row := range slices.DeleteFunc(slices.Clone(rows), func(row verbs.Certificate) bool { return row.LastError == "" }) {
		t.row("")
		t.row(row.Host + ": " + row.LastError)
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func servedBy(of string) string {
	switch of {
	case "own":
		return "its own"
	case "acme":
		return "the CA"
	}
	return "berth's own CA"
}

func expiry(row verbs.Certificate, now time.Time) string {
	if row.NotAfter.IsZero() {
		return "-"
	}
	days := int(row.NotAfter.Sub(now).Hours() / 24)
	return fmt.Sprintf("%s (%d days)", row.NotAfter.UTC().Format(time.DateOnly), days)
}

func state(row verbs.Certificate, now time.Time) string {
	switch {
	case row.LastError != "":
		return "failed"
	case row.Pending && row.Source == "local":
		return "ordered"
	case row.Source == "own" && row.NotAfter.Sub(now) < 14*24*time.Hour:
		return "expires soon"
	}
	return "ok"
}

func issuer(now verbs.LetsEncrypt) string {
	switch {
	case now.Email == "":
		return "the appliance's own CA, see certs:root"
	case now.Server != "":
		return now.Server
	}
	return "Let's Encrypt, as " + now.Email
}
