package buildpacks

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// aptInstall returns the commands of a Root layer that installs packages of
// the stack's own Debian suite and leaves no lists or archives behind.
func aptInstall(packages []string) []Command {
	apt := func(args ...string) Command {
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
	return []Command{
		// Without this mode apt goes on with stale or missing lists, and the
		// next command blames the package.
		apt("-o", "APT::Update::Error-Mode=any", "update"),
		apt("install", "-y", "--no-install-recommends", "--").plus(packages),
		apt("clean"),
		{Args: []string{"find", "/var/lib/apt/lists", "/var/log", "-type", "f", "-delete"}},
	}
}

func (c Command) plus(args []string) Command {
	c.Args = slices.Concat(c.Args, args)
	return c
}

// aptEnv keeps debconf and its like from asking.
var aptEnv = []string{"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "LC_ALL=C.UTF-8"}

// aptFiles name a repository's own Debian packages: Dokku's file and Heroku's.
var aptFiles = []string{"apt-packages", "Aptfile"}

// maxPackages bounds what one app may ask for; real lists have a handful.
const maxPackages = 100

// Debian Policy 5.6.1, and "=version" as apt takes it. A name cannot begin
// with a dash, so it is never an option.
var aptPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?$`)

// aptPackages returns the packages that the repository asks for, and the file
// that does.
func (t *tree) aptPackages() (packages []string, file string, err error) {
	for _, name := range aptFiles {
		s, err := t.text(name, maxManifest)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		for i, line := range lines(s) {
			line, _, _ = strings.Cut(line, "#")
			for _, word := range strings.Fields(line) {
				if !aptPackage.MatchString(word) || strings.HasSuffix(word, "-") {
					return nil, "", problem(codePackages, "%s, line %d: %q is not the name of a Debian package", name, i+1, printable(word)).
						with(fmt.Sprintf("%d | %s", i+1, printable(line))).
						hint("one or more names a line, from Debian 13; addresses and other sources are not taken")
				}
				packages = append(packages, word)
			}
		}
		if len(packages) > maxPackages {
			return nil, "", problem(codePackages, "%s lists %d packages; %d is the most", name, len(packages), maxPackages)
		}
		if len(packages) > 0 {
			slices.Sort(packages)
			return slices.Compact(packages), name, nil
		}
	}
	return nil, "", nil
}
