package mirror

import (
	goruntime "runtime"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// tools are those that upstream packs for every Linux, with what it calls the
// archives, and Ruby, whose source is built. PHP is not among them.
var tools = []struct {
	name string
	form source.Pattern // a version, and where it matters the machine
}{
	// Node.js
	{"node", source.NewPattern(`^node-v(?P<version>\d{1,3}\.\d{1,3}\.\d{1,3})-linux-(?P<machine>x64|arm64)\.tar\.(?:gz|xz)$`)},
	// python-build-standalone; a + in an address is often kept as %2B
	{"python", source.NewPattern(`^cpython-(?P<version>3\.\d{1,3}\.\d{1,3})(?:\+|%2B)\d{8}-(?P<machine>x86_64|aarch64)-unknown-linux-gnu-install_only(?:_stripped)?\.tar\.gz$`)},
	// Go
	{"go", source.NewPattern(`^go(?P<version>1\.\d{1,3}(?:\.\d{1,3})?(?:(?:beta|rc)\d{1,2})?)\.linux-(?P<machine>amd64|arm64)\.tar\.gz$`)},
	// Temurin
	{"java", source.NewPattern(`^OpenJDK\d{1,3}U?-jdk_(?P<machine>x64|aarch64)_linux_hotspot_(?P<version>\d{1,3}[0-9._bu]{0,20})\.tar\.gz$`)},
	// Rust's standalone installers
	{"rust", source.NewPattern(`^rust-(?P<version>1\.\d{1,3}\.\d{1,3})-(?P<machine>x86_64|aarch64)-unknown-linux-gnu\.tar\.(?:gz|xz)$`)},
	// Ruby's source
	{"ruby", source.NewPattern(`^ruby-(?P<version>\d{1,2}\.\d{1,2}\.\d{1,3})\.tar\.(?:gz|xz)$`)},
	// of wrappers
	{"gradle", source.NewPattern(`^gradle-(?P<version>\d{1,2}\.\d{1,3}(?:\.\d{1,3})?)-(?:bin|all)\.zip$`)},
	{"maven", source.NewPattern(`^apache-maven-(?P<version>\d\.\d{1,3}\.\d{1,3})-bin\.(?:tar\.gz|zip)$`)},
}

// machines are the names that upstreams have for ours.
var machines = map[string]string{
	"x64": "amd64", "amd64": "amd64", "x86_64": "amd64",
	"arm64": "arm64", "aarch64": "arm64",
	"": "", // of what runs anywhere
}

// parse returns the version of a tool that a file is by its name; ok is false
// for one that is none, or is for another machine.
func parse(tool, name, arch string) (version string, ok bool) {
	for _, t := range tools {
		if t.name != tool {
			continue
		}
		m := t.form.FindStringSubmatch(name)
		if m == nil {
			return "", false
		}
		machine := ""
		if i := t.form.SubexpIndex("machine"); i > 0 {
			machine = m[i]
		}
		if own := machines[machine]; own != "" && own != arch {
			return "", false
		}
		return m[t.form.SubexpIndex("version")], true
	}
	return "", false
}

// Version returns the version of a tool that an archive of that name would be
// for this machine; "" is none.
func Version(tool, name string) string {
	version, _ := parse(tool, name, goruntime.GOARCH)
	return version
}

var numberText = source.NewPattern(`\d+|beta|rc|_|\+`)

// numbers are what archives of a tool are ordered by: those of the version, and
// behind them, a sign of its own before it, what it was before its release, or
// its build. 1.24rc1 comes before 1.24.0, and 21_35 before 21.0.5_11.
func numbers(a Archive) (list []int) {
	text := a.Version
	if a.Tool == "python" {
		_, rest, _ := strings.Cut(strings.Replace(a.Name, "%2B", "+", 1), text)
		day, _, _ := strings.Cut(rest, "-")
		text += day
	}
	for _, part := range numberText.FindAllString(text, -1) {
		if n, err := strconv.Atoi(part); err == nil {
			list = append(list, n)
			continue
		}
		for len(list) < 4 {
			list = append(list, 0)
		}
		list = append(list, map[string]int{"beta": -2, "rc": -1}[part])
	}
	return list
}
