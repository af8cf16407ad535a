package code

// Builds: what runs between a push and a release.
const (
	BuildUnknown       = "E106"
	BuildNoneFailed    = "E424"
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
	{BuildNoneFailed, "No build of the app has failed.",
		"`berth logs:failed` shows the output of the last failed build, and none of the kept builds has failed. " +
			"`berth builds:list APP` lists them, `berth builds:output APP` shows the last one."},
	{BuildUnknown, "The app has no build with this number.",
		"Each app's builds are numbered from 1, and old ones are deleted. `berth builds:list APP` lists the " +
			"builds that are kept."},
	{BuilderInvalid, "A builder has no such property or value.",
		"`berth builder:set` takes selected, build-dir, test and versions. selected is one of berth's " +
			"builders, build-dir is a path inside the repository, test is on or off, versions is latest. The hint " +
			"shows valid values. `berth help builder:set` describes each of them."},
	{BuildNotRunning, "The build is not running.",
		"`berth builds:cancel` cancels a waiting or running build. The app has none, or the build that you " +
			"named has ended. `berth builds:list APP` shows how each one ended."},
	{BuildPastCancel, "The build can no longer be cancelled.",
		"Its release is going live at this moment, and stopping now would leave the app between two releases. " +
			"Wait for its end. `berth rollback APP` then goes back to the release before."},
	{ToolchainFailed, "A toolchain could not be installed.",
		"berth installs the language's tools from Debian's archive or the language's own source, and that " +
			"failed. The app is not the cause. The evidence has the end of the output. Usually the machine cannot " +
			"reach that source: `berth doctor` checks for that. Push the same commit again once it does."},
	{DependenciesFailed, "The dependencies could not be installed.",
		"The package manager (pip, npm, go, Maven, Bundler, Composer, Cargo) failed. The evidence has the end " +
			"of its output, and the hints suggest fixes. Usually a version does not exist, the lock file does not " +
			"fit, or a native package lacks a library, which the file apt-packages can add. `berth builds:output " +
			"APP` has all of the output. Correct it and push again."},
	{AptFailed, "The Debian packages of the app could not be installed.",
		"apt failed to install what the file apt-packages lists. Usually a name does not exist in Debian 13, " +
			"or the machine cannot reach Debian's archive. `apt-cache search WORD` finds names. Correct the file, " +
			"or fix the network, and push again."},
	{BuildFailed, "The app's own build failed.",
		"The command that builds the app ended with an error: a compiler, a bundler, collectstatic, or a " +
			"buildpack. The evidence has the end of its output, and `berth builds:output APP` has all of it. Run " +
			"the same command in a fresh clone, correct it and push again. The previous release still serves."},
	{BuildStepFailed, "A step of the build failed.",
		"A command of the build ended with an error. The message names the step and the program, and the " +
			"evidence has the end of its output. `berth builds:output APP` has all of it. The previous release " +
			"still serves. Correct the cause and push again."},
	{BuildTimeout, "The build took too long.",
		"A build may run for 15 minutes; time that it waits for a busy processor does not count in full. " +
			"Finished steps are kept, so a second push continues from there. If it happens again, the build hangs " +
			"or is too large: build elsewhere and deploy the image with `berth git:from-image APP IMAGE`."},
	{BuildDiskSpent, "The build wrote too much.",
		"A build may write 10 GiB to the disk, caches included, so that it cannot fill it for all apps. The " +
			"evidence lists where it wrote most. Usually caches, downloads or test data are written into the app. " +
			"The files that the build wrote are removed. Let it write less, and push again."},
	{BuildOutputMissing, "The build did not create an expected file.",
		"The build succeeded, but did not create a file or directory that it should leave under /app. The " +
			"message names it. Check the output directory in the configuration of the build tool, and push again."},
	{BuildDeadline, "The build did not end within an hour.",
		"Builds have a lower priority than apps, and the processors were busy with other work for so long " +
			"that it did not finish. Push again when the machine is less busy. `berth ps:report APP` shows what " +
			"an app uses. If this is usual, the machine needs more processors."},
	{ToolchainTimeout, "A toolchain could not be installed in time.",
		"berth installs the language's tools, which all apps share, at first use, and that took too long. The " +
			"app is not the cause. The machine reaches its package sources slowly or not at all, or the " +
			"processors were busy. `berth doctor` checks the network. Push again once that is fixed."},
	{TestsFailed, "The tests failed.",
		"Tests run before the release, and this run ended with an error, so nothing was deployed. The " +
			"evidence has the end of their output, and `berth builds:output APP` has all of it. Tests do not see " +
			"the app's config; set their variables in environments.test.env of app.json. `berth builder:set APP " +
			"test` without a value stops running the usual tests."},
	{TestsTimeout, "The tests took too long.",
		"Tests may run for 15 minutes, and this run was stopped. Usually a test waits for a service that is " +
			"not there. Nothing was deployed. Make them faster, or run fewer of them in the test script of " +
			"app.json, and push again."},
	{PredeployFailed, "The predeploy script failed.",
		"scripts.dokku.predeploy of app.json runs in the built app before the release is made. It ended with " +
			"an error, so nothing was deployed. The evidence has the end of its output. Correct the script and " +
			"push again."},
	{ReleasePhaseFailed, "The release command failed.",
		"The release line of the Procfile runs before the new release starts, usually to migrate a database. " +
			"It ended with an error, so the previous release still serves. The evidence has the end of its " +
			"output. What the command changed until then is not undone: check the database before you push again."},
	{PostdeployFailed, "The postdeploy script failed.",
		"It runs when the new release already serves requests, so the release stays. The script ended with an " +
			"error, or could not be run. `berth logs APP --ps postdeploy` shows what it printed. Correct it and " +
			"push again, or do its work once with `berth run APP COMMAND`."},
	{PhaseTimeout, "A command around a release took too long.",
		"The predeploy, release and postdeploy commands may run for one hour each. This one was stopped. " +
			"Before the release, nothing was deployed; after it, the release stays. Do long work in a process or " +
			"a cron job of its own, or with `berth run APP COMMAND`."},
	{BuildKilled, "A command of the build was killed.",
		"Usually it needed more than a build's memory limit of 2 GiB, or more than the machine has free, and " +
			"the kernel killed it. `free -m` and `dmesg` show the free memory. Let the build use less, for " +
			"example with fewer parallel jobs, and push again. Or build elsewhere and deploy the image with " +
			"`berth git:from-image APP IMAGE`."},
}
