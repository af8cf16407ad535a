package code

// One-off commands.
const (
	OneOffNoCommand = "E124"
	OneOffKilled    = "E305"
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
}
