package code

// Storage: volumes, where they are mounted, and their files.
const (
	VolumeNameInvalid = "E600"
	VolumeUnknown     = "E601"
	VolumeExists      = "E602"
	VolumesFull       = "E603"
	VolumeMounted     = "E604"
	VolumeOfAnother   = "E605"
	VolumeAmbiguous   = "E606"
	VolumeMissing     = "E607"
	VolumeBusy        = "E608"
	VolumeSizeInvalid = "E609"
	VolumeOverLimit   = "E610"
	MountInvalid      = "E611"
	MountTaken        = "E612"
	MountUnknown      = "E613"
	HostPathForbidden = "E614"
	OneWriter         = "E615"
	FilePathInvalid   = "E616"
	FileUnknown       = "E617"
	FileNotRegular    = "E618"
	ArchiveInvalid    = "E619"
	ArchiveBrokenOff  = "E620"
	DestroyNotForced  = "E621"
	NothingToRunIn    = "E622"
)

var storage = []Entry{
	{VolumeNameInvalid, "This cannot be the name of a volume.",
		"A volume's name has small letters, digits, dots, - and _, begins and ends with a letter or digit, and is at " +
			"most 63 characters long. Choose another one: `berth storage:create NAME`."},
	{VolumeUnknown, "There is no such volume.",
		"No volume has this name, or it belongs to an app that your key may not see. A volume is known by its name " +
			"within its app, so `--app APP` may be missing. `berth storage:list` shows the volumes that you may see."},
	{VolumeExists, "There is a volume of this name already.",
		"An app has one volume of a name, and so have those of no app. Nothing was changed. `berth storage:info NAME` " +
			"shows the one that is there; choose another name for the new one."},
	{VolumesFull, "There are as many volumes or mounts as may be.",
		"An app has at most 32 volumes and 16 mounts, and a machine has at most 1000 volumes. Nothing was changed. " +
			"`berth storage:list` shows them, `berth storage:unmount` and `berth storage:destroy` make room."},
	{VolumeMounted, "The volume is mounted.",
		"An app has the volume, or its live release still has it. A volume in use is not destroyed. " +
			"`berth storage:unmount APP NAME` takes it from the app; then destroy it."},
	{VolumeOfAnother, "The volume belongs to another app.",
		"The files of a volume belong to the user of one app, so that no other app can read or change them. Nothing " +
			"was changed. Make a volume for this app with `berth storage:create NAME --app APP`. Two apps can share a " +
			"directory of the machine, which an administrator mounts into both: `berth storage:mount APP /srv/shared:/shared`."},
	{VolumeAmbiguous, "Several apps have a volume of this name.",
		"A volume is known by its name within its app. Add `--app APP` to say which one is meant."},
	{VolumeMissing, "The files of a volume are not where they should be.",
		"The state knows the volume, and its directory below volumes/ in berth's data directory is missing or is no " +
			"directory. Nothing is started on an empty one in its place. Put the directory back, from a backup or from " +
			"volumes/.trash, or mount another volume."},
	{VolumeBusy, "The volume is in use.",
		"Something that runs has the volume, or another import is under way. Its files are replaced only while " +
			"nothing uses them. Stop the app with `berth ps:stop APP`, do it again, and start the app with `berth ps:start APP`."},
	{VolumeSizeInvalid, "This is not a size of a volume.",
		"A size is written as 500m, 10g or 1t, and is at least 1m. `none` takes the limit back. Write it so: " +
			"`berth storage:set NAME --size 10g`."},
	{VolumeOverLimit, "The volume has no room for this.",
		"What was to be written would take the volume over its limit. The files are as they were. `berth storage:info " +
			"NAME` shows what is used; `berth storage:set NAME --size SIZE` raises the limit, `berth storage:rm NAME PATH` " +
			"removes files."},
	{MountInvalid, "This cannot be mounted so.",
		"A mount is a volume and an absolute path in the app's containers, as in `berth storage:mount APP data " +
			"--container-dir /app/data`, or in Dokku's form `berth storage:mount APP data:/app/data`. The path is no " +
			"directory of the system, not /app itself, and not within another mount."},
	{MountTaken, "Something is mounted there already.",
		"The app has another mount at this path, or this volume at another one. Nothing was changed. " +
			"`berth storage:list APP` shows its mounts; unmount one first."},
	{MountUnknown, "The app has no such mount.",
		"Nothing of this name or path is mounted in the app. `berth storage:list APP` shows its mounts."},
	{HostPathForbidden, "This directory of the machine may not be mounted.",
		"Directories of the machine are mounted by administrators alone, and some by nobody: those of the system, of " +
			"containers and of berth itself. The directory has to exist. A volume needs neither: " +
			"`berth storage:create NAME --app APP`."},
	{OneWriter, "Two instances would write to a volume that is for one.",
		"The volume is mounted with access for one writer, so one instance may run with it. Keep one instance, give " +
			"the mount to one process type (`--process web`), or, when the app's files stand several writers, mount it " +
			"with `--access many`."},
	{FilePathInvalid, "This path does not lead to a file of the volume.",
		"A path is relative to the volume, has no .. and no control characters, and is followed by no link that leads " +
			"out of the volume. `berth storage:ls NAME` shows what is there."},
	{FileUnknown, "The volume has no such file.",
		"Nothing lies at this path. `berth storage:ls NAME PATH` shows a directory of the volume."},
	{FileNotRegular, "This is not a plain file.",
		"Only plain files are read and replaced; a directory is removed with `--recursive`. What is a device, a socket " +
			"or a pipe is left alone."},
	{ArchiveInvalid, "The archive cannot be taken into a volume.",
		"It is no plain tar, or has entries that may not be: absolute paths, paths with .., devices, pipes, or more " +
			"than a million of them. Nothing was changed. Make it with `tar -C DIRECTORY -c .`, not compressed."},
	{ArchiveBrokenOff, "The archive ended before its end.",
		"Whoever sent it stopped, or the connection broke. The volume has the files that it had before. Send it again."},
	{DestroyNotForced, "The volume was not destroyed.",
		"It was not said that it is to be. `berth storage:destroy NAME --force` does it; the files are kept for 7 days."},
	{NothingToRunIn, "There is nothing to run the command in.",
		"A command runs in the image of the app that the volume belongs to, and the volume is of no app, or the app was " +
			"never deployed. `berth storage:ls`, `storage:cat`, `storage:put` and `storage:export` work without one."},
}
