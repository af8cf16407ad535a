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
	{ScaleInvalid, "This number of instances is not valid.",
		"A process type runs between 0 and 100 instances. The number was negative or above that, and nothing " +
			"was changed. Give a number in this range: `berth ps:scale APP web=2`."},
	{ProcessUnknown, "The app has no such process.",
		"The process type, or the instance, is not in the live release. Types come from the Procfile, or from " +
			"what berth detects in the source. `berth ps:report APP` lists them. To add one, add a line to the " +
			"Procfile and push."},
	{ProcessPropertyInvalid, "Processes have no such property or value.",
		"`berth ps:set` takes the properties rollout, memory and processes. rollout is start-first or " +
			"stop-first; memory is a size such as 512MB; processes is a number. A limit cannot be higher than the " +
			"machine's, and the hint shows the range. `berth help ps:set` describes each of them."},
	{InstanceUnhealthy, "An instance did not become healthy in time.",
		"The new release was started, but it did not pass its health check in time. The evidence shows " +
			"the result of each check, and the last lines of the app's output. The previous release still " +
			"serves. Fix the cause and push again; an app that is slow to start can set a longer time in " +
			"the healthchecks of app.json."},
	{InstanceEnded, "An instance ended before it was healthy.",
		"The command of a process ended, but it has to keep running. The message has its exit code or signal, " +
			"and the evidence has the last lines of its output. Usual causes are a missing package, config that " +
			"is not set, or too little memory. The previous release still serves. Set what is missing with `berth " +
			"config:set APP NAME=VALUE`, or fix the source, and push again."},
	{InstanceNotListening, "A web process listens on no port.",
		"The process runs, but it opened no port, so that it cannot get requests. A web process has to listen " +
			"on the port in the variable PORT. A program that answers no requests is not a web process: call it " +
			"worker in the Procfile. The previous release still serves."},
	{InstanceNotStarted, "An instance could not be started.",
		"The container was created, but its command could not be run. Usually the program does not exist, is " +
			"not executable, or its first line names an interpreter that does not exist. The hint shows the " +
			"command. Correct the Procfile, or commit the file with its executable bit (`git update-index " +
			"--chmod=+x FILE`), and push again."},
	{InstanceStuck, "A process did not end after it was killed.",
		"The app allows no two releases at once, so the old instances have to end before new ones start. One " +
			"of them did not end even after SIGKILL: it waits in the kernel, usually for a disk or a network " +
			"filesystem. `dmesg` shows which. When that is fixed, the process ends by itself; then push again."},
}
