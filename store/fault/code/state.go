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
		"This machine has had a state file, so berth does not start with an empty one: that would lose every " +
			"app. Usually a disk is not mounted, or a restore was not finished. The hint shows the command that " +
			"restores the last good copy. Only if you want to delete all apps, remove the marker and the copy " +
			"named in the hint."},
	{StateDamaged, "The state file, or a record in it, is damaged.",
		"berth reads every record when it starts and refuses a file that it cannot trust. A failing disk or " +
			"an unfinished copy is the usual cause. The hint shows the command that restores the last good copy. " +
			"Check the disk as well: `dmesg` and `smartctl -a DEVICE` show errors."},
	{StateInUse, "Another process uses this state file.",
		"Only one berth can open a state file, and one is already running. `systemctl status berth` shows " +
			"whether it is the service. Commands such as `berth apps:list` use the running one. Two on one " +
			"machine need different --state, --data and --bridge."},
	{StateKeyUnusable, "The key of the state file cannot be used.",
		"Config and secrets in the state file are encrypted with a key in the same directory. The key is " +
			"missing, damaged, cannot be read, or was made for another state file. Restore the key from the " +
			"backup of this state file; a new one cannot read what the old one encrypted."},
	{StateNewer, "The state file was written by a newer berth.",
		"Its format is newer than this program supports, so this program does not touch it. Usually an older " +
			"berth was installed over a newer one. Install the version that wrote it, or a later one, and start " +
			"berth again."},
	{StateUnusable, "berth cannot read and write the state file.",
		"The file exists, but it is not a regular file, root cannot write it, or the disk reports an error. " +
			"The message has the reason. `lsattr FILE` shows whether it is immutable, and `chattr -i FILE` makes " +
			"it writable."},
	{FilesNotMoved, "The repository of an app cannot be moved to its new place.",
		"An app's files on disk are named by its id; an older berth used the app's name. The first start of " +
			"this berth moves them, and could not move this repository. The message has the reason. Nothing is " +
			"lost: fix that, then start berth again."},
	{StateNotMigrated, "The state file has an older format and cannot be converted.",
		"berth converts the state file to its own format when it starts, and keeps a copy of the old file. " +
			"The disk is full or read-only, so neither could be written. Running apps are served meanwhile, but " +
			"nothing can be changed. Free some space or mount the filesystem writable, then restart berth: " +
			"`systemctl restart berth`."},
	{StateUnwritable, "The state file cannot be written.",
		"The disk refused the write, so nothing was changed; running apps are served meanwhile. Its " +
			"filesystem is read-only, or the disk has an error: `dmesg` shows it. Mount it writable, or replace " +
			"the disk, then restart berth."},
}
