package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/verbs"
)

// networkShows has what is found about the machine too. The command ends well
// whatever that is: the code of each finding says what it is about.
var networkShows = map[string]printer{
	"doctor": asTable(func(t *table, found []deploy.Finding) {
		if len(found) == 0 {
			t.row("nothing found")
		}
		for _, f := range found {
			t.row(f.Code, f.Text)
			if f.Hint != "" {
				t.row("hint", f.Hint)
			}
		}
	}),
}

// printConsents shows a consent on a line, and what is wrong with it beneath.
func printConsents(t *table, consents []edge.ConsentReport) {
	if len(consents) == 0 {
		t.row("no app may call another one")
		return
	}
	t.header("FROM", "TO", "WHAT", "NAME", "REACHED")
	for _, c := range consents {
		reached := strings.Join(c.Reached, " ")
		if reached == "" {
			reached = c.Trouble
		}
		t.row(c.From, c.To, c.Port, c.Name, reached)
	}
}

func (c *cli) networkCommands() []command {
	global := false
	forAll := func(cmd *cobra.Command) {
		cmd.Flags().BoolVar(&global, "global", false, "what holds for all apps")
	}
	return []command{
		{
			after: "network:set-global", use: "network:set --global PROPERTY [VALUE]", short: "set which private networks apps reach",
			long: "lan        allow, deny or auto: whether apps and builds reach private networks\n" +
				"           (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10);\n" +
				"           auto denies on a machine with a public IPv4 address\n" +
				"lan-allow  exceptions: addresses and networks that they can reach, or none\n" +
				"public-addresses\n" +
				"           addresses that lead to this machine from outside though it does not\n" +
				"           have them, as behind a router at home, or none\n" +
				"\nApps always reach the public URLs of this machine's apps, by its own addresses\n" +
				"and by the public ones. They reach nothing else of the machine except its DNS\n" +
				"servers, no metadata addresses, and other apps only by network:allow.\n" +
				"Without VALUE a property is unset. Changes apply at once, also to running apps.",
			example: "network:set --global lan deny\nnetwork:set --global lan-allow 192.168.1.10 10.8.0.0/24\nnetwork:set --global public-addresses 203.0.113.7",
			noApp:   true, min: 1, max: -1, flags: forAll,
			complete: func(words []string) []string {
				if len(words) == 0 {
					return edge.NetworkProperties()
				}
				return edge.NetworkValues(words[0])
			},
			run: func(ctx context.Context, _ string, words []string) error {
				value := strings.Join(words[1:], ",")
				if !global {
					return usage("the network is set for all apps at once").Hint("%s", strings.TrimSpace("berth network:set --global "+words[0]+" "+value)).
						Hint("to let one app call another: berth network:allow FROM TO")
				}
				if err := c.ask(ctx, "network:set-global", verbs.SetArgs{Property: words[0], Value: value}, nil); err != nil {
					return err
				}
				c.say("set for all apps")
				return nil
			},
		},
		{
			after: "network:report-global", use: "network:report [APP]", short: "show which apps may call which",
			long: "Without APP it is of all apps. With --global it is what apps reach beside the\n" +
				"internet instead: what network:set has set.",
			example:  "network:report\nnetwork:report shop\nnetwork:report --global",
			maybeApp: true, reads: true, flags: forAll,
			run: func(ctx context.Context, app string, _ []string) error {
				if !global {
					return read(ctx, c, "network:report", verbs.ConsentsArgs{App: app}, printConsents)
				}
				if app != "" {
					return usage("what apps reach beside the internet is the same for all").Hint("berth network:report --global")
				}
				return read(ctx, c, "network:report-global", nil, func(t *table, r edge.NetworkReport) {
					printRouter(t, edge.RouterReport{Properties: r.Properties})
				})
			},
		},
	}
}
