package code

// Releases: what was deployed, and the way back to it.
const (
	ReleaseUnknown   = "E103"
	ReleaseNotKept   = "E117"
	ReleaseFailed    = "E118"
	NoEarlierRelease = "E119"
)

var releases = []Entry{
	{ReleaseUnknown, "The app has no release of this number.",
		"Releases are numbered from v1 on, for each app on its own. The number was never reached, or it is " +
			"another app's. `berth releases APP` lists those that there are."},
	{ReleaseNotKept, "The release is no longer kept.",
		"berth keeps the files of the latest five releases and removes those of older ones, so that the disk " +
			"does not fill. The record of this release is there, but its files are gone. Check out the commit " +
			"that the hint names and push it again, or roll back to a later release: `berth releases APP` lists " +
			"them."},
	{ReleaseFailed, "The release failed and cannot be rolled back to.",
		"This release never served, or it was taken back because it fell over. Rolling back to it would take " +
			"the app down. Choose a release that has served: `berth releases APP` shows how each of them ended."},
	{NoEarlierRelease, "There is no earlier release to go back to.",
		"`berth rollback APP` without a number goes to the release before the live one. The live release is " +
			"the first that has served, or all earlier ones failed. `berth releases APP` lists them. To change " +
			"what runs, mend the app and push again."},
}
