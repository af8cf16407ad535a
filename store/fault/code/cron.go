package code

// Cron jobs.
const (
	CronRunning = "E125"
	CronUnknown = "E126"
)

var crons = []Entry{
	{CronRunning, "The cron job is already running.",
		"The job's last run has not ended, and the job does not allow two runs at once. Nothing was started. " +
			"`berth cron:list APP` shows when it began. Wait until it ends, or set its concurrency_policy in " +
			"app.json to allow or replace."},
	{CronUnknown, "The app has no such cron job.",
		"Cron jobs are defined in the cron section of app.json in the live release. The id is misspelt, or " +
			"the job was removed or renamed by a later push. `berth cron:list APP` lists the ids."},
}
