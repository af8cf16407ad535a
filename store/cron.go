package store

import "time"

// keptRuns is how many runs of an app's jobs are remembered.
const keptRuns = 500

// Job is one entry of app.json's cron: a command of the app run by schedule.
type Job struct {
	ID       string `json:"id"`       // stable for the same command and schedule
	Schedule string `json:"schedule"` // five fields or @daily and its like, UTC
	Command  string `json:"command"`

	// Concurrency says what happens when a run is due while one still goes on:
	// "allow" both, "forbid" the new one, "replace" the old one.
	Concurrency string `json:"concurrency,omitempty"`
	Paused      bool   `json:"paused,omitempty"` // runs when asked to, not by schedule
}

// JobRun is one run of a job.
type JobRun struct {
	App        string    `json:"app"`
	Job        string    `json:"job"`
	Number     int       `json:"number"`
	Command    string    `json:"command"`
	Release    int       `json:"release"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	ExitCode   int       `json:"exit_code"`
	Error      string    `json:"error,omitempty"` // why it has no exit code
	By         string    `json:"by"`              // "schedule" or who asked
}

// PutJobRun stores a run; one with number 0 gets the next.
func (tx *Tx) PutJobRun(run JobRun) (JobRun, error) {
	b, err := tx.makeOf("runs", run.App)
	if err != nil {
		return JobRun{}, err
	}
	if run.Number == 0 {
		n, err := b.NextSequence()
		if err != nil {
			return JobRun{}, err
		}
		run.Number = int(n)
	}
	stored := run
	stored.App = "" // it hangs under the app, whatever the app is called
	if err := put(b, number(run.Number), stored); err != nil {
		return JobRun{}, err
	}
	return run, trim(b, keptRuns)
}

// HasJobRun tells whether a run of a job of an app is remembered.
func (tx *Tx) HasJobRun(app string, n int) bool {
	b := tx.of("runs", app)
	return b != nil && b.Get(number(n)) != nil
}

// JobRuns returns up to limit runs of a job of an app ("" is every job), the
// newest first; 0 is no limit.
func (tx *Tx) JobRuns(app, job string, limit int) ([]JobRun, error) {
	runs, err := newest(tx.of("runs", app), limit, func(r JobRun) bool { return job == "" || r.Job == job })
	for i := range runs {
		runs[i].App = app
	}
	return runs, err
}
