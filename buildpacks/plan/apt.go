package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// AptInstall returns the commands of a Root layer that installs packages of
// the stack's own Debian suite and leaves no lists or archives behind.
func AptInstall(packages ...string) []Command {
	return slices.Concat([]Command{aptUpdate, apt("install", "-y", "--no-install-recommends", "--").plus(packages)}, aptClean)
}

// The Debian suites that have what the stack's, trixie, has not: an older
// suite's packages find their libraries in the stack, a newer one's bring theirs.
const (
	Bullseye = "bullseye"
	Bookworm = "bookworm"
	Forky    = "forky"
	Sid      = "sid"
	// Experimental has what is on its way to Sid: what it needs beside the stack
	// is there.
	Experimental = "experimental"
)

// AptInstallFrom is AptInstall for packages that another suite has and the
// stack's has not. The suite is read from wherever the stack's own comes from.
func AptInstallFrom(suite string, packages ...string) []Command {
	install := apt("install", "-y", "--no-install-recommends")
	switch suite {
	case Forky:
		// What is built for a newer C library needs it.
		install = install.plus([]string{"-t", suite})
	case Sid, Experimental:
		// They change daily: only what no other suite has is taken from them.
		install = install.plus([]string{"-t", "/^trixie/"})
	}
	return aptFrom(suite, install.plus([]string{"--"}).plus(packages))
}

// AptUnpackFrom puts the files of another suite's packages in place that apt
// would not install beside the stack's own, and that need nothing else. dpkg
// knows nothing of them.
func AptUnpackFrom(suite string, packages ...string) []Command {
	return aptFrom(suite, Command{Dir: "/tmp", Args: slices.Concat([]string{"sh", "-ec",
		`suite=$1; shift; for p; do apt-get -q -o Acquire::Retries=3 download "$p/$suite"; done; for f in *.deb; do dpkg -x "$f" /; rm "$f"; done`,
		"sh", suite}, packages)})
}

// aptFrom runs a command while apt knows another suite.
func aptFrom(suite string, command Command) []Command {
	const list = "/etc/apt/sources.list.d/suite.list"
	lists := `sed -n "s/trixie/$1/gp" /etc/apt/sources.list >"$2"`
	switch suite { // neither has a security archive of its own
	case Sid:
		lists = `sed -n "s/ trixie / $1 /p" /etc/apt/sources.list >"$2"`
	case Experimental:
		lists = `for suite in sid "$1"; do sed -n "s/ trixie / $suite /p" /etc/apt/sources.list; done >"$2"`
	}
	update := aptUpdate
	if suite == Forky || suite == Sid || suite == Experimental {
		// Its index is signed for a week, and mirrors are kept for longer. What
		// is installed from it is not looked after by a later index anyway.
		update = apt("-o", "Acquire::Check-Valid-Until=false", "-o", "APT::Update::Error-Mode=any", "update")
	}
	return slices.Concat([]Command{
		{Args: []string{"sh", "-c", lists, "sh", suite, list}},
		update,
		command,
		{Args: []string{"rm", list}},
	}, aptClean)
}

func apt(args ...string) Command {
	return Command{Args: append([]string{"apt-get", "-q",
		"-o", "Acquire::Retries=3",
		"-o", "Acquire::Languages=none",
		"-o", "Dpkg::Use-Pty=0",
		// A half-made layer is thrown away, so nothing needs to be synced.
		"-o", "DPkg::Options::=--force-unsafe-io",
		"-o", "DPkg::Options::=--force-confold",
		"-o", "DPkg::Options::=--path-exclude=/usr/share/man/*",
		"-o", "DPkg::Options::=--path-exclude=/usr/share/info/*",
		"-o", "DPkg::Options::=--path-exclude=/usr/share/doc/*",
		"-o", "DPkg::Options::=--path-include=/usr/share/doc/*/copyright",
	}, args...)}
}

var (
	// Without this mode apt goes on with stale or missing lists, and the next
	// command blames the package.
	aptUpdate = apt("-o", "APT::Update::Error-Mode=any", "update")
	aptClean  = []Command{
		apt("clean"),
		{Args: []string{"find", "/var/lib/apt/lists", "/var/log", "-type", "f", "-delete"}},
	}
)

func (c Command) plus(args []string) Command {
	c.Args = slices.Concat(c.Args, args)
	return c
}

// AptEnv keeps debconf and its like from asking.
var AptEnv = []string{"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "LC_ALL=C.UTF-8"}

// aptFiles name a repository's own Debian packages: Dokku's file and Heroku's.
var aptFiles = []string{"apt-packages", "Aptfile"}

// maxPackages bounds what one app may ask for; real lists have a handful.
const maxPackages = 100

// Debian Policy 5.6.1, and "=version" as apt takes it. A name cannot begin
// with a dash, so it is never an option.
var aptPackage = source.NewPattern(`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?$`)

// aptPackages returns the packages that the repository asks for, and the file
// that does.
func aptPackages(t *source.Tree) (packages []string, file string, err error) {
	for _, name := range aptFiles {
		s, err := t.Text(name, source.MaxManifest)
		if source.Missing(err) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		for i, line := range source.Lines(s) {
			line, _, _ = strings.Cut(line, "#")
			for _, word := range strings.Fields(line) {
				if !aptPackage.MatchString(word) || strings.HasSuffix(word, "-") {
					return nil, "", source.Problemf(source.CodePackages, "%s, line %d: %q is not the name of a Debian package", name, i+1, source.Printable(word)).
						With(fmt.Sprintf("%d | %s", i+1, source.Printable(line))).
						Hint("one or more names a line, from Debian 13; URLs and other sources are not accepted")
				}
				packages = append(packages, word)
			}
		}
		if len(packages) > maxPackages {
			return nil, "", source.Problemf(source.CodePackages, "%s lists %d packages; the maximum is %d", name, len(packages), maxPackages)
		}
		if len(packages) > 0 {
			slices.Sort(packages)
			return slices.Compact(packages), name, nil
		}
	}
	return nil, "", nil
}
