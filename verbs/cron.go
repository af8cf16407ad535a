package verbs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// CronRoom is what the verbs of cron ask for; *jobs.Jobs documents it.
type CronRoom interface {
	CronJobs(ctx context.Context, app string) ([]jobs.CronStatus, error)
	CronRuns(ctx context.Context, app, id string, limit int) ([]store.CronRun, error)
	CronSource(ctx context.Context, app, word string) (string, error)
	ReportCron(ctx context.Context, app string) (jobs.CronReport, error)
	RunCron(ctx context.Context, app, id string, o jobs.CronOptions, by store.User, out io.Writer) (store.CronRun, error)
	SetCron(ctx context.Context, app string, job store.CronJob, by store.User) error
	SetCronProperty(ctx context.Context, app, name, value string, by store.User) error
	SuspendCron(ctx context.Context, app, id string, suspend bool, by store.User) error
	UnsetCron(ctx context.Context, app, id string, by store.User) error
}

type cron struct {
	records
	CronRoom
	logs LogRoom
}

func (n cron) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "cron:list", Role: reads,
			Short:   "list cron jobs with next and last run",
			Example: "cron:list shop",
			Aliases: []string{"cron"},
		}, n.list),
		look(Verb{
			Name: "cron:report", Role: reads,
			Short:   "show the state of an app's cron jobs",
			Example: "cron:report shop",
			Keys: keysOf(func(r jobs.CronReport) []Key {
				return []Key{
					{"cron-task-count", fmt.Sprint(r.Count)}, {"cron-maintenance", fmt.Sprint(r.Maintenance)},
					{"cron-timezone", r.Timezone}, {"cron-suspended", fmt.Sprint(r.Suspended)}, {"cron-running", fmt.Sprint(r.Running)},
				}
			}),
		}, n.report),
		act(Verb{
			Name: "cron:run", Role: deploys,
			Short: "run a cron job now and wait for its end",
			Long: "The exit code is that of the command. With --detach\n" +
				"berth waits only for the start; cron:runs shows the result, cron:logs the output.",
			Example: "cron:run shop 3f2a91c0\ncron:run shop nightly --detach --ttl-seconds 600",
		}, n.run),
		act(Verb{
			Name: "cron:set", Role: deploys,
			Short: "set a cron job, or a cron property",
			Usage: "cron:set APP NAME SCHEDULE COMMAND ...",
			Long: "The job is added to those of app.json and kept across releases. A job of the\n" +
				"same name is replaced. SCHEDULE is five fields, or @daily, @hourly and so on.\n" +
				"Flags stand before SCHEDULE; everything after it is the command. The name of a\n" +
				"process type as the command runs the command of that type.\n" +
				"\nProperties for all jobs of an app (cron:set APP PROPERTY [VALUE], as in Dokku):\n" +
				"timezone     of schedules without one, for example Europe/Berlin (default UTC)\n" +
				"maintenance  true: no job runs by its schedule (default false)\n" +
				"\nWithout VALUE the property is unset.",
			Example: "cron:set shop nightly '0 3 * * *' python report.py\n" +
				"cron:set shop --timezone Europe/Berlin --timeout 600 mails @hourly python mails.py\n" +
				"cron:set shop timezone Europe/Berlin",
			Done: "set for {app}",
			Values: func(words []string) []string {
				if len(words) == 0 {
					return jobs.CronProperties
				}
				return nil
			},
		}, n.set),
		act(Verb{
			Name: "cron:unset", Role: deploys,
			Short:   "remove a cron job that was set",
			Example: "cron:unset shop nightly",
			Done:    "removed {id} from the jobs of {app}",
		}, n.unset),
		act(Verb{
			Name: "cron:suspend", Role: deploys,
			Short:   "suspend the schedule of a cron job",
			Long:    "cron:run still runs the job. Later releases do not change this.",
			Example: "cron:suspend shop nightly",
			Done:    "suspended {id} of {app}",
		}, n.suspend),
		act(Verb{
			Name: "cron:resume", Role: deploys,
			Short:   "resume the schedule of a cron job",
			Long:    "This overrides maintenance in app.json. Runs that were due meanwhile are skipped.",
			Example: "cron:resume shop nightly",
			Done:    "resumed {id} of {app}",
		}, n.resume),
		look(Verb{
			Name: "cron:runs", Role: reads,
			Short:   "list the runs of an app's cron jobs",
			Long:    "berth keeps the runs of 90 days, up to 1000 for each app.",
			Example: "cron:runs shop\ncron:runs shop nightly -n 500",
		}, n.runs),
		follow[logs.LogLine](Verb{
			Name: "cron:logs", Role: reads,
			Short:   "show the output of a cron job or a run",
			Example: "cron:logs shop nightly\ncron:logs shop 17 -n -1",
		}, n.showLogs),
	}
}

func (n cron) list(ctx context.Context, _ Call, args AppArgs) ([]jobs.CronStatus, error) {
	return list(n.CronJobs(ctx, args.App))
}

func (n cron) report(ctx context.Context, _ Call, args AppArgs) (jobs.CronReport, error) {
	return n.ReportCron(ctx, args.App)
}

// CronArgs name an app's cron job.
type CronArgs struct {
	AppArgs
	ID string `json:"id" cli:"ID"`
}

// CronRunArgs say how a job is run.
type CronRunArgs struct {
	CronArgs
	Detach bool `json:"detach,omitempty" flag:"detach" help:"wait only until it has started"`
	TTL    int  `json:"ttl_seconds,omitempty" flag:"ttl-seconds" help:"time limit in seconds"`
}

func (n cron) run(ctx context.Context, c Call, args CronRunArgs) (store.CronRun, error) {
	ttl, err := seconds(args.TTL)
	if err != nil {
		return store.CronRun{}, err
	}
	return n.RunCron(ctx, args.App, args.ID, jobs.CronOptions{Detach: args.Detach, TTL: ttl}, c.User, c.Out)
}

// seconds turns a number of seconds into a duration. One that is absurd is a
// fault (E140).
func seconds(n int) (time.Duration, error) {
	if n < 0 || n > int(365*24*time.Hour/time.Second) {
		return 0, BadArguments("%d is not a time to live in seconds", n).Hint("--ttl-seconds 3600 is an hour")
	}
	return time.Duration(n) * time.Second, nil
}

// CronSetArgs say what a job is, or with Value what a property of all jobs is.
type CronSetArgs struct {
	AppArgs
	Name        string   `json:"name"`
	Schedule    string   `json:"schedule,omitempty"`
	Command     []string `json:"command,omitempty"` // one word is given to a shell, more are a program and its arguments
	Value       string   `json:"value,omitempty"`
	Timezone    string   `json:"timezone,omitempty"`
	Concurrency string   `json:"concurrency_policy,omitempty"`
	Missed      string   `json:"missed,omitempty"`
	Timeout     int      `json:"timeout,omitempty"` // seconds
	Retries     int      `json:"retries,omitempty"`
}

func (n cron) set(ctx context.Context, c Call, args CronSetArgs) (jobs.CronReport, error) {
	job := store.CronJob{
		ID: args.Name, Schedule: args.Schedule, Command: shellLine(args.Command), Zone: args.Timezone,
		Concurrency: args.Concurrency, Missed: args.Missed, Timeout: args.Timeout, Retries: args.Retries,
	}
	var err error
	switch isJob := job.Schedule != "" || job.Command != ""; {
	case isJob && args.Value != "":
		err = BadArguments("cron:set takes a schedule and a command, or the value of a property")
	case isJob:
		err = n.SetCron(ctx, args.App, job, c.User)
	default:
		err = n.SetCronProperty(ctx, args.App, args.Name, args.Value, c.User)
	}
	if err != nil {
		return jobs.CronReport{}, err
	}
	return n.ReportCron(ctx, args.App)
}

// shellLine is a command as a line of a shell. One word is one already.
func shellLine(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	quoted := slices.Clone(words)
	for i, word := range words {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%") != "" {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func (n cron) unset(ctx context.Context, c Call, args CronArgs) (jobs.CronReport, error) {
	if err := n.UnsetCron(ctx, args.App, args.ID, c.User); err != nil {
		return jobs.CronReport{}, err
	}
	return n.ReportCron(ctx, args.App)
}

func (n cron) suspend(ctx context.Context, c Call, args CronArgs) (jobs.CronReport, error) {
	return n.schedules(ctx, c, args, true)
}

func (n cron) resume(ctx context.Context, c Call, args CronArgs) (jobs.CronReport, error) {
	return n.schedules(ctx, c, args, false)
}

func (n cron) schedules(ctx context.Context, c Call, args CronArgs, suspend bool) (jobs.CronReport, error) {
	if err := n.SuspendCron(ctx, args.App, args.ID, suspend, c.User); err != nil {
		return jobs.CronReport{}, err
	}
	return n.ReportCron(ctx, args.App)
}

// CronRunsArgs choose runs.
type CronRunsArgs struct {
	AppArgs
	ID    string `json:"id,omitempty" cli:"[ID]"`
	Limit int    `json:"limit,omitempty" flag:"num,n" default:"100" help:"how many of the last runs, -1 for all"`
}

func (n cron) runs(ctx context.Context, _ Call, args CronRunsArgs) ([]store.CronRun, error) {
	return list(n.CronRuns(ctx, args.App, args.ID, args.Limit))
}

// SourceLogArgs choose lines of the logs of a job, a run or a one-off.
type SourceLogArgs struct {
	AppArgs
	ID     string `json:"id,omitempty"`
	Lines  int    `json:"lines,omitempty"`  // the last so many; negative is all, 0 is 100, or none when following
	Follow bool   `json:"follow,omitempty"` // and those that come, until the asker leaves
}

func (n cron) showLogs(ctx context.Context, c Call, args SourceLogArgs) error {
	if args.ID == "" {
		return fault.New(fault.Usage, code.ArgumentsInvalid, "cron:logs needs the id of a job, or the number of a run").Hint("berth cron:list %s shows the ids", args.App)
	}
	source, err := n.CronSource(ctx, args.App, args.ID)
	if err != nil {
		return err
	}
	return appLogs{n.records, n.logs}.follow(ctx, c, LogArgs{AppArgs: args.AppArgs, Process: source, Lines: args.Lines, Follow: args.Follow})
}
