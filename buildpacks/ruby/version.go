package ruby

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// debianRuby is a Ruby of a Debian suite.
type debianRuby struct {
	series string // "3.3"
	suite  string // "" is the stack's own
	patch  int    // at the least; Debian fixes it without counting up
}

// rubies are those that can be had, the stack's first. Bullseye's 2.7 is not
// among them: the stack's RubyGems, which they share, does not run on it.
var rubies = []debianRuby{
	{"3.3", "", 14},
	{"3.1", plan.Bookworm, 2},
}

// version is the Ruby that an app is to run on.
type version struct {
	debianRuby
	exact string // "3.3.5" when a patch release is asked for, else ""
}

// env tells RubyGems and Bundler the patch release that was asked for: Bundler
// refuses every other, and Debian's is the same series with its security fixes.
func (v version) env() map[string]string {
	if v.exact == "" {
		return nil
	}
	return map[string]string{"BERTH_RUBY_VERSION": v.exact} // see pinned.rb
}

// demand is a place that asks for a Ruby.
type demand struct {
	requires []string // "3.3.5", "~> 3.3"
	file     string
	line     int // 0 is not known
}

func (d demand) where() string {
	if d.line > 0 {
		return fmt.Sprintf("%s, line %d", d.file, d.line)
	}
	return d.file
}

// findVersion reads which Ruby the repository asks for: the first of its files
// that says so. Where none does, what the app ran on before is kept.
func (p *project) findVersion(before string) (version, error) {
	asked, err := p.demand()
	if err != nil {
		return version{}, err
	}
	if asked.file == "" {
		if i := slices.IndexFunc(rubies, func(r debianRuby) bool { return r.series == before }); i >= 0 {
			return version{debianRuby: rubies[i]}, nil
		}
		return version{debianRuby: rubies[0]}, nil
	}
	v, err := asked.choose(before)
	if err == nil && v.exact != "" {
		p.tree.Note("%s asks for Ruby %s; it runs on Debian's %s, which gets the security fixes", asked.file, v.exact, v.series)
	}
	return v, err
}

// demand returns the first demand: the Gemfile's, the lock file's, then those
// of version managers.
func (p *project) demand() (demand, error) {
	if b := p.bundle; b != nil {
		if b.engine != "" && b.engine != "ruby" {
			return demand{}, source.Problemf(source.CodeNoVersion, "%s asks for %s, and there is the usual Ruby alone", b.gemfile, source.Printable(b.engine)).
				Hint("take the engine out of the ruby statement, or build with a Dockerfile")
		}
		if len(b.ruby) > 0 {
			return demand{requires: b.ruby, file: b.gemfile}, nil
		}
		if b.locked.ruby != "" {
			return demand{requires: []string{b.locked.ruby}, file: b.lock}, nil
		}
	}
	text, err := p.tree.Text(".ruby-version", source.MaxManifest)
	if err == nil {
		if v := versionIn(text); v != "" {
			return demand{requires: []string{v}, file: ".ruby-version"}, nil
		}
	} else if !source.Missing(err) {
		return demand{}, err
	}
	v, file, line, err := p.tree.ToolVersion("ruby")
	if err != nil || v == "" {
		return demand{}, err
	}
	return demand{requires: []string{v}, file: file, line: line}, nil
}

var versionLine = source.NewPattern(`(?m)^ruby(?:-|[ \t]+)([^\s#]+)`)

// versionIn returns the version in a file such as .ruby-version, as Bundler
// reads it: what follows "ruby-" or "ruby ", else the first line.
func versionIn(text string) string {
	if m := versionLine.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	for _, line := range source.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// choose returns the Ruby that fits: the one from before if it does, else the
// first of those that can be had.
func (d demand) choose(before string) (version, error) {
	bad := func(code, format string, args ...any) *source.Problem {
		var have []string
		for _, r := range rubies {
			have = append(have, r.series)
		}
		return source.Problemf(code, "%s: %s", d.where(), fmt.Sprintf(format, args...)).
			Hint("there are Ruby %s, Debian's", strings.Join(have, ", "))
	}
	all := strings.Join(d.requires, ", ")
	var clauses []clause
	for _, s := range d.requires {
		for part := range strings.SplitSeq(s, ",") {
			c, err := parseClause(part)
			if err != nil {
				return version{}, bad(source.CodeVersion, "%q is no version of Ruby", source.Printable(all))
			}
			clauses = append(clauses, c)
		}
	}
	// A full version means its series: Debian's has the fixes of those that follow.
	exact := ""
	if len(clauses) == 1 && clauses[0].op == "=" {
		if c := &clauses[0]; len(c.version) > 2 {
			exact = fmt.Sprintf("%d.%d.%d", c.version[0], c.version[1], c.version[2])
			c.version = c.version[:2]
		}
		clauses[0].op = "~"
	}
	choices := slices.Clone(rubies)
	if i := slices.IndexFunc(choices, func(r debianRuby) bool { return r.series == before }); i > 0 {
		choices[0], choices[i] = choices[i], choices[0]
	}
	for _, r := range choices {
		if !slices.ContainsFunc(clauses, func(c clause) bool { return !c.fits(r) }) {
			return version{r, exact}, nil
		}
	}
	return version{}, bad(source.CodeNoVersion, "Ruby %s cannot be had", source.Printable(all))
}

// clause is one requirement of RubyGems: "~> 3.3".
type clause struct {
	op      string // "=", "!=", ">", "<", ">=", "<=", "~>"; "~" is any release of what is given
	version []int
}

var clauseText = source.NewPattern(`^(=|!=|>=|<=|~>|>|<)?\s*(?:ruby-)?(\d{1,4}(?:\.\d{1,4}){0,3})(?:\.?(?:p|pre|preview|rc|dev)\d*)?$`)

func parseClause(s string) (clause, error) {
	m := clauseText.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return clause{}, fmt.Errorf("%q is no requirement", source.Printable(s))
	}
	c := clause{op: m[1]}
	if c.op == "" {
		c.op = "="
	}
	for part := range strings.SplitSeq(m[2], ".") {
		n, _ := strconv.Atoi(part)
		c.version = append(c.version, n)
	}
	return c, nil
}

// fits tells whether the Ruby is what the clause asks for.
func (c clause) fits(r debianRuby) bool {
	major, minor, _ := strings.Cut(r.series, ".")
	x, _ := strconv.Atoi(major)
	y, _ := strconv.Atoi(minor)
	have := []int{x, y, r.patch}
	within := func(parts int) bool {
		return slices.Compare(have[:min(parts, len(have))], c.version[:min(parts, len(have))]) == 0
	}
	switch d := source.CompareVersions(have, c.version); c.op {
	case "~":
		return within(len(c.version))
	case "=":
		return d == 0
	case "!=":
		return d != 0
	case ">":
		return d > 0
	case "<":
		return d < 0
	case ">=":
		return d >= 0
	case "<=":
		return d <= 0
	default: // "~> 3.3.1" is 3.3, from 3.3.1 on
		return d >= 0 && within(max(len(c.version)-1, 1))
	}
}
