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
		"Commands on the machine ask the daemon, and its socket does not answer. Running apps keep running. " +
			"`journalctl -u berth -n 30` shows why it stopped, and `systemctl restart berth` starts it. Without " +
			"systemd, see /var/log/berth.log and run /usr/local/lib/berth/service start."},
	{DaemonGone, "berth stopped before it answered.",
		"The daemon stopped or restarted while it worked on the request. The command may or may not have " +
			"taken effect. Check first, for example with `berth events APP`, then try again. `journalctl -u berth " +
			"-n 30` shows why it ended."},
	{AddressTaken, "Another program listens on an address that berth needs.",
		"berth opens addresses for HTTP, HTTPS and SSH when it starts, and one of them is in use. `ss -ltnp` " +
			"shows by which program, for HTTP/3 `ss -lunp`. Stop that program, or give berth another address by " +
			"the flag of `berth serve` that the hint names."},
	{AddressUnusable, "berth cannot listen on an address.",
		"The system refused the address for the reason in the evidence. Usually it is not an address of this " +
			"machine, or it is misspelt. Correct it in the flags or settings of `berth serve`, and start berth " +
			"again."},
	{ServeNotRoot, "berth serve has to run as root.",
		"It makes containers and networks, which only root may do. The apps themselves do not run as root. " +
			"Start it with `systemctl start berth`, or by hand with `sudo berth serve`."},
	{UninstallIncomplete, "Not all of berth could be removed.",
		"berth is stopped, and what could be removed is gone. The evidence names what is left and why, for " +
			"example a directory that is in use. Fix these, and run `berth uninstall` again; it continues where " +
			"it was."},
	{ContainerdUnavailable, "berth waits for containerd, which does not answer.",
		"berth runs containers with containerd, and that service is stopped, starting or broken. Apps that " +
			"run keep running, but commands and pushes have to wait. `systemctl status containerd` shows its " +
			"state, and `systemctl start containerd` starts it. berth continues by itself once it answers."},
	{UninstallNoManifest, "install.sh did not install berth here.",
		"`berth uninstall` removes the files in install.sh's manifest, and there is none. berth was copied " +
			"here by hand, or it is already uninstalled. Remove a copy by hand: stop the service, then delete the " +
			"program and its data."},
}
