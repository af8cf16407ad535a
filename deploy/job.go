package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

const (
	// cronSource is what the log lines of job runs begin their source with.
	cronSource = "cron"

	// jobTimeout is the longest that a run of a job may take.
	jobTimeout = 24 * time.Hour

	labelJob = "berth.job"
	labelRun = "berth.run"
)

// newJob gives a job an identity that stays while its command and schedule do.
func newJob(entry appjson.CronEntry) store.Job {
	return store.Job{
		ID: digest(entry.Schedule, entry.Command)[:8], Schedule: entry.Schedule, Command: entry.Command,
		Concurrency: entry.Concurrency, Paused: entry.Maintenance,
	}
}

// schedule plans the jobs of the release that is live now, in the place of
// those of the one before.
func (d *Deployer) schedule(a *app, name string, release store.Release) {
	d.unschedule(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, job := range release.Cron {
		if job.Paused {
			continue
		}
		schedule, err := cron.ParseStandard(job.Schedule)
		if err != nil { // the push has checked it
			d.log.Error("a cron job cannot be planned", "app", name, "schedule", job.Schedule, "err", err)
			continue
		}
		if a.ran[job.ID] == nil {
			a.ran[job.ID] = new(ranAt)
		}
		ran := a.ran[job.ID]
		a.jobs = append(a.jobs, d.cron.Schedule(steady{schedule, ran}, cron.FuncJob(func() {
			ran.set(time.Now())
			_, err := d.runJob(d.life, a.called(), job.ID, "schedule", io.Discard)
			d.warn("a cron job was not run", err, "app", a.called(), "job", job.ID)
		})))
	}
}

func (d *Deployer) unschedule(a *app) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range a.jobs {
		d.cron.Remove(id)
	}
	a.jobs = nil
}

// JobStatus is a cron job with its next and last run.
type JobStatus struct {
	store.Job
	App     string        `json:"app"`
	Next    time.Time     `json:"next,omitzero"`
	Running bool          `json:"running,omitempty"`
	Last    *store.JobRun `json:"last,omitempty"`
}

// Jobs lists the cron jobs of an app's live release.
func (d *Deployer) Jobs(ctx context.Context, app string) ([]JobStatus, error) {
	record, a, err := d.find(app)
	if err != nil {
		return nil, err
	}
	statuses := []JobStatus{}
	if record.Release == 0 {
		return statuses, nil
	}
	release, err := d.liveWithoutConfig(record)
	if err != nil {
		return nil, err
	}
	for _, job := range release.Cron {
		s := JobStatus{Job: job, App: app}
		if schedule, err := cron.ParseStandard(job.Schedule); err == nil && !record.Stopped && !job.Paused {
			s.Next = schedule.Next(time.Now().UTC())
		}
		err := d.db.View(func(tx *store.Tx) error {
			runs, err := tx.JobRuns(app, job.ID, 1)
			if len(runs) > 0 {
				s.Last = &runs[0]
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		s.Running = len(a.runs[job.ID]) > 0
		a.mu.Unlock()
		statuses = append(statuses, s)
	}
	return statuses, nil
}

// RunJob runs a job now, copies its output to out and returns how it ended.
func (d *Deployer) RunJob(ctx context.Context, app, id string, by store.User, out io.Writer) (store.JobRun, error) {
	return d.runJob(ctx, app, id, by.Name, out)
}

// runJob runs a job of the live release in a container of its own. A job that
// runs already is not run a second time.
func (d *Deployer) runJob(ctx context.Context, app, id, by string, out io.Writer) (run store.JobRun, err error) {
	if err := d.ready(ctx); err != nil {
		return run, err
	}
	ctx, cancel := d.detached(ctx)
	defer cancel()
	record, a, err := d.find(app)
	if err != nil {
		return run, err
	}
	release, err := d.liveRelease(record)
	if err != nil {
		return run, err
	}
	if record.Stopped {
		return run, fault.New(fault.Conflict, "E116", "%s is stopped", app).Hint("berth ps:start %s starts it", app)
	}
	job, err := findJob(release, id)
	if err != nil {
		return run, err
	}
	ctx, done, err := a.admit(ctx, job)
	if err != nil {
		return run, err
	}
	defer done()
	err = d.db.Update(func(tx *store.Tx) error {
		run, err = tx.PutJobRun(store.JobRun{App: app, Job: id, Command: job.Command, Release: release.Number, StartedAt: time.Now().UTC(), By: by})
		return err
	})
	if err != nil {
		return run, d.full(err)
	}
	d.changes.publish(app)
	d.trimLogs(record.ID(), release.Number, cronSource, keptRunLogs)
	source := fmt.Sprintf("%s.%s.%d", cronSource, id, run.Number)
	spec, c, err := fleet.Create(ctx, d.boxes, func() fleet.Spec {
		spec := d.spec(record, release, kindJob, map[string]string{
			labelRelease: strconv.Itoa(release.Number), labelJob: id, labelRun: strconv.Itoa(run.Number),
		})
		spec.LogFile = d.logFile(record.ID(), release.Number, source, spec.ID)
		return spec
	})
	if err == nil {
		err = c.Launch(ctx, jobCommand(record, release, job, source))
	}
	if err != nil {
		if c != nil {
			d.fleet.Remove(c)
		}
		err = d.full(fmt.Errorf("start the job: %w", err))
		return d.endRun(a, run, fleet.Exit{}, err), err
	}
	follow, stop := context.WithCancel(ctx)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		runtime.FollowLog(follow, spec.LogFile, time.Unix(1, 0), func(l runtime.LogLine) error {
			fmt.Fprintln(out, l.Text)
			return nil
		})
	}()
	run = d.awaitRun(ctx, a, c, run)
	time.AfterFunc(logSettles, stop)
	<-copied
	return run, nil
}

// jobCommand is what runs a job. A command that is the name of a process type
// is that one's, as for run.
func jobCommand(record store.App, r store.Release, job store.Job, name string) fleet.Command {
	if p, found := r.Process(strings.TrimSpace(job.Command)); found {
		return processCommand(record, r, p, name)
	}
	return command(record, r, job.Command, name)
}

// logSettles is how long the last lines of a log may take to be read after its
// program has ended.
const logSettles = 300 * time.Millisecond

// awaitRun waits for a job's container to end and records how it did.
func (d *Deployer) awaitRun(ctx context.Context, a *app, c fleet.Container, run store.JobRun) store.JobRun {
	timeout := time.NewTimer(time.Until(run.StartedAt.Add(jobTimeout)))
	defer timeout.Stop()
	var err error
	select {
	case <-c.Done():
	case <-timeout.C:
		err = fmt.Errorf("it ran longer than %s", jobTimeout)
	case <-ctx.Done():
		if err = context.Cause(ctx); !errors.Is(err, errReplaced) && !errors.Is(err, errDestroyed) {
			return run // berth is ending; the job goes on and is taken back
		}
	}
	ctx = context.WithoutCancel(ctx)
	d.warn("a job did not stop", c.Stop(ctx, fleet.StopGrace), "app", run.App, "job", run.Job)
	exit := c.Exit(ctx)
	run = d.endRun(a, run, exit, err)
	if run.Error != "" {
		d.notice(a, run.Release, fmt.Sprintf("%s.%s.%d", cronSource, run.Job, run.Number), "failed: %s", run.Error)
	}
	d.fleet.Remove(c)
	return run
}

func (d *Deployer) endRun(a *app, run store.JobRun, exit fleet.Exit, err error) store.JobRun {
	run.FinishedAt, run.ExitCode = time.Now().UTC(), exit.Code
	if !exit.At.IsZero() { // it may have ended while berth was away
		run.FinishedAt = exit.At.UTC()
	}
	switch {
	case err != nil:
		run.Error = err.Error()
	case exit.OOM && exit.Code != 0, exit.Lost:
		run.Error = exit.String()
	}
	if run.Error != "" && run.ExitCode == 0 {
		run.ExitCode = 1
	}
	failed := d.db.Update(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		// The app may have another name by now. A destroyed one has no runs.
		n := slices.IndexFunc(apps, func(app store.App) bool { return app.UID == a.uid })
		if n < 0 {
			return nil
		}
		run.App = apps[n].Name
		_, err = tx.PutJobRun(run)
		return err
	})
	d.warn("the end of a job was not recorded", failed, "app", run.App, "job", run.Job)
	d.changes.publish(run.App)
	return run
}

// adoptJob takes back a job that went on, or ended, while berth was away.
func (d *Deployer) adoptJob(record store.App, c fleet.Container) {
	a, id := d.app(record), c.About().Labels[labelJob]
	number, _ := strconv.Atoi(c.About().Labels[labelRun])
	var run store.JobRun
	err := d.db.View(func(tx *store.Tx) error {
		runs, err := tx.JobRuns(record.Name, id, 0)
		for _, r := range runs {
			if r.Number == number {
				run = r
			}
		}
		return err
	})
	d.warn("the record of a running job cannot be read", err, "app", record.Name, "job", id)
	if run.Number == 0 || !run.FinishedAt.IsZero() {
		d.background(func(context.Context) { d.fleet.Remove(c) })
		return
	}
	ctx, done, err := a.admit(d.life, store.Job{ID: id, Concurrency: "allow"})
	d.warn("a running job was not taken back", err, "app", record.Name, "job", id)
	d.background(func(context.Context) {
		defer done()
		d.awaitRun(ctx, a, c, run)
	})
}

func findJob(release store.Release, id string) (store.Job, error) {
	var ids []string
	for _, job := range release.Cron {
		if job.ID == id {
			return job, nil
		}
		ids = append(ids, job.ID)
	}
	f := fault.New(fault.NotFound, "E126", "%s has no job %q", release.App, id).Hint("berth cron:list %s shows them", release.App)
	if near := fault.Nearest(id, ids); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return store.Job{}, f
}

// Why a run is ended before its time.
var (
	errReplaced  = errors.New("replaced by a newer run")
	errDestroyed = errors.New("its app was destroyed")
)

// admit lets a run of a job begin, as its concurrency says. The context it
// returns ends with errReplaced when a newer run takes this one's place; done
// says that the run has ended.
func (a *app) admit(ctx context.Context, job store.Job) (_ context.Context, done func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return nil, nil, errDestroyed
	}
	switch going := a.runs[job.ID]; {
	case len(going) == 0, job.Concurrency == "allow":
	case job.Concurrency == "replace":
		for cancel := range maps.Values(going) {
			cancel(errReplaced)
		}
	default:
		return nil, nil, fault.New(fault.Conflict, "E125", "the job %s of %s is running already", job.ID, a.called())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	if a.runs[job.ID] == nil {
		a.runs[job.ID] = map[*int]context.CancelCauseFunc{}
	}
	key := new(int)
	a.runs[job.ID][key] = cancel
	return ctx, func() {
		cancel(nil)
		a.mu.Lock()
		defer a.mu.Unlock()
		if delete(a.runs[job.ID], key); len(a.runs[job.ID]) == 0 {
			delete(a.runs, job.ID)
		}
	}, nil
}
