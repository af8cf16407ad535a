package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

var runShows = map[string]printer{
	"run:list":   asTable(printOneOffs),
	"run:stop":   asText(sayEnded),
	"run:retire": asText(sayEnded),
}

func printOneOffs(t *table, all []store.OneOff) {
	t.header("NAME", "STATE", "STARTED", "ENDS", "BY", "COMMAND")
	for _, o := range all {
		ends := "with its connection"
		switch {
		case !o.FinishedAt.IsZero():
			ends = ago(o.FinishedAt)
		case o.TTL > 0:
			ends = ago(o.StartedAt.Add(time.Duration(o.TTL) * time.Second))
		}
		state := string(o.State)
		if o.State == store.OneOffFailed {
			state = fmt.Sprintf("failed (%d)", o.ExitCode)
		}
		t.row(o.Name, state, ago(o.StartedAt), ends, o.By, brief(strings.Join(o.Command, " ")))
	}
}

func sayEnded(c *cli, _ string, ended []store.OneOff) {
	for _, o := range ended {
		c.say("stopped %s", o.Name)
	}
	if len(ended) == 0 {
		c.say("no one-off command was running")
	}
}

// runFlags are those of the commands that run a program. They stand before or
// after the app. The words are the program's from the first that is none of them,
// so that `run shop ls -la` needs no "--".
type runFlags struct {
	noTTY, tty, force bool
	env               []string
	ttl               int
}

func (f *runFlags) flags(cmd *cobra.Command, terminal, fresh bool) {
	if terminal {
		cmd.Flags().BoolVarP(&f.noTTY, "no-tty", "T", false, "no terminal, even at one")
		cmd.Flags().BoolVarP(&f.tty, "tty", "t", false, "a terminal, or an error where there is none")
		cmd.Flags().BoolVar(&f.force, "force-tty", false, "a terminal, even where there is none")
	}
	if fresh {
		cmd.Flags().StringArrayVarP(&f.env, "env", "e", nil, "NAME=VALUE, a variable for this command only; can be repeated")
		cmd.Flags().IntVar(&f.ttl, "ttl-seconds", 0, "time limit in seconds")
	}
}

// parse takes the flags that stand first in the words, and returns the others.
func (f *runFlags) parse(cmd *cobra.Command, words []string) ([]string, error) {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") && words[0] != "-" {
		word := words[0]
		words = words[1:]
		if word == "--" {
			break
		}
		flag := cmd.Flags().Lookup(strings.SplitN(strings.TrimPrefix(word, "--"), "=", 2)[0])
		if !strings.HasPrefix(word, "--") {
			flag = cmd.Flags().ShorthandLookup(word[1:2])
		}
		if flag == nil {
			return nil, usage("%s does not take %.40q", cmd.Name(), word).Hint("-- stands before a command that begins so: usage: berth %s", cmd.Use)
		}
		value, given := "", false
		if long, ok := strings.CutPrefix(word, "--"); ok {
			_, value, given = strings.Cut(long, "=")
		} else if len(word) > 2 {
			value, given = strings.TrimPrefix(word[2:], "="), true
		}
		switch {
		case given:
		case flag.NoOptDefVal != "":
			value = flag.NoOptDefVal
		case len(words) == 0:
			return nil, usage("%s needs a value", word).Hint("usage: berth %s", cmd.Use)
		default:
			value, words = words[0], words[1:]
		}
		if err := cmd.Flags().Set(flag.Name, value); err != nil {
			return nil, usage("%s: %v", word, err).Hint("usage: berth %s", cmd.Use)
		}
	}
	return words, nil
}

// terminal tells whether the program gets one.
func (f *runFlags) terminal(c *cli, name string) (bool, error) {
	switch {
	case f.noTTY && (f.tty || f.force):
		return false, usage("--no-tty excludes --tty and --force-tty")
	case f.tty && c.term == nil:
		return false, usage("there is no terminal here").Hint("over SSH: ssh -t berth@HOST %s ...; --force-tty makes one", name)
	}
	return f.force || c.term != nil && !f.noTTY, nil
}

// inShell gives one word with spaces to a shell.
func inShell(words []string) []string {
	if len(words) == 1 && strings.ContainsAny(words[0], " \t\n") {
		return []string{"bash", "-c", words[0]}
	}
	return words
}

// runCommand is the one-off.
func (c *cli) runCommand() command {
	var f runFlags
	var self *cobra.Command
	return command{
		use: "run APP [--] COMMAND ...",

		min: 1, max: -1, literal: true,
		flags: func(cmd *cobra.Command) { self = cmd; f.flags(cmd, true, true) },
		run: func(ctx context.Context, app string, words []string) error {
			words, err := f.parse(self, words)
			if err != nil {
				return err
			}
			if len(words) == 0 {
				return usage("run needs a command").Hint("usage: berth %s", self.Use)
			}
			terminal, err := f.terminal(c, "run "+app)
			if err != nil {
				return err
			}
			args := verbs.RunArgs{AppArgs: verbs.AppArgs{App: app}, Args: inShell(words), Env: f.env, TTL: f.ttl}
			return c.atTerminal(terminal, func(att runtime.Attachment) (int, error) {
				args.Terminal, args.Size = att.Terminal, att.Size
				return c.client.Attach(ctx, "run", args, att)
			})
		},
	}
}

// atTerminal runs a program with the streams of the command line, at its terminal
// or not, and ends with its exit code.
func (c *cli) atTerminal(terminal bool, run func(runtime.Attachment) (int, error)) error {
	att := runtime.Attachment{Stdin: c.in, Stdout: c.out, Stderr: c.err, Signals: c.signals}
	if terminal {
		att.Terminal = true
		att.Size = runtime.Size{Rows: 24, Cols: 80} // of one that is made without any here
	}
	if terminal && c.term != nil {
		att.Stdout, att.Stderr = c.term.out, c.term.out
		att.Size, att.Resize = c.term.size, c.term.resize
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

// oneOffCommands are those around run.
func (c *cli) oneOffCommands() []command {
	var detached, entered runFlags
	var detach, enter *cobra.Command
	var stopped, logged, container string
	var last lastLines
	var quiet bool
	return []command{
		c.runCommand(),
		{
			use: "run:detached APP [--] COMMAND ...",

			min: 1, max: -1, literal: true,
			flags: func(cmd *cobra.Command) {
				detach = cmd
				detached.flags(cmd, false, true)
			},
			run: func(ctx context.Context, app string, words []string) error {
				words, err := detached.parse(detach, words)
				if err != nil {
					return err
				}
				args := verbs.RunDetachedArgs{AppArgs: verbs.AppArgs{App: app}, Args: inShell(words), Env: detached.env, TTL: detached.ttl}
				var one store.OneOff
				if err := c.ask(ctx, "run:detached", args, &one); err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.out, one.Name)
				return err
			},
		},
		{
			use: "run:stop APP [NAME]|--container NAME",

			maybeApp: true, max: 1,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().StringVar(&stopped, "container", "", "the name from run:list, instead of APP")
			},
			run: func(ctx context.Context, app string, words []string) error {
				app, name, err := oneOffNamed("run:stop", app, stopped, words)
				if err != nil {
					return err
				}
				var raw json.RawMessage
				if err := c.ask(ctx, "run:stop", verbs.OneOffArgs{AppArgs: verbs.AppArgs{App: app}, Name: name}, &raw); err != nil {
					return err
				}
				return runShows["run:stop"](c, app, raw)
			},
		},
		{
			use: "run:logs APP [NAME]|--container NAME",

			maybeApp: true, max: 1, reads: true,
			flags: func(cmd *cobra.Command) {
				last.flags(cmd)
				cmd.Flags().StringVar(&logged, "container", "", "the name from run:list, instead of APP")
				cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only the lines, without time and source")
			},
			run: func(ctx context.Context, app string, words []string) error {
				app, name, err := oneOffNamed("run:logs", app, logged, words)
				if err == nil {
					err = last.check()
				}
				if err != nil {
					return err
				}
				return c.printLogs(ctx, "run:logs", verbs.SourceLogArgs{AppArgs: verbs.AppArgs{App: app}, ID: name, Lines: last.lines, Follow: last.goOn()}, quiet)
			},
		},
		{
			use: "enter APP [INSTANCE] [--] [COMMAND ...]",

			max: -1, literal: true,
			flags: func(cmd *cobra.Command) {
				enter = cmd
				entered.flags(cmd, true, false)
				cmd.Flags().StringVar(&container, "container-id", "", "the id from ps:report, instead of INSTANCE")
			},
			run: func(ctx context.Context, app string, words []string) error {
				words, err := entered.parse(enter, words)
				if err != nil {
					return err
				}
				args := verbs.EnterArgs{AppArgs: verbs.AppArgs{App: app}, Container: container}
				dashed := slices.Contains(c.words, "--") // enter shop -- ls has a command and no instance
				if container == "" && len(words) > 0 && !(dashed && slices.Equal(words, afterDashes(c.words))) {
					args.Instance, words = words[0], words[1:]
					if words, err = entered.parse(enter, words); err != nil {
						return err
					}
				}
				args.Args = inShell(words)
				terminal, err := entered.terminal(c, "enter "+app)
				if err != nil {
					return err
				}
				return c.atTerminal(terminal, func(att runtime.Attachment) (int, error) {
					args.Terminal, args.Size = att.Terminal, att.Size
					return c.client.Attach(ctx, "enter", args, att)
				})
			},
		},
	}
}

// afterDashes returns the words after the first "--".
func afterDashes(words []string) []string {
	return words[slices.Index(words, "--")+1:]
}

// oneOffNamed reads which one-off is meant: of an app all, one by its name, or as
// Dokku's --container, whose name begins with the app's.
func oneOffNamed(verb, app, container string, words []string) (of, name string, err error) {
	switch {
	case container != "" && (app != "" || len(words) > 0):
		return "", "", usage("%s takes the name of an app, or --container", verb)
	case container != "":
		at := strings.LastIndex(container, ".run.")
		if at < 1 {
			return "", "", usage("%.60q is not the name of a one-off", container).Hint("berth run:list shows the names: shop.run.12")
		}
		return container[:at], container[at+1:], nil
	case app == "":
		return "", "", usage("%s needs the name of an app or --container", verb).Hint("berth run:list shows the names: shop.run.12")
	case len(words) > 0:
		return app, words[0], nil
	}
	if at := strings.LastIndex(app, ".run."); at > 0 { // the name of a one-off, where an app's stands
		if _, err := strconv.Atoi(app[at+len(".run."):]); err == nil {
			return app[:at], app[at+1:], nil
		}
	}
	return app, "", nil
}
