package code

// Resources: what the instances of apps may take of the machine.
const (
	ResourceInvalid   = "E625"
	ResourceUnfit     = "E626"
	ResourcesTooMany  = "E627"
	ReserveAboveLimit = "E628"
	DiskLimitExceeded = "E629"
	CheckFailed       = "E630"
)

var resources = []Entry{
	{ResourceInvalid, "This limit or reservation is not possible.",
		"A size is a number with a unit, as in 512m or 1g; a number alone is MB. CPUs are a number such as 0.5, " +
			"and pids and files are whole numbers. The hint has the bounds: below the lower one hardly a program " +
			"starts, and the upper one is what the machine has. `clear` in the place of a value takes it back. " +
			"Nothing was changed."},
	{ResourceUnfit, "The machine has not that much left to reserve.",
		"What is reserved for apps is kept for them, so all reservations together have to fit into the machine's " +
			"memory, less a part that berth and the system need, and into its CPUs. The evidence shows who holds " +
			"what; apps that you may not see are summed up. Nothing was started. Reserve less with " +
			"`berth resource:reserve`, run fewer instances with `berth ps:scale`, or stop an app that holds some."},
	{ResourcesTooMany, "Too many process types have limits.",
		"Limits and reservations are kept for at most 64 process types of an app. Remove those of types that are " +
			"gone: `berth resource:limit-clear --process-type TYPE APP`."},
	{ReserveAboveLimit, "More would be reserved than the limit allows to take.",
		"What is reserved for an instance can never be used when its limit is lower. Raise the limit with " +
			"`berth resource:limit`, or reserve less with `berth resource:reserve`. Nothing was changed."},
	{DiskLimitExceeded, "An instance wrote more to its disk than it may.",
		"Files that an instance writes outside of its volumes go with the instance, and are bounded by the limit " +
			"disk of its process type. This one wrote more, so it was stopped, and a new one is started with an " +
			"empty disk. Write less or remove what is no longer needed, keep what has to stay in a volume, or " +
			"raise the limit with `berth resource:limit --disk 2g APP`."},
	{CheckFailed, "A check of an instance did not pass.",
		"`berth checks:run` made the checks of what runs once, and the evidence shows which did not pass and why. " +
			"Nothing was changed: an instance that fails a readiness check is asked last, and one that fails its " +
			"liveness check is replaced, both by themselves. `berth checks:report APP` lists the checks."},
}
