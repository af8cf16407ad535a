package main

import (
	"context"
	"fmt"
	"time"

	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

var cronShows = map[string]printer{"cron:list": asTable(printCron)}

func (c *cli) cronCommands() []command {
	return []command{
		{
			use: "cron:run APP ID",

			min: 1, max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				var ran store.CronRun
				args := verbs.CronArgs{AppArgs: verbs.AppArgs{App: app}, ID: words[0]}
				if err := c.client.Call(ctx, "cron:run", args, &ran, c.out); err != nil {
					return err
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
		}}
}

func printCron(t *table, jobs []jobs.CronStatus) {
	t.header("ID", "SCHEDULE", "NEXT", "LAST", "COMMAND")
	for _, job := range jobs {
		last := ""
		if run := job.Last; run != nil {
			last = fmt.Sprintf("exit %d, %s", run.ExitCode, ago(run.StartedAt))
			switch {
			case run.Error != "":
				last = "failed, " + ago(run.StartedAt)
			case run.FinishedAt.IsZero():
				last = "running, since " + span(time.Since(run.StartedAt))
			}
		}
		t.row(job.ID, job.Schedule, ago(job.Next), last, job.Command)
	}
}
