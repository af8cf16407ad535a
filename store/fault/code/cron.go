package code

// Cron jobs.
const (
	CronRunning = "E125"
	CronUnknown = "E126"
	CronInvalid = "E306"
	CronFull    = "E307"
)

var crons = []Entry{
	{CronRunning, "The cron job is already running.",
		"The job's last run has not ended, and the job does not allow two runs at once. Nothing was started. " +
			"`berth cron:list APP` shows when it began. Wait until it ends, or set its concurrency_policy in " +
			"app.json to allow or replace."},
	{CronUnknown, "The app has no such cron job.",
		"Cron jobs come from the cron section of app.json in the live release, and from `berth cron:set`. The id is " +
			"misspelt, or the job or its run was removed or renamed meanwhile. `berth cron:list APP` lists the ids, " +
			"`berth cron:runs APP` the runs."},
	{CronInvalid, "The cron job or property is invalid.",
		"berth does not accept the name, the schedule, the time zone or an option of the job. Nothing was changed, and " +
			"the message names the value. A schedule has five fields, minute, hour, day, month and " +
			"weekday, or is @hourly, @daily, @weekly and @monthly: " +
			"`berth cron:set APP nightly \"0 3 * * *\" python report.py`. `berth help cron:set` describes the options."},
	{CronFull, "The app has too many cron jobs, or too many runs of them.",
		"An app can have 100 jobs set by `berth cron:set`, and 20 runs of its jobs at once. Remove a job with " +
			"`berth cron:unset APP NAME`. When runs pile up, they hang or take longer than their schedule allows: " +
			"`berth cron:list APP` shows which. Give the job a timeout, or a concurrency policy of forbid or " +
			"replace."},
}
