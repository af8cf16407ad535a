package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
)

const (
	// onTime is how late a slot may be and still is no missed one: berth was
	// restarted, or the machine is busy.
	onTime = time.Minute

	missedOnce = "once" // of store.CronJob.Missed
)

// Planned returns a job of app.json. Its identity stays while its command and
// schedule do.
func Planned(entry appjson.CronEntry) store.CronJob {
	return store.CronJob{
		ID: identity(entry.Schedule, entry.Command), Schedule: entry.Schedule, Command: entry.Command,
		Concurrency: entry.Concurrency, Paused: entry.Maintenance,
		Missed: entry.Missed, Timeout: entry.Timeout, Retries: entry.Retries,
	}
}

func identity(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:8]
}

// jobsOf returns the jobs of an app, as they count: those of the release, and
// those that are set.
func jobsOf(plan store.CronPlan, release store.Release) []store.CronJob {
	all := slices.Concat(release.Cron, plan.Jobs)
	for i, job := range all {
		if suspended, said := plan.Suspended[job.ID]; said {
			all[i].Paused = suspended
		}
		all[i].Paused = all[i].Paused || plan.Maintenance
	}
	return all
}

// cronOf reads what the jobs of an app come from. An app of which nothing is live
// has an empty release.
func cronOf(tx *store.Tx, record store.App) (release store.Release, plan store.CronPlan, err error) {
	if record.Release != 0 {
		if release, err = tx.ReleaseWithoutConfig(record.Name, record.Release); err != nil {
			return release, plan, err
		}
	}
	plan, err = tx.CronPlans.Get(record.Name)
	return release, plan, err
}

// planned is a job that is run by its schedule.
type planned struct {
	job store.CronJob
	schedule
	slots store.CronSlots
	since time.Time // the slots until then are decided
	next  time.Time // the first slot after it that is open; zero is none
}

// seek finds the next slot.
func (p *planned) seek() {
	p.next = p.Next(p.since)
	for n := 0; !p.next.IsZero() && p.slots.Has(p.next) && n < mostCounted; n++ {
		p.next = p.Next(p.next)
	}
}

// due is what a moment brings.
type due struct {
	slot   time.Time // is to be run; zero is none
	before time.Time // the slot before the one that is decided, when that was decided too

	missed     int // how many slots were missed
	lastMissed time.Time
}

// Schedule plans the jobs of an app: of the release that is live, and those that
// are set. A job that is planned already keeps its place in its schedule.
func (j *Jobs) Schedule(of *fleet.App) {
	a := j.app(of)
	a.planning.Lock()
	defer a.planning.Unlock()
	now := time.Now()
	var record store.App
	var release store.Release
	var plan store.CronPlan
	var slots map[string]store.CronSlots
	err := j.db.View(func(tx *store.Tx) (err error) {
		if record, err = tx.App(a.called()); err != nil {
			return err
		}
		if release, plan, err = cronOf(tx, record); err != nil {
			return err
		}
		slots, err = tx.CronSlots.Of(record.Name)
		return err
	})
	if err != nil {
		j.warn("the jobs of an app cannot be planned", err, "app", a.called())
		return
	}
	jobs := jobsOf(plan, release)
	begun := a.plan(jobs, record.Stopped || record.Release == 0, plan.Zone, slots, now, func(job store.CronJob, err error) {
		// Whoever set the schedule has checked it.
		j.cfg.Log.Error("a cron job cannot be planned", "app", record.Name, "schedule", job.Schedule, "err", err)
	})
	if len(begun) > 0 {
		err := j.db.Update(func(tx *store.Tx) error { return begin(tx, record.Name, begun, jobs, now) })
		j.warn("it was not noted since when jobs are planned", err, "app", record.Name)
	}
	select {
	case j.replanned <- struct{}{}:
	default:
	}
	j.retryAtStart(a)
}

// plan replaces what is planned. It returns the jobs whose schedule comes into
// force now.
func (a *app) plan(jobs []store.CronJob, stopped bool, zone string, slots map[string]store.CronSlots, now time.Time, bad func(store.CronJob, error)) (begun []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, first := a.planned, a.planned == nil
	a.planned = map[string]*planned{}
	for _, job := range jobs {
		if stopped || job.Paused || a.gone {
			continue
		}
		s, err := parse(job, zone)
		if err != nil {
			bad(job, err)
			continue
		}
		p := &planned{job: job, schedule: s, slots: slots[job.ID]}
		switch was := before[job.ID]; {
		case was != nil:
			p.since, p.slots = was.since, was.slots
		case first: // what was due while berth was away is missed
			p.since = p.slots.Last(now)
			if since := p.slots.Since; since.After(p.since) && !since.After(now) {
				p.since = since
			}
		}
		if p.since.IsZero() {
			p.since = now
			begun = append(begun, job.ID)
		}
		p.seek()
		a.planned[job.ID] = p
	}
	return begun
}

// begin notes since when the schedules of some jobs are in force, and forgets the
// slots of jobs that there have not been for a while.
func begin(tx *store.Tx, app string, begun []string, jobs []store.CronJob, now time.Time) error {
	slots, err := tx.CronSlots.Of(app)
	if err != nil {
		return err
	}
	for _, id := range begun {
		s := slots[id]
		s.Since = now.UTC()
		if err := tx.CronSlots.Put(app, id, s); err != nil {
			return err
		}
	}
	for id, s := range slots {
		there := slices.ContainsFunc(jobs, func(job store.CronJob) bool { return job.ID == id })
		if there || now.Sub(s.Since) < slotsKept || now.Sub(s.Last(now)) < slotsKept {
			continue
		}
		if err := tx.CronSlots.Delete(app, id); err != nil {
			return err
		}
	}
	return nil
}

// slotsKept is how long the slots of a job are kept that the app no longer has: a
// later release may bring it back.
const slotsKept = 7 * 24 * time.Hour

// Run begins jobs by their schedules until ctx ends.
func (j *Jobs) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for before := time.Now(); ; {
		select {
		case <-timer.C:
		case <-j.replanned:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		step := clockStep(before, now, now.Sub(before))
		if step != 0 {
			j.cfg.Log.Warn("the clock was set: cron jobs are rescheduled", "by", step)
		}
		before = now
		timer.Reset(min(clockLook, time.Until(j.look(now.Round(0), step > 0 && step <= mostMissed))))
	}
}

// look begins what is due, and returns when something will be next.
func (j *Jobs) look(now time.Time, jumped bool) (next time.Time) {
	next = now.Add(clockLook)
	j.mu.Lock()
	apps := slices.Collect(maps.Values(j.apps))
	j.mu.Unlock()
	for _, a := range apps {
		a.mu.Lock()
		for _, p := range a.planned {
			if d := p.look(now, jumped); !d.slot.IsZero() || d.missed > 0 {
				job := p.job
				j.cfg.Background(func(ctx context.Context) { j.decided(ctx, a, job, d) })
			}
			if !p.next.IsZero() && p.next.Before(next) {
				next = p.next
			}
		}
		a.mu.Unlock()
	}
	return next
}

// decided does what was decided about a job.
func (j *Jobs) decided(ctx context.Context, a *app, job store.CronJob, d due) {
	if d.missed > 0 {
		j.recordMissed(a, job, d)
	}
	if d.slot.IsZero() {
		return
	}
	_, err := j.runCron(ctx, a.called(), job.ID, beginning{by: bySchedule, slot: d.slot, before: d.before, attempt: 1}, io.Discard)
	j.warn("a cron job was not run", err, "app", a.called(), "job", job.ID)
}

// CronStatus is a cron job with its next and last run.
type CronStatus struct {
	store.CronJob
	App     string         `json:"app"`
	State   string         `json:"state"` // running, scheduled, suspended; stopped with its app
	Next    time.Time      `json:"next,omitzero"`
	Running bool           `json:"running,omitempty"`
	Last    *store.CronRun `json:"last,omitempty"`
}

// CronJobs lists the cron jobs of an app: of its live release, and those that are
// set.
func (j *Jobs) CronJobs(ctx context.Context, app string) ([]CronStatus, error) {
	record, a, err := j.find(app)
	if err != nil {
		return nil, err
	}
	var jobs []store.CronJob
	var plan store.CronPlan
	var last map[string]store.CronRun
	err = j.db.View(func(tx *store.Tx) error {
		var release store.Release
		if release, plan, err = cronOf(tx, record); err != nil {
			return err
		}
		jobs = jobsOf(plan, release)
		var ids []string
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		last, err = tx.CronRuns.Last(record.Name, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	statuses := []CronStatus{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, job := range jobs {
		s := CronStatus{CronJob: job, App: record.Name, State: "scheduled", Running: len(a.runs[job.ID]) > 0}
		if run, ran := last[job.ID]; ran {
			s.Last = &run
		}
		if p := a.planned[job.ID]; p != nil {
			s.Next = p.next
		} else if schedule, err := parse(job, plan.Zone); err == nil && record.Release != 0 && !record.Stopped && !job.Paused {
			s.Next = schedule.Next(time.Now())
		}
		switch {
		case s.Running:
			s.State = "running"
		case job.Paused:
			s.State = "suspended"
		case record.Stopped || record.Release == 0:
			s.State = "stopped"
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}
