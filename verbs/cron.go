package verbs

import (
	"context"
	"io"

	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
)

// CronRoom is what the verbs of cron ask for; *jobs.Jobs documents it.
type CronRoom interface {
	CronJobs(ctx context.Context, app string) ([]jobs.CronStatus, error)
	RunCron(ctx context.Context, app, id string, by store.User, out io.Writer) (store.CronRun, error)
}

type cron struct {
	CronRoom
}

func (n cron) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "cron:list", Role: reads,
			Short:   "list cron jobs with next and last run",
			Example: "cron:list shop",
			Aliases: []string{"cron"},
		}, n.list),
		act(Verb{
			Name: "cron:run", Role: deploys,
			Short:   "run a cron job now and wait for its end",
			Long:    "The exit code is that of the command.",
			Example: "cron:run shop 3f2a91c0",
		}, n.run),
	}
}

func (n cron) list(ctx context.Context, _ Call, args AppArgs) ([]jobs.CronStatus, error) {
	return list(n.CronJobs(ctx, args.App))
}

// CronArgs name an app's cron job.
type CronArgs struct {
	AppArgs
	ID string `json:"id" cli:"ID"`
}

func (n cron) run(ctx context.Context, c Call, args CronArgs) (store.CronRun, error) {
	return n.RunCron(ctx, args.App, args.ID, c.User, c.Out)
}
