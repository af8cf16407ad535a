package java

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// suites has the majors of Java that can be had, and which of Debian's suites
// has each; "" is the stack's own. Early access builds are left out.
var suites = map[int]string{
	8: plan.Sid, 11: plan.Bullseye, 17: plan.Bookworm, 21: "", 25: "", 26: plan.Forky, 27: plan.Sid,
}

// defaultMajor is for those who do not say: Debian's own default.
const defaultMajor = 21

// supported are the majors that get their fixes for years from a stable suite,
// the oldest first: what a level of the compiler is rounded up to.
var supported = []int{17, 21, 25}

// release is a Java as somebody asks for it.
type release struct {
	major int
	text  string // as it is written there: "21.0.4-tem"
	from  string // the file that asks for it; "" is nobody
	line  int    // of the file; 0 is unknown
	// least tells that it is what the sources are compiled for: any later one
	// does as well.
	least bool

	archive *mirror.Archive // of the mirror, that it comes from; nil is Debian
}

func (r release) suite() string { return suites[r.major] }

// String returns the version for messages: "21", "23.0.1_11".
func (r release) String() string {
	if r.archive != nil {
		return r.archive.Version
	}
	return fmt.Sprint(r.major)
}

// install returns the commands that install a package of this Java, and others
// of the stack.
func (r release) install(kind string, others ...string) []plan.Command {
	packages := slices.Concat([]string{fmt.Sprintf("openjdk-%d-%s", r.major, kind)}, others)
	if suite := r.suite(); suite != "" {
		return plan.AptInstallFrom(suite, packages...)
	}
	return plan.AptInstall(packages...)
}

// where names the place of the wish: "system.properties, line 1".
func (r release) where() string {
	if r.line > 0 {
		return fmt.Sprintf("%s, line %d", r.from, r.line)
	}
	return r.from
}

// version chooses the Java: the pin's, else one for what the sources are
// compiled for, else what the app has had, else the default.
func (p *project) version(earlier map[string]string) (release, error) {
	pin, err := p.pin()
	if err != nil {
		return release{}, err
	}
	asks := p.asks
	if pin != nil {
		if asks != nil && asks.major > pin.major {
			p.tree.Note("%s asks for Java %d, but %s needs %d", pin.from, pin.major, asks.from, asks.major)
		}
		asks = pin
	}
	if asks != nil && !asks.least {
		if p.newest > 0 && asks.major > p.newest {
			p.tree.Note("%s asks for Java %d; the %s used here runs on %d at most", asks.from, asks.major, p.tool.name, p.newest)
		}
		return p.available(*asks)
	}
	if m, ok := p.mirrored(asks); ok && m.archive.Kept {
		return m, nil
	}
	if had, err := strconv.Atoi(earlier["java"]); err == nil && p.fits(had, asks) {
		return release{major: had}, nil
	}
	if asks == nil {
		// A tool that is too old for the default has its own say.
		for _, major := range []int{defaultMajor, 17, 11} {
			if p.fits(major, nil) {
				return release{major: major}, nil
			}
		}
		return release{major: 8}, nil
	}
	for _, major := range slices.Concat(supported, slices.Sorted(maps.Keys(suites))) {
		if p.fits(major, asks) {
			if major != asks.major {
				p.tree.Note("%s is for Java %d; %d is used", asks.from, asks.major, major)
				p.tree.Note("java.runtime.version=%d in system.properties chooses another", major)
			}
			return release{major: major, from: asks.from}, nil
		}
	}
	return p.available(*asks)
}

// mirrored returns the first Java of the mirror that does what is asked for, nil
// is nothing.
func (p *project) mirrored(asks *release) (release, bool) {
	for _, a := range p.jdks {
		own, err := parseRelease(a.Version, a.Name, 1)
		if err != nil || p.newest > 0 && own.major > p.newest {
			continue
		}
		if asks == nil || asks.least && own.major >= asks.major || !asks.least && asks.within(own) {
			r := release{major: own.major, archive: &a}
			if asks != nil {
				r.from = asks.from
			}
			return r, true
		}
	}
	return release{}, false
}

var numberText = source.NewPattern(`\d+`)

// within tells whether another release is one of those that are asked for: 23.0
// is any 23.0.
func (r release) within(other *release) bool {
	numbers := func(text string) []string {
		i := max(releaseText.FindStringSubmatchIndex(text)[2], 0)
		return numberText.FindAllString(strings.TrimPrefix(text[i:], "1."), -1)
	}
	mine, its := numbers(r.text), numbers(other.text)
	return len(mine) <= len(its) && slices.Equal(mine, its[:len(mine)])
}

// fits tells whether a Java can be had and does.
func (p *project) fits(major int, asks *release) bool {
	_, ok := suites[major]
	return ok && (p.newest == 0 || major <= p.newest) && (asks == nil || major >= asks.major)
}

// available refuses a Java that neither Debian nor the mirror has.
func (p *project) available(r release) (release, error) {
	if _, ok := suites[r.major]; ok {
		if plain := strings.TrimSuffix(strings.TrimPrefix(r.text, "1."), ".0"); plain != fmt.Sprint(r.major) {
			p.tree.Note("%s asks for Java %s; it runs on Debian's OpenJDK %d, which gets the security fixes", r.from, source.Printable(r.text), r.major)
		}
		return r, nil
	}
	if m, ok := p.mirrored(&r); ok {
		return m, nil
	}
	e := source.Problemf(source.CodeNoVersion, "%s: Java %s is not available", r.where(), source.Printable(r.text))
	if r.line > 0 {
		e.With(fmt.Sprintf("%d | %s", r.line, source.Printable(r.text)))
	}
	return r, p.jdks.Tell(e.Hint("%s are available, from Debian", had(false)))
}

// had lists the majors that can be had, or those of the stack alone.
func had(stack bool) string {
	var list []string
	for _, major := range slices.Sorted(maps.Keys(suites)) {
		if !stack || suites[major] == "" {
			list = append(list, fmt.Sprint(major))
		}
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// pin returns the Java that a file of the tree asks for; nil when none does.
func (p *project) pin() (*release, error) {
	var found []release
	for _, read := range []func() (*release, error){
		func() (*release, error) { return p.property("system.properties", "java.runtime.version") },
		p.javaVersion,
		func() (*release, error) { return p.property(".sdkmanrc", "java") },
		p.toolVersion,
	} {
		r, err := read()
		if err != nil {
			return nil, err
		}
		if r != nil {
			found = append(found, *r)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	for _, other := range found[1:] {
		if other.major != found[0].major {
			p.tree.Note("%s asks for Java %d and %s for %d; the first is used", found[0].from, found[0].major, other.from, other.major)
		}
	}
	return &found[0], nil
}

// property reads a version from a file of properties: Heroku's
// system.properties, SDKMAN's .sdkmanrc.
func (p *project) property(file, key string) (*release, error) {
	text, err := p.tree.Text(file, source.MaxManifest)
	if source.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, line := range source.Lines(text) {
		line = strings.TrimSpace(line)
		rest, ok := strings.CutPrefix(line, key)
		if !ok || rest == "" || !strings.ContainsRune("=: \t", rune(rest[0])) {
			continue
		}
		return parseRelease(strings.TrimSpace(strings.TrimLeft(rest, "=: \t")), file, i+1)
	}
	return nil, nil
}

// javaVersion reads jenv's file: one version, on the first line that says one.
func (p *project) javaVersion() (*release, error) {
	const file = ".java-version"
	text, err := p.tree.Text(file, source.MaxManifest)
	if source.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, line := range source.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" && line != "system" {
			return parseRelease(line, file, i+1)
		}
	}
	return nil, nil
}

// toolVersion reads what asdf and mise are told.
func (p *project) toolVersion() (*release, error) {
	text, file, line, err := p.tree.ToolVersion("java")
	if err != nil || text == "" || text == "latest" || text == "lts" || text == "system" {
		return nil, err
	}
	return parseRelease(text, file, line)
}

// releaseText takes what Heroku, jenv, SDKMAN, asdf and mise write: 21, 1.8,
// 21.0.4, 8u402, openjdk-17, temurin-21.0.4+7, 21.0.4-tem, openjdk64-17.0.1.
var releaseText = source.NewPattern(`^(?:[A-Za-z][A-Za-z0-9_]*-)*(\d{1,3})(?:\.(\d{1,3}))?(?:[._+u-][A-Za-z0-9._+-]*)?$`)

func parseRelease(text, file string, line int) (*release, error) {
	m := releaseText.FindStringSubmatch(text)
	if m == nil {
		return nil, source.Problemf(source.CodeVersion, "%s, line %d: %q is not a Java version", file, line, source.Printable(text)).
			With(fmt.Sprintf("%d | %s", line, source.Printable(text))).
			Hint("write the major alone: %d", defaultMajor)
	}
	return &release{major: major(m[1], m[2]), text: text, from: file, line: line}, nil
}

// major returns the number by which a version goes: that of 1.8 is 8.
func major(first, second string) int {
	n, _ := strconv.Atoi(first)
	if minor, err := strconv.Atoi(second); err == nil && n == 1 {
		return minor
	}
	return n
}

// levelText is what compilers are told: 17, 1.8.
var levelText = source.NewPattern(`^(?:1\.)?(\d{1,2})$`)

// level returns the Java that sources are compiled for; nil when the text does
// not say.
func level(text, file string) *release {
	m := levelText.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return nil
	}
	n, _ := strconv.Atoi(m[1])
	return &release{major: n, text: m[0], from: file, least: true}
}
