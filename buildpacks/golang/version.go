package golang

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/source"
)

// newestPatch holds the newest release known of each minor version of Go 1.
// It decides what an app gets that does not name a patch release.
var newestPatch = map[int]int{
	13: 15, 14: 15, 15: 15, 16: 15, 17: 13, 18: 10, 19: 13, 20: 14,
	21: 13, 22: 12, 23: 12, 24: 13, 25: 14, 26: 11, 27: 4,
}

// The minor versions that can be had. Before 1.13 there is no -trimpath and no
// module proxy.
const (
	oldestMinor = 13
	newestMinor = 27
)

// version is a Go release, or the least one that will do.
type version struct {
	minor int    // of Go 1
	patch int    // -1 when none is named
	pre   string // "rc1", "beta2"
	from  string // what asks for it: ".go-version, line 1"; "" is nobody

	archive *mirror.Archive // of the mirror, that it comes from; nil is the module proxy
	also    *mirror.Archive // that it comes from when the proxy does not have it; nil is none
}

// String returns the name of the release without "go": "1.27.4", "1.20".
func (v version) String() string {
	s := fmt.Sprintf("1.%d", v.minor)
	// From 1.21 on the first release of a minor version is named .0.
	if v.pre == "" && (v.patch > 0 || v.patch == 0 && v.minor >= 21) {
		s += fmt.Sprintf(".%d", v.patch)
	}
	return s + v.pre
}

// less tells whether a release came before another, as far as it matters to
// what runs: a release that is named without a patch is the first of its kind.
func (v version) less(w version) bool {
	if v.minor != w.minor {
		return v.minor < w.minor
	}
	if (v.pre == "") != (w.pre == "") {
		return v.pre != ""
	}
	return max(v.patch, 0) < max(w.patch, 0)
}

// full returns the release to install for a version: the newest known of its
// minor version when it names none.
func (v version) full() version {
	if v.patch >= 0 || v.pre != "" {
		return v
	}
	v.patch = newestPatch[v.minor] // .0 of a minor version that is not known yet
	return v
}

// known tells whether the table names the release.
func (v version) known() bool {
	patch, ok := newestPatch[v.minor]
	return ok && v.pre == "" && v.patch == patch
}

// newest is the newest release that is known.
func newest() version { return version{minor: newestMinor, patch: newestPatch[newestMinor]} }

var versionText = source.NewPattern(`^(?:go)?v?1\.(\d{1,3})(?:\.(\d{1,3}|x|\*))?((?:rc|beta)\d{1,2})?$`)

// parseVersion reads what Go, goenv, asdf, mise and Heroku write: go1.22.5,
// 1.22, 1.22.x, 1.23rc1.
func parseVersion(text string) (v version, ok bool) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return version{}, false
	}
	v = version{patch: -1, pre: m[3]}
	v.minor, _ = strconv.Atoi(m[1])
	if patch, err := strconv.Atoi(m[2]); err == nil {
		v.patch = patch
	}
	return v, true
}

// pinned returns the version that the repository names, and whether it names
// one. In order: GOVERSION and "+heroku goVersion", which are Heroku's, then the
// files of goenv, asdf and mise. A bare minor version means its newest release.
func (p *project) pinned() (v version, ok bool, err error) {
	ask := func(text, from string) (version, bool, error) {
		if text == "latest" || text == "" {
			return version{}, false, nil
		}
		v, ok := parseVersion(strings.TrimPrefix(text, "prefix:"))
		if !ok {
			return v, false, source.Problemf(source.CodeVersion, "%s: %q is not a Go version", from, source.Printable(text)).
				Hint("write it as 1.%d or 1.%[1]d.%d", newestMinor, newestPatch[newestMinor])
		}
		v.from = from
		if v.minor < oldestMinor {
			return v, false, source.Problemf(source.CodeNoVersion, "%s: Go %s is not available; 1.%d to 1.%d are", from, v, oldestMinor, newestMinor).
				Hint("programs for an older Go build with a newer one")
		}
		return p.full(v), true, nil
	}
	if text := p.setting("GOVERSION"); text != "" {
		return ask(text, "app.json, GOVERSION")
	}
	if p.mod != nil && p.mod.herokuVersion != "" {
		return ask(p.mod.herokuVersion, "go.mod, +heroku goVersion")
	}
	text, err := p.tree.Text(".go-version", source.MaxManifest)
	if err != nil && !source.Missing(err) {
		return v, false, err
	}
	for i, line := range source.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" && line != "system" {
			return ask(line, fmt.Sprintf(".go-version, line %d", i+1))
		}
	}
	text, file, line, err := p.tree.ToolVersion("golang", "go")
	if err != nil {
		return v, false, err
	}
	return ask(text, fmt.Sprintf("%s, line %d", file, line))
}

// findVersion chooses the Go to build with. The lines go and toolchain of
// go.mod name the least that will do, as they do for Go itself: what is built
// with is the newest release that is known, or the one of the app's last build
// while that will do. Exactly what is named comes from the files for that.
func (p *project) findVersion(remembered string) (version, error) {
	least := p.least()
	v, ok, err := p.pinned()
	if err != nil {
		return v, err
	}
	if ok {
		// Before 1.21 Go builds what is for a newer one as well as it can.
		if v.less(least) && v.minor >= 21 {
			return v, source.Problemf(source.CodeVersion, "%s asks for Go %s, but %s for at least %s", v.from, v, least.from, least).
				Hint("make the two agree")
		}
		return v, nil
	}
	p.resolved = true
	if old, ok := parseVersion(remembered); ok && !old.less(least) && old.minor >= oldestMinor {
		return p.full(old), nil
	}
	if !newest().less(least) {
		return newest(), nil
	}
	return p.full(least), nil
}

// full is version.full with what the mirror has of a minor version that is not
// known yet.
func (p *project) full(v version) version {
	if v.patch < 0 && v.pre == "" && v.minor > newestMinor {
		for _, a := range p.mirror {
			if w, ok := parseVersion(a.Version); ok && w.minor == v.minor && w.pre == "" {
				v.patch = max(w.patch, 0)
				return v
			}
		}
	}
	return v.full()
}

// found adds where the version comes from: the module proxy, and what that does
// not have, as far as is known here, the mirror.
func (p *project) found(v version) version {
	a, mirrored := p.mirror.Find(func(text string) bool { return text == v.String() })
	switch published := v.minor <= newestMinor && (v.pre != "" || v.patch <= newestPatch[v.minor]); {
	case !mirrored:
	case a.Kept, !published:
		v.archive = &a
	default:
		v.also = &a
	}
	return v
}
