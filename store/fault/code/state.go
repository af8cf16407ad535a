package code

// The state file: what berth remembers.
const (
	StateMissing     = "E120"
	StateDamaged     = "E121"
	StateInUse       = "E122"
	StateKeyUnusable = "E123"
	StateNewer       = "E128"
	StateUnusable    = "E138"
	FilesNotMoved    = "E315"
	StateNotMigrated = "E316"
	StateUnwritable  = "E510"
)

var state = []Entry{
	{StateMissing, "The state file is missing or empty.",
		"This machine has had a state file, so berth does not start with an empty one: that would forget " +
			"every app. Mostly a disk is not mounted, or a restore was not finished. The hint has the command " +
			"that puts the last good copy in its place. Only when all apps are to be forgotten, remove the marker " +
			"and the copy that the hint names."},
	{StateDamaged, "The state file, or a record in it, is damaged.",
		"berth reads every record when it starts and refuses a file that it cannot trust. A failing disk or " +
			"an unfinished copy is the usual cause. The hint has the command that puts the last good copy in its " +
			"place. Look at the disk as well: `dmesg` and `smartctl -a DEVICE` show errors."},
	{StateInUse, "Another process works with this state.",
		"One berth at a time opens a state file, and one is running already. `systemctl status berth` shows " +
			"whether it is the service. Commands such as `berth apps:list` ask that one and do not need a second. " +
			"Two on one machine need different --state, --data and --bridge."},
	{StateKeyUnusable, "The key of the state file cannot be used.",
		"Config and secrets in the state file are encrypted with a key that lies beside it. The key is " +
			"missing, damaged, cannot be read, or was made for another state file. Restore the key from the " +
			"backup of this state file; a new one cannot read what the old one encrypted."},
	{StateNewer, "A newer berth has written the state file.",
		"Its format is newer than the one this program knows, so this program does not touch it. Mostly an " +
			"older berth was installed over a newer one. Install the version that wrote it, or a later one, and " +
			"start berth again."},
	{StateUnusable, "berth may not read and write the state file.",
		"The file is there, but it is not a regular file, root may not write it, or the disk reports an " +
			"error. The message has the reason. `lsattr FILE` shows whether it is immutable, and `chattr -i FILE` " +
			"takes that back."},
	{FilesNotMoved, "The repository of an app cannot be moved to its new place.",
		"What an app has on the disk is named by its id; an older berth named it by the app's name. The first " +
			"start of this berth moves it, and could not move this repository. The message has the reason. " +
			"Nothing is lost: mend that, then start berth again."},
	{StateNotMigrated, "The state file has an older format, and the disk takes no newer one.",
		"berth brings the state file to its own format when it starts, and keeps a copy of the file as it was. " +
			"The disk is full or read-only, so neither could be written. What runs is served meanwhile, and " +
			"nothing can be changed. Free some space or mount the filesystem writable, then restart berth: " +
			"`systemctl restart berth`."},
	{StateUnwritable, "The state file cannot be written.",
		"The disk refused the write, so nothing was changed; what runs is served meanwhile. Its filesystem is " +
			"read-only, or the disk has an error: `dmesg` shows it. Mount it writable, or replace the disk, then " +
			"restart berth."},
}
