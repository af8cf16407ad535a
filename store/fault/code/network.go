package code

// Network: what apps reach of each other, of the machine and of what is around it.
const (
	NetworkPending = "E193"
	NetworkInvalid = "E194"
	ConsentInvalid = "E640"
	ConsentUnknown = "E641"
	ConsentsFull   = "E642"
)

var networks = []Entry{
	{NetworkPending, "The change is stored, but not yet applied.",
		"The command stored the change, but the machine's firewall could not be changed for all containers. " +
			"The evidence has its output. berth retries within a minute. `berth network:report` shows the " +
			"applied values, and `berth doctor` checks for problems with the machine."},
	{NetworkInvalid, "The network has no such property or value.",
		"`berth network:set --global` takes lan, which is allow, deny or auto; lan-allow, which is a list " +
			"of addresses and networks; and public-addresses, which is a list of addresses. Nothing was changed. " +
			"`berth help network:set` shows examples."},
	{ConsentInvalid, "This is nothing that one app may open to another.",
		"`berth network:allow FROM TO` lets FROM call the web processes of TO where they listen. With --port it " +
			"is a TCP port from 1 to 65535 of all its instances, or another process type of its Procfile. Nothing " +
			"was changed. `berth ps:report TO` lists its process types."},
	{ConsentUnknown, "There is no such consent.",
		"It was never given, was taken back, or went with an app that was destroyed. Nothing was changed. " +
			"`berth network:report APP` shows whom an app may call and who may call it."},
	{ConsentsFull, "The app has as many consents as may be.",
		"An app has at most 64 consents, those to call others and those of others to call it together. The " +
			"consent was not stored. `berth network:report APP` lists them, and `berth network:deny FROM TO` takes " +
			"one back."},
}
