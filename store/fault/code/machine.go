package code

// The machine: its disk, its network and its kernel.
const (
	AppArmorMissing = "E195"
	DiskFull        = "E501"
	BaseFailed      = "E502"
	IPv6Only        = "E506"
	FirewallClosed  = "E507"
	RuncVulnerable  = "E508"
	FirewallReset   = "E509"
	PortClosed      = "E513"
)

var machine = []Entry{
	{AppArmorMissing, "AppArmor is on but confines no container.",
		"The kernel has AppArmor switched on, but the program that loads its profiles is missing, so " +
			"containers run without this layer of isolation. All other layers are in place. Install the package " +
			"apparmor and restart berth. `berth doctor` shows whether it worked."},
	{DiskFull, "The disk is full or nearly so.",
		"A build, a push or the state file needs more space than there is. Nothing was changed, and running " +
			"apps are served. The evidence may list what uses the disk. `berth builds:cache-clear APP` and `berth " +
			"apps:destroy APP` free some space; `df -h` shows the filesystems. berth accepts changes again as " +
			"soon as there is space."},
	{BaseFailed, "The base filesystem could not be built.",
		"All apps run on a small Debian system that is built at first use from Debian's archive. The program " +
			"that builds it failed, and the evidence has its output. Usually the machine cannot reach the " +
			"archive, or its clock is wrong. Fix that, then push the same commit again."},
	{IPv6Only, "The machine has internet access only over IPv6.",
		"Apps and builds get IPv6 addresses where the machine has IPv6. Here that failed, so they cannot reach " +
			"the internet. berth's log says why: `journalctl -u berth`. An IPv4 address, or IPv4 connectivity by " +
			"NAT64 with CLAT, helps too. Running apps are not affected meanwhile. `berth doctor` checks again."},
	{FirewallClosed, "Another firewall drops what apps send.",
		"A firewall of this machine, for example ufw, firewalld or Docker's rules, drops the packets that are " +
			"forwarded from apps and builds, so they have no network. The finding names the chain and the " +
			"commands that allow berth's bridge. `berth doctor` checks again."},
	{RuncVulnerable, "runc has known container escapes.",
		"This version of runc has vulnerabilities (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881) by which " +
			"containers that start at the same time may escape. So berth builds Dockerfiles one step at a time. " +
			"Upgrade runc to 1.2.8, 1.3.3 or later, or to a package of your distribution that has the fixes."},
	{FirewallReset, "Another program removed berth's firewall tables.",
		"berth isolates apps by its own nftables tables. Another program removed or changed them, mostly `nft " +
			"flush ruleset` at a reload of /etc/nftables.conf, and berth put them back. In between, apps were not " +
			"isolated. Configure that program to leave other tables alone."},
	{PortClosed, "Another firewall closes berth's ports to the outside.",
		"A firewall of this machine, for example ufw or firewalld, drops connections to HTTP, HTTPS or SSH, " +
			"so that visitors cannot connect. The finding names the ports and the commands that open them. `berth " +
			"doctor` checks again."},
}
