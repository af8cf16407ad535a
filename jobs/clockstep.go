package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// The scheduler sleeps until a job's next time by the clock that is never set.
// When the machine's clock is set meanwhile, that time is another one: set back
// by an hour, no job would run for an hour; set forward, jobs would be late. So
// the two clocks are compared, and after a step the times are computed anew.
const (
	// clockLook is how often the clocks are compared, and the longest that a job
	// may be late after a step.
	clockLook = 10 * time.Second

	// leastStep is what counts as a step. Slewing moves both clocks.
	leastStep = time.Second

	// mostMissed is the longest step over which a job that it jumped is run after
	// it, once, as Debian's cron has it. What is longer is no correction: the
	// machine slept, or its clock was wrong before.
	mostMissed = 3 * time.Hour
)

// clockStep returns by how much a clock was set while some time went by.
func clockStep(before, after time.Time, elapsed time.Duration) time.Duration {
	step := after.Round(0).Sub(before.Round(0)) - elapsed // Round takes the other clock off
	if step.Abs() < leastStep {
		return 0
	}
	return step
}

// watchClock has jobs planned anew whenever the clock was set.
func (j *Jobs) watchClock(ctx context.Context) {
	look := time.NewTicker(clockLook)
	defer look.Stop()
	for before := time.Now(); ; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if step := clockStep(before, now, now.Sub(before)); step != 0 {
			j.cfg.Log.Warn("the clock was set: cron jobs are rescheduled", "by", step)
			j.replan(step, now)
		}
		before = now
	}
}

// replan computes the next time of every job from now on. A job whose time the
// step jumped over is run once.
func (j *Jobs) replan(step time.Duration, now time.Time) {
	j.cron.Stop() // what runs goes on; the times of the entries can be read in peace
	for _, entry := range j.cron.Entries() {
		if step > 0 && step <= mostMissed && !entry.Next.IsZero() && !entry.Next.After(now) {
			j.cfg.Background(func(context.Context) { entry.WrappedJob.Run() })
		}
	}
	j.cron.Start()
}

// steady is a job's schedule that does not come a second time when the clock is
// set back, unless it would pause for longer than it ever does.
type steady struct {
	cron.Schedule
	ran *ranAt
}

// ranAt is when a job was run by its schedule last.
type ranAt struct {
	mu sync.Mutex // guards what follows
	at time.Time
}

func (r *ranAt) set(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = at.Round(0)
}

// Next is called by the scheduler.
func (s steady) Next(now time.Time) time.Time {
	next := s.Schedule.Next(now)
	s.ran.mu.Lock()
	ran := s.ran.at
	s.ran.mu.Unlock()
	if next.IsZero() || ran.IsZero() || next.After(ran) {
		return next
	}
	if pause := s.Schedule.Next(next).Sub(next); ran.Sub(now) > pause {
		return next
	}
	return s.Schedule.Next(ran)
}
