package store

import "time"

// keptCronRuns is how many runs of an app's jobs are remembered.
const keptCronRuns = 500

// CronJob is one entry of app.json's cron: a command of the app run by schedule.
type CronJob struct {
	ID       string `json:"id"`       // stable for the same command and schedule
	Schedule string `json:"schedule"` // five fields or @daily and its like, UTC
	Command  string `json:"command"`

	// Concurrency says what happens when a run is due while one still goes on:
	// "allow" both, "forbid" the new one, "replace" the old one.
	Concurrency string `json:"concurrency,omitempty"`
	Paused      bool   `json:"paused,omitempty"` // runs when asked to, not by schedule
}

// CronRun is one run of a job.
type CronRun struct {
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

// PutCronRun stores a run; one with number 0 gets the next.
func (tx *Tx) PutCronRun(run CronRun) (CronRun, error) {
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
	return run, trim(b, keptCronRuns)
}

// HasCronRun tells whether a run of a job of an app is remembered.
func (tx *Tx) HasCronRun(app string, n int) bool {
	b := tx.of("runs", app)
	return b != nil && b.Get(number(n)) != nil
}

// CronRuns returns up to limit runs of a job of an app ("" is every job), the
// newest first; 0 is no limit.
func (tx *Tx) CronRuns(app, job string, limit int) ([]CronRun, error) {
	runs, err := newest(tx.of("runs", app), limit, func(r CronRun) bool { return job == "" || r.Job == job })
	for i := range runs {
		runs[i].App = app
	}
	return runs, err
}
