package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
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

// The runs of an app are bounded, whatever its jobs allow.
const (
	// maxRuns is how many runs of an app's jobs may go on at once.
	maxRuns = 20

	// startsAtOnce is how many runs of all apps are started side by side: at
	// midnight, the jobs of many apps are due.
	startsAtOnce = 8
)

// bySchedule is the author of the runs that the schedule starts.
const bySchedule = "schedule"

// End ends the jobs of an app that is destroyed, and those of its runs that go on.
func (j *Jobs) End(of *fleet.App) {
	a := j.app(of)
	a.mu.Lock()
	a.gone, a.planned = true, nil
	for _, runs := range a.runs {
		for cancel := range maps.Values(runs) {
			cancel(errDestroyed)
		}
	}
	for _, o := range a.oneOffs {
		o.cancel(errDestroyed)
	}
	a.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.apps, of.UID())
}

// CronOptions say how a job is run by hand.
type CronOptions struct {
	Detach bool          // only its start is waited for
	TTL    time.Duration // the longest it may take; 0 is as the job says
}

// RunCron runs a job now, copies its output to out and returns how it ended, or
// how it began when it is detached.
func (j *Jobs) RunCron(ctx context.Context, app, id string, o CronOptions, by store.User, out io.Writer) (store.CronRun, error) {
	seconds := int(o.TTL / time.Second)
	if o.TTL < 0 || o.TTL > cronTimeout || o.TTL > 0 && seconds == 0 {
		return store.CronRun{}, fault.New(fault.Usage, code.CronInvalid, "a run of a cron job may take from 1 second to %d hours", int(cronTimeout.Hours()))
	}
	return j.runCron(ctx, app, id, beginning{by: by.Name, timeout: seconds, detach: o.Detach}, out)
}

// beginning is how a run comes about.
type beginning struct {
	by      string
	timeout int // seconds; 0 is as the job says
	detach  bool

	slot, before time.Time // by schedule: the slot that it is for, and the one before when that was claimed
	attempt      int       // from 1
}

// going is a run that was started.
type going struct {
	run  store.CronRun
	app  *app
	c    fleet.Container
	log  string
	done func()
}

// errClaimed is a slot that was decided already.
var errClaimed = errors.New("the slot is claimed")

// runCron runs a job in a container of its own.
func (j *Jobs) runCron(ctx context.Context, app, id string, b beginning, out io.Writer) (run store.CronRun, err error) {
	if err := j.cfg.Ready(ctx); err != nil {
		return run, err
	}
	ctx, cancel := j.detached(ctx)
	ctx, g, run, err := j.startCron(ctx, app, id, b)
	if err != nil || g == nil {
		cancel()
		if errors.Is(err, errClaimed) {
			return run, nil
		}
		return run, err
	}
	if b.detach {
		began := j.cfg.Background(func(context.Context) {
			defer cancel()
			j.awaitRun(ctx, g)
		})
		if !began {
			cancel()
		}
		return run, nil
	}
	defer cancel()
	follow, stop := context.WithCancel(ctx)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		runtime.FollowLog(follow, g.log, time.Unix(1, 0), func(l runtime.LogLine) error {
			fmt.Fprintln(out, l.Text)
			return nil
		})
	}()
	run = j.awaitRun(ctx, g)
	time.AfterFunc(runtime.LogSettles, stop)
	<-copied
	return run, nil
}

// startCron starts a run. It is recorded before anything of it starts, and what
// is for a slot claims the slot by that. It returns nothing that goes on when the
// run is left out.
func (j *Jobs) startCron(ctx context.Context, app, id string, b beginning) (_ context.Context, g *going, run store.CronRun, err error) {
	record, a, err := j.find(app)
	if err != nil {
		return ctx, nil, run, err
	}
	release, err := j.cfg.Apps.Live(record)
	if err != nil {
		return ctx, nil, run, err
	}
	if record.Stopped {
		return ctx, nil, run, Stopped(app)
	}
	job, err := j.findCron(record, id)
	if err != nil {
		return ctx, nil, run, err
	}
	ctx, done, refused := a.admit(ctx, job)
	if refused != nil && b.slot.IsZero() {
		return ctx, nil, run, refused
	}
	if refused != nil {
		done = func() {}
	}
	defer func() {
		if g == nil {
			done()
		}
	}()
	run = store.CronRun{
		App: record.Name, Job: id, State: store.CronScheduled, Command: job.Command, Release: release.Number, StartedAt: time.Now().UTC(), By: b.by,
		Slot: b.slot.UTC(), Attempt: b.attempt, Timeout: cmp.Or(b.timeout, job.Timeout),
	}
	if b.slot.IsZero() {
		run.Slot = time.Time{}
	}
	if refused != nil {
		run.State, run.FinishedAt, run.Error = store.CronSkipped, run.StartedAt, refused.Error()
	}
	err = j.db.Update(func(tx *store.Tx) error {
		if b.attempt == 1 {
			if err := claim(tx, record.Name, id, b); err != nil {
				return err
			}
		}
		run, err = tx.CronRuns.Put(run)
		return err
	})
	if err != nil {
		return ctx, nil, run, fault.ExplainDiskFull(err)
	}
	j.cfg.Journal.Changed(record.Name)
	if refused != nil {
		return ctx, nil, run, nil
	}
	j.cfg.Logs.Trim(a.ref(), release.Number, Source)
	source := runSource(run)
	spec, c, err := j.launch(ctx, func() fleet.Spec {
		spec := formation.Spec(j.counts(record), release, kindCron, map[string]string{
			fleet.LabelRelease: strconv.Itoa(release.Number), labelCron: id, labelRun: strconv.Itoa(run.Number),
		})
		spec.LogFile = j.cfg.Logs.File(a.ref(), release.Number, source, spec.ID)
		return spec
	}, cronCommand(record, release, job, source))
	if err != nil {
		if j.life.Err() != nil {
			return ctx, nil, run, err // the next start of berth closes the record
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		err = fault.ExplainDiskFull(fmt.Errorf("start the job: %w", err))
		return ctx, nil, j.endRun(a, run, fleet.Exit{}, err), err
	}
	run.State = store.CronRunning
	run = j.keepRun(a, run, false)
	return ctx, &going{run, a, c, spec.LogFile, done}, run, nil
}

// launch makes a container and starts its program. What was made before an error
// is removed.
func (j *Jobs) launch(ctx context.Context, spec func() fleet.Spec, cmd fleet.Command) (fleet.Spec, fleet.Container, error) {
	select {
	case j.starts <- struct{}{}:
		defer func() { <-j.starts }()
	case <-ctx.Done():
		return fleet.Spec{}, nil, ctx.Err()
	}
	made, c, err := fleet.Create(ctx, j.cfg.Host, spec)
	if err == nil {
		err = c.Launch(ctx, cmd)
	}
	if err != nil && c != nil {
		j.cfg.Fleet.Remove(c)
	}
	return made, c, err
}

// claim claims the slot of a run, or returns errClaimed.
func claim(tx *store.Tx, app, id string, b beginning) error {
	slots, err := tx.CronSlots.Get(app, id)
	if err != nil {
		return err
	}
	if slots.Has(b.slot) {
		return errClaimed
	}
	slots.Claim(b.slot.UTC(), b.before.UTC())
	return tx.CronSlots.Put(app, id, slots)
}

// recordMissed records that slots of a job were missed.
func (j *Jobs) recordMissed(a *app, job store.CronJob, d due) {
	now := time.Now().UTC()
	run := store.CronRun{
		Job: job.ID, State: store.CronMissed, Command: job.Command, StartedAt: now, FinishedAt: now, By: bySchedule,
		Slot: d.lastMissed.UTC(), Slots: d.missed, Error: "berth was not running when it was due",
	}
	if d.missed > 1 {
		run.Error = fmt.Sprintf("berth was not running when %d slots were due", d.missed)
	}
	err := j.db.Update(func(tx *store.Tx) (err error) {
		if run.App, err = nameNow(tx, a); err != nil || run.App == "" {
			return err
		}
		if d.slot.IsZero() {
			if err := claim(tx, run.App, job.ID, beginning{slot: d.lastMissed, before: d.before}); errors.Is(err, errClaimed) {
				return nil
			} else if err != nil {
				return err
			}
		}
		if run, err = tx.CronRuns.Put(run); err != nil {
			return err
		}
		return tx.AddEvent(EventOf(run))
	})
	j.warn("missed runs of a job were not recorded", err, "app", a.called(), "job", job.ID)
	j.cfg.Journal.Changed(a.called())
}

// nameNow returns what an app is called now; "" when it was destroyed.
func nameNow(tx *store.Tx, a *app) (string, error) {
	app, _, err := tx.AppByID(a.fleet.UID())
	return app.Name, err
}

// EventOf is the event of a run that somebody should hear of.
func EventOf(run store.CronRun) store.Event {
	how := run.Error
	if how == "" {
		how = fmt.Sprintf("exit code %d", run.ExitCode)
	}
	text := fmt.Sprintf("job %s %s: %s (run %d)", run.Job, run.State, how, run.Number)
	return store.Event{Time: time.Now().UTC(), App: run.App, By: "berth", Kind: "cron", Text: text}
}

func runSource(run store.CronRun) string {
	return fmt.Sprintf("%s.%s.%d", Source, run.Job, run.Number)
}

// cronCommand is what runs a job. A command that is the name of a process type
// is that one's, as for run.
func cronCommand(record store.App, r store.Release, job store.CronJob, name string) fleet.Command {
	if p, found := r.Process(strings.TrimSpace(job.Command)); found {
		return formation.ProcessCommand(record, r, p, name)
	}
	return formation.Command(record, r, job.Command, name)
}

// awaitRun waits for a run to end and records how it did.
func (j *Jobs) awaitRun(ctx context.Context, g *going) store.CronRun {
	defer g.done()
	run, c := g.run, g.c
	limit := cronTimeout
	if run.Timeout > 0 {
		limit = time.Duration(run.Timeout) * time.Second
	}
	timeout := time.NewTimer(time.Until(run.StartedAt.Add(limit)))
	defer timeout.Stop()
	var err error
	select {
	case <-c.Done():
	case <-timeout.C:
		err = fmt.Errorf("%w than %s", errTimedOut, units.Duration(limit))
	case <-ctx.Done():
		if err = context.Cause(ctx); !errors.Is(err, errReplaced) && !errors.Is(err, errDestroyed) {
			return run // berth is ending; the job goes on and is taken back
		}
	}
	ctx = context.WithoutCancel(ctx)
	j.warn("a job did not stop", c.Stop(ctx, fleet.StopGrace), "app", run.App, "job", run.Job)
	exit := c.Exit(ctx)
	run = j.endRun(g.app, run, exit, err)
	if run.Error != "" {
		j.cfg.Logs.Note(g.app.fleet, run.Release, runSource(run), string(run.State)+": "+run.Error)
	}
	j.cfg.Fleet.Remove(c)
	return run
}

// endRun records how a run ended. One that failed is tried again when its job
// says so.
func (j *Jobs) endRun(a *app, run store.CronRun, exit fleet.Exit, err error) store.CronRun {
	run.FinishedAt, run.ExitCode, run.State = time.Now().UTC(), exit.Code, store.CronOK
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
	switch {
	case errors.Is(err, errTimedOut):
		run.State = store.CronTimedOut
	case run.ExitCode != 0:
		run.State = store.CronFailed
	}
	wanted := errors.Is(err, errReplaced) || errors.Is(err, errDestroyed)
	run = j.keepRun(a, run, run.State.Bad() && !wanted)
	if !wanted {
		j.retryLater(a, run)
	}
	return run
}

// keepRun records what is known of a run now, with an event of it for tell.
func (j *Jobs) keepRun(a *app, run store.CronRun, tell bool) store.CronRun {
	err := j.db.Update(func(tx *store.Tx) error {
		name, err := nameNow(tx, a) // the app may have another name by now
		if err != nil || name == "" {
			return err
		}
		run.App = name
		if tell {
			if err := tx.AddEvent(EventOf(run)); err != nil {
				return err
			}
		}
		_, err = tx.CronRuns.Put(run)
		return err
	})
	j.warn("where a run of a job stands was not recorded", err, "app", run.App, "job", run.Job)
	j.cfg.Journal.Changed(run.App)
	return run
}

// How long it takes until a run that failed is tried again: it doubles with each.
const (
	firstRetry = 30 * time.Second
	lastRetry  = 10 * time.Minute
)

// retryLater tries a run of a slot again that failed, if its job says so.
func (j *Jobs) retryLater(a *app, run store.CronRun) {
	if run.Slot.IsZero() || run.State != store.CronFailed && run.State != store.CronTimedOut || run.Attempt < 1 {
		return
	}
	wanted := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		p := a.planned[run.Job]
		return p != nil && run.Attempt <= p.job.Retries
	}
	if !wanted() {
		return
	}
	pause := min(firstRetry<<min(run.Attempt-1, 8), lastRetry)
	j.cfg.Background(func(ctx context.Context) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return // the next start of berth tries it again
		}
		if !wanted() {
			return
		}
		_, err := j.runCron(ctx, a.called(), run.Job, beginning{by: bySchedule, slot: run.Slot, attempt: run.Attempt + 1}, io.Discard)
		j.warn("a cron job was not tried again", err, "app", a.called(), "job", run.Job)
	})
}

// retryAtStart tries again what failed shortly before berth was stopped.
func (j *Jobs) retryAtStart(a *app) {
	a.mu.Lock()
	first := !a.retried
	a.retried = true
	var retried []string
	for id, p := range a.planned {
		if p.job.Retries > 0 {
			retried = append(retried, id)
		}
	}
	a.mu.Unlock()
	if !first {
		return
	}
	var last map[string]store.CronRun
	err := j.db.View(func(tx *store.Tx) (err error) {
		last, err = tx.CronRuns.Last(a.called(), retried)
		return err
	})
	j.warn("it cannot be read which jobs are to be tried again", err, "app", a.called())
	for _, run := range last {
		if time.Since(run.FinishedAt) < retriedFor {
			j.retryLater(a, run)
		}
	}
}

// retriedFor is how long after its end a run is tried again at a start of berth.
const retriedFor = time.Hour

// RunOf returns the cron job and the number of the run of a container; it is
// false for other containers. The run still goes on, or its end has not been
// recorded.
func RunOf(c fleet.Container) (job string, number int, is bool) {
	labels := c.About().Labels
	number, _ = strconv.Atoi(labels[labelRun])
	return labels[labelCron], number, labels[fleet.LabelKind] == kindCron && c.Launched()
}

// Adopt takes back the runs and detached one-offs of some apps that went on, or ended, while berth was
// away. It returns the other containers.
func (j *Jobs) Adopt(records []store.App, containers []fleet.Container) (left []fleet.Container) {
	apps := map[string]store.App{}
	for _, record := range records {
		apps[strconv.Itoa(record.UID)] = record
	}
	for _, c := range containers {
		record, there := apps[c.About().Labels[fleet.LabelApp]]
		job, number, cron := RunOf(c)
		oneOff, once := OneOffOf(c)
		switch {
		case there && cron:
			j.adopt(record, c, job, number)
		case there && once:
			j.adoptOneOff(record, c, oneOff)
		default:
			left = append(left, c)
		}
	}
	return left
}

func (j *Jobs) adopt(record store.App, c fleet.Container, id string, number int) {
	a := j.app(j.cfg.Apps.Running(record))
	var run store.CronRun
	err := j.db.View(func(tx *store.Tx) (err error) {
		run, _, err = tx.CronRuns.Get(record.Name, number)
		return err
	})
	j.warn("the record of a running job cannot be read", err, "app", record.Name, "job", id)
	if run.Number == 0 || run.Job != id || run.State.Ended() {
		j.cfg.Background(func(context.Context) { j.cfg.Fleet.Remove(c) })
		return
	}
	ctx, done, err := a.admit(j.life, store.CronJob{ID: id, Concurrency: "allow"})
	if err != nil { // it goes on all the same
		ctx, done = j.life, func() {}
	}
	j.cfg.Background(func(context.Context) { j.awaitRun(ctx, &going{run: run, app: a, c: c, done: done}) })
}

// findCron returns a job of an app.
func (j *Jobs) findCron(record store.App, id string) (store.CronJob, error) {
	var jobs []store.CronJob
	err := j.db.View(func(tx *store.Tx) error {
		release, plan, err := cronOf(tx, record)
		jobs = jobsOf(plan, release)
		return err
	})
	if err != nil {
		return store.CronJob{}, err
	}
	return findCron(record.Name, jobs, id)
}

func findCron(app string, jobs []store.CronJob, id string) (store.CronJob, error) {
	var ids []string
	for _, job := range jobs {
		if job.ID == id {
			return job, nil
		}
		ids = append(ids, job.ID)
	}
	f := fault.New(fault.NotFound, code.CronUnknown, "%s has no cron job %.60q", app, id).Hint("berth cron:list %s shows them", app)
	if near := fault.Nearest(id, ids); near != "" {
		f.Hint("did you mean %q?", near)
	}
	return store.CronJob{}, f
}

// Why a run is ended before its time.
var (
	errReplaced  = errors.New("replaced by a newer run")
	errDestroyed = errors.New("its app was destroyed")
	errTimedOut  = errors.New("it ran longer")
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
	all := 0
	for _, runs := range a.runs {
		all += len(runs)
	}
	if all >= maxRuns && job.Concurrency != "replace" {
		return nil, nil, fault.New(fault.Conflict, code.CronFull, "%d runs of the cron jobs of %s are in progress; the maximum is %d", all, a.called(), maxRuns).
			Hint("berth cron:list %s shows them; a timeout ends runs that hang", a.called())
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
