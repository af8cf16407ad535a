package verbs

import (
	"context"
	"io"

	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
)

// JobRoom is what the verbs of cron ask for; *jobs.Jobs documents it.
type JobRoom interface {
	Jobs(ctx context.Context, app string) ([]jobs.JobStatus, error)
	RunJob(ctx context.Context, app, id string, by store.User, out io.Writer) (store.JobRun, error)
}

type cron struct {
	JobRoom
}

func (n cron) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "cron:list", Role: reads,
			Short:   "list the jobs, with next and last run",
			Example: "cron:list shop",
			Aliases: []string{"cron"},
		}, n.list),
		act(Verb{
			Name: "cron:run", Role: deploys,
			Short:   "run a job now and wait for its end",
			Long:    "Its exit code is the command's own.",
			Example: "cron:run shop 3f2a91c0",
		}, n.run),
	}
}

func (n cron) list(ctx context.Context, _ Call, args AppArgs) ([]jobs.JobStatus, error) {
	return list(n.Jobs(ctx, args.App))
}

// JobArgs name an app's cron job.
type JobArgs struct {
	AppArgs
	ID string `json:"id" cli:"ID"`
}

func (n cron) run(ctx context.Context, c Call, args JobArgs) (store.JobRun, error) {
	return n.RunJob(ctx, args.App, args.ID, c.User, c.Out)
}
