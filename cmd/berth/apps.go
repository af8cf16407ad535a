package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/web"
)

func (c *cli) appCommands() []command {
	force := false
	return []command{
		{
			use: "apps:create NAME", short: "make an empty app",
			long:    "Prints the address to push to. A git push to a new name makes the app too.",
			example: "apps:create shop", max: 0,
			run: func(ctx context.Context, app string, _ []string) error {
				var made deploy.AppStatus
				if err := c.ask(ctx, "apps:create", web.AppArgs{App: app}, &made); err != nil {
					return err
				}
				c.say("created %s; to deploy to it:\n  git remote add berth %s\n  git push berth main", app, made.GitURL)
				_, err := fmt.Fprintln(c.out, made.GitURL)
				return err
			},
		},
		{
			use: "apps:list", short: "list the apps", example: "apps:list --format json",
			aliases: []string{"apps"}, noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error {
				return read(ctx, c, "apps:list", nil, printApps)
			},
		},
		{
			use: "apps:info APP", short: "show one app", example: "apps:info shop",
			aliases: []string{"apps:report"}, reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "apps:info", web.AppArgs{App: app}, printApp)
			},
		},
		{
			use: "apps:exists APP", short: "exit with 0 if there is one, else 3", example: "apps:exists shop && echo yes",
			run: func(ctx context.Context, app string, _ []string) error {
				return c.ask(ctx, "apps:info", web.AppArgs{App: app}, nil)
			},
		},
		{
			use: "apps:rename APP NAME", short: "give an app another name", example: "apps:rename shop store",
			min: 1, max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				var renamed deploy.AppStatus
				args := web.RenameArgs{AppArgs: web.AppArgs{App: app}, To: words[0]}
				if err := c.ask(ctx, "apps:rename", args, &renamed); err != nil {
					return err
				}
				c.say("%s is called %s now; to push to it:\n  git remote set-url berth %s", app, renamed.Name, renamed.GitURL)
				return nil
			},
		},
		{
			use: "apps:destroy APP", short: "remove an app and all of its data",
			long:    "Asks for the app's name, unless --force is given.",
			example: "apps:destroy shop --force",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
			},
			run: func(ctx context.Context, app string, _ []string) error {
				confirm := app
				if !force {
					confirm = c.prompt("This removes %s with its releases, config, logs and repository.\nType its name to go on: ", app)
				}
				args := web.DestroyArgs{AppArgs: web.AppArgs{App: app}, Confirm: confirm}
				if err := c.ask(ctx, "apps:destroy", args, nil); err != nil {
					return err
				}
				c.say("destroyed %s", app)
				return nil
			},
		},
	}
}

// prompt asks whoever sits at the terminal for a line; it is empty when nobody does.
func (c *cli) prompt(format string, args ...any) string {
	if c.term == nil {
		return ""
	}
	fmt.Fprintf(c.err, format, args...)
	var line []byte
	for one := make([]byte, 1); len(line) < 1024; { // no more than the line: the rest is not ours
		n, err := c.in.Read(one)
		if n > 0 && (one[0] == '\n' || one[0] == '\r') || err != nil {
			break
		}
		line = append(line, one[:n]...)
	}
	return strings.TrimSpace(string(line))
}

func printApps(t *table, apps []deploy.AppStatus) {
	t.row("NAME", "STATE", "RELEASE", "INSTANCES", "URL")
	for _, app := range apps {
		up := 0
		for _, i := range app.Instances {
			if i.State == "up" {
				up++
			}
		}
		url := ""
		if len(app.URLs) > 0 {
			url = app.URLs[0]
		}
		t.row(app.Name, app.State, releaseName(app.Release), fmt.Sprintf("%d/%d up", up, len(app.Instances)), url)
	}
}

func printApp(t *table, app deploy.AppStatus) {
	t.row("name", app.Name)
	t.row("id", app.ID()) // of its directories
	t.row("state", app.State)
	t.row("release", releaseName(app.Release))
	t.row("built as", app.Summary)
	if app.Building > 0 {
		t.row("building", app.Building)
	}
	for i, url := range app.URLs {
		t.row(label(i, "url"), url)
	}
	t.row("git", app.GitURL)
	t.row("branch", app.Branch)
	t.row("created", ago(app.CreatedAt)+" by "+app.CreatedBy)
	for i, instance := range app.Instances {
		text := fmt.Sprintf("%s  %s  %s", instance.Name, instance.State, releaseName(instance.Release))
		if instance.Detail != "" {
			text += "  " + instance.Detail
		}
		t.row(label(i, "instances"), text)
	}
}

// label stands before the first of several lines.
func label(i int, name string) string {
	if i > 0 {
		return " "
	}
	return name
}

func (c *cli) processCommands() []command {
	process := func(ctx context.Context, verb string, args any, done string) error {
		var report web.Report
		if err := c.ask(ctx, verb, args, &report); err != nil {
			return err
		}
		c.say("%s %s: %s", done, report.App, report.State)
		return nil
	}
	return []command{
		{
			use: "ps:report APP", short: "show what runs", example: "ps:report shop",
			aliases: []string{"ps"}, reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "ps:report", web.AppArgs{App: app}, printReport)
			},
		},
		{
			use: "ps:scale APP [TYPE=N ...]", short: "set how many of each type run",
			long: "Without TYPE=N it shows them.", example: "ps:scale shop web=2 worker=1",
			max: -1, reads: true,
			run: func(ctx context.Context, app string, words []string) error {
				if len(words) == 0 {
					return read(ctx, c, "ps:report", web.AppArgs{App: app}, printFormation)
				}
				formation, err := parseFormation(words)
				if err != nil {
					return err
				}
				args := web.ScaleArgs{AppArgs: web.AppArgs{App: app}, Formation: formation}
				return process(ctx, "ps:scale", args, "scaled")
			},
		},
		{
			use: "ps:set APP PROPERTY [VALUE]", short: "say how processes are run",
			long: "rollout  start-first  the new release is up before the old one stops (usual)\n" +
				"         stop-first   the old one stops before the new one starts, and requests\n" +
				"                      wait: for an app of which two must not run at once\n" +
				"memory     of each instance, job and one-off: 512MB (usual), 2GB\n" +
				"processes  and threads, likewise: 1024 (usual)\n" +
				"\nNo VALUE takes a property back. rollout counts from the next rollout, the\n" +
				"limits at once: what runs is replaced.",
			example: "ps:set shop rollout stop-first\nps:set shop memory 1GB",
			min:     1, max: 2,
			complete: func(words []string) []string {
				if len(words) == 0 {
					return append([]string{"rollout"}, deploy.LimitProperties()...)
				}
				if words[0] != "rollout" {
					return nil
				}
				return []string{string(store.StartFirst), string(store.StopFirst)}
			},
			run: func(ctx context.Context, app string, words []string) error {
				args := web.PSSetArgs{AppArgs: web.AppArgs{App: app}, Property: words[0]}
				if len(words) > 1 {
					args.Value = words[1]
				}
				if err := c.ask(ctx, "ps:set", args, nil); err != nil {
					return err
				}
				c.say("set for %s", app)
				return nil
			},
		},
		{
			use: "ps:restart APP [TYPE]", short: "replace what runs, without downtime", example: "ps:restart shop web",
			max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				args := web.RestartArgs{AppArgs: web.AppArgs{App: app}}
				if len(words) > 0 {
					args.Process = words[0]
				}
				return process(ctx, "ps:restart", args, "restarted")
			},
		},
		{
			use: "ps:stop APP", short: "stop all of it, keep the release", example: "ps:stop shop",
			run: func(ctx context.Context, app string, _ []string) error {
				return process(ctx, "ps:stop", web.AppArgs{App: app}, "stopped")
			},
		},
		{
			use: "ps:start APP", short: "undo ps:stop", example: "ps:start shop",
			run: func(ctx context.Context, app string, _ []string) error {
				return process(ctx, "ps:start", web.AppArgs{App: app}, "started")
			},
		},
		c.runCommand(),
	}
}

func printReport(t *table, r web.Report) {
	t.row("INSTANCE", "STATE", "RELEASE", "SINCE", "RESTARTS", "MEMORY", "DETAIL")
	for _, i := range r.Instances {
		t.row(i.Name, i.State, releaseName(i.Release), ago(i.Since), i.Restarts, size(i.Memory), i.Detail)
	}
	if len(r.Instances) == 0 {
		io.WriteString(t.w, fmt.Sprintf("nothing runs: %s is %s\n", r.App, r.State))
		io.WriteString(t.w, startHint(r))
	}
	io.WriteString(t.w, fmt.Sprintf("limits of each: %s of memory, %d processes\n", size(r.Limits.Memory), r.Limits.Pids))
	if r.Rollout == store.StopFirst {
		io.WriteString(t.w, "rollout: stop-first\n")
	}
}

// startHint says how an app of which nothing runs is started; "" when it
// cannot be.
func startHint(r web.Report) string {
	if r.Release == 0 {
		return ""
	}
	for _, process := range slices.Sorted(maps.Keys(r.Formation)) {
		if process != "release" && r.Formation[process] > 0 {
			return fmt.Sprintf("start it: berth ps:start %s\n", r.App)
		}
	}
	for _, process := range slices.Sorted(maps.Keys(r.Formation)) {
		if process != "release" {
			return fmt.Sprintf("start it: berth ps:scale %s %s=1\n", r.App, process)
		}
	}
	return ""
}

func printFormation(t *table, r web.Report) {
	t.row("TYPE", "INSTANCES")
	types := make([]string, 0, len(r.Formation))
	for name := range r.Formation {
		types = append(types, name)
	}
	slices.Sort(types)
	for _, name := range types {
		t.row(name, r.Formation[name])
	}
}
