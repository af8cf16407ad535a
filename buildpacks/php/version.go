package php

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// debianPHP is a PHP of a Debian suite.
type debianPHP struct {
	series string // "8.4"
	suite  string // "" is the stack's own
	patch  int    // at the least; Debian takes every one that follows
}

// phps are those that can be had, the stack's first. Bullseye's 7.4 is not among
// them: Composer does not run on it any more, and parts of it have left Debian's
// archive.
var phps = []debianPHP{
	{"8.4", "", 28},
	{"8.2", plan.Bookworm, 36},
	{"8.5", plan.Experimental, 7},
}

// newest tells the PHP that is on its way to Debian, whose packages are cut
// otherwise.
func (v debianPHP) newest() bool { return v.suite == plan.Experimental }

// morePatches is how many patch releases a series may have beyond the one that
// is known here.
const morePatches = 30

// findVersion reads which PHP the repository asks for: a file of a version
// manager, else what composer.json and the locked packages require. Where
// nothing does, what the app ran on before is kept.
func (p *project) findVersion(before string) (debianPHP, error) {
	choices := slices.Clone(phps)
	if i := slices.IndexFunc(choices, func(v debianPHP) bool { return v.series == before }); i > 0 {
		choices[0], choices[i] = choices[i], choices[0]
	}
	pin, where, err := p.pin()
	if err != nil {
		return debianPHP{}, err
	}
	if pin != "" {
		m := pinText.FindStringSubmatch(pin)
		if m == nil {
			return debianPHP{}, noVersion(source.CodeVersion, where, "%q is not a PHP version", source.Printable(pin))
		}
		i := slices.IndexFunc(choices, func(v debianPHP) bool { return v.series == m[1] || m[1] == strings.Split(v.series, ".")[0] })
		if i < 0 {
			series := m[1]
			if !strings.Contains(series, ".") {
				series = "" // a major version, which no image need have
			}
			file, _, _ := strings.Cut(where, ",")
			return debianPHP{}, refused(noVersion(source.CodeNoVersion, where, "PHP %s is not available", source.Printable(pin)), series, file)
		}
		if m[2] != "" {
			p.tree.Note("%s asks for PHP %s; it runs on Debian's %s, which gets the security fixes", where, pin, choices[i].series)
		}
		return choices[i], nil
	}
	if p.composer == nil {
		return choices[0], nil
	}
	own, where := p.composer.php()
	fits, err := parseConstraint(own)
	if err != nil {
		return debianPHP{}, noVersion(source.CodeVersion, where, "%v", err)
	}
	choices = slices.DeleteFunc(choices, func(v debianPHP) bool { return !v.fits(fits) })
	if len(choices) == 0 {
		return debianPHP{}, refused(noVersion(source.CodeNoVersion, where, "PHP %s is not available", source.Printable(own)), fits.series(), "")
	}
	// Packages that were locked for an older PHP may refuse a newer one.
	for _, v := range choices {
		if p.composer.lockedFit(v) {
			return v, nil
		}
	}
	return choices[0], nil
}

func noVersion(code, where, format string, args ...any) *source.Problem {
	var have []string
	for _, v := range phps {
		have = append(have, v.series)
	}
	return source.Problemf(code, "%s: %s", where, fmt.Sprintf(format, args...)).
		Hint("PHP %s are available, from Debian", strings.Join(have, ", "))
}

// refused says how an app gets on that asks for a series which no suite of
// Debian's has: by the next that one has, or by an image. pin is the file of a
// version manager that asks; "" is Composer.
func refused(p *source.Problem, series, pin string) *source.Problem {
	if series == "" {
		return p
	}
	if next := nextTo(series); next != "" {
		if pin == "" {
			p.Hint("PHP %s runs most code for %s: composer require 'php:>=%s', and commit both files", next, series, series)
		} else {
			p.Hint("PHP %s runs most code for %s: write %s into %s", next, series, next, pin)
		}
	}
	return p.Hint("or a Dockerfile with two lines: FROM php:%s-apache, and COPY . /var/www/html", series)
}

// nextTo is the series of Debian's that follows one of the same major version;
// "" is none.
func nextTo(series string) (next string) {
	asked := debianPHP{series: series}.numbers(0)
	for _, v := range phps {
		have := v.numbers(0)
		if have[0] == asked[0] && have[1] > asked[1] && (next == "" || have[1] < (debianPHP{series: next}).numbers(0)[1]) {
			next = v.series
		}
	}
	return next
}

// series is the oldest that a constraint allows; "" is none that there has been.
func (c constraint) series() string {
	for _, major := range []int{5, 6, 7, 8, 9} {
		for minor := range 10 {
			v := debianPHP{series: fmt.Sprintf("%d.%d", major, minor)}
			if v.fits(c) {
				return v.series
			}
		}
	}
	return ""
}

var pinText = source.NewPattern(`^(?:php-)?(\d{1,3}(?:\.\d{1,3})?)(\.\d{1,3})?$`)

// pin returns the version that a file of a version manager asks for.
func (p *project) pin() (version, where string, err error) {
	text, err := p.tree.Text(".php-version", source.MaxManifest)
	if err == nil {
		if v := strings.TrimSpace(text); v != "" {
			return v, ".php-version", nil
		}
	} else if !source.Missing(err) {
		return "", "", err
	}
	version, file, line, err := p.tree.ToolVersion("php")
	if line > 0 {
		file = fmt.Sprintf("%s, line %d", file, line)
	}
	return version, file, err
}

// fits tells whether Debian's PHP, or one it has by now, is what is asked for.
func (v debianPHP) fits(c constraint) bool {
	for patch := v.patch; patch <= v.patch+morePatches; patch++ {
		if c.allows(v.numbers(patch)) {
			return true
		}
	}
	return false
}

func (v debianPHP) numbers(patch int) [4]int {
	major, minor, _ := strings.Cut(v.series, ".")
	x, _ := strconv.Atoi(major)
	y, _ := strconv.Atoi(minor)
	return [4]int{x, y, patch}
}

// constraint is what Composer takes as one: ranges, of which any may hold. It
// is bounded, since a repository writes it.
type constraint [][]bound

// bound is one comparison.
type bound struct {
	op      string // ">=", "<", ...
	version [4]int
}

const maxConstraint = 1000 // bytes

func (c constraint) allows(v [4]int) bool {
	return slices.ContainsFunc(c, func(all []bound) bool {
		return !slices.ContainsFunc(all, func(b bound) bool { return !b.holds(v) })
	})
}

func (b bound) holds(v [4]int) bool {
	d := slices.Compare(v[:], b.version[:])
	switch b.op {
	case ">=":
		return d >= 0
	case ">":
		return d > 0
	case "<=":
		return d <= 0
	case "<":
		return d < 0
	case "!=":
		return d != 0
	}
	return d == 0
}

var (
	orText     = source.NewPattern(`\s*\|\|?\s*`)
	hyphenText = source.NewPattern(`^\s*v?([0-9][^\s]*)\s+-\s+v?([0-9][^\s]*)\s*$`)
	spaceAfter = source.NewPattern(`([<>=!^~])\s+`)
	partText   = source.NewPattern(`^(\^|~|>=|<=|>|<|!=|<>|==|=)?v?(\d{1,4})(?:\.(\d{1,4}|[*xX]))?(?:\.(\d{1,4}|[*xX]))?(?:\.(\d{1,4}|[*xX]))?(?:-?(?:dev|alpha|beta|RC|rc|stable|patch|pl|p|a|b)[.\d]*)?(?:@[a-z]+)?$`)
)

// parseConstraint reads a constraint of Composer: "^8.1", "~8.2.0 || 8.4.*",
// ">=8.1 <8.5", "8.1 - 8.3". "" and "*" allow everything.
func parseConstraint(s string) (constraint, error) {
	if len(s) > maxConstraint {
		return nil, fmt.Errorf("the constraint is %d characters long", len(s))
	}
	var c constraint
	for _, group := range orText.Split(strings.TrimSpace(s), -1) {
		if m := hyphenText.FindStringSubmatch(group); m != nil {
			all, err := parseHyphen(m[1], m[2])
			if err != nil {
				return nil, err
			}
			c = append(c, all)
			continue
		}
		var all []bound
		group = spaceAfter.ReplaceAllString(group, "$1")
		for _, part := range strings.FieldsFunc(group, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			if part == "*" || part == "x" {
				continue
			}
			bounds, err := parsePart(part)
			if err != nil {
				return nil, err
			}
			all = append(all, bounds...)
		}
		c = append(c, all)
	}
	return c, nil
}

// numbersOf returns the numbers of a part, and how many were given before the
// end or a wildcard.
func numbersOf(part string) (v [4]int, given int, m []string) {
	m = partText.FindStringSubmatch(part)
	if m == nil {
		return v, 0, nil
	}
	for _, s := range m[2:6] {
		n, err := strconv.Atoi(s)
		if err != nil {
			break
		}
		v[given] = n
		given++
	}
	return v, given, m
}

// below is the bound at which the number at that place has grown.
func below(v [4]int, at int) bound {
	v[at]++
	clear(v[at+1:])
	return bound{"<", v}
}

// parseHyphen returns the bounds of "8.1 - 8.3": all of what is named last.
func parseHyphen(from, to string) ([]bound, error) {
	least, _, ok := numbersOf(from)
	most, given, also := numbersOf(to)
	switch {
	case ok == nil || also == nil:
		return nil, fmt.Errorf("%q is not a version constraint", source.Printable(from+" - "+to))
	case given < 3:
		return []bound{{">=", least}, below(most, given-1)}, nil
	}
	return []bound{{">=", least}, {"<=", most}}, nil
}

// parsePart returns the bounds that a part such as "^8.1" stands for.
func parsePart(part string) ([]bound, error) {
	v, given, m := numbersOf(part)
	if m == nil {
		return nil, fmt.Errorf("%q is not a version constraint", source.Printable(part))
	}
	wild := strings.ContainsAny(part, "*xX")
	switch op := m[1]; op {
	case "^":
		at := 0 // the first number that is not zero may not change
		for at < given-1 && v[at] == 0 {
			at++
		}
		return []bound{{">=", v}, below(v, at)}, nil
	case "~":
		return []bound{{">=", v}, below(v, max(given-2, 0))}, nil
	case "", "=", "==":
		if wild {
			return []bound{{">=", v}, below(v, given-1)}, nil
		}
		return []bound{{"=", v}}, nil
	case "<>":
		return []bound{{"!=", v}}, nil
	default:
		return []bound{{op, v}}, nil
	}
}
