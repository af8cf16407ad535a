package code

// Requests: the router, its properties and its log.
const (
	RouterInvalid   = "E181"
	HTTPUserInvalid = "E182"
	HTTPUserUnknown = "E183"
	StatusInvalid   = "E186"
)

var requests = []Entry{
	{RouterInvalid, "The router has no such property or value.",
		"`berth router:set` takes some properties for an app and others with --global. The name is not one of " +
			"them, the value does not fit, a page is larger than 256 KiB, or the app has 100 properties already. " +
			"The message says which. `berth help router:set` lists the properties and their values."},
	{HTTPUserInvalid, "This user or password cannot be added.",
		"`berth http-auth:add-user` asks visitors for a password. A user's name has no colon, no control " +
			"character and at most 100 bytes. A password has 1 to 72 bytes and no control character. An app has " +
			"at most 100 such users; `berth http-auth:remove-user APP USER` removes one."},
	{HTTPUserUnknown, "The app has no such http-auth user.",
		"The user was never added by `berth http-auth:add-user`, or was removed. These users belong to an app " +
			"and are not SSH keys. `berth router:report APP` lists them."},
	{StatusInvalid, "This is not an HTTP status.",
		"The request log is filtered by a status of three digits or by a class. 404 is a status, and 5xx is " +
			"any from 500 to 599. Run it again with one of these forms: `berth router:logs APP --status 5xx`."},
}
