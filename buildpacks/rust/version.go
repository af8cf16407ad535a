package rust

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// release is a Rust that Debian has.
type release struct {
	minor, patch int // of Rust 1
	commands     []plan.Command
}

// releases are the Rusts at hand, the oldest first. The stack's suite has two:
// its own, and the one that its browsers are built with, which follows upstream
// through the suite's life. Those of other suites are left alone: one is too old
// to be asked for, the other changes from week to week. Any version but these
// comes by rustup.
var releases = []release{
	{85, 1, plan.AptInstall("cargo", "rustc")},
	{96, 0, plan.AptInstall("cargo-web", "rustc-web")},
}

// sameRust tells when Debian has gone on to another version than $1, which is
// new enough then for whatever asks for $1.
const sameRust = `have=$(rustc --version)
case $have in
"rustc $1."*) ;;
*) echo "warning: this asks for Rust $1, Debian has $have now" ;;
esac
`

// usual is the minor version of an app that asks for none: the newest that the
// stack's own suite has, since crates soon ask for a new Rust.
const usual = 96

// toolchain is the Rust to build with.
type toolchain struct {
	name     string // "1.96", "1.92.0", "nightly-2026-01-31"
	from     string // what asks for it; "" is nobody
	commands []plan.Command
	archive  *mirror.Archive // of the mirror, that it comes from; nil is none
	download bool            // by rustup, from upstream or a server that the operator names
}

// debian returns the toolchain of a minor version that Debian has.
func debian(minor int, from string) (toolchain, bool) {
	i := slices.IndexFunc(releases, func(r release) bool { return r.minor == minor })
	if i < 0 {
		return toolchain{}, false
	}
	name := fmt.Sprintf("1.%d", minor)
	check := plan.Command{Args: []string{"sh", "-c", sameRust, "sh", name}}
	return toolchain{name: name, from: from, commands: append(slices.Clone(releases[i].commands), check)}, true
}

// upstream returns a toolchain that rustup has to download.
func upstream(name, from string) toolchain {
	return toolchain{name: name, from: from, download: true, commands: append(plan.AptInstall("rustup"),
		plan.Command{Args: []string{"sh", "-c", installRust, "sh", name}})}
}

// mirrored returns the toolchain of the mirror's first archive that fits.
func (p *project) mirrored(from string, fits func(minor int, version string) bool) (toolchain, bool) {
	a, ok := p.mirror.Find(func(version string) bool {
		minor, _, _ := strings.Cut(strings.TrimPrefix(version, "1."), ".")
		n, err := strconv.Atoi(minor)
		return err == nil && fits(n, version)
	})
	return toolchain{name: a.Version, from: from, archive: &a}, ok
}

// unpackRust installs what builds out of upstream's archive $1, with upstream's
// own installer, where PATH has it.
const unpackRust = `mkdir /tmp/rust
tar -xf "$1" -C /tmp/rust --strip-components=1 --no-same-owner
machine=$(uname -m)-unknown-linux-gnu
/tmp/rust/install.sh --prefix=/opt/rust-upstream --components=rustc,cargo,"rust-std-$machine" --disable-ldconfig
rm -rf /tmp/rust
ln -s /opt/rust-upstream/bin ` + rustBin + `
rustc --version
`

// installRust makes the toolchain $1 and puts the directory of its programs
// where PATH has it: through rustup's own it would look for another one.
const installRust = `set -e
export RUSTUP_HOME=/opt/rustup
rustup toolchain install --profile minimal --no-self-update "$1"
ln -s "$(dirname "$(rustup which --toolchain "$1" cargo)")" ` + rustBin + `
`

// A channel as rustup takes it, without the machine's name, which is the one
// that berth runs on.
var channelText = source.NewPattern(`^(?:(stable|latest)|(beta|nightly)(-\d{4}-\d{2}-\d{2})?|1\.(\d{1,3})(?:\.(\d{1,3}))?)(?:-[a-z0-9_]+-unknown-linux-(?:gnu|musl))?$`)

// choose returns the toolchain for a channel, "" is none, and for the least
// minor version that the manifests ask for. A patch release of a minor version
// that Debian has is Debian's: they differ in what was mended.
func (p *project) choose(channel, from string, remembered string) (toolchain, error) {
	m := channelText.FindStringSubmatch(channel)
	switch {
	case channel != "" && m == nil:
		return toolchain{}, source.Problemf(source.CodeVersion, "%s: %q is not a Rust version", from, source.Printable(channel)).
			Hint("write it as 1.%d, or as stable", usual)
	case channel == "" || m[1] != "":
		return p.newest(remembered), nil
	case m[2] != "":
		return upstream(m[2]+m[3], from), nil
	}
	minor, _ := strconv.Atoi(m[4])
	if minor < p.least {
		return toolchain{}, source.Problemf(source.CodeVersion, "%s asks for Rust 1.%d, but Cargo.toml for at least 1.%d", from, minor, p.least).
			Hint("make %s and rust-version agree", from)
	}
	t, ok := debian(minor, from)
	if !ok {
		name := "1." + m[4]
		if m[5] != "" {
			name += "." + m[5]
		}
		if t, ok := p.mirrored(from, func(n int, version string) bool { return n == minor && (m[5] == "" || version == name) }); ok {
			return t, nil
		}
		return upstream(name, from), nil
	}
	if r := releases[slices.IndexFunc(releases, func(r release) bool { return r.minor == minor })]; m[5] != "" && m[5] != strconv.Itoa(r.patch) {
		p.tree.Note("%s asks for Rust 1.%d.%s; it is built with Debian's 1.%d.%d", from, minor, m[5], minor, r.patch)
	}
	return t, nil
}

// newest returns the usual toolchain, or that of the app's last build while it
// will do, or the next that does.
func (p *project) newest(remembered string) toolchain {
	p.resolved = true
	does := func(minor int, _ string) bool { return minor >= p.least }
	if len(p.mirror) > 0 && p.mirror[0].Kept {
		if t, ok := p.mirrored("", does); ok && t.archive.Kept {
			return t
		}
	}
	if minor, err := strconv.Atoi(strings.TrimPrefix(remembered, "1.")); err == nil && minor >= p.least {
		if t, ok := debian(minor, ""); ok {
			return t
		}
	}
	for _, r := range releases {
		if r.minor >= max(usual, p.least) {
			t, _ := debian(r.minor, "")
			return t
		}
	}
	const from = "rust-version of Cargo.toml"
	if t, ok := p.mirrored(from, does); ok {
		return t
	}
	return upstream(fmt.Sprintf("1.%d", p.least), from)
}

// pinned returns the channel that the repository names, and where. rustup's own
// files come first.
func (p *project) pinned() (channel, from string, err error) {
	for _, name := range []string{"rust-toolchain.toml", "rust-toolchain"} {
		text, err := p.tree.Text(name, source.MaxManifest)
		if source.Missing(err) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		// Of old the second file held nothing but the channel.
		if line := strings.TrimSpace(text); name == "rust-toolchain" && line != "" && !strings.ContainsAny(line, "[\n") {
			return line, name, nil
		}
		var file struct {
			Toolchain struct {
				Channel string   `toml:"channel"`
				Path    string   `toml:"path"`
				Targets []string `toml:"targets"`
			} `toml:"toolchain"`
		}
		if err := p.tree.TOML(source.CodeVersion, name, source.MaxManifest, &file); err != nil {
			return "", "", err
		}
		if path := file.Toolchain.Path; path != "" {
			return "", "", source.Problemf(source.CodeVersion, "%s: the path %s is not in the repository", name, source.Printable(path)).
				Hint("name a channel, 1.%d or stable", usual)
		}
		if targets := file.Toolchain.Targets; len(targets) > 0 {
			p.tree.Note("%s: targets other than this machine's are not installed", name)
		}
		if file.Toolchain.Channel != "" {
			return file.Toolchain.Channel, name, nil
		}
	}
	version, file, line, err := p.tree.ToolVersion("rust")
	if version == "" || err != nil {
		return "", "", err
	}
	return version, fmt.Sprintf("%s, line %d", file, line), nil
}

// failure tells that a toolchain could not be had.
func (p *project) failure(t toolchain) *source.Problem {
	if !t.download {
		return source.Problemf(source.CodeToolchain, "Rust %s could not be installed", t.name).
			Hint("the app is not the cause: check that this machine can reach Debian's archive").
			Hint("then push the same commit again")
	}
	var names []string
	for _, r := range releases {
		names = append(names, fmt.Sprintf("1.%d", r.minor))
	}
	e := source.Problemf(source.CodeNoVersion, "Rust %s could not be downloaded", t.name).
		With(t.from+" asks for it; Debian has other versions, so rustup has to download it").
		Hint("ask for one of Debian's: %s", strings.Join(names, ", "))
	return p.mirror.Tell(e).
		Hint("or set RUSTUP_DIST_SERVER for berth, if rustup's own host cannot be reached")
}

// tool makes the toolchain.
func (p *project) tool(t toolchain) plan.Tool {
	if t.archive != nil {
		return plan.FromMirror("Rust "+t.name, *t.archive, plan.Command{Dir: "/", Args: []string{"sh", "-ec", unpackRust, "sh", plan.ArchivePath}})
	}
	return plan.Tool{Name: "Rust " + t.name, Commands: t.commands, Failure: p.failure(t)}
}
