package code

// Apps: their names, their identity and what may be done to them.
const (
	AppNameInvalid     = "E100"
	AppUnknown         = "E101"
	AppExists          = "E102"
	AppIDsExhausted    = "E105"
	AppNotDeployed     = "E112"
	AppStopped         = "E116"
	DestroyUnconfirmed = "E153"
	DefaultHostTaken   = "E189"
	AppDestroyed       = "E420"
	AppReplaced        = "E421"
	AppLocked          = "E417"
	AppsFailed         = "E418"
	AppHostless        = "E419"
)

var apps = []Entry{
	{AppNameInvalid, "This is not a valid app name.",
		"An app's name becomes part of its address and of its git remote. It consists of a-z, 0-9, - and " +
			"single dots, begins and ends with a letter or digit, and has at most 63 characters. A name with dots is " +
			"a host name, so it must not end in a number or in .git. The name berth is reserved. Choose another name and run `berth apps:create NAME` or push again."},
	{AppUnknown, "No app has this name.",
		"The app was never created, was renamed or destroyed, or its name is misspelt. If there is a similar " +
			"name, the hint shows it. `berth apps:list` shows all apps that you can see. A push to a new name " +
			"creates the app, if your key may do so."},
	{AppExists, "An app with this name already exists.",
		"App names are unique, so nothing was created or renamed. Choose another name. `berth apps:info APP` " +
			"shows the app that has it, and `berth apps:rename APP NAME` gives that one another name."},
	{AppIDsExhausted, "All user ids for apps are used up.",
		"Each app runs as its own user, and the id of a destroyed app is not reused. There are 30,000 ids, " +
			"and this machine has used them all. New apps have to be created on another machine; apps that exist " +
			"are not affected."},
	{AppNotDeployed, "Nothing has been deployed to this app yet.",
		"The app exists, but it has no release that could run or be restarted. This is so after `berth " +
			"apps:create`, or when the first build failed. Deploy it with `git push berth main`, or deploy an " +
			"image with `berth git:from-image APP IMAGE`."},
	{AppStopped, "The app is stopped.",
		"Somebody ran `berth ps:stop`, so none of its processes run, and it can neither be restarted nor run " +
			"a cron job. `berth ps:start APP` starts it with its last release. `berth events APP` shows who " +
			"stopped it."},
	{DestroyUnconfirmed, "Destroying the app was not confirmed.",
		"`berth apps:destroy` removes the app's releases, config, logs and repository for good, so it asks " +
			"for the app's name first. The answer was different, or there was no terminal to ask on. Run it again " +
			"and type the name, or run `berth apps:destroy APP --force`, which does not ask."},
	{DefaultHostTaken, "Two apps would have the same default host.",
		"Each app answers at APP.DOMAIN, below the global domain, and an app whose name is a host name at its name. " +
			"This app's name, or the global domain that you set, gives it a host that another app or the admin page " +
			"already has. Choose another name, or free the host first: `berth domains:remove APP HOST`. " +
			"`berth domains:report` shows which app has it."},
	{AppLocked, "Deploys of the app are locked.",
		"Somebody ran `berth apps:lock`, so pushes, `ps:rebuild` and `git:from-image` are refused until " +
			"`berth apps:unlock APP`. The live release keeps running; rollbacks, config changes and scaling are not " +
			"locked. `berth apps:locked APP` shows who locked it and since when."},
	{AppsFailed, "The command failed for some apps.",
		"A command with --all ran for one app after another and failed for some of them. The evidence lists each " +
			"with its reason; the command succeeded for the others. Run it for each of these apps alone to see the " +
			"whole reason."},
	{AppHostless, "The app has no host.",
		"No host points to the app: its domains were cleared or disabled, or it was created with --no-vhost. " +
			"`berth domains:enable APP` enables its domains again, `berth domains:reset APP` restores its default " +
			"host, and `berth domains:add APP DOMAIN` adds another one."},
	{AppDestroyed, "The app was destroyed while this command waited or ran.",
		"Somebody destroyed the app, which ends its builds and all waiting commands. The message names the " +
			"user. Push again if you want to create the app again."},
	{AppReplaced, "Another app has this name now.",
		"While this command waited for its turn, the app was destroyed or renamed, and another app got its " +
			"name. Nothing was done to the new app. Check it with `berth apps:info APP`, and run the command " +
			"again if it is the one you mean."},
}
