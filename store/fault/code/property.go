package code

// Properties: what is set by name, and what reports show.
const (
	PropertyScope    = "E217"
	ReportKeyUnknown = "E218"
)

var properties = []Entry{
	{PropertyScope, "The property cannot be set there.",
		"Some properties are set for one app, some with --global for all apps at once, and some for either. " +
			"This one was set where it has no meaning, and nothing was changed. The hint has the command that sets " +
			"it where it counts. The help of the command, as in `berth help router:set`, shows which is which."},
	{ReportKeyUnknown, "The report has no such value.",
		"A flag of a report asks for one of its values: `berth ps:report APP --running` prints that value and " +
			"nothing else. This report has none of the name. The hint lists those that it has. Each can be written " +
			"with the noun before it too, as in --ps-running."},
}
