package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/runtime"
)

// runCommand is the one-off. Its words are the program's from the first that
// is no flag of ours, so that `run shop ls -la` needs no "--".
func (c *cli) runCommand() command {
	noTTY, tty := false, false
	return command{
		use: "run APP [--] COMMAND ...",

		min: 1, max: -1, literal: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVarP(&noTTY, "no-tty", "T", false, "no terminal, even at one")
			cmd.Flags().BoolVarP(&tty, "tty", "t", false, "a terminal, or an error where there is none")
		},
		run: func(ctx context.Context, app string, words []string) error {
			for len(words) > 0 && slices.Contains([]string{"-T", "--no-tty", "-t", "--tty", "--"}, words[0]) {
				noTTY = noTTY || words[0] == "-T" || words[0] == "--no-tty"
				tty = tty || words[0] == "-t" || words[0] == "--tty"
				words = words[1:]
				if len(words) == 0 {
					return usage("run needs a command").Hint("usage: berth run APP [--] COMMAND ...")
				}
			}
			if tty && c.term == nil {
				return usage("there is no terminal here").Hint("over SSH: ssh -t berth@HOST run %s ...", app)
			}
			if len(words) == 1 && strings.ContainsAny(words[0], " \t\n") {
				words = []string{"bash", "-c", words[0]}
			}
			return c.runOnce(ctx, app, words, c.term != nil && !noTTY)
		},
	}
}

func (c *cli) runOnce(ctx context.Context, app string, words []string, terminal bool) error {
	return c.atTerminal(terminal, func(att runtime.Attachment) (int, error) { return c.client.Run(ctx, app, words, att) })
}

// atTerminal runs a program with the streams of the command line, at its terminal
// or not, and ends with its exit code.
func (c *cli) atTerminal(terminal bool, run func(runtime.Attachment) (int, error)) error {
	att := runtime.Attachment{Stdin: c.in, Stdout: c.out, Stderr: c.err, Signals: c.signals}
	if terminal {
		att.Stdout, att.Stderr = c.term.out, c.term.out
		att.Terminal, att.Size, att.Resize = true, c.term.size, c.term.resize
		restore, err := c.term.raw()
		if err != nil {
			return err
		}
		defer restore()
	}
	code, err := run(att)
	if err != nil {
		return err
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}
