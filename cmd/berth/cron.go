package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

var cronShows = map[string]printer{
	"cron:list":   asTable(printCron),
	"cron:runs":   asTable(printCronRuns),
	"cron:report": asTable(printCronReport),
}

func (c *cli) cronCommands() []command {
	var run verbs.CronRunArgs
	var set cronSet
	var setting *cobra.Command
	var last lastLines
	return []command{
		{
			use: "cron:run APP ID",

			min: 1, max: 1,
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&run.Detach, "detach", false, "wait only until it has started")
				cmd.Flags().IntVar(&run.TTL, "ttl-seconds", 0, "time limit in seconds")
			},
			run: func(ctx context.Context, app string, words []string) error {
				run.App, run.ID = app, words[0]
				var ran store.CronRun
				if err := c.client.Call(ctx, "cron:run", run, &ran, c.out); err != nil {
					return err
				}
				if run.Detach {
					c.say("run %d of %s has started; berth cron:logs %s %d shows what it prints", ran.Number, ran.Job, app, ran.Number)
					return nil
				}
				if ran.Error != "" {
					c.printFault(&fault.Error{Message: ran.Error})
					return exitCode(ran.ExitCode)
				}
				c.say("run %d of %s ended with %d after %.1fs", ran.Number, ran.Job, ran.ExitCode, ran.FinishedAt.Sub(ran.StartedAt).Seconds())
				if ran.ExitCode != 0 {
					return exitCode(ran.ExitCode)
				}
				return nil
			},
		},
		{
			use: "cron:set APP NAME SCHEDULE COMMAND ...",

			min: 1, max: -1, literal: true,
			flags: func(cmd *cobra.Command) { setting = cmd; set.flags(cmd) },
			run: func(ctx context.Context, app string, words []string) error {
				args, err := set.parse(setting, words)
				if err != nil {
					return err
				}
				args.App = app
				if err := c.ask(ctx, "cron:set", args, nil); err != nil {
					return err
				}
				c.say("set for %s", app)
				return nil
			},
		},
		{
			use: "cron:logs APP ID|RUN",

			min: 1, max: 1, reads: true,
			flags: last.flags,
			run: func(ctx context.Context, app string, words []string) error {
				if err := last.check(); err != nil {
					return err
				}
				return c.printLogs(ctx, "cron:logs", verbs.SourceLogArgs{AppArgs: verbs.AppArgs{App: app}, ID: words[0], Lines: last.lines, Follow: last.goOn()}, false)
			},
		},
	}
}

// cronSet reads the words of cron:set.
type cronSet struct {
	verbs.CronSetArgs
	timeout string
	run     runFlags // for its way with flags among words
}

func (s *cronSet) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.Timezone, "timezone", "", "time zone of the schedule, for example Europe/Berlin")
	cmd.Flags().StringVar(&s.Concurrency, "concurrency-policy", "", "allow, forbid or replace a run still in progress (default allow)")
	cmd.Flags().StringVar(&s.Missed, "missed", "", "what to do about runs that were due while berth was down: skip or once (default skip)")
	cmd.Flags().StringVar(&s.timeout, "timeout", "", "time limit of a run, in seconds or as 10m (default 24h)")
	cmd.Flags().IntVar(&s.Retries, "retries", 0, "how many times to retry a failed run")
}

// parse reads NAME SCHEDULE COMMAND ..., or the NAME and VALUE of a property. A
// schedule may be one word or, as a shell on the way leaves it, five.
func (s *cronSet) parse(cmd *cobra.Command, words []string) (args verbs.CronSetArgs, err error) {
	how := "usage: berth " + cmd.Use
	if words, err = s.run.parse(cmd, words); err != nil {
		return args, err
	}
	if len(words) == 0 {
		return args, usage("cron:set needs the name of a job, or of a property").Hint("%s", how)
	}
	s.Name, words = words[0], words[1:]
	if slices.Contains(jobs.CronProperties, s.Name) || len(words) <= 1 {
		if len(words) > 1 {
			return args, usage("cron:set %s takes one value", s.Name).Hint("%s is a property of all jobs, and no job can have the name", s.Name)
		}
		s.Value = strings.Join(words, "")
		return s.CronSetArgs, nil
	}
	if words, err = s.run.parse(cmd, words); err != nil {
		return args, err
	}
	fields := scheduleWords(words)
	if len(words) <= fields {
		return args, usage("cron:set needs a schedule and a command").Hint("%s", how).
			Hint("a schedule has five fields, or is @daily or its like; over SSH two pairs of quotes keep it together: \"'0 3 * * *'\"")
	}
	s.Schedule, s.Command = strings.Join(words[:fields], " "), words[fields:]
	if s.Command[0] == "--" {
		s.Command = s.Command[1:]
	}
	if s.timeout != "" {
		took, err := time.ParseDuration(s.timeout)
		if n, notNumber := parseNumber(s.timeout); notNumber == nil {
			took, err = time.Duration(n)*time.Second, nil
		}
		if err != nil || took < time.Second {
			return args, usage("%.40q is not a duration of at least a second", s.timeout).Hint("--timeout 600 is in seconds, --timeout 10m the same")
		}
		s.Timeout = int(took / time.Second)
	}
	return s.CronSetArgs, nil
}

// scheduleWords returns how many of the words are the schedule.
func scheduleWords(words []string) int {
	n := 0
	if strings.HasPrefix(strings.TrimPrefix(words[0], "CRON_"), "TZ=") && !strings.Contains(words[0], " ") {
		n++
	}
	switch {
	case n == len(words):
		return n
	case words[n] == "@every":
		return n + 2
	case strings.HasPrefix(words[n], "@"), strings.Contains(words[n], " "):
		return n + 1
	}
	return n + 5
}

func printCron(t *table, jobs []jobs.CronStatus) {
	t.header("ID", "SCHEDULE", "STATE", "NEXT", "LAST", "COMMAND")
	for _, job := range jobs {
		schedule := job.Schedule
		if job.Zone != "" {
			schedule += " (" + job.Zone + ")"
		}
		last := ""
		if run := job.Last; run != nil {
			last = runState(*run) + ", " + ago(run.StartedAt)
			if run.FinishedAt.IsZero() {
				last = "running, since " + span(time.Since(run.StartedAt))
			}
		}
		t.row(job.ID, schedule, job.State, ago(job.Next), last, job.Command)
	}
}

// runState is how a run of a job ended, or where it stands.
func runState(run store.CronRun) string {
	switch {
	case run.State == store.CronMissed && run.Slots > 1:
		return fmt.Sprintf("missed (%d)", run.Slots)
	case run.State == store.CronFailed && run.Error == "":
		return fmt.Sprintf("failed (%d)", run.ExitCode)
	}
	return string(run.State)
}

func printCronRuns(t *table, runs []store.CronRun) {
	t.header("RUN", "JOB", "STATE", "STARTED", "TOOK", "SLOT", "TRY", "BY", "WHY")
	for _, run := range runs {
		took, slot, try := "", "", ""
		if !run.FinishedAt.IsZero() && run.State != store.CronMissed && run.State != store.CronSkipped {
			took = fmt.Sprintf("%.1fs", run.FinishedAt.Sub(run.StartedAt).Seconds())
		}
		if !run.Slot.IsZero() {
			slot = run.Slot.UTC().Format("2006-01-02T15:04Z")
		}
		if run.Attempt > 1 {
			try = fmt.Sprint(run.Attempt)
		}
		t.row(run.Number, run.Job, runState(run), ago(run.StartedAt), took, slot, try, run.By, brief(run.Error))
	}
}

func printCronReport(t *table, r jobs.CronReport) {
	t.row("app", r.App)
	t.row("task count", r.Count)
	t.row("set by cron:set", r.Set)
	t.row("suspended", r.Suspended)
	t.row("running", r.Running)
	t.row("maintenance", onOff(r.Maintenance))
	t.row("timezone", cmp.Or(r.Timezone, "UTC"))
	t.row("next", ago(r.Next))
	last := ""
	if r.LastBad != nil {
		last = fmt.Sprintf("run %d of %s, %s, %s", r.LastBad.Number, r.LastBad.Job, runState(*r.LastBad), ago(r.LastBad.StartedAt))
	}
	t.row("last failure", last)
}
