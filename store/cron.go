package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What is remembered of the runs of an app's cron jobs: at most so many, and
// none that began earlier. A run that goes on stays.
const (
	KeptCronRuns    = 1000
	KeptCronRunsFor = 90 * 24 * time.Hour
)

// MaxCronEntries bounds the cron jobs that are set for an app, beside those of
// its app.json.
const MaxCronEntries = 100

// CronJob is a command of an app that is run by schedule: an entry of app.json's
// cron, or one that was set.
type CronJob struct {
	ID       string `json:"id"`       // stable for the same command and schedule; the name of one that was set
	Schedule string `json:"schedule"` // five fields or @daily and its like
	Command  string `json:"command"`

	// Zone is the time zone of a schedule that names none itself; "" is the
	// app's, and UTC when it has none.
	Zone string `json:"timezone,omitempty"`

	// Concurrency says what happens when a run is due while one still goes on:
	// "allow" both, "forbid" the new one, "replace" the old one.
	Concurrency string `json:"concurrency,omitempty"`

	// Missed says what happens to runs that were due while berth was away: "skip"
	// or "" leaves them out, "once" makes up for all of them by one run.
	Missed string `json:"missed,omitempty"`

	Timeout int  `json:"timeout,omitempty"` // seconds that a run may take; 0 is the usual limit
	Retries int  `json:"retries,omitempty"` // how often a run that failed is tried again
	Paused  bool `json:"paused,omitempty"`  // runs when asked to, not by schedule
	Set     bool `json:"set,omitempty"`     // by cron:set
}

// CronPlan is what is set of an app's cron jobs beside its app.json.
type CronPlan struct {
	Jobs []CronJob `json:"jobs,omitempty"`

	// Suspended has, by the job's id, what was said of it last: true stops its
	// schedule, false lets it run although app.json says otherwise.
	Suspended map[string]bool `json:"suspended,omitempty"`

	Maintenance bool   `json:"maintenance,omitempty"` // no job runs by schedule
	Zone        string `json:"timezone,omitempty"`    // of schedules that name none
}

// CronPlans is what a transaction has of cron plans.
type CronPlans struct{ *records }

// Get returns the plan of an app, which may be empty.
func (tx CronPlans) Get(app string) (plan CronPlan, err error) {
	plan, _, err = get[CronPlan](tx.bucket("cron"), []byte(tx.id(app)))
	return plan, err
}

// Put stores the plan of an app.
func (tx CronPlans) Put(app string, plan CronPlan) error {
	id, err := tx.mustID(app)
	if err != nil {
		return err
	}
	return put(tx.bucket("cron"), []byte(id), plan)
}

// CronSlots are the slots of a job that are spoken for. A slot is a time of the
// job's schedule.
type CronSlots struct {
	// Since is when the schedule came into force: what was due before is not missed.
	Since time.Time `json:"since,omitzero"`

	// Claimed are slots that were run or left out, for good. Each span holds
	// slots that followed one another.
	Claimed []CronSpan `json:"claimed,omitempty"`
}

// CronSpan are all slots of a schedule from one to another.
type CronSpan struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// keptCronSpans bounds the spans of a job. A new one begins with each time that
// slots are left out, as when the machine was down, or the clock was set back.
const keptCronSpans = 32

// Has tells whether a slot is claimed.
func (s CronSlots) Has(slot time.Time) bool {
	for _, span := range s.Claimed {
		if !slot.Before(span.From) && !slot.After(span.To) {
			return true
		}
	}
	return false
}

// Claim claims a slot. before is the slot before it.
func (s *CronSlots) Claim(slot, before time.Time) {
	for i, span := range s.Claimed {
		if span.To.Equal(before) {
			s.Claimed[i].To = slot
			return
		}
	}
	if s.Claimed = append(s.Claimed, CronSpan{slot, slot}); len(s.Claimed) > keptCronSpans {
		s.Claimed = s.Claimed[1:]
	}
}

// Last returns the last slot until some time that is claimed; zero is none.
func (s CronSlots) Last(until time.Time) (last time.Time) {
	for _, span := range s.Claimed {
		to := span.To
		if to.After(until) {
			to = until // only when it holds slots on both sides
		}
		if !span.From.After(until) && to.After(last) {
			last = to
		}
	}
	return last
}

// CronSlotBook is what a transaction has of the slots of cron jobs.
type CronSlotBook struct{ *records }

// Of returns the claimed slots of all jobs of an app, by their ids.
func (tx CronSlotBook) Of(app string) (map[string]CronSlots, error) {
	all := map[string]CronSlots{}
	b := tx.of("cronslots", app)
	if b == nil {
		return all, nil
	}
	return all, b.ForEach(func(id, raw []byte) error {
		var slots CronSlots
		if err := json.Unmarshal(raw, &slots); err != nil {
			return fmt.Errorf("read the slots of the job %q: %w", id, err)
		}
		all[string(id)] = slots
		return nil
	})
}

// Get returns the claimed slots of a job.
func (tx CronSlotBook) Get(app, job string) (slots CronSlots, err error) {
	slots, _, err = get[CronSlots](tx.of("cronslots", app), []byte(job))
	return slots, err
}

// Put stores the claimed slots of a job.
func (tx CronSlotBook) Put(app, job string, slots CronSlots) error {
	b, err := tx.makeOf("cronslots", app)
	if err != nil {
		return err
	}
	return put(b, []byte(job), slots)
}

// Delete forgets the slots of a job.
func (tx CronSlotBook) Delete(app, job string) error {
	b, err := tx.makeOf("cronslots", app)
	if err != nil {
		return err
	}
	return b.Delete([]byte(job))
}

// CronState is where a run of a cron job stands.
type CronState string

// The life of a run. A slot is claimed by a record that is scheduled, before
// anything starts.
const (
	CronScheduled CronState = "scheduled" // about to start
	CronRunning   CronState = "running"
	CronOK        CronState = "ok"
	CronFailed    CronState = "failed"
	CronTimedOut  CronState = "timed-out"
	CronSkipped   CronState = "skipped" // another run went on, or there were too many
	CronMissed    CronState = "missed"  // berth was away when it was due
)

// Ended tells whether nothing more comes of a run.
func (s CronState) Ended() bool { return s != CronScheduled && s != CronRunning }

// Bad tells whether somebody should hear of it.
func (s CronState) Bad() bool { return s == CronFailed || s == CronTimedOut || s == CronMissed }

// CronRun is one run of a job.
type CronRun struct {
	App        string    `json:"app"`
	Job        string    `json:"job"`
	Number     int       `json:"number"`
	State      CronState `json:"state,omitempty"`
	Command    string    `json:"command"`
	Release    int       `json:"release"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	ExitCode   int       `json:"exit_code"`
	Error      string    `json:"error,omitempty"` // why it has no exit code
	By         string    `json:"by"`              // "schedule" or who asked

	Slot    time.Time `json:"slot,omitzero"`     // the time of the schedule that it is for
	Slots   int       `json:"slots,omitempty"`   // how many were missed until then
	Attempt int       `json:"attempt,omitempty"` // from 1; more is a retry
	Timeout int       `json:"timeout,omitempty"` // seconds that it may take; 0 is the usual limit
}

// read fills in what records of earlier versions of berth lack.
func (r CronRun) read(app string) CronRun {
	r.App = app
	switch {
	case r.State != "":
	case r.FinishedAt.IsZero():
		r.State = CronRunning
	case r.Error != "" || r.ExitCode != 0:
		r.State = CronFailed
	default:
		r.State = CronOK
	}
	return r
}

// CronRuns is what a transaction has of the runs of cron jobs.
type CronRuns struct{ *records }

// Put stores a run; one with number 0 gets the next.
func (tx CronRuns) Put(run CronRun) (CronRun, error) {
	b, err := tx.makeOf("runs", run.App)
	if err != nil {
		return CronRun{}, err
	}
	if run.Number == 0 {
		n, err := b.NextSequence()
		if err != nil {
			return CronRun{}, err
		}
		run.Number = int(n)
	}
	stored := run
	stored.App = "" // it hangs under the app, whatever the app is called
	if err := put(b, number(run.Number), stored); err != nil {
		return CronRun{}, err
	}
	return run, tx.trim(b)
}

// trim removes runs that are too many or too old, but for those that go on.
func (tx CronRuns) trim(b *bolt.Bucket) error {
	oldest, many := time.Now().Add(-KeptCronRunsFor), -KeptCronRuns
	c := b.Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		many++
	}
	var old [][]byte
	for key, raw := c.First(); key != nil; key, raw = c.Next() {
		var run CronRun
		if err := json.Unmarshal(raw, &run); err != nil {
			return fmt.Errorf("read record %q: %w", key, err)
		}
		if many <= 0 && !run.StartedAt.Before(oldest) {
			break
		}
		many--
		if run.read("").State.Ended() {
			old = append(old, key)
		}
	}
	for _, key := range old {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// Get returns a run of an app; found is false when it is not remembered.
func (tx CronRuns) Get(app string, n int) (run CronRun, found bool, err error) {
	run, found, err = get[CronRun](tx.of("runs", app), number(n))
	return run.read(app), found, err
}

// Has tells whether a run of a job of an app is remembered.
func (tx CronRuns) Has(app string, n int) bool {
	b := tx.of("runs", app)
	return b != nil && b.Get(number(n)) != nil
}

// Of returns up to limit runs of a job of an app ("" is every job), the newest
// first; 0 is no limit.
func (tx CronRuns) Of(app, job string, limit int) ([]CronRun, error) {
	runs, err := newest(tx.of("runs", app), limit, func(r CronRun) bool { return job == "" || r.Job == job })
	for i := range runs {
		runs[i] = runs[i].read(app)
	}
	return runs, err
}

// Last returns the newest run of each of some jobs of an app, by the job's id.
func (tx CronRuns) Last(app string, jobs []string) (map[string]CronRun, error) {
	last := map[string]CronRun{}
	if len(jobs) == 0 {
		return last, nil
	}
	_, err := newest(tx.of("runs", app), len(jobs), func(r CronRun) bool {
		if _, newer := last[r.Job]; newer || !slices.Contains(jobs, r.Job) {
			return false
		}
		last[r.Job] = r.read(app)
		return true
	})
	return last, err
}
