package code

// Builds: what runs between a push and a release.
const (
	BuildUnknown       = "E106"
	BuilderInvalid     = "E159"
	BuildNotRunning    = "E161"
	BuildPastCancel    = "E162"
	ToolchainFailed    = "E231"
	DependenciesFailed = "E232"
	AptFailed          = "E233"
	BuildFailed        = "E234"
	BuildStepFailed    = "E240"
	BuildTimeout       = "E241"
	BuildDiskSpent     = "E242"
	BuildOutputMissing = "E243"
	BuildDeadline      = "E244"
	ToolchainTimeout   = "E245"
	TestsFailed        = "E251"
	TestsTimeout       = "E252"
	PredeployFailed    = "E261"
	ReleasePhaseFailed = "E262"
	PostdeployFailed   = "E263"
	PhaseTimeout       = "E264"
	BuildKilled        = "E511"
)

var builds = []Entry{
	{BuildUnknown, "The app has no build of this number.",
		"Builds are numbered from 1 on, for each app on its own, and old ones are forgotten. " +
			"`berth builds:list APP` lists those that are remembered."},
	{BuilderInvalid, "A builder has no such property or value.",
		"`berth builder:set` takes selected, build-dir, test and versions. selected is one of berth's " +
			"builders, build-dir is a path inside the repository, test is on or off, versions is latest. The hint " +
			"says what fits. `berth help builder:set` describes each of them."},
	{BuildNotRunning, "The build does not run.",
		"`berth builds:cancel` ends a build that waits or runs. Nothing is being built for this app, or the " +
			"build that you name has ended. `berth builds:list APP` shows how each one ended."},
	{BuildPastCancel, "The build can no longer be cancelled.",
		"Its release is going live at this moment, and stopping halfway would leave the app between two " +
			"releases. Wait for its end. `berth rollback APP` then goes back to the release before."},
	{ToolchainFailed, "A toolchain could not be installed.",
		"The language's tools are installed by berth from Debian's archive or the language's own source, and " +
			"that failed. The app is not the cause. The evidence has the end of what was printed. Mostly the " +
			"machine does not reach that source: `berth doctor` looks for it. Push the same commit again once it " +
			"does."},
	{DependenciesFailed, "The dependencies could not be installed.",
		"The package manager (pip, npm, go, Maven, Bundler, Composer, Cargo) failed. The evidence has the end " +
			"of what it printed, and the hints what follows from it. Mostly a version does not exist, the lock " +
			"file does not fit, or a native package lacks a library, which the file apt-packages can add. " +
			"`berth builds:output APP` has the whole output. Correct it and push again."},
	{AptFailed, "The Debian packages of the app could not be installed.",
		"apt failed to install what the file apt-packages lists. Mostly a name does not exist in Debian 13, " +
			"or the machine does not reach Debian's archive. `apt-cache search WORD` finds names. Correct the " +
			"file, or see to the network, and push again."},
	{BuildFailed, "The app's own build failed.",
		"The command that builds the app ended with an error: a compiler, a bundler, collectstatic, or a " +
			"buildpack. The evidence has the end of what it printed, and `berth builds:output APP` has the whole. " +
			"Run the same command in a fresh clone, correct it and push again. The release before it still " +
			"serves."},
	{BuildStepFailed, "A step of the build failed.",
		"A command of the build ended with an error. The message names the step and the program, and the " +
			"evidence has the end of what it printed. `berth builds:output APP` has the whole. The release before " +
			"it still serves. Correct the cause and push again."},
	{BuildTimeout, "The build took too long.",
		"A build may work for 15 minutes; time in which it had to wait for a busy processor does not count in " +
			"full. What it has finished is kept, so a second push goes on from there. If it happens again, the " +
			"build hangs or is too large: build elsewhere and deploy the image with " +
			"`berth git:from-image APP IMAGE`."},
	{BuildDiskSpent, "The build wrote too much.",
		"A build may write 10 GiB to the disk, its caches included, so that it cannot fill it for all apps. " +
			"The evidence lists where it wrote most. Mostly caches, downloads or test data are written into the " +
			"app. What the build wrote is removed. Let it write less, and push again."},
	{BuildOutputMissing, "The build left no file where it has to be.",
		"The build went through, but the file or directory that it should leave under /app is not there. The " +
			"message names it. Check the output directory in the configuration of the build tool, and push again."},
	{BuildDeadline, "The build did not end within an hour.",
		"A build gives way to the apps, and the processors were busy with other work for so long that it did " +
			"not get ahead. Push again when the machine is less busy. `berth ps:report APP` shows what an app " +
			"takes. If this is usual, the machine needs more processors."},
	{ToolchainTimeout, "A toolchain could not be installed in time.",
		"The language's tools, which all apps share, are installed at first use, and that took too long. The " +
			"app is not the cause. The machine reaches its package sources slowly or not at all, or the " +
			"processors were busy. `berth doctor` looks at the network. Push again once that is mended."},
	{TestsFailed, "The tests failed.",
		"Tests run before the release, and this run ended with an error, so nothing was deployed. The " +
			"evidence has the end of what they printed, and `berth builds:output APP` has the whole. Tests do not " +
			"see the app's config; environments.test.env in app.json is theirs. `berth builder:set APP test` " +
			"without a value stops running the usual tests."},
	{TestsTimeout, "The tests took too long.",
		"Tests may work for 15 minutes, and this run was ended. Mostly a test waits for a service that is not " +
			"there. Nothing was deployed. Make them faster, or run fewer in a push by the test script of " +
			"app.json, and push again."},
	{PredeployFailed, "The predeploy script failed.",
		"scripts.dokku.predeploy of app.json runs in the built app before the release is made. It ended with " +
			"an error, so nothing was deployed. The evidence has the end of what it printed. Correct the script " +
			"and push again."},
	{ReleasePhaseFailed, "The release command failed.",
		"The release line of the Procfile runs before the new release starts, mostly to migrate a database. " +
			"It ended with an error, so the release before it still serves. The evidence has the end of what it " +
			"printed. What the command changed until then is not undone: look at the database before you push " +
			"again."},
	{PostdeployFailed, "The postdeploy script failed.",
		"It runs when the new release already serves, so the release stays. The script ended with an error, " +
			"or could not be run. `berth logs APP --ps postdeploy` shows what it printed. Correct it and push " +
			"again, or do its work once with `berth run APP COMMAND`."},
	{PhaseTimeout, "A command around a release took too long.",
		"The predeploy, release and postdeploy commands may run for one hour each. This one was ended. Before " +
			"the release, nothing was deployed; after it, the release stays. Do long work in a process or a job " +
			"of its own, or with `berth run APP COMMAND`."},
	{BuildKilled, "A command of the build was killed.",
		"Mostly it needed more memory than a build may take, 2 GiB, or than the machine has left, and the " +
			"kernel killed it. `free -m` and `dmesg` show how much there is. Let the build use less, for example " +
			"with fewer parallel jobs, and push again. Or build elsewhere and deploy the image with " +
			"`berth git:from-image APP IMAGE`."},
}
