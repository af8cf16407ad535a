package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/verbs"
)

// logTime is when a line was written, in UTC, with what a person can use of it.
const logTime = "2006-01-02T15:04:05.000Z"

// lastLines is which lines of a log are asked for.
type lastLines struct {
	lines        int
	follow, tail bool // the same twice
}

func (l lastLines) goOn() bool { return l.follow || l.tail }

func (l *lastLines) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&l.follow, "follow", "f", false, "follow until interrupted")
	cmd.Flags().BoolVarP(&l.tail, "tail", "t", false, "same as --follow, as in Dokku and Heroku")
	cmd.Flags().IntVarP(&l.lines, "num", "n", 100, "number of last lines to show, -1 for all")
}

func (l lastLines) check() error {
	if l.lines == 0 && !l.goOn() {
		return usage("--num must be at least 1").Hint("--num -1 shows all lines")
	}
	return nil
}

func (c *cli) logCommands() []command {
	var logs verbs.LogArgs
	var last lastLines
	bare := false
	return []command{
		{
			use: "logs APP",

			reads: true,
			flags: func(cmd *cobra.Command) {
				last.flags(cmd)
				cmd.Flags().BoolVarP(&bare, "quiet", "q", false, "what was written alone, without time and process")
				cmd.Flags().StringVarP(&logs.Process, "ps", "p", "", "a type (web), an instance (web.1), a job (cron.ID) or a phase (release)")
			},
			run: func(ctx context.Context, app string, _ []string) error {
				if err := last.check(); err != nil {
					return err
				}
				logs.App, logs.Lines, logs.Follow = app, last.lines, last.goOn()
				return c.logs(ctx, logs, bare)
			},
		},
	}
}

func (c *cli) logs(ctx context.Context, args verbs.LogArgs, bare bool) error {
	return c.printLogs(ctx, "logs", args, bare)
}

// printLogs prints the lines that a verb streams; bare leaves out when and where
// they were written.
func (c *cli) printLogs(ctx context.Context, verb string, args any, bare bool) error {
	if c.format == "json" { // an object a line: following has no end that could close a list
		return client.Follow(ctx, c.client, verb, args, func(line json.RawMessage) error {
			_, err := fmt.Fprintf(c.out, "%s\n", line)
			return err
		})
	}
	dim, plain := "", ""
	if c.color {
		dim, plain = "\x1b[2m", "\x1b[0m"
	}
	return client.Follow(ctx, c.client, verb, args, func(line logs.LogLine) error {
		if bare {
			_, err := fmt.Fprintln(c.out, line.Text)
			return err
		}
		source := line.Source
		if line.Stream == "berth" {
			source = "berth[" + source + "]" // as Heroku marks what the platform says of a process
		}
		_, err := fmt.Fprintf(c.out, "%s%s %s |%s %s\n", dim, line.Time.UTC().Format(logTime), source, plain, line.Text)
		return err
	})
}
