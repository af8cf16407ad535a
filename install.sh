#!/bin/bash
# Installs berth on this machine, or upgrades it. Safe to run again at any time.
#
# What it does, in this order; each step is a function below:
#   preflight   looks at the machine and lists everything that is wrong with it
#   packages    installs Debian packages that are missing; removes none
#   binary      takes the released berth beside this script, or builds the checkout
#   account     makes the system user berth, whom git runs as
#   files       puts the binary, the directories and the systemd units in place
#   firewall    lets apps and visitors through ufw or firewalld, if it may
#   start       starts berth, or restarts it when something changed
#   key         lets the first SSH key in
#   demo        with --demo: pushes the example app and shows its page
#
# Everything it makes is listed in /etc/berth/manifest, and `berth uninstall`
# removes what stands there and nothing else.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
	cat <<'END'
usage: sudo ./install.sh [options]

  --ssh-key FILE     public key that may push and administer; without it the
                     keys of the user who called sudo
  --domain DOMAIN    apps answer at APP.DOMAIN; its DNS must lead here
  --http-port N      instead of 80
  --https-port N     instead of 443
  --ssh-port N       instead of 2222
  --build            build the checkout even when a released binary is there
  --demo             push the bundled example app and show its page
  --open-firewall    add the rules that berth needs to ufw or firewalld;
                     without it they are asked for on a terminal, or printed
  --check            only look at the machine, change nothing
  --help             this text

Running it again upgrades berth; apps keep serving meanwhile.
END
}

# --- saying things

log=/var/log/berth-install.log
step=arguments

say() { printf '%s\n' "$*"; }
begin() {
	step=$1
	say "-----> $2"
}
# quiet runs a command with its output in the log.
quiet() { "$@" >>"$log" 2>&1; }

fail() {
	printf 'error: %s\n' "$1" >&2
	shift
	for hint in "$@"; do printf 'hint:  %s\n' "$hint" >&2; done
	exit 1
}

on_exit() {
	local code=$?
	[[ -z ${demo_dir:-} ]] || end_demo
	[[ -z ${base_pid:-} ]] || kill "$base_pid" 2>/dev/null || true
	if [[ $code -ne 0 && $step != arguments && $step != preflight ]]; then
		printf 'error: the step "%s" failed; nothing is lost, run this again\n' "$step" >&2
		if [[ -s $log ]]; then
			tail -n 15 "$log" | sed 's/^/       | /' >&2
			printf 'hint:  the whole log is %s\n' "$log" >&2
		fi
	fi
}
trap on_exit EXIT

# --- arguments

ssh_key='' domain='' demo='' check='' build='' open_firewall=''
http_port='' https_port='' ssh_port=''
while [[ $# -gt 0 ]]; do
	case $1 in
	--ssh-key | --domain | --http-port | --https-port | --ssh-port)
		[[ $# -ge 2 && -n $2 ]] || { usage >&2 && exit 2; }
		name=${1#--}
		printf -v "${name//-/_}" %s "$2"
		shift
		;;
	--demo | --check | --build) printf -v "${1#--}" %s yes ;;
	--open-firewall) open_firewall=yes ;;
	--help | -h) usage && exit ;;
	*)
		printf 'error: no option "%s"\n\n' "$1" >&2
		usage >&2
		exit 2
		;;
	esac
	shift
done

# --- what is already here

env_file=/etc/berth/berth.env
manifest=/etc/berth/manifest
berth=/usr/local/bin/berth

ports=(http:80 https:443 ssh:2222)

# setting prints what the environment file holds for a name.
setting() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$env_file" 2>/dev/null | tail -n 1 || true; }

# port NAME DEFAULT: the option, else what an earlier run was told, else the default.
port() {
	local option=$1_port earlier
	earlier=$(setting "BERTH_${1^^}")
	earlier=${earlier##*:}
	printf %s "${!option:-${earlier:-$2}}"
}

have_systemd() { [[ -d /run/systemd/system ]]; }

running() {
	if have_systemd; then
		systemctl --quiet is-active berth.service
	else
		[[ -x /usr/local/lib/berth/service ]] && /usr/local/lib/berth/service status >/dev/null
	fi
}

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# The user who called sudo, or root.
caller=${SUDO_USER:-root}
caller_home=$(getent passwd "$caller" | cut -d: -f6)

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) arch='' ;;
esac

# --- preflight

problems=()
notes=()
problem() { problems+=("$*"); }
note() { notes+=("$*"); }

# holder PORT [udp]: which program listens on it, as far as can be seen; fails
# when the port is free. It reads /proc since a fresh machine may lack ss.
holder() {
	local protocol=${2:-tcp} state=0A hex inode fd pid
	[[ $protocol == tcp ]] || state=07
	printf -v hex '%04X' "$1"
	inode=$(awk -v port=":$hex" -v state="$state" '$4 == state && substr($2, length($2) - 4) == port { print $10; exit }' \
		"/proc/net/$protocol" "/proc/net/${protocol}6" 2>/dev/null)
	[[ -n $inode ]] || return 1
	fd=$(find /proc/[0-9]*/fd -lname "socket:\\[$inode\\]" -print -quit 2>/dev/null) || true
	if [[ -z $fd ]]; then
		printf 'a program that cannot be seen from here'
		return
	fi
	pid=${fd#/proc/} pid=${pid%%/*}
	printf '%s (process %s)' "$(cat "/proc/$pid/comm")" "$pid"
}

# held NAME PORT [udp]: systemd listens there for berth, whether berth runs or not.
# That its unit says so is not enough: it may have been rewritten since.
held() {
	systemctl --quiet is-active "berth-$1.socket" &&
		[[ $(systemctl show --property Listen "berth-$1.socket") == *":$2 "* && $(holder "$2" "${3:-tcp}") == "systemd (process 1)" ]]
}

# kernel_has NAME COMMAND...: the command, run in a network namespace of its
# own so that it changes nothing, shows whether the kernel has the feature.
kernel_has() {
	local name=$1
	shift
	command -v "$1" >/dev/null || return 0 # its package comes later
	unshare --net "$@" >/dev/null 2>&1 || problem "the kernel has no $name (tried: $*)"
}

# check_address_family: what builds fetch is reached by IPv4 or by IPv6. The
# addresses are a root name server's; nothing is sent.
check_address_family() {
	command -v ip >/dev/null || return 0
	ip -4 route get 198.41.0.4 >/dev/null 2>&1 && return
	ip -6 route get 2001:503:ba3e::2:30 >/dev/null 2>&1 && return
	note "this machine has no route to the internet: builds cannot fetch anything"
}

# check_runc: what Debian or a vendor has mended in an older version cannot be
# seen by the version, so only the releases that have the mends count.
check_runc() {
	local version fixed
	command -v runc >/dev/null || return 0 # its package comes later
	version=$(runc --version 2>/dev/null | sed -n 's/^runc version \([0-9][0-9.]*\(-rc[.0-9]*\)\{0,1\}\).*/\1/p')
	case $version in
	1.2.*) fixed=1.2.8 ;;
	1.3.*) fixed=1.3.3 ;;
	1.4.0-rc*) fixed=1.4.0-rc.3 ;;
	*) fixed=1.2.8 ;;
	esac
	# A candidate of the release is older than it; sort does not know.
	[[ -n $version && $version != "$fixed-rc"* && $(printf '%s\n%s\n' "$fixed" "$version" | sort -V | head -n 1) == "$fixed" ]] ||
		note "runc is ${version:-of an unknown version}; 1.2.8, 1.3.3 and later fix container escapes (CVE-2025-31133, -52565, -52881). Dockerfiles are built one step at a time [E508]"
}

check_machine() {
	local free memory kernel name number who
	command -v apt-get >/dev/null || problem "this is not Debian or a derivative: there is no apt-get"
	[[ -n $arch ]] || problem "berth runs on amd64 and arm64; this machine is $(uname -m)"

	kernel=$(uname -r)
	[[ $(printf '%s\n5.4\n' "$kernel" | sort -V | head -n 1) == 5.4 ]] ||
		problem "the kernel is $kernel; 5.4 or newer is needed"
	modprobe -q overlay 2>/dev/null || true
	grep -qw overlay /proc/filesystems || problem "the kernel has no overlay filesystem"
	for name in mnt net pid uts ipc cgroup; do
		[[ -e /proc/self/ns/$name ]] || problem "the kernel has no $name namespaces"
	done
	grep -q '^Seccomp:' /proc/self/status || problem "the kernel has no seccomp"
	if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
		for name in memory cpu pids; do
			grep -qw "$name" /sys/fs/cgroup/cgroup.controllers || problem "the cgroup controller $name is switched off"
		done
	else
		for name in memory cpu pids; do
			awk -v name="$name" '$1 == name && $4 == 1 { found = 1 } END { exit !found }' /proc/cgroups ||
				problem "the cgroup controller $name is switched off"
		done
	fi
	if [[ $EUID -eq 0 ]]; then
		kernel_has "network bridges" ip link add probe0 type bridge
		kernel_has "virtual ethernet pairs" ip link add probe0 type veth peer name probe1
		kernel_has nftables nft list tables
	fi

	check_address_family
	check_runc
	for name in "${ports[@]}"; do
		number=$(port "${name%:*}" "${name#*:}")
		if ! [[ $number =~ ^[0-9]{1,5}$ ]]; then
			problem "\"$number\" is not a port"
		elif have_systemd && held "${name%:*}" "$number"; then
			continue
		elif who=$(holder "$number") && ! { running && [[ $who == "berth ("* ]]; }; then
			problem "port $number is in use by $who; stop it or choose another with --${name%:*}-port"
		fi
	done

	number=$(port https 443)
	if [[ $number =~ ^[0-9]{1,5}$ ]] && ! { have_systemd && held quic "$number" udp; } &&
		who=$(holder "$number" udp) && ! { running && [[ $who == "berth ("* ]]; }; then
		note "UDP port $number is in use by $who: sites are served without HTTP/3"
	fi

	free=$(df --output=avail -k /var/lib | tail -n 1)
	if ((free < 3 << 20)); then
		problem "$((free >> 10)) MiB are free in /var/lib; 3 GiB are needed"
	elif ((free < 10 << 20)); then
		note "$((free >> 20)) GiB are free in /var/lib; 10 GiB are recommended"
	fi
	memory=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)
	# The kernel takes its part first: a machine of 512 MB shows 455 to 490.
	if ((memory < 440 << 10)); then
		problem "the machine has $((memory >> 10)) MiB of memory; 512 MiB are needed"
	elif ((memory < 960 << 10)); then
		note "the machine has $((memory >> 10)) MiB of memory; 1 GiB is recommended for builds"
	fi

	if [[ -n $ssh_key ]]; then
		ssh_key_lines "$ssh_key" >/dev/null 2>&1 || problem "$ssh_key has no SSH public key without options"
	fi
	if id berth >/dev/null 2>&1 && ! made user berth; then
		note "the user berth already exists and is used"
	fi
	if ! [[ $domain =~ ^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.|$))*$ ]]; then
		problem "\"$domain\" is not a domain name"
	fi
	have_systemd || note "systemd does not run here: berth is started in the background and not supervised"
}

# --- other firewalls. An accept in berth's own table does not bring back what
# another program drops, so the rules have to be added in that program's way.

closed=()  # what another firewall keeps from working
openers=() # the commands that change that

# close WHAT COMMAND...: remembers what is closed, and what opens it.
close() {
	closed+=("$1")
	shift
	openers+=("$@")
}

# chain_opens CHAIN PORT PROTOCOL: the first rule of iptables' chain that decides
# about the port, from anywhere, lets it in.
chain_opens() {
	iptables -S "$1" 2>/dev/null | awk -v port="$2" -v protocol="$3" '
		/ -[sdi] / { next }
		{
			target = p = list = ""
			for (i = 1; i < NF; i++) {
				if ($i == "-j") target = $(i + 1)
				if ($i == "-p") p = $(i + 1)
				if ($i == "--dport" || $i == "--dports") list = $(i + 1)
			}
			if (p != "" && p != "all" && p != protocol) next
			if (target !~ /^(ACCEPT|DROP|REJECT|ufw-user-limit-accept)$/) next
			hit = list == ""
			n = split(list, parts, ",")
			for (i = 1; i <= n; i++) {
				high = split(parts[i], range, ":") == 2 ? range[2] : range[1]
				if (port + 0 >= range[1] + 0 && port + 0 <= high + 0) hit = 1
			}
			if (hit) { opens = target !~ /DROP|REJECT/; exit }
		}
		END { exit !opens }'
}

policy() { iptables -S "$1" 2>/dev/null | grep -qx -e "-P $1 $2"; }

# own_resolvers: DNS servers that are this machine's own, at an address that
# containers reach.
own_resolvers() {
	local address
	while read -r address; do
		[[ $address == 127.* ]] || ! ip -4 -o address 2>/dev/null | grep -qwF "inet $address" || printf '%s\n' "$address"
	done < <(sed -n 's/^nameserver \([0-9.]*\)$/\1/p' /etc/resolv.conf /run/systemd/resolve/resolv.conf 2>/dev/null | sort -u)
}

# wanted_ports: as PORT/PROTOCOL, the ports that visitors and pushers come to.
wanted_ports() {
	printf '%s/tcp\n' "$(port http 80)" "$(port https 443)" "$(port ssh 2222)"
	[[ $(setting BERTH_HTTP3) == off ]] || printf '%s/udp\n' "$(port https 443)"
}

check_ufw() {
	local bridge=$1 wanted address
	policy FORWARD ACCEPT || iptables -C ufw-user-forward -i "$bridge" -j ACCEPT 2>/dev/null ||
		close "ufw drops the packets of apps and builds: they have no network" "ufw route allow in on $bridge"
	policy INPUT ACCEPT && return
	for address in $(own_resolvers); do
		LC_ALL=C ufw show added | grep -qxF "ufw allow in on $bridge to $address port 53" ||
			close "ufw closes this machine's DNS server $address to apps and builds" "ufw allow in on $bridge to $address port 53"
	done
	for wanted in $(wanted_ports); do
		chain_opens ufw-user-input "${wanted%/*}" "${wanted#*/}" ||
			close "ufw closes port $wanted to the outside" "ufw allow $wanted"
	done
}

# policy_opens FLAG...: the policy that firewall-cmd shows lets the apps' zone out.
policy_opens() {
	local shown
	shown=$(firewall-cmd "$@" 2>/dev/null) || return 1
	[[ $shown == *"target: ACCEPT"* && $shown == *"ingress-zones: berth"* && $shown == *"egress-zones: ANY"* ]]
}

check_firewalld() {
	local bridge=$1 zone interface wanted reload=${#closed[@]}
	zone=$(firewall-cmd --get-zone-of-interface="$bridge" 2>/dev/null) || zone=''
	# The zone trusted would let apps reach the ports of this machine.
	if [[ $zone != trusted ]] && ! policy_opens --info-policy=berth-out; then
		close "firewalld rejects the packets of apps and builds: they have no network"
		# A run that was cut off has done a part of it.
		firewall-cmd --permanent --get-zones | grep -qw berth || openers+=("firewall-cmd --permanent --new-zone=berth")
		firewall-cmd --quiet --permanent --zone=berth --query-interface="$bridge" 2>/dev/null ||
			openers+=("firewall-cmd --permanent --zone=berth --add-interface=$bridge")
		firewall-cmd --permanent --get-policies | grep -qw berth-out || openers+=("firewall-cmd --permanent --new-policy=berth-out")
		if ! policy_opens --permanent --info-policy=berth-out; then
			openers+=("firewall-cmd --permanent --policy=berth-out --add-ingress-zone=berth"
				"firewall-cmd --permanent --policy=berth-out --add-egress-zone=ANY"
				"firewall-cmd --permanent --policy=berth-out --set-target=ACCEPT")
		fi
		[[ -z $(own_resolvers) ]] || openers+=("firewall-cmd --permanent --zone=berth --add-service=dns")
	fi
	interface=$(ip -4 route get 198.41.0.4 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
	zone=$(firewall-cmd --get-zone-of-interface="${interface:-lo}" 2>/dev/null) || zone=$(firewall-cmd --get-default-zone)
	if [[ $(firewall-cmd --permanent --zone="$zone" --get-target) != ACCEPT ]]; then
		for wanted in $(wanted_ports); do
			firewall-cmd --quiet --zone="$zone" --query-port="$wanted" ||
				{ [[ $wanted == 80/tcp ]] && firewall-cmd --quiet --zone="$zone" --query-service=http; } ||
				{ [[ $wanted == 443/tcp ]] && firewall-cmd --quiet --zone="$zone" --query-service=https; } ||
				{ [[ $wanted == 443/udp ]] && firewall-cmd --quiet --zone="$zone" --query-service=http3; } ||
				close "firewalld closes port $wanted to the outside" "firewall-cmd --permanent --zone=$zone --add-port=$wanted"
		done
	fi
	[[ ${#closed[@]} -eq $reload ]] || openers+=("firewall-cmd --reload")
}

# check_chains is for rules that no program keeps: berth cannot make others last.
check_chains() {
	local bridge=$1 chain='' wanted family table hook
	if policy FORWARD DROP; then
		chain=FORWARD
		! iptables -S DOCKER-USER >/dev/null 2>&1 || chain=DOCKER-USER
		iptables -C "$chain" -i "$bridge" -j ACCEPT 2>/dev/null ||
			note "iptables drops forwarded packets, so apps and builds have no network: iptables -I $chain -i $bridge -j ACCEPT; iptables -I $chain -o $bridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT [E507]"
	fi
	if policy INPUT DROP; then
		for wanted in $(wanted_ports); do
			chain_opens INPUT "${wanted%/*}" "${wanted#*/}" ||
				note "iptables may close port $wanted to the outside: iptables -I INPUT -p ${wanted#*/} --dport ${wanted%/*} -j ACCEPT"
		done
	fi
	while read -r family table chain hook; do
		! nft list chain "$family" "$table" "$chain" | grep -q "\"$bridge\" accept" || continue
		if [[ $hook == forward ]]; then
			note "the chain $family $table $chain drops forwarded packets, so apps and builds have no network: add iifname \"$bridge\" accept and oifname \"$bridge\" ct state established,related accept to it [E507]"
		else
			note "the chain $family $table $chain drops incoming packets; it has to accept $(wanted_ports | paste -sd ' ')"
		fi
	done < <(nft list chains 2>/dev/null | awk '
		$1 == "table" { table = $2 " " $3 }
		$1 == "chain" { chain = $2 }
		/ hook (forward|input) .*policy drop/ && table != "ip filter" && table != "ip6 filter" && table !~ / (berth_|firewalld)/ { print table, chain, /hook forward/ ? "forward" : "input" }')
}

check_firewall() {
	local bridge line
	[[ $EUID -eq 0 ]] || return 0
	bridge=$(setting BERTH_BRIDGE)
	bridge=${bridge:-berth0}
	if LC_ALL=C ufw status 2>/dev/null | grep -qx 'Status: active'; then
		check_ufw "$bridge"
	elif [[ $(firewall-cmd --state 2>/dev/null) == running ]]; then
		check_firewalld "$bridge"
	else
		check_chains "$bridge"
	fi
	[[ ${#closed[@]} -gt 0 ]] || return 0
	for line in "${closed[@]}"; do note "$line"; done
	if [[ -n $check || -z $open_firewall ]]; then
		note "these commands open it; --open-firewall runs them, and uninstall reverts them:"
		for line in "${openers[@]}"; do note "    $line"; done
	fi
}

# may_open: --open-firewall, or a yes on a terminal.
may_open() {
	local answer
	[[ -z $open_firewall ]] || return 0
	[[ -t 0 && -t 1 ]] || return 1
	read -r -p "       Run these commands? [y/N] " answer
	[[ $answer == [yY]* ]]
}

# firewall runs the commands, and records those that uninstall has to take back.
firewall() {
	local opener words answer
	[[ ${#openers[@]} -gt 0 ]] || return 0
	begin firewall "Firewall"
	if ! may_open; then
		say "       not changed: apps, builds or visitors are blocked, see above"
		return
	fi
	for opener in "${openers[@]}"; do
		say "       $opener"
		read -ra words <<<"$opener"
		# These are not there yet: uninstall finds them also if this is cut off now.
		case $opener in
		*--new-zone=* | *--new-policy=*) record firewall "$opener" ;;
		esac
		answer=$(LC_ALL=C "${words[@]}" 2>&1) || fail "$opener: $answer"
		printf '%s\n' "$answer" >>"$log"
		case $opener in
		ufw*) [[ $answer != *"Rule added"* ]] || record firewall "$opener" ;;
		*--add-port=*) [[ $answer == *ALREADY_ENABLED* ]] || record firewall "$opener" ;;
		esac
	done
}

preflight() {
	begin preflight "Preflight  $(sed -n 's/^PRETTY_NAME="\(.*\)"$/\1/p' /etc/os-release), $(uname -m), kernel $(uname -r)"
	[[ $EUID -eq 0 ]] || problem "this needs root: sudo $0"
	check_machine
	check_firewall
	local line
	for line in "${notes[@]}"; do say "       note: $line"; done
	for line in "${problems[@]}"; do printf 'error: %s\n' "$line" >&2; done
	[[ ${#problems[@]} -eq 0 ]] || exit 1
}

# --- the manifest of what we made: "file PATH", "directory PATH", "user NAME", "unit NAME", "firewall COMMAND"

made() { grep -qsxF "$1 $2" "$manifest"; }
record() { made "$1" "$2" || printf '%s %s\n' "$1" "$2" >>"$manifest"; }

# directory PATH MODE OWNER:GROUP
directory() {
	[[ -d $1 ]] || record directory "$1"
	install -d -m "$2" -o "${3%:*}" -g "${3#*:}" "$1"
}

# place FILE PATH MODE: puts a file in place by rename, so that whoever runs or
# reads it sees the old one or the new one. Sets changed when it differs.
changed=''
place() {
	if ! cmp -s "$1" "$2"; then
		if [[ -e $2 ]] && ! made file "$2"; then
			fail "$2 is here already and is not berth's" "move it away and run this again"
		fi
		install -m "$3" "$1" "$2.new"
		mv -f "$2.new" "$2"
		changed=yes
	fi
	record file "$2"
}

# --- packages

packages() {
	begin packages "Packages"
	local wanted=(containernetworking-plugins mmdebstrap nftables git iproute2 ca-certificates openssh-client curl)
	local missing=() first=() name
	# Another vendor's containerd brings its own runc and conflicts with Debian's.
	command -v containerd >/dev/null || wanted+=(containerd)
	command -v runc >/dev/null || wanted+=(runc)
	# The stack is Debian also where the host is not.
	grep -qsx 'ID=debian' /etc/os-release || wanted+=(debian-archive-keyring)
	for name in "${wanted[@]}"; do installed "$name" || missing+=("$name"); done
	released
	if [[ ${#missing[@]} -eq 0 ]]; then
		say "       all there"
		[[ -z $new ]] || make_base
		return
	fi
	say "       ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	quiet apt-get -o DPkg::Lock::Timeout=300 update
	if [[ -n $new ]]; then
		# Of these the base filesystem is made, while the others come.
		for name in "${missing[@]}"; do
			[[ " mmdebstrap ca-certificates debian-archive-keyring " != *" $name "* ]] || first+=("$name")
		done
		[[ ${#first[@]} -eq 0 ]] || get "${first[@]}"
		make_base
	fi
	get "${missing[@]}"
}

# get PACKAGE...: --no-remove, so that a conflict ends this run instead of
# somebody else's program.
get() { quiet apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends --no-remove "$@"; }

# --- binary

# released leaves the path of a released program in $new, or nothing.
new=''
released() {
	local candidate
	[[ -z $build ]] || return 0
	for candidate in "$here/berth" "$here/bin/berth-linux-$arch"; do
		[[ ! -x $candidate ]] || new=$candidate
	done
}

# binary leaves the path of the program to install in $new.
binary() {
	begin binary "Binary"
	local version
	if [[ -z $new ]]; then
		[[ -f $here/go.mod ]] || fail "neither a released binary nor the source stands beside $0" \
			"put the file berth of a release beside it"
		build_binary
	fi
	version=$("$new" version 2>/dev/null) || fail "$new does not run here" "is it a binary for $arch?"
	say "       $version"
}

build_binary() {
	local go version
	directory /var/cache/berth 0700 root:root
	say "       building the checkout (a few minutes the first time)"
	go=$("$here/packaging/go" 2>>"$log")
	make_base "$go"
	version=$(git -c safe.directory="$here" -C "$here" describe --tags --always --dirty 2>/dev/null || printf source)
	new=/var/cache/berth/berth
	(
		go_settings
		quiet "$go" build -trimpath -ldflags "-s -w -X main.version=$version" -o "$new" ./cmd/berth
	)
}

go_settings() {
	cd "$here"
	# Caches of our own: root's and the caller's stay as they are.
	export GOPATH=/var/cache/berth/go GOCACHE=/var/cache/berth/go-build GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0
}

# engine is the directory of berth's containers and layers.
engine() {
	local data dir
	data=$(setting BERTH_DATA) dir=$(setting BERTH_ENGINE)
	printf %s "${dir:-${data:-/var/lib/berth}/engine}"
}

# make_base [GO] begins to make the base filesystem of all containers, beside what
# else is installed: by the released program, or by one that GO compiles in a
# moment. Where berth has run before, it makes what is missing by itself.
base_pid='' base_began=''
make_base() {
	[[ ! -e $(engine) ]] || return 0
	directory /var/cache/berth 0700 root:root
	base_began=$SECONDS
	(
		maker=("$new" make-base)
		if [[ -n ${1:-} ]]; then
			go_settings
			"$1" build -o /var/cache/berth/bootstrap ./packaging/bootstrap
			maker=(/var/cache/berth/bootstrap)
		fi
		# --foreground: it passes a signal on once; a second one ends berth before it
		# has cleaned up.
		exec timeout --foreground 15m "${maker[@]}" /var/cache/berth/stack
	) >/var/cache/berth/base.log 2>&1 &
	base_pid=$!
}

# await_base puts it where berth looks for it.
await_base() {
	[[ -n $base_pid ]] || return 0
	local made
	! kill -0 "$base_pid" 2>/dev/null || say "       waiting for the base filesystem of containers, in progress for $((SECONDS - base_began))s"
	if wait "$base_pid"; then
		say "       the base filesystem of containers is built ($((SECONDS - base_began))s)"
		made=$(engine)
		install -d -m 0711 "$made"
		install -d -m 0700 "$made/stack"
		mv /var/cache/berth/stack/*.tar "$made/stack/"
	else
		cat /var/cache/berth/base.log >>"$log"
		say "       note: the base filesystem of containers is not built yet; berth tries again"
	fi
	base_pid=''
}

# --- account and files

account() {
	begin account "Account and directories"
	if ! id berth >/dev/null 2>&1; then
		quiet useradd --system --home-dir /var/lib/berth --no-create-home --shell /usr/sbin/nologin berth
		record user berth
	fi
	# git runs as berth and must get through to git/; all else beneath is closed to it.
	directory /var/lib/berth 0710 root:berth
}

files() {
	begin files "Files"
	directory /usr/local/lib/berth 0755 root:root
	place "$new" "$berth" 0755
	environment
	if have_systemd; then
		units
	else
		place "$here/packaging/service" /usr/local/lib/berth/service 0755
		record file /var/log/berth.log
	fi
	record file "$log"
}

# set_env NAME VALUE
set_env() {
	[[ $(setting "$1") != "$2" ]] || return 0
	{
		grep -v "^$1=" "$env_file" || true
		printf '%s="%s"\n' "$1" "$2"
	} >"$env_file.new"
	chmod 0600 "$env_file.new" # a proxy's address can hold a password
	mv -f "$env_file.new" "$env_file"
	changed=yes
}

environment() {
	local name lower
	if [[ ! -e $env_file ]]; then
		install -m 0600 /dev/null "$env_file"
		printf '# Options of berth serve; "berth help serve" lists them. Then restart berth.\n' >"$env_file"
	fi
	record file "$env_file"
	[[ -z $http_port ]] || set_env BERTH_HTTP ":$http_port"
	[[ -z $https_port ]] || set_env BERTH_HTTPS ":$https_port"
	[[ -z $ssh_port ]] || set_env BERTH_SSH ":$ssh_port"
	# What this shell needs to reach the internet, berth and its builds need too.
	for name in HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE; do
		lower=${name,,}
		[[ -z ${!name:-${!lower:-}} ]] || set_env "$name" "${!name:-${!lower}}"
	done
}

units() {
	local unit scratch name
	scratch=$(mktemp -d)
	for unit in "$here"/packaging/systemd/*; do
		cp "$unit" "$scratch/"
		if [[ $unit == *.socket ]]; then
			name=${unit##*/berth-} name=${name%.socket}
			[[ $name != quic ]] || name=https # the same port, by UDP
			sed -i "s/^\(Listen[A-Z][a-z]*\)=\([0-9]*\)\$/\1=$(port "$name" '\2')/" "$scratch/${unit##*/}"
		fi
		place "$scratch/${unit##*/}" "/etc/systemd/system/${unit##*/}" 0644
		record unit "${unit##*/}"
	done
	rm -r "$scratch"
	quiet systemctl daemon-reload
	quiet systemctl enable berth.service berth-http.socket berth-https.socket berth-ssh.socket berth-quic.socket
}

# --- start

start() {
	local name moved=()
	if have_systemd; then
		# A socket listens where it did until it is restarted.
		for name in "${ports[@]}"; do
			held "${name%:*}" "$(port "${name%:*}" "${name#*:}")" || moved+=("berth-${name%:*}.socket")
		done
		# The UDP port goes with it; when berth is restarted it is opened by itself.
		[[ " ${moved[*]} " != *https* ]] || moved+=(berth-quic.socket)
	fi
	if running && [[ -z $changed && ${#moved[@]} -eq 0 ]]; then
		begin start "Start      nothing changed, berth runs"
	else
		begin start "Start"
		await_base
		if have_systemd; then
			# It cannot be while berth is active: this stops berth too.
			# Sites do without the UDP port; without another, berth does not start.
			[[ ${#moved[@]} -eq 0 ]] || quiet systemctl restart "${moved[@]}" || true
			quiet systemctl restart berth.service || true # judged below, with its journal
		else
			quiet /usr/local/lib/berth/service restart
		fi
	fi
	local tries
	for ((tries = 0; tries < 300; tries++)); do
		if "$berth" apps:list >/dev/null 2>&1; then
			[[ -z $domain || $(global_domain) == "$domain" ]] || quiet "$berth" domains:set-global "$domain"
			return
		fi
		running || break
		sleep 0.2
	done
	if have_systemd; then
		journalctl --unit berth.service --lines 30 --no-pager >>"$log" || true
	else
		tail -n 30 /var/log/berth.log >>"$log" || true
	fi
	fail "berth did not come up"
}

# --- keys

# ssh_key_lines FILE: its public keys, one a line. Lines of authorized_keys that
# carry options (a forced command, …) are somebody's restriction and left out.
# Files written on Windows have a byte order mark and carriage returns.
ssh_key_lines() {
	LC_ALL=C sed -e $'1s/^\xef\xbb\xbf//' -e 's/\r$//' -e 's/^[[:blank:]]*//' "$1" |
		LC_ALL=C grep -E '^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp[0-9]+|sk-(ssh|ecdsa)-[^ ]+)[[:blank:]]+[A-Za-z0-9+/=]+([[:blank:]]|$)'
}

# somebody_administers tells whether a key with the role admin may enter.
somebody_administers() { "$berth" ssh-keys:list --format json | grep -q '"role": *"admin"'; }

key() {
	local added=0 line said file files=()
	if [[ -n $ssh_key ]]; then
		files=("$ssh_key")
	elif somebody_administers; then
		return # an upgrade: whoever may enter was decided long ago
	else
		# The keys made here, and those the caller comes in with from elsewhere.
		files=("$caller_home"/.ssh/id_*.pub "$caller_home/.ssh/authorized_keys")
	fi
	begin key "SSH keys"
	while read -r line; do
		# berth names the key by its comment, and recognises one that it has.
		if said=$(printf '%s\n' "$line" | "$berth" ssh-keys:add --role admin 2>&1); then
			say "       $said"
			added=$((added + 1))
		elif [[ -n $ssh_key ]]; then
			printf '%s\n' "$said" >&2
			fail "a key of $ssh_key was not accepted"
		else
			# One old key among the caller's is no reason to leave the others out.
			printf 'warning: a key of %s was left out\n%s\n' "$caller" "$said" | sed '2,$s/^/         /'
		fi
	done < <(for file in "${files[@]}"; do [[ ! -r $file ]] || ssh_key_lines "$file" || true; done | sort -u -k 2,2)
	if [[ $added -eq 0 ]]; then
		say "warning: $caller has no SSH key here, so nobody can push yet"
		say "hint:    copy a public key to this machine, then: sudo berth ssh-keys:add --role admin < KEY.pub"
	fi
}

# --- demo

demo_app=hello

end_demo() {
	"$berth" ssh-keys:remove install-demo >/dev/null 2>&1 || true
	rm -rf "$demo_dir"
	demo_dir=''
}

demo() {
	begin demo "Demo       git push of packaging/demo to the app $demo_app"
	local as=(runuser -u "$caller" --) host
	[[ $caller != root ]] || as=()
	demo_dir=$(mktemp -d)
	cp -r "$here/packaging/demo" "$demo_dir/app"
	ssh-keygen -q -t ed25519 -N '' -C install-demo -f "$demo_dir/key"
	chown -R "$caller:" "$demo_dir"

	# The key may push to this one app, and goes when the push is done. One that
	# a run left behind which was killed has the name.
	"$berth" ssh-keys:remove install-demo >/dev/null 2>&1 || true
	"$berth" apps:info "$demo_app" >/dev/null 2>&1 || quiet "$berth" apps:create "$demo_app"
	quiet "$berth" ssh-keys:add install-demo --role deploy --app "$demo_app" <"$demo_dir/key.pub"
	(
		cd "$demo_dir/app"
		export GIT_SSH_COMMAND="ssh -i $demo_dir/key -o IdentitiesOnly=yes -o UserKnownHostsFile=$demo_dir/known_hosts -o StrictHostKeyChecking=accept-new"
		export GIT_AUTHOR_NAME=demo GIT_AUTHOR_EMAIL=demo@localhost GIT_COMMITTER_NAME=demo GIT_COMMITTER_EMAIL=demo@localhost
		"${as[@]}" git init -q -b main
		"${as[@]}" git add -A
		"${as[@]}" git commit -q -m "The example app"
		"${as[@]}" git push --force "ssh://berth@127.0.0.1:$(port ssh 2222)/$demo_app" main
	)
	host=$demo_app.$(global_domain)
	"$berth" certs:root >"$demo_dir/root.pem"
	say "       GET https://$host/"
	curl --silent --show-error --fail --noproxy '*' --cacert "$demo_dir/root.pem" \
		--resolve "$host:$(port https 443):127.0.0.1" "https://$host:$(port https 443)/" | sed 's/^/       /'
	say
	end_demo
}

# --- the last screen

global_domain() { "$berth" domains:report --format json | sed -n 's/.*"global": *"\([^"]*\)".*/\1/p' | head -n 1; }

last_screen() {
	local name host https suffix='' fingerprint
	name=$(global_domain)
	host=$name
	[[ $name != localhost ]] || host=$(hostname -I 2>/dev/null | cut -d ' ' -f 1)
	https=$(port https 443)
	[[ $https == 443 ]] || suffix=:$https
	fingerprint=$(ssh-keyscan -p "$(port ssh 2222)" -t ed25519 127.0.0.1 2>/dev/null | ssh-keygen -l -f - | cut -d ' ' -f 2)
	cat <<END

berth $("$berth" version 2>/dev/null | awk '{ print $NF }') runs.
  apps        https://APP.$name$suffix
  admin page  https://berth.$name$suffix   enter with: sudo berth login
  host key    $fingerprint (ed25519)
In the repository of your app:
  git remote add berth ssh://berth@${host:-localhost}:$(port ssh 2222)/APP
  git push berth main
Settings: $env_file   remove: sudo berth uninstall
END
}

preflight
[[ -z $check ]] || exit 0
install -d -m 0700 /etc/berth
touch "$manifest"
record directory /etc/berth
record file "$manifest"
: >"$log"
packages
binary
account
files
firewall
start
key
[[ -z $demo ]] || demo
last_screen
