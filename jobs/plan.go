package jobs

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// CronProperties are what can be set of all jobs of an app. No job can have such
// a name.
var CronProperties = []string{"maintenance", "timezone"}

// mailProperties are Dokku's; berth sends no mail.
var mailProperties = []string{"mailto", "mailfrom"}

// maxCommand bounds the command of a job that is set.
const maxCommand = 8 << 10

var (
	jobName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)
	hashID  = regexp.MustCompile(`^[0-9a-f]{8}$`) // of the jobs of app.json
)

func badCron(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, code.CronInvalid, format, args...)
}

// SetCron sets a job of an app, in the place of the one of its name.
func (j *Jobs) SetCron(ctx context.Context, app string, job store.CronJob, by store.User) error {
	job.Set, job.Paused = true, false
	var err error
	switch {
	case slices.Contains(CronProperties, job.ID) || slices.Contains(mailProperties, job.ID):
		return badCron("%s is the name of a property, so no job can have it", job.ID).Hint("berth cron:set %s %s VALUE sets the property", app, job.ID)
	case !jobName.MatchString(job.ID) || hashID.MatchString(job.ID):
		return badCron("%.60q cannot be the name of a job", job.ID).
			Hint("lower-case letters, digits, - and _, a letter first, at most 40, and not the id of a job of app.json: nightly-report")
	case strings.TrimSpace(job.Command) == "":
		return badCron("the job %s has no command", job.ID).Hint(`berth cron:set %s %s "0 3 * * *" COMMAND`, app, job.ID)
	case len(job.Command) > maxCommand || strings.ContainsRune(job.Command, 0):
		return badCron("the command of %s is too long, or has a NUL in it: at most %d bytes fit", job.ID, maxCommand)
	case job.Zone != "" && !appjson.ValidZone(job.Zone):
		return noZone(job.Zone)
	case job.Zone != "" && strings.Contains(job.Schedule, "TZ="):
		return badCron("the schedule also names a time zone").Hint("keep one of the two")
	case job.Concurrency != "" && !slices.Contains([]string{"allow", "forbid", "replace"}, job.Concurrency):
		return badCron("the concurrency policy cannot be %.40q", job.Concurrency).Hint("use allow, forbid or replace")
	case job.Missed != "" && job.Missed != "skip" && job.Missed != missedOnce:
		return badCron("the rule for missed runs cannot be %.40q", job.Missed).Hint("use skip or once")
	case job.Timeout < 0 || job.Timeout > appjson.MaxCronTimeout:
		return badCron("a run may take from 1 second to %d hours", appjson.MaxCronTimeout/3600)
	case job.Retries < 0 || job.Retries > appjson.MaxCronRetries:
		return badCron("a run can be retried up to %d times", appjson.MaxCronRetries)
	}
	if job.Schedule, err = appjson.CheckSchedule(job.Schedule); err != nil {
		return badCron("%.80q is not a schedule: %w", job.Schedule, err).Hint(appjson.ScheduleHint)
	}
	if job.Concurrency == "" {
		job.Concurrency = "allow"
	}
	return j.changePlan(ctx, app, by, "set the cron job "+job.ID, func(plan *store.CronPlan, _ store.Release) error {
		n := slices.IndexFunc(plan.Jobs, func(other store.CronJob) bool { return other.ID == job.ID })
		switch {
		case n >= 0:
			plan.Jobs[n] = job
		case len(plan.Jobs) >= store.MaxCronEntries:
			return fault.New(fault.Conflict, code.CronFull, "%s has %d cron jobs that were set; that is the maximum", app, len(plan.Jobs)).
				Hint("berth cron:unset %s NAME removes one", app)
		default:
			plan.Jobs = append(plan.Jobs, job)
		}
		return nil
	})
}

// UnsetCron removes a job that was set. A run of it that goes on ends by itself.
func (j *Jobs) UnsetCron(ctx context.Context, app, id string, by store.User) error {
	return j.changePlan(ctx, app, by, "unset the cron job "+id, func(plan *store.CronPlan, release store.Release) error {
		n := slices.IndexFunc(plan.Jobs, func(job store.CronJob) bool { return job.ID == id })
		if n < 0 {
			if slices.ContainsFunc(release.Cron, func(job store.CronJob) bool { return job.ID == id }) {
				return badCron("the job %s is one of app.json", id).
					Hint("remove it there and push; berth cron:suspend %s %s stops its schedule", app, id)
			}
			_, err := findCron(app, plan.Jobs, id)
			return err
		}
		plan.Jobs = slices.Delete(plan.Jobs, n, n+1)
		delete(plan.Suspended, id)
		return nil
	})
}

// SuspendCron stops the schedule of a job, or lets it go on. What app.json says
// of it no longer counts.
func (j *Jobs) SuspendCron(ctx context.Context, app, id string, suspend bool, by store.User) error {
	what := "resumed the cron job " + id
	if suspend {
		what = "suspended the cron job " + id
	}
	return j.changePlan(ctx, app, by, what, func(plan *store.CronPlan, release store.Release) error {
		jobs := jobsOf(*plan, release)
		if _, err := findCron(app, jobs, id); err != nil {
			return err
		}
		if plan.Suspended == nil {
			plan.Suspended = map[string]bool{}
		}
		plan.Suspended[id] = suspend
		// What was said of jobs that are gone is forgotten when it gets much.
		for other := range maps.Keys(plan.Suspended) {
			if len(plan.Suspended) > 2*store.MaxCronEntries && !slices.ContainsFunc(jobs, func(job store.CronJob) bool { return job.ID == other }) {
				delete(plan.Suspended, other)
			}
		}
		return nil
	})
}

func noZone(name string) error {
	return badCron("%.60q is not a time zone", name).Hint(`write it as in "Europe/Berlin"; without one, schedules are in UTC`)
}

// SetCronProperty sets what counts for all jobs of an app; "" takes it back.
func (j *Jobs) SetCronProperty(ctx context.Context, app, name, value string, by store.User) error {
	text := fmt.Sprintf("set cron %s to %s", name, value)
	if value == "" {
		text = "unset cron " + name
	}
	switch {
	case slices.Contains(mailProperties, name):
		return badCron("berth sends no mail").
			Hint("a run that failed or was missed is an event: berth events %s", app).
			Hint("berth cron:runs %s shows how runs ended, and berth cron:logs what they printed", app)
	case name == "timezone" && value != "" && !appjson.ValidZone(value):
		return noZone(value)
	case name == "maintenance" && !slices.Contains([]string{"", "true", "false"}, value):
		return badCron("maintenance cannot be %.40q", value).Hint("use true or false")
	case !slices.Contains(CronProperties, name):
		return badCron("cron has no property %.60q", name).
			Hint("its properties are %s", strings.Join(CronProperties, " and ")).
			Hint(`a job is set by a schedule and a command: berth cron:set %s NAME "0 3 * * *" COMMAND`, app)
	}
	return j.changePlan(ctx, app, by, text, func(plan *store.CronPlan, _ store.Release) error {
		if name == "timezone" {
			plan.Zone = value
		} else {
			plan.Maintenance = value == "true"
		}
		return nil
	})
}

// changePlan changes what is set of the jobs of an app, and plans them anew.
func (j *Jobs) changePlan(ctx context.Context, app string, by store.User, text string, change func(plan *store.CronPlan, release store.Release) error) error {
	if err := j.cfg.Ready(ctx); err != nil {
		return err
	}
	record, a, err := j.find(app)
	if err != nil {
		return err
	}
	err = j.db.Update(func(tx *store.Tx) error {
		if record, err = tx.App(app); err != nil {
			return err
		}
		release, plan, err := cronOf(tx, record)
		if err != nil {
			return err
		}
		if err := change(&plan, release); err != nil {
			return err
		}
		if err := tx.CronPlans.Put(app, plan); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{Time: time.Now().UTC(), App: app, By: by.Name, Kind: "cron", Text: text})
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	if record.Release != 0 {
		j.Schedule(a.fleet)
	}
	j.cfg.Journal.Changed(app)
	return nil
}

// CronReport is how the cron jobs of an app stand.
type CronReport struct {
	App         string         `json:"app"`
	Count       int            `json:"task_count"`
	Set         int            `json:"set"` // by cron:set, of them
	Suspended   int            `json:"suspended"`
	Running     int            `json:"running"`
	Maintenance bool           `json:"maintenance"`
	Timezone    string         `json:"timezone"`
	Next        time.Time      `json:"next,omitzero"`
	LastBad     *store.CronRun `json:"last_failure,omitempty"`
}

// ReportCron tells how the cron jobs of an app stand.
func (j *Jobs) ReportCron(ctx context.Context, app string) (CronReport, error) {
	report := CronReport{App: app, Timezone: "UTC"}
	jobs, err := j.CronJobs(ctx, app)
	if err != nil {
		return report, err
	}
	for _, job := range jobs {
		report.Count++
		if job.Set {
			report.Set++
		}
		if job.Paused {
			report.Suspended++
		}
		if job.Running {
			report.Running++
		}
		if !job.Next.IsZero() && (report.Next.IsZero() || job.Next.Before(report.Next)) {
			report.Next = job.Next
		}
	}
	return report, j.db.View(func(tx *store.Tx) error {
		plan, err := tx.CronPlans.Get(app)
		if err != nil {
			return err
		}
		if report.Maintenance = plan.Maintenance; plan.Zone != "" {
			report.Timezone = plan.Zone
		}
		runs, err := tx.CronRuns.Of(app, "", 0)
		if n := slices.IndexFunc(runs, func(run store.CronRun) bool { return run.State.Bad() }); n >= 0 {
			report.LastBad = &runs[n]
		}
		return err
	})
}

// mostRuns is how many runs are listed when no number is asked for.
const mostRuns = 100

// CronRuns returns the last runs of a job, or with "" of all jobs of an app, the
// newest first; limit 0 is 100, and a negative one all that are remembered.
func (j *Jobs) CronRuns(_ context.Context, app, id string, limit int) (runs []store.CronRun, err error) {
	switch {
	case limit == 0:
		limit = mostRuns
	case limit < 0:
		limit = 0
	}
	record, _, err := j.find(app)
	if err != nil {
		return nil, err
	}
	err = j.db.View(func(tx *store.Tx) error {
		runs, err = tx.CronRuns.Of(app, id, limit)
		return err
	})
	if err == nil && id != "" && len(runs) == 0 { // a job that was never run, or none
		_, err = j.findCron(record, id)
	}
	return runs, err
}

// CronSource returns the source, in logs, of a job or of the run of that number.
func (j *Jobs) CronSource(ctx context.Context, app, word string) (string, error) {
	runs, err := j.CronRuns(ctx, app, "", -1)
	if err != nil {
		return "", err
	}
	for _, run := range runs {
		if run.Job == word {
			return Source + "." + word, nil
		}
	}
	for _, run := range runs {
		if fmt.Sprint(run.Number) == word {
			return runSource(run), nil
		}
	}
	if strings.Trim(word, "0123456789") == "" {
		return "", fault.New(fault.NotFound, code.CronUnknown, "%s has no run %.20s of a job", app, word).Hint("berth cron:runs %s lists them", app)
	}
	if _, err := j.CronRuns(ctx, app, word, 1); err != nil {
		return "", err
	}
	return Source + "." + word, nil // it never ran
}
