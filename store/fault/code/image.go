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
	{RegistryLoginsFull, "The app has as many registry logins as it may have.",
		"An app keeps at most 20 logins to registries. The new one was not stored. " +
			"`berth registry:report --app APP` lists them, and `berth registry:logout HOST --app APP` removes " +
			"one."},
	{RegistryLoginInvalid, "The login to a registry is incomplete.",
		"A login needs the registry's host as image names have it (registry.example.com, perhaps with a " +
			"port), a user and a password. The password is read from a file or from standard input. Write it as " +
			"`berth registry:login HOST USER <token`."},
	{RegistryLoginUnknown, "There is no login for this registry.",
		"Nothing was stored for this host, or it was stored for an app and not for the machine, or the other " +
			"way round. `berth registry:report` lists the logins of the machine, and with --app those of an app."},
	{ImageReserved, "The image has something in the way of berth's files.",
		"berth keeps what it needs inside a container at /.berth. The image has a file or a link of its own " +
			"there, or on the way to it. Take it out of the image and deploy again."},
	{DockerfileFailed, "The Dockerfile is missing or malformed, or its build failed.",
		"There is no Dockerfile where one is asked for, an instruction cannot be read, or a command that it " +
			"runs failed. The message names the line. The evidence has the end of what the command printed. " +
			"Correct the Dockerfile and push again; `berth builder:set APP selected` without a value lets berth " +
			"choose the builder."},
	{ImageUnavailable, "The image cannot be had.",
		"The registry does not know the image or its tag, refuses access, does not answer, or has it for " +
			"another kind of processor. The message says which, and the evidence has the registry's words. Check " +
			"the name with its tag. A private image needs `berth registry:login HOST USER` first."},
}
