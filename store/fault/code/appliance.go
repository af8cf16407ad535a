package code

// The appliance: the daemon, its addresses, its network and its installation.
const (
	DaemonNotRunning      = "E130"
	DaemonGone            = "E132"
	AddressTaken          = "E133"
	AddressUnusable       = "E134"
	ServeNotRoot          = "E135"
	UninstallIncomplete   = "E136"
	ContainerdUnavailable = "E137"
	UninstallNoManifest   = "E160"
)

var appliance = []Entry{
	{DaemonNotRunning, "berth is not running.",
		"Commands on the machine ask the daemon, and nobody answers at its socket. Apps that run go on " +
			"running. `journalctl -u berth -n 30` says why it stopped, and `systemctl restart berth` starts it. " +
			"Without systemd, see /var/log/berth.log and run /usr/local/lib/berth/service start."},
	{DaemonGone, "berth went away before it had answered.",
		"The daemon was stopped, restarted or ended while it worked on the request. What it was doing may " +
			"have been done or not. Look first, for example with `berth events APP`, and then ask again. " +
			"`journalctl -u berth -n 30` says why it ended."},
	{AddressTaken, "Another program listens on an address that berth needs.",
		"berth opens addresses for HTTP, HTTPS and SSH when it starts, and one of them is taken. `ss -ltnp` " +
			"shows by which program, for HTTP/3 `ss -lunp`. Stop that program, or give berth another address by " +
			"the flag of `berth serve` that the hint names."},
	{AddressUnusable, "berth cannot listen on an address.",
		"The system refused the address for a reason that the evidence has. Mostly it is not an address of " +
			"this machine, or it is misspelt. Correct it in the flags or settings of `berth serve`, and start " +
			"berth again."},
	{ServeNotRoot, "berth serve has to run as root.",
		"It makes containers and networks, which only root may do. The apps themselves do not run as root. " +
			"Start it with `systemctl start berth`, or by hand with `sudo berth serve`."},
	{UninstallIncomplete, "Not all of berth could be removed.",
		"berth is stopped, and what could be removed is gone. The evidence names what is left and why, for " +
			"example a directory that is in use. See to these, and run `berth uninstall` again; it goes on where " +
			"it was."},
	{ContainerdUnavailable, "berth waits for containerd, which does not answer.",
		"berth runs containers by containerd, and that service is stopped, starting or broken. Apps that run " +
			"keep running, but commands and pushes have to wait. `systemctl status containerd` shows its state, " +
			"and `systemctl start containerd` starts it. berth goes on by itself once it answers."},
	{UninstallNoManifest, "install.sh did not install berth here.",
		"`berth uninstall` removes what install.sh wrote down in its manifest, and there is none. berth was " +
			"copied here by hand, or it is uninstalled already. Remove a copy by hand: stop the service, then " +
			"delete the program and its data."},
}
