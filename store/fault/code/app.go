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
)

var apps = []Entry{
	{AppNameInvalid, "The name cannot be an app's.",
		"An app's name becomes part of its address and of its git remote. It has the characters a-z, 0-9 and " +
			"-, begins with a letter, does not end with -, and has at most 40 characters. The name berth is the " +
			"appliance's own. Choose another name and run `berth apps:create NAME` or push again."},
	{AppUnknown, "There is no app of this name.",
		"The app was never created, was renamed or destroyed, or its name is misspelt. Where a similar name " +
			"exists, the hint has it. `berth apps:list` shows all apps that you may see. A push to a new name " +
			"creates the app, if your key may do so."},
	{AppExists, "There is an app of this name already.",
		"Two apps cannot have one name, so nothing was created or renamed. Choose another name. " +
			"`berth apps:info APP` shows the app that has it, and `berth apps:rename APP NAME` gives that one " +
			"another name."},
	{AppIDsExhausted, "All user ids for apps have been given.",
		"Each app runs as a user of its own, and the id of a destroyed app is not given again. There are " +
			"30,000 ids, and this machine has used them all. New apps have to be created on another machine; apps " +
			"that exist are not affected."},
	{AppNotDeployed, "Nothing has been deployed to this app yet.",
		"The app exists, but it has no release that could run, be restarted or be asked for. This is so after " +
			"`berth apps:create`, or when the first build failed. Deploy it with `git push berth main`, or deploy " +
			"a ready image with `berth git:from-image APP IMAGE`."},
	{AppStopped, "The app is stopped.",
		"Somebody ran `berth ps:stop`, so nothing of the app runs, and it can neither be restarted nor run a " +
			"job. `berth ps:start APP` starts it with the release that it had. `berth events APP` shows who " +
			"stopped it."},
	{DestroyUnconfirmed, "Destroying the app was not confirmed.",
		"`berth apps:destroy` removes the app's releases, config, logs and repository for good, so it asks " +
			"for the app's name first. The answer was another word, or nobody could be asked. Run it again and " +
			"type the name, or run `berth apps:destroy APP --force`, which does not ask."},
	{DefaultHostTaken, "A default host would lead to two apps.",
		"Each app answers at its name below the global domain. The name of this app, or the global domain " +
			"that you set, would give it a host that was added to another app. Choose another name, or free the " +
			"host first: `berth domains:remove APP HOST`. `berth domains:report` shows which app has it."},
	{AppDestroyed, "The app was destroyed while this waited or ran.",
		"Somebody destroyed the app, which ends its builds and whatever waits for its turn. The message names " +
			"the user. Nothing of the app is left. Push again to create it anew, if that is what you want."},
	{AppReplaced, "Another app has this name by now.",
		"While this command waited for its turn, the app was destroyed or renamed, and another one got its " +
			"name. Nothing was done to the new app. Look at it with `berth apps:info APP`, and run the command " +
			"again if it is the one you mean."},
}
