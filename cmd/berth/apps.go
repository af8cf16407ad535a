package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

var appShows = map[string]printer{
	"apps:list": asTable(printApps),
	"apps:info": asTable(printApp),
}

var processShows = map[string]printer{
	"ps:report":  asTable(printReport),
	"ps:restart": asText(tellDone("restarted")),
	"ps:rebuild": asText(tellDone("rebuilt")),
	"ps:stop":    asText(tellDone("stopped")),
	"ps:start":   asText(tellDone("started")),
}

// tellDone says what was done to an app, or to all of them.
func tellDone(what string) func(*cli, string, verbs.Report) {
	return func(c *cli, app string, r verbs.Report) {
		if app != "" {
			c.say("%s %s: %s", what, app, r.State)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(r.Done)) {
			c.say("%s %s: %s", what, name, r.Done[name])
		}
		if len(r.Done) == 0 {
			c.say("no app to be %s", what)
		}
	}
}

func (c *cli) appCommands() []command {
	force := false
	return []command{
		{
			use: "apps:locked APP", reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				var state verbs.LockState
				if err := c.ask(ctx, "apps:locked", verbs.AppArgs{App: app}, &state); err != nil {
					return err
				}
				if c.format == "json" {
					if err := encodeJSON(c.out, state); err != nil {
						return err
					}
				} else if state.Locked {
					c.say("deploys of %s are locked, by %s, %s", app, state.By, ago(state.At))
				} else {
					c.say("deploys of %s are not locked", app)
				}
				if !state.Locked {
					return exitCode(1)
				}
				return nil
			},
		},

		{
			after: "apps:info", use: "apps:exists APP", short: "exit with 0 if the app exists, else 3", example: "apps:exists shop && echo yes",
			run: func(ctx context.Context, app string, _ []string) error {
				return c.ask(ctx, "apps:info", verbs.AppArgs{App: app}, nil)
			},
		},

		{
			use: "apps:destroy APP",

			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
			},
			run: func(ctx context.Context, app string, _ []string) error {
				confirm := app
				if !force && !c.global.force {
					confirm = c.prompt("This removes %s with its releases, config, logs and repository.\nType its name to confirm: ", app)
				}
				args := verbs.DestroyArgs{AppArgs: verbs.AppArgs{App: app}, Confirm: confirm}
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
	if t.quiet { // a name a line, as scripts for Dokku read them
		for _, app := range apps {
			t.row(app.Name)
		}
		return
	}
	t.header("NAME", "STATE", "RELEASE", "INSTANCES", "URL")
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
	if app.Locked != nil {
		t.row("locked", ago(app.Locked.At)+" by "+app.Locked.By)
	}
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
	var skip, unscale bool
	return []command{

		{
			use: "ps:scale APP [TYPE=N ...]",

			max: -1, reads: true,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&skip, "skip-deploy", false, "it counts from the next release or restart")
				cmd.Flags().BoolVar(&unscale, "clear", false, "as many as app.json says, or as is usual")
			},
			run: func(ctx context.Context, app string, words []string) error {
				if len(words) == 0 && !unscale {
					return read(ctx, c, "ps:report", verbs.AppArgs{App: app}, printFormation)
				}
				formation, err := parseFormation(words)
				if err != nil {
					return err
				}
				args := verbs.ScaleArgs{AppArgs: verbs.AppArgs{App: app}, Formation: formation, SkipDeploy: skip, Clear: unscale}
				var report verbs.Report
				if err := c.ask(ctx, "ps:scale", args, &report); err != nil {
					return err
				}
				if skip {
					c.say("kept for the next release or restart of %s", report.App)
					return nil
				}
				c.say("scaled %s: %s", report.App, report.State)
				return nil
			},
		},
	}
}

func printReport(t *table, r verbs.Report) {
	if r.App == "" {
		printRows(t, r.Properties)
		return
	}
	t.header("INSTANCE", "STATE", "RELEASE", "SINCE", "RESTARTS", "MEMORY", "PEAK", "LIMIT", "DETAIL")
	for _, i := range r.Instances {
		t.row(i.Name, i.State, releaseName(i.Release), ago(i.Since), i.Restarts, size(i.Memory), size(i.Peak), size(cmp.Or(i.Limit, r.Limits.Memory)), i.Detail)
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
func startHint(r verbs.Report) string {
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

func printFormation(t *table, r verbs.Report) {
	t.header("TYPE", "INSTANCES")
	types := make([]string, 0, len(r.Formation))
	for name := range r.Formation {
		types = append(types, name)
	}
	slices.Sort(types)
	for _, name := range types {
		if t.quiet { // as scripts for Dokku read it
			t.line("%s: %d", name, r.Formation[name])
			continue
		}
		t.row(name, r.Formation[name])
	}
}
