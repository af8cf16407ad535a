package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

func (c *cli) eventCommands() []command {
	follow, tail, num := false, false, 0
	return []command{
		{
			use: "events [APP]", maybeApp: true, reads: true,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().IntVarP(&num, "num", "n", 50, "how many of the newest")
				cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
				cmd.Flags().BoolVarP(&tail, "tail", "t", false, "the same, as Dokku calls it")
			},
			run: func(ctx context.Context, app string, _ []string) error {
				args := verbs.EventArgs{App: app, Limit: num}
				if follow || tail {
					return c.followEvents(ctx, args)
				}
				return read(ctx, c, "events", args, func(t *table, events []store.Event) {
					t.header("WHEN", "APP", "BY", "KIND", "WHAT")
					for _, e := range events {
						t.row(ago(e.Time), e.App, e.By, e.Kind, e.Text)
					}
				})
			},
		},
	}
}

// followEvents prints events as lines, whose columns cannot be known beforehand.
func (c *cli) followEvents(ctx context.Context, chosen verbs.EventArgs) error {
	args := verbs.EventFollowArgs{EventArgs: chosen, Follow: true}
	if c.format == "json" {
		return client.Follow(ctx, c.client, "events:follow", args, func(line json.RawMessage) error {
			_, err := fmt.Fprintf(c.out, "%s\n", line)
			return err
		})
	}
	return client.Follow(ctx, c.client, "events:follow", args, func(e store.Event) error {
		app := e.App
		if app == "" {
			app = "-"
		}
		_, err := fmt.Fprintf(c.out, "%s %s %s %s: %s\n", e.Time.UTC().Format(logTime), app, e.By, e.Kind, fault.Printable(e.Text))
		return err
	})
}
