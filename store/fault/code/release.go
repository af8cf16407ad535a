package code

// Releases: what was deployed, and the way back to it.
const (
	ReleaseUnknown   = "E103"
	ReleaseNotKept   = "E117"
	ReleaseFailed    = "E118"
	NoEarlierRelease = "E119"
)

var releases = []Entry{
	{ReleaseUnknown, "The app has no release with this number.",
		"Each app's releases are numbered from v1. The number does not exist yet, or it is another app's. " +
			"`berth releases APP` lists the releases."},
	{ReleaseNotKept, "The release is no longer kept.",
		"berth keeps the files of the latest five releases and removes older ones, so that the disk does not " +
			"fill. The record of this release exists, but its files are deleted. Check out the commit that the " +
			"hint names and push it again, or roll back to a later release: `berth releases APP` lists them."},
	{ReleaseFailed, "The release failed and cannot be rolled back to.",
		"This release never served, or it was rolled back because it failed. Rolling back to it would take " +
			"the app down. Choose a release that has served: `berth releases APP` shows the status of each."},
	{NoEarlierRelease, "There is no earlier release to roll back to.",
		"`berth rollback APP` without a number rolls back to the release before the live one. The live " +
			"release is the first that has served, or all earlier ones failed. `berth releases APP` lists them. " +
			"To change what runs, fix the app and push again."},
}
