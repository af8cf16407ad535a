package code

// Jobs and one-off commands.
const (
	RunNoCommand = "E124"
	JobRunning   = "E125"
	JobUnknown   = "E126"
)

var jobs = []Entry{
	{RunNoCommand, "There is no command to run.",
		"`berth run APP` needs a command after the app's name. It runs in a fresh container of the live " +
			"release. A shell is `berth run APP bash`. One word that names a process type runs that type's " +
			"command."},
	{JobRunning, "The job is running already.",
		"The job's last run has not ended, and the job does not allow two runs at once. Nothing was started. " +
			"`berth cron:list APP` shows when it began. Wait for its end, or set its concurrency_policy in " +
			"app.json to allow or replace."},
	{JobUnknown, "The app has no such job.",
		"Jobs come from the cron section of app.json in the live release. The id is misspelt, or the job was " +
			"removed or renamed by a later push. `berth cron:list APP` lists the ids."},
}
