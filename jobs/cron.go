package jobs

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

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

const (
	// Source is what the sources of job runs begin with in logs: "cron.ID.RUN".
	Source = "cron"

	// cronTimeout is the longest that a run of a job may take.
	cronTimeout = 24 * time.Hour

	kindCron  = "job" // of containers; it and the label keep the value that running containers have
	labelCron = "berth.job"
	labelRun  = "berth.run"
)

// End ends the jobs of an app that is destroyed, and those of its runs that go on.
func (j *Jobs) End(of *fleet.App) {
	a := j.app(of)
	a.unschedule(j.cron)
	a.mu.Lock()
	a.gone = true
	for _, runs := range a.runs {
		for cancel := range maps.Values(runs) {
			cancel(errDestroyed)
		}
	}
	a.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.apps, of.UID())
}

// RunCron runs a job now, copies its output to out and returns how it ended.
func (j *Jobs) RunCron(ctx context.Context, app, id string, by store.User, out io.Writer) (store.CronRun, error) {
	return j.runCron(ctx, app, id, by.Name, out)
}

// runCron runs a job of the live release in a container of its own. A job that
// runs already is not run a second time.
func (j *Jobs) runCron(ctx context.Context, app, id, by string, out io.Writer) (run store.CronRun, err error) {
	if err := j.cfg.Ready(ctx); err != nil {
		return run, err
	}
	ctx, cancel := j.detached(ctx)
	defer cancel()
	record, a, err := j.find(app)
	if err != nil {
		return run, err
	}
	release, err := j.cfg.Apps.Live(record)
	if err != nil {
		return run, err
	}
	if record.Stopped {
		return run, Stopped(app)
	}
	job, err := findCron(release, id)
	if err != nil {
		return run, err
	}
	ctx, done, err := a.admit(ctx, job)
	if err != nil {
		return run, err
	}
	defer done()
	err = j.db.Update(func(tx *store.Tx) error {
		run, err = tx.PutCronRun(store.CronRun{App: app, Job: id, Command: job.Command, Release: release.Number, StartedAt: time.Now().UTC(), By: by})
		return err
	})
	if err != nil {
		return run, fault.ExplainDiskFull(err)
	}
	j.cfg.Journal.Changed(app)
	j.cfg.Logs.Trim(a.ref(), release.Number, Source)
	source := fmt.Sprintf("%s.%s.%d", Source, id, run.Number)
	spec, c, err := fleet.Create(ctx, j.cfg.Host, func() fleet.Spec {
		spec := formation.Spec(j.counts(record), release, kindCron, map[string]string{
			fleet.LabelRelease: strconv.Itoa(release.Number), labelCron: id, labelRun: strconv.Itoa(run.Number),
		})
		spec.LogFile = j.cfg.Logs.File(a.ref(), release.Number, source, spec.ID)
		return spec
	})
	if err == nil {
		err = c.Launch(ctx, cronCommand(record, release, job, source))
	}
	if err != nil {
		if c != nil {
			j.cfg.Fleet.Remove(c)
		}
		err = fault.ExplainDiskFull(fmt.Errorf("start the job: %w", err))
		return j.endRun(a, run, fleet.Exit{}, err), err
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
	run = j.awaitRun(ctx, a, c, run)
	time.AfterFunc(runtime.LogSettles, stop)
	<-copied
	return run, nil
}

// cronCommand is what runs a job. A command that is the name of a process type
// is that one's, as for run.
func cronCommand(record store.App, r store.Release, job store.CronJob, name string) fleet.Command {
	if p, found := r.Process(strings.TrimSpace(job.Command)); found {
		return formation.ProcessCommand(record, r, p, name)
	}
	return formation.Command(record, r, job.Command, name)
}

// awaitRun waits for a job's container to end and records how it did.
func (j *Jobs) awaitRun(ctx context.Context, a *app, c fleet.Container, run store.CronRun) store.CronRun {
	timeout := time.NewTimer(time.Until(run.StartedAt.Add(cronTimeout)))
	defer timeout.Stop()
	var err error
	select {
	case <-c.Done():
	case <-timeout.C:
		err = fmt.Errorf("it ran longer than %d hours", int(cronTimeout.Hours()))
	case <-ctx.Done():
		if err = context.Cause(ctx); !errors.Is(err, errReplaced) && !errors.Is(err, errDestroyed) {
			return run // berth is ending; the job goes on and is taken back
		}
	}
	ctx = context.WithoutCancel(ctx)
	j.warn("a job did not stop", c.Stop(ctx, fleet.StopGrace), "app", run.App, "job", run.Job)
	exit := c.Exit(ctx)
	run = j.endRun(a, run, exit, err)
	if run.Error != "" {
		j.cfg.Logs.Note(a.fleet, run.Release, fmt.Sprintf("%s.%s.%d", Source, run.Job, run.Number), "failed: "+run.Error)
	}
	j.cfg.Fleet.Remove(c)
	return run
}

func (j *Jobs) endRun(a *app, run store.CronRun, exit fleet.Exit, err error) store.CronRun {
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
	failed := j.db.Update(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		// The app may have another name by now. A destroyed one has no runs.
		n := slices.IndexFunc(apps, func(app store.App) bool { return app.UID == a.fleet.UID() })
		if n < 0 {
			return nil
		}
		run.App = apps[n].Name
		_, err = tx.PutCronRun(run)
		return err
	})
	j.warn("the end of a job was not recorded", failed, "app", run.App, "job", run.Job)
	j.cfg.Journal.Changed(run.App)
	return run
}

// RunOf returns the cron job and the number of the run of a container; it is
// false for other containers. The run still goes on, or its end has not been
// recorded.
func RunOf(c fleet.Container) (job string, number int, is bool) {
	labels := c.About().Labels
	number, _ = strconv.Atoi(labels[labelRun])
	return labels[labelCron], number, labels[fleet.LabelKind] == kindCron && c.Launched()
}

// Adopt takes back the runs of some apps that went on, or ended, while berth was
// away. It returns the other containers.
func (j *Jobs) Adopt(records []store.App, containers []fleet.Container) (left []fleet.Container) {
	apps := map[string]store.App{}
	for _, record := range records {
		apps[strconv.Itoa(record.UID)] = record
	}
	for _, c := range containers {
		job, number, is := RunOf(c)
		if record, there := apps[c.About().Labels[fleet.LabelApp]]; there && is {
			j.adopt(record, c, job, number)
			continue
		}
		left = append(left, c)
	}
	return left
}

func (j *Jobs) adopt(record store.App, c fleet.Container, id string, number int) {
	a := j.app(j.cfg.Apps.Running(record))
	var run store.CronRun
	err := j.db.View(func(tx *store.Tx) error {
		runs, err := tx.CronRuns(record.Name, id, 0)
		for _, r := range runs {
			if r.Number == number {
				run = r
			}
		}
		return err
	})
	j.warn("the record of a running job cannot be read", err, "app", record.Name, "job", id)
	if run.Number == 0 || !run.FinishedAt.IsZero() {
		j.cfg.Background(func(context.Context) { j.cfg.Fleet.Remove(c) })
		return
	}
	ctx, done, err := a.admit(j.life, store.CronJob{ID: id, Concurrency: "allow"})
	j.warn("a running job was not taken back", err, "app", record.Name, "job", id)
	j.cfg.Background(func(context.Context) {
		defer done()
		j.awaitRun(ctx, a, c, run)
	})
}

func findCron(release store.Release, id string) (store.CronJob, error) {
	var ids []string
	for _, job := range release.Cron {
		if job.ID == id {
			return job, nil
		}
		ids = append(ids, job.ID)
	}
	f := fault.New(fault.NotFound, code.CronUnknown, "%s has no cron job %q", release.App, id).Hint("berth cron:list %s shows them", release.App)
	if near := fault.Nearest(id, ids); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return store.CronJob{}, f
}

// Why a run is ended before its time.
var (
	errReplaced  = errors.New("replaced by a newer run")
	errDestroyed = errors.New("its app was destroyed")
)

// admit lets a run of a job begin, as its concurrency says. The context it
// returns ends with errReplaced when a newer run takes this one's place; done
// says that the run has ended.
func (a *app) admit(ctx context.Context, job store.CronJob) (_ context.Context, done func(), err error) {
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
		return nil, nil, fault.New(fault.Conflict, code.CronRunning, "the cron job %s of %s is already running", job.ID, a.called())
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
