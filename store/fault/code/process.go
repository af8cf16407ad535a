package code

// Processes: how many run, how they start, and how they end.
const (
	ScaleInvalid           = "E114"
	ProcessUnknown         = "E115"
	ProcessPropertyInvalid = "E188"
	InstanceUnhealthy      = "E301"
	InstanceEnded          = "E302"
	InstanceNotListening   = "E303"
	InstanceNotStarted     = "E304"
	InstanceStuck          = "E503"
)

var processes = []Entry{
	{ScaleInvalid, "This number of instances is not possible.",
		"A process type runs between 0 and 100 instances. The number was negative or above that, and nothing " +
			"was changed. Give one within these bounds: `berth ps:scale APP web=2`."},
	{ProcessUnknown, "The app has no such process.",
		"The process type, or the instance, is not in the live release. Types come from the Procfile, or from " +
			"what berth finds in the source. `berth ps:report APP` lists them. To add one, add a line to the " +
			"Procfile and push."},
	{ProcessPropertyInvalid, "Processes have no such property or value.",
		"`berth ps:set` takes the properties rollout, memory and processes. rollout is start-first or " +
			"stop-first; memory is a size such as 512MB; processes is a number. A limit cannot be more than the " +
			"machine has, and the hint names the bounds. `berth help ps:set` describes each of them."},
	{InstanceUnhealthy, "An instance did not become healthy in time.",
		"The new release was started, but it did not answer its health check as it should before the time was " +
			"up. The evidence shows what each check met, and the last lines that the app printed. The release " +
			"before it still serves. Mend what the evidence shows and push again; an app that is slow to start " +
			"can set a longer time in the healthchecks of app.json."},
	{InstanceEnded, "An instance ended before it was healthy.",
		"The command of a process ended although it has to keep running. The message has its exit code or " +
			"signal, and the evidence has the last lines that it printed. Usual causes are a missing package, " +
			"config that is not set, or too little memory. The release before it still serves. Set what is " +
			"missing with `berth config:set APP NAME=VALUE`, or mend the source, and push again."},
	{InstanceNotListening, "A web process listens on no port.",
		"The process runs, but it opened no port, so that no request can be led to it. A web process has to " +
			"listen on the port that the variable PORT names. A program that answers no requests is not a web " +
			"process: call it worker in the Procfile. The release before it still serves."},
	{InstanceNotStarted, "An instance could not be started.",
		"The container was made, but its command could not be run at all. Mostly the program is not there, is " +
			"not executable, or its first line names an interpreter that is not there. The hint shows the " +
			"command. Correct the Procfile, or commit the file with its executable bit " +
			"(`git update-index --chmod=+x FILE`), and push again."},
	{InstanceStuck, "A process did not end after it was killed.",
		"The app allows no two releases at once, so the old instances have to end before new ones start. " +
			"One of them did not end even after SIGKILL: it waits in the kernel, mostly for a disk or a network " +
			"filesystem. `dmesg` shows which. When that is mended, the process ends by itself; then push again."},
}
