package code

// Commands and requests to the API: how something was asked.
const (
	ArgumentsInvalid  = "E140"
	VerbUnknown       = "E141"
	MethodNotAllowed  = "E142"
	RequestCancelled  = "E143"
	RequestTimeout    = "E144"
	ArgumentsTooLarge = "E145"
	CommandUnknown    = "E150"
	CommandUsage      = "E151"
	DirectoryUnknown  = "E163"
	Internal          = "E190"
	PageUnknown       = "E191"
	FormInvalid       = "E192"
)

var asking = []Entry{
	{ArgumentsInvalid, "The arguments are not what the command takes.",
		"An argument is missing, unknown, given twice or of the wrong form, or the body of an API request is " +
			"not JSON. The message says which. Nothing was done. `berth help COMMAND` shows what a command takes."},
	{VerbUnknown, "The API has no such verb.",
		"The name in the path is none that the API knows. Mostly it is misspelt, or the berth that answers is " +
			"older than the client. Where a similar name exists, the hint has it. `berth version` compares the " +
			"two versions."},
	{MethodNotAllowed, "The request has the wrong method.",
		"Verbs that change something are asked by POST; those that only read are asked by GET as well. `run` " +
			"is a WebSocket and nothing else. Repeat the request with the method that the hint names."},
	{RequestCancelled, "The request was cancelled.",
		"Whoever asked went away or interrupted the command before it was done. What was finished until then " +
			"stays. Look at the state with `berth events APP`, then ask again if it is needed."},
	{RequestTimeout, "It took too long.",
		"The time for an answer was up. The work may go on in the background: a certificate authority, for " +
			"example, can answer later. `berth events` shows what happened, and `berth letsencrypt:list` shows " +
			"the state of certificates. Ask again if nothing came of it."},
	{ArgumentsTooLarge, "The arguments are too large.",
		"The body of an API request may have 4 MiB. Nothing was done. Send fewer values at a time, and put " +
			"large data into the repository or into files."},
	{CommandUnknown, "berth has no such command.",
		"The word is none of its commands. Where a similar one exists, the hint has it. Over SSH some " +
			"commands are missing, because they make sense only on the machine itself. `berth help` lists them " +
			"all."},
	{CommandUsage, "The command line makes no sense as written.",
		"A word or a flag is missing, unknown or one too many, a value has the wrong form, or the text is not " +
			"UTF-8. The hint has the usage. Nothing was done. `berth help COMMAND` shows the flags and an " +
			"example."},
	{DirectoryUnknown, "There is no such directory.",
		"`berth builds:plan` takes the name of an app, or a directory of this machine. A word with a / in it " +
			"is a directory, and this one is not there. Check the path, or give the app's name to plan what was " +
			"pushed."},
	{Internal, "Something failed inside berth.",
		"This is a fault of berth or of the machine, and not of what you asked. The cause is not shown, " +
			"because it may concern others. berth's log has all of it under the reference in the message: " +
			"`journalctl -u berth | grep REF`. An operator can read it there and report it."},
	{PageUnknown, "The admin page does not exist.",
		"The address is misspelt, or what it showed has been removed: an app, a release, a build. Go to the " +
			"start page and follow the links from there."},
	{FormInvalid, "A form of the admin page cannot be read.",
		"A field holds something that is not a number, or the form broke off on the way. Nothing was done. " +
			"Load the page again and repeat the input."},
}
