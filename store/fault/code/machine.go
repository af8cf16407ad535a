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
	{AppArmorMissing, "AppArmor is on and confines no container.",
		"The kernel has AppArmor switched on, but the program that loads its profiles is missing, so " +
			"containers run without one of their walls. All others hold. Install the package apparmor and restart " +
			"berth. `berth doctor` shows whether it worked."},
	{DiskFull, "The disk is full or nearly so.",
		"A build, a push or the state file needs more space than there is. Nothing was changed, and what runs " +
			"is served. The evidence may list what takes the disk. `berth builds:cache-clear APP` and " +
			"`berth apps:destroy APP` free some; `df -h` shows the filesystems. berth takes changes again as soon " +
			"as there is space."},
	{BaseFailed, "The base filesystem could not be made.",
		"All apps stand on a small Debian system that is made at first use from Debian's archive. The program " +
			"that makes it failed, and the evidence has its words. Mostly the machine does not reach the archive, " +
			"or its clock is wrong. See to that, then push the same commit again."},
	{IPv6Only, "The machine reaches the internet by IPv6 alone.",
		"Apps and builds get IPv6 addresses where the machine has IPv6, and here they could not, so they would " +
			"reach nothing and builds could fetch nothing. berth's log says why: `journalctl -u berth`. An IPv4 " +
			"address, or a way for IPv4 by NAT64 with CLAT, helps too. What runs goes on meanwhile. `berth doctor` " +
			"looks again."},
	{FirewallClosed, "Another firewall drops what apps send.",
		"A firewall of this machine, for example ufw, firewalld or Docker's rules, drops the packets that are " +
			"forwarded from apps and builds, so they have no network. The finding names the chain and has the " +
			"commands that let berth's bridge through. `berth doctor` looks again."},
	{RuncVulnerable, "runc has known ways out of containers.",
		"This version of runc has faults (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881) by which containers " +
			"that start together may get out. So berth builds Dockerfiles one step at a time. Upgrade runc to " +
			"1.2.8, 1.3.3 or later, or to a package of your distribution that has the fixes."},
	{FirewallReset, "Another program removed berth's firewall tables.",
		"berth keeps apps apart by tables of its own in nftables. Another program removed or changed them, " +
			"mostly `nft flush ruleset` at a reload of /etc/nftables.conf, and berth put them back. In between, " +
			"the walls were open. Let that program leave the tables of others alone."},
	{PortClosed, "Another firewall closes berth's ports to the outside.",
		"A firewall of this machine, for example ufw or firewalld, drops what visitors send to HTTP, HTTPS or " +
			"SSH, so that they reach nothing here. The finding names the ports and has the commands that open " +
			"them. `berth doctor` looks again."},
}
