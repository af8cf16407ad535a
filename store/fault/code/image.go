package code

// Images, Dockerfiles and registries.
const (
	RegistryLoginsFull   = "E139"
	RegistryLoginInvalid = "E164"
	RegistryLoginUnknown = "E165"
	ImageReserved        = "E197"
	DockerfileFailed     = "E235"
	ImageUnavailable     = "E236"
)

var images = []Entry{
	{RegistryLoginsFull, "The app has the maximum number of registry logins.",
		"An app can have at most 20 registry logins. The new one was not stored. `berth registry:report --app " +
			"APP` lists them, and `berth registry:logout HOST --app APP` removes one."},
	{RegistryLoginInvalid, "The login to a registry is incomplete.",
		"A login needs the registry's host as in image names (registry.example.com, optionally with a port), " +
			"a user and a password. The password is read from standard input, or is the last argument. Write it as `berth " +
			"registry:login HOST USER <token`."},
	{RegistryLoginUnknown, "There is no login for this registry.",
		"No login was stored for this host, or it was stored for an app and not for the machine, or the other " +
			"way round. `berth registry:report` lists the logins of the machine, and with --app those of an app."},
	{ImageReserved, "The image has files where berth puts its own.",
		"berth keeps what it needs inside a container at /.berth. The image has a file or a link of its own " +
			"there, or on the way to it. Remove it from the image and deploy again."},
	{DockerfileFailed, "The Dockerfile is missing or malformed, or its build failed.",
		"The Dockerfile does not exist, an instruction cannot be parsed, or a command that it runs failed. " +
			"The message names the line. The evidence has the end of the command's output. Correct the Dockerfile " +
			"and push again; `berth builder:set APP selected` without a value lets berth choose the builder."},
	{ImageUnavailable, "The image is not available.",
		"The registry does not know the image or its tag, refuses access, does not answer, or has it for " +
			"another kind of processor. The message says which, and the evidence has the registry's answer. Check " +
			"the name with its tag. A private image needs `berth registry:login HOST USER` first."},
}
