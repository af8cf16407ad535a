package node

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/source"
)

// defaultLine is the newest line of Node with long-term support, for apps that
// leave it to us.
const defaultLine = 24

// codenames of the lines with long-term support, as .nvmrc has them.
var codenames = map[string]uint64{
	"carbon": 8, "dubnium": 10, "erbium": 12, "fermium": 14, "gallium": 16, "hydrogen": 18, "iron": 20, "jod": 22, "krypton": 24,
}

//go:embed releases.txt
var releasesText string

// releases are the versions that ranges are resolved to: nobody is asked while
// a plan is made. An exact version is taken whether it is among them or not, and
// a range that none of them fits is npm's to resolve, by the registry's list.
var releases = sync.OnceValue(func() []*semver.Version { return parseReleases(releasesText) })

func parseReleases(text string) (all []*semver.Version) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, word := range strings.Fields(line) {
			all = append(all, semver.MustParse(word))
		}
	}
	return all
}

// release is the Node that an app is to run on.
type release struct {
	version string // "24.21.0"; "27.x" where the registry's list is to resolve it
	asked   string // "engines.node in package.json asks for >=22"; "" is nobody

	archive *mirror.Archive // of the mirror, that it comes from; nil is the registry
	also    *mirror.Archive // that it comes from when the registry does not have it; nil is none
}

func (r release) parsed() *semver.Version { return leastOf(r.version) }

var (
	// rangeText is a range in the words that Masterminds' semver and npm's share: a
	// comma is "and" to the one and nothing to the other.
	rangeText = source.NewPattern(`^[0-9vxX.*^~<>=| -]+$`)
	// boundText is one of its versions, with what is said of it.
	boundText = source.NewPattern(`(\^|~|>=|<=|>|<|=)?\s*v?(\d{1,4})(?:\.(\d{1,4}|[xX*]))?(?:\.(\d{1,4}|[xX*]))?`)
)

// leastOf returns a version, or the least that a range of them names: that of
// "^29 || ^27" is 27.0.0.
func leastOf(text string) (least *semver.Version) {
	if v, err := semver.StrictNewVersion(text); err == nil {
		return v
	}
	for _, m := range boundText.FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[1], "<") {
			continue // an end
		}
		var parts [3]uint64
		for i, part := range m[2:] {
			parts[i], _ = strconv.ParseUint(part, 10, 32) // "x" is 0
		}
		if v := semver.New(parts[0], parts[1], parts[2], "", ""); least == nil || v.LessThan(least) {
			least = v
		}
	}
	if least == nil {
		return semver.New(0, 0, 0, "", "")
	}
	return least
}

// unlisted tells whether a range may be of releases that came after the list:
// of its newest lines, or of the next.
func (a ask) unlisted(newest uint64) bool {
	text := strings.TrimSpace(a.text)
	if !rangeText.MatchString(text) {
		return false
	}
	major := leastOf(text).Major()
	return major+8 >= newest && major <= newest+1
}

// ask is what one file says of a version.
type ask struct {
	text string // as it is written
	from string // "package.json (engines.node)"
	line int    // 0 where the file is not read by lines
}

func (a ask) String() string {
	if a.line > 0 {
		return fmt.Sprintf("%s, line %d, asks for %s", a.from, a.line, source.Printable(a.text))
	}
	return fmt.Sprintf("%s asks for %s", a.from, source.Printable(a.text))
}

// findNode chooses the version, and where it comes from: the registry, and what
// that does not have, as far as is known here, the mirror.
func (p *project) findNode(earlier string) (release, error) {
	r, err := p.findVersion(earlier)
	if err != nil {
		return r, err
	}
	a, mirrored := p.mirror.Find(func(version string) bool { return version == r.version })
	switch known := slices.ContainsFunc(releases(), r.parsed().Equal); {
	case !mirrored:
	case a.Kept, !known && r.version != earlier:
		r.archive = &a
	default:
		r.also = &a
	}
	return r, nil
}

// findVersion chooses the version: of those that the first file allows the ones
// that the others allow too, as far as there are any. earlier is what was
// chosen for the app the last time, "" is nothing.
func (p *project) findVersion(earlier string) (release, error) {
	asks, err := p.asks()
	if err != nil {
		return release{}, err
	}
	var accepted []func(*semver.Version) bool
	var exact *semver.Version
	r := release{}
	for _, a := range asks {
		allows, version, err := a.parse()
		if err != nil {
			return r, err
		}
		if allows == nil {
			continue // leaves the choice to us
		}
		all := append(slices.Clone(accepted), allows)
		fits := func(v *semver.Version) bool {
			return !slices.ContainsFunc(all, func(ok func(*semver.Version) bool) bool { return !ok(v) })
		}
		possible := slices.ContainsFunc(releases(), fits) || exact != nil && fits(exact) || version != nil && fits(version) || p.mirrored(fits) != nil
		switch {
		case possible:
			accepted = all
			if version != nil {
				exact = version
			}
			if r.asked == "" || version != nil {
				r.asked = a.String()
			}
		case len(accepted) == 0 && a.unlisted(releases()[0].Major()):
			r.version, r.asked = strings.TrimSpace(a.text), a.String()
			p.tree.Note("%s, and berth's list of releases has none: the registry decides", a)
			return r, nil
		case len(accepted) == 0:
			return r, p.mirror.Tell(noSuchNode(a))
		default:
			p.tree.Note("%s, which does not fit: %s, which is used", a, r.asked)
		}
	}
	if exact != nil {
		r.version = exact.String()
		return r, nil
	}
	fits := func(v *semver.Version) bool {
		return !slices.ContainsFunc(accepted, func(ok func(*semver.Version) bool) bool { return !ok(v) })
	}
	if v, err := semver.StrictNewVersion(earlier); err == nil && fits(v) {
		r.version = v.String()
		return r, nil
	}
	v := best(fits)
	if v == nil {
		v = p.mirrored(fits)
	}
	r.version = v.String()
	return r, nil
}

// mirrored returns the first version of the mirror that fits; nil is none.
func (p *project) mirrored(fits func(*semver.Version) bool) *semver.Version {
	a, ok := p.mirror.Find(func(version string) bool { return fits(semver.MustParse(version)) })
	if !ok {
		return nil
	}
	return semver.MustParse(a.Version)
}

// asks returns what the repository's files say of the version of Node, in the
// order in which they count.
func (p *project) asks() (asks []ask, err error) {
	if s := p.file.doc.String("engines", "node"); s != "" {
		asks = append(asks, ask{text: s, from: packageJSON + " (engines.node)"})
	}
	more, err := fileAsks(p.tree)
	if err == nil && p.above != nil && len(asks)+len(more) == 0 {
		more, err = fileAsks(p.above)
	}
	if err != nil {
		return nil, err
	}
	asks = append(asks, more...)
	if s := p.file.doc.String("volta", "node"); s != "" {
		asks = append(asks, ask{text: s, from: packageJSON + " (volta.node)"})
	}
	return asks, nil
}

// fileAsks returns what the files of version managers say.
func fileAsks(t *source.Tree) (asks []ask, err error) {
	for _, file := range []string{".nvmrc", ".node-version"} {
		text, err := t.Text(file, source.MaxManifest)
		if source.Missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i, raw := range source.Lines(text) {
			line, _, _ := strings.Cut(raw, "#")
			if line = strings.TrimSpace(line); line != "" {
				asks = append(asks, ask{line, file, i + 1})
				break
			}
		}
	}
	version, file, line, err := t.ToolVersion("nodejs", "node")
	if err == nil && version != "" {
		asks = append(asks, ask{version, file, line})
	}
	return asks, err
}

// maxRange bounds a range of versions; real ones have some thirty letters.
const maxRange = 200

// parse returns what the versions that are asked for have in common, and the
// version itself when it is one; nil is any.
func (a ask) parse() (allows func(*semver.Version) bool, exact *semver.Version, err error) {
	text := strings.TrimSpace(a.text)
	lower := strings.TrimPrefix(strings.ToLower(text), "node-")
	if v, err := semver.StrictNewVersion(strings.TrimPrefix(lower, "v")); err == nil {
		return v.Equal, v, nil
	}
	line := func(major uint64) func(*semver.Version) bool {
		return func(v *semver.Version) bool { return v.Major() == major }
	}
	switch name, _ := strings.CutPrefix(lower, "lts/"); {
	case lower == "" || lower == "*" || lower == "x" || lower == "system":
		return nil, nil, nil
	case lower == "lts" || name == "*" || lower == "lts/latest":
		return line(defaultLine), nil, nil
	case lower == "node" || lower == "latest" || lower == "stable" || lower == "current":
		return line(releases()[0].Major()), nil, nil
	case codenames[name] != 0:
		return line(codenames[name]), nil, nil
	}
	bad := func(why string) error {
		return source.Problemf(source.CodeVersion, "%s: %s", a, why).
			Hint("write it as %d, %d.x or >=%d", defaultLine, defaultLine, defaultLine-2)
	}
	if len(text) > maxRange {
		return nil, nil, bad("it is too long for a version")
	}
	c, err := semver.NewConstraint(lower)
	if err != nil {
		return nil, nil, bad("it is not a version or a range of versions")
	}
	return c.Check, nil, nil
}

// best chooses among the known releases that fit: the default line, then older
// ones with long-term support, then newer ones, then those without.
func best(fits func(*semver.Version) bool) *semver.Version {
	var found *semver.Version
	for _, v := range releases() {
		if fits(v) && (found == nil || better(v, found)) {
			found = v
		}
	}
	return found
}

func better(a, b *semver.Version) bool {
	rank := func(v *semver.Version) int {
		switch major := int(v.Major()); {
		case major%2 == 1:
			return -1000 + major
		case major <= defaultLine:
			return major
		default:
			return -major
		}
	}
	if rank(a) != rank(b) {
		return rank(a) > rank(b)
	}
	return a.GreaterThan(b)
}

func noSuchNode(a ask) *source.Problem {
	return source.Problemf(source.CodeNoVersion, "%s, but berth knows no such version", a).
		With("known: "+lines()).
		Hint("an exact version, as in %s, is used even if berth does not know it", best(func(*semver.Version) bool { return true }))
}

// lines lists the newest release of each line, the newest first.
func lines() string {
	var list []string
	seen := map[uint64]bool{}
	for _, v := range releases() {
		if !seen[v.Major()] && v.Major()%2 == 0 {
			seen[v.Major()] = true
			list = append(list, v.String())
		}
	}
	return strings.Join(list, ", ")
}
