package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

var requestShows = map[string]printer{"router:traffic": asTable(printTraffic)}

func (c *cli) requestCommands() []command {
	var args verbs.RequestArgs
	var last lastLines
	return []command{
		{
			use: "router:logs [APP]",

			maybeApp: true, reads: true,
			flags: func(cmd *cobra.Command) {
				last.flags(cmd)
				cmd.Flags().StringVarP(&args.Status, "status", "s", "", "only this status or class: 404, 5xx")
			},
			run: func(ctx context.Context, app string, _ []string) error {
				if err := last.check(); err != nil {
					return err
				}
				args.App, args.Lines, args.Follow = app, last.lines, last.goOn()
				return c.requests(ctx, args)
			},
		},
	}
}

func (c *cli) requests(ctx context.Context, args verbs.RequestArgs) error {
	if c.format == "json" { // an object a line: following has no end that could close a list
		return client.Follow(ctx, c.client, "router:logs", args, func(line json.RawMessage) error {
			_, err := fmt.Fprintf(c.out, "%s\n", line)
			return err
		})
	}
	return client.Follow(ctx, c.client, "router:logs", args, func(line edge.RequestLine) error {
		_, err := fmt.Fprintln(c.out, c.requestText(line))
		return err
	})
}

// requestText is a request in a line, with nothing in it that could command a
// terminal.
func (c *cli) requestText(line edge.RequestLine) string {
	dim, bad, plain := "", "", ""
	if c.color {
		dim, plain = "\x1b[2m", "\x1b[0m"
		if line.Status >= 500 {
			bad = "\x1b[31m"
		}
	}
	at := dim + line.Time.UTC().Format(logTime) + plain
	if line.Dropped > 0 {
		return fmt.Sprintf("%s %d lines could not be written", at, line.Dropped)
	}
	by := line.Instance
	if by == "" {
		by = "-"
	}
	asked := fault.Printable(line.Method + " " + line.Host + line.Path)
	return fmt.Sprintf("%s %s%d%s %s %s %.1fms %dB %s", at, bad, line.Status, plain, asked,
		by, line.Duration, line.BytesOut, line.Client)
}

func printTraffic(t *table, tr edge.Traffic) {
	t.row("app", tr.App)
	t.row("over the last", fmt.Sprintf("%.0fs", tr.Seconds))
	t.row("requests", fmt.Sprintf("%.2f/s", tr.Requests))
	t.row("errors", fmt.Sprintf("%.2f%%", 100*tr.Errors))
	t.row("p50", fmt.Sprintf("%.0fms", tr.P50))
	t.row("p99", fmt.Sprintf("%.0fms", tr.P99))
	t.row("in flight", tr.InFlight)
	t.row("in", fmt.Sprintf("%.0f B/s", tr.BytesIn))
	t.row("out", fmt.Sprintf("%.0f B/s", tr.BytesOut))
	t.row("refused", tr.Refused)
	t.row("retries", tr.Retries)
}
