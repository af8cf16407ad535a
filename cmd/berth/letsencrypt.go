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

var letsencryptShows = map[string]printer{
	"letsencrypt:set": asText(func(c *cli, _ string, now verbs.LetsEncrypt) {
		c.say("certificates come from %s", issuer(now))
		if now.Incomplete != "" {
			c.say("not used yet: %s", now.Incomplete)
		}
	}),
	"letsencrypt:report":  asTable(printLetsEncrypt),
	"letsencrypt:list":    asTable(printCertificates),
	"letsencrypt:enable":  asTable(printCertificates),
	"letsencrypt:disable": asTable(printCertificates),
	"letsencrypt:cleanup": asText(func(c *cli, _ string, deleted verbs.Count) {
		if deleted.Count == 0 {
			c.say("no certificates to delete")
			return
		}
		c.say("deleted: %s", strings.Join(deleted.Names, ", "))
	}),
	"letsencrypt:revoke": asText(func(c *cli, app string, revoked verbs.Count) {
		if revoked.Count == 0 {
			c.say("%s has no certificates of the CA", app)
			return
		}
		c.say("revoked, and new ones are ordered: %s", strings.Join(revoked.Names, ", "))
	}),
}

func (c *cli) letsencryptCommands() []command {
	cron := [2]bool{}
	return []command{
		{
			use: "letsencrypt:active APP",

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
			after: "letsencrypt:cleanup", use: "letsencrypt:auto-renew [APP]", short: "renewal is always automatic", example: "letsencrypt:auto-renew",
			maybeApp: true, max: 0,
			run: func(context.Context, string, []string) error {
				c.say("certificates are renewed automatically: when the CA says so, or when a third of\ntheir lifetime is left")
				return nil
			},
		},
		{
			after: "letsencrypt:auto-renew", use: "letsencrypt:cron-job", short: "renewal needs no cron job", example: "letsencrypt:cron-job --add", noApp: true,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&cron[0], "add", false, "has no effect")
				cmd.Flags().BoolVar(&cron[1], "remove", false, "is refused: renewal cannot be turned off")
			},
			run: func(context.Context, string, []string) error {
				if cron[1] {
					return usage("renewal cannot be turned off").Hint("berth letsencrypt:disable APP stops certificates of the CA for an app")
				}
				c.say("certificates are renewed without a cron job")
				return nil
			},
		},
	}
}

func printLetsEncrypt(t *table, now verbs.LetsEncrypt) {
	if now.App != "" {
		t.row("app", now.App)
		t.row("active", onOff(now.Active))
		if now.Disabled {
			t.row("disabled", "letsencrypt:enable undoes it")
		}
		return
	}
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
}

// printCertificates lists what hosts are served with, and what went wrong.
func printCertificates(t *table, rows []verbs.Certificate) {
	t.header("APP", "HOST", "FROM", "ISSUER", "EXPIRES", "STATE")
	for _, row := range rows {
		t.row(or(row.App, "berth"), row.Host, servedBy(row.Source), or(row.Issuer, "-"), expiry(row, time.Now()), state(row, time.Now()))
	}
	for _, row := range slices.DeleteFunc(slices.Clone(rows), func(row verbs.Certificate) bool { return row.LastError == "" }) {
		t.row("")
		t.row(row.Host + ": " + row.LastError)
	}
	for _, row := range rows {
		if row.NewRoot {
			t.row("")
			t.row(row.Host + ": a root fetched before the host was added does not cover it; see certs:trust")
		}
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
