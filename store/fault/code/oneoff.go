package code

// One-off commands, and commands in instances.
const (
	OneOffNoCommand = "E124"
	OneOffKilled    = "E305"
	OneOffUnknown   = "E308"
	OneOffsFull     = "E309"
	OneOffTimedOut  = "E310"
	OneOffInvalid   = "E311"
	EnterNoInstance = "E312"
	EnterEnded      = "E313"
	EntersFull      = "E314"
)

var oneOffs = []Entry{
	{OneOffNoCommand, "There is no command to run.",
		"`berth run APP` needs a command after the app's name. It runs in a fresh container of the live " +
			"release. A shell is `berth run APP bash`. One word that names a process type runs that type's " +
			"command."},
	{OneOffKilled, "A one-off command was killed for its memory limit.",
		"One-off commands have the same memory limit as the app's processes. The command, or a child of it, " +
			"needed more, and the kernel killed it. Raise the limit with `berth ps:set APP memory 1GB` and run it " +
			"again, or make it work on less at a time."},
	{OneOffUnknown, "The app has no such one-off command.",
		"No one-off command of this name is running, and berth keeps only the last 100 detached ones of each app. " +
			"`berth run:list APP --all` lists them. `berth run:stop` and `berth run:logs` take a name from that list."},
	{OneOffsFull, "The app runs too many one-off commands.",
		"20 one-off commands of an app can run at the same time, attached and detached together. Nothing was " +
			"started. `berth run:list APP` shows what runs, `berth run:stop APP NAME` stops one. Detached ones are " +
			"stopped when their time to live ends."},
	{OneOffTimedOut, "A one-off command reached its time to live.",
		"The command ran longer than --ttl-seconds says, and was killed. Its work may be incomplete. " +
			"Run it again with a longer time, or split the work."},
	{OneOffInvalid, "The options of a one-off command are invalid.",
		"berth does not accept one of the options, or the program does not exist. Nothing was started. --env takes NAME=VALUE, with a name of " +
			"letters, digits and _; --ttl-seconds takes a number from 1 to 604800, which is a week. A detached " +
			"command has no terminal: `berth run APP COMMAND` has one."},
	{EnterNoInstance, "There is no such running instance.",
		"`berth enter` needs an instance that is running. `berth ps:report APP` lists them. Name one as web.1, or " +
			"as web for the first of its type. `berth run APP COMMAND` runs a command in a container of its own, " +
			"whether instances run or not."},
	{EnterEnded, "The instance ended while a command ran in it.",
		"A restart, a new release or a crash replaced the instance that was entered, and every command in it ended " +
			"with it. `berth ps:report APP` shows what runs now; enter that. A command that must not be interrupted is " +
			"better run by `berth run APP COMMAND`, in a container of its own."},
	{EntersFull, "Too many commands were started in the instances of the app.",
		"10 commands that were started by `berth enter` can run in the instances of an app at the same time. " +
			"Nothing was started. End one of them, or use `berth run APP COMMAND`."},
}
