package code

// Config: the variables of an app.
const (
	ConfigInvalid     = "E107"
	ConfigRequired    = "E127"
	ConfigUnknown     = "E154"
	ConfigPortInvalid = "E196"
	ConfigNotEncoded  = "E219"
	ConfigImportEmpty = "E220"
)

var configs = []Entry{
	{ConfigInvalid, "A config variable cannot have this name or value.",
		"A name has letters, digits and _, and does not begin with a digit. A value contains no NUL byte, and " +
			"name and value together have less than 128 KiB, which is the kernel's limit. Nothing was set. Encode " +
			"binary data as base64, and put large data into files."},
	{ConfigRequired, "app.json requires a config variable that is not set.",
		"The env section of app.json marks the variable as required without a default. The release would not " +
			"work without it, so it was not made. Set it with `berth config:set APP NAME=VALUE`, then push again."},
	{ConfigUnknown, "The app has no config variable with this name.",
		"Names are case-sensitive. The variable was never set, or it was unset. `berth config:show APP` lists " +
			"the variables of the app, and `berth config:set APP NAME=VALUE` sets one."},
	{ConfigPortInvalid, "The variable PORT has no valid value.",
		"PORT is the port on which the app listens, a number from 1 to 65535. Without it the app gets " +
			"PORT=5000. Set a number with `berth config:set APP PORT=8080`, or remove it with `berth config:unset " +
			"APP PORT`."},
	{ConfigNotEncoded, "A value of `config:set --encoded` is not base64, or is no text.",
		"With `--encoded` each value is base64 in its usual alphabet, as `base64 -w0` writes it, and what it " +
			"decodes to is UTF-8: a variable holds text. Nothing was set. Leave `--encoded` out for a value that is " +
			"to be set as it is."},
	{ConfigImportEmpty, "What `config:import` read has no variable in it.",
		"The file or standard input was empty, or had comments alone, as when the command before the pipe " +
			"failed. Nothing was changed, with `--replace` either. `berth config:clear APP` unsets all variables."},
}
