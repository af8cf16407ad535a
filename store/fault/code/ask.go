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
	{ArgumentsInvalid, "The arguments are not valid.",
		"An argument is missing, unknown, given twice or of the wrong form, or the body of an API request is " +
			"not JSON. The message says which. Nothing was done. `berth help COMMAND` shows a command's " +
			"arguments."},
	{VerbUnknown, "The API has no such verb.",
		"The API does not know the name in the path. Usually it is misspelt, or the server's berth is older " +
			"than the client. If there is a similar name, the hint shows it. `berth version` compares the two " +
			"versions."},
	{MethodNotAllowed, "The request has the wrong method.",
		"Verbs that change something need POST; those that only read also take GET. `run` is a WebSocket " +
			"only. Repeat the request with the method in the hint."},
	{RequestCancelled, "The request was cancelled.",
		"The client disconnected or interrupted the command before it was done. What was finished until then " +
			"stays. Check the state with `berth events APP`, then try again if needed."},
	{RequestTimeout, "The request took too long.",
		"The time limit for an answer was reached. The work may continue in the background: a certificate " +
			"authority, for example, can answer later. `berth events` shows what happened, and `berth " +
			"letsencrypt:list` shows the state of certificates. Try again if it did not succeed."},
	{ArgumentsTooLarge, "The arguments are too large.",
		"The body of an API request can have at most 4 MiB. Nothing was done. Send fewer values at a time, " +
			"and put large data into the repository or into files."},
	{CommandUnknown, "berth has no such command.",
		"berth does not know this command. If there is a similar one, the hint shows it. Over SSH some " +
			"commands are missing, because they make sense only on the machine itself. `berth help` lists them " +
			"all."},
	{CommandUsage, "The command line is not valid.",
		"An argument or a flag is missing, unknown or superfluous, a value has the wrong form, or the text is " +
			"not UTF-8. The hint shows the usage. Nothing was done. `berth help COMMAND` shows the flags and an " +
			"example."},
	{DirectoryUnknown, "The directory does not exist.",
		"`berth builds:plan` takes the name of an app, or a directory of this machine. A word with a / in it " +
			"is a directory, and this one does not exist. Check the path, or give the app's name to plan what was " +
			"pushed."},
	{Internal, "Something failed inside berth.",
		"This is a fault of berth or of the machine, not of your command. The cause is not shown, because it " +
			"may concern others. berth's log has the details under the reference in the message: `journalctl -u " +
			"berth | grep REF`. An operator can read it there and report it."},
	{PageUnknown, "The admin page does not exist.",
		"The address is misspelt, or its app, release or build has been removed. Go to the start page and " +
			"follow the links from there."},
	{FormInvalid, "A form of the admin page cannot be read.",
		"A field has a value that is not a number, or the form was sent incompletely. Nothing was done. Load " +
			"the page again and repeat the input."},
}
