package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
)

// Planned returns a job of app.json. Its identity stays while its command and
// schedule do.
func Planned(entry appjson.CronEntry) store.CronJob {
	return store.CronJob{
		ID: identity(entry.Schedule, entry.Command), Schedule: entry.Schedule, Command: entry.Command,
		Concurrency: entry.Concurrency, Paused: entry.Maintenance,
	}
}

func identity(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:8]
}

// Schedule plans the jobs of the release that is live now, in the place of
// those of the one before.
func (j *Jobs) Schedule(of *fleet.App, release store.Release) {
	a := j.app(of)
	a.unschedule(j.cron)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, job := range release.Cron {
		if job.Paused {
			continue
		}
		schedule, err := cron.ParseStandard(job.Schedule)
		if err != nil { // the push has checked it
			j.cfg.Log.Error("a cron job cannot be planned", "app", a.called(), "schedule", job.Schedule, "err", err)
			continue
		}
		if a.ran[job.ID] == nil {
			a.ran[job.ID] = new(ranAt)
		}
		ran := a.ran[job.ID]
		a.jobs = append(a.jobs, j.cron.Schedule(steady{schedule, ran}, cron.FuncJob(func() {
			ran.set(time.Now())
			_, err := j.runCron(j.life, a.called(), job.ID, "schedule", io.Discard)
			j.warn("a cron job was not run", err, "app", a.called(), "job", job.ID)
		})))
	}
}

func (a *app) unschedule(planner *cron.Cron) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range a.jobs {
		planner.Remove(id)
	}
	a.jobs = nil
}

// CronStatus is a cron job with its next and last run.
type CronStatus struct {
	store.CronJob
	App     string         `json:"app"`
	Next    time.Time      `json:"next,omitzero"`
	Running bool           `json:"running,omitempty"`
	Last    *store.CronRun `json:"last,omitempty"`
}

// CronJobs lists the cron jobs of an app's live release.
func (j *Jobs) CronJobs(ctx context.Context, app string) ([]CronStatus, error) {
	record, a, err := j.find(app)
	if err != nil {
		return nil, err
	}
	statuses := []CronStatus{}
	if record.Release == 0 {
		return statuses, nil
	}
	var release store.Release
	err = j.db.View(func(tx *store.Tx) error {
		release, err = tx.ReleaseWithoutConfig(record.Name, record.Release)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, job := range release.Cron {
		s := CronStatus{CronJob: job, App: app}
		if schedule, err := cron.ParseStandard(job.Schedule); err == nil && !record.Stopped && !job.Paused {
			s.Next = schedule.Next(time.Now().UTC())
		}
		err := j.db.View(func(tx *store.Tx) error {
			runs, err := tx.CronRuns(app, job.ID, 1)
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
