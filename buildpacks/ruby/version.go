package ruby

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
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
	{"3.4", plan.Experimental, 11},
}

// version is the Ruby that an app is to run on.
type version struct {
	debianRuby
	exact string // "3.3.5" when a patch release is asked for, else ""

	archive *mirror.Archive // the source that it is built from; nil is Debian's
}

// String is the version as a plan shows it.
func (v version) String() string {
	if v.archive != nil {
		return v.archive.Version + " from the mirror"
	}
	return v.series
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
	line     int  // 0 is not known
	bundler  bool // Bundler reads it too
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
	clauses, exact, err := asked.clauses()
	if err != nil {
		return version{}, err
	}
	if r, ok := choose(clauses, before); ok {
		if exact != "" {
			p.tree.Note("%s asks for Ruby %s; it runs on Debian's %s, which gets the security fixes", asked.file, exact, r.series)
		}
		return version{debianRuby: r, exact: exact}, nil
	}
	if v, ok := p.mirrored(clauses, exact); ok {
		return v, nil
	}
	if next, ok := asked.next(clauses); ok {
		p.tree.Note("%s asks for Ruby %s, which is not available: it runs on %s, the next one that is", asked.where(), source.Printable(strings.Join(asked.requires, ", ")), next.series)
		p.tree.Note("to require it, write it into the Gemfile: ruby %q", strings.Join(asked.requires, ", "))
		return version{debianRuby: next}, nil
	}
	return version{}, p.mirror.Tell(asked.refused(exact))
}

// mirrored returns a Ruby of the mirror that fits: the patch release that is
// asked for, else the newest of the series.
func (p *project) mirrored(clauses []clause, exact string) (version, bool) {
	for _, literal := range []bool{true, false} {
		for _, a := range p.mirror {
			r, ok := archived(a)
			if !ok || literal && a.Version != exact || !fit(clauses, r) {
				continue
			}
			v := version{debianRuby: r, archive: &a}
			if exact != a.Version {
				v.exact = exact
			}
			return v, true
		}
	}
	return version{}, false
}

// archived is the Ruby that an archive is the source of.
func archived(a mirror.Archive) (debianRuby, bool) {
	parts := strings.Split(a.Version, ".")
	if len(parts) != 3 {
		return debianRuby{}, false
	}
	patch, err := strconv.Atoi(parts[2])
	return debianRuby{series: parts[0] + "." + parts[1], suite: "mirror", patch: patch}, err == nil
}

// next returns the series that follows the one which a file of a version manager
// asks for. Such a file is for its author's machine, and Heroku does not read it;
// what the Gemfile says is said to Bundler, which insists.
func (d demand) next(clauses []clause) (found debianRuby, ok bool) {
	if d.bundler || len(clauses) != 1 || clauses[0].op != "~" || len(clauses[0].version) < 2 {
		return found, false
	}
	asked := clauses[0].version
	for _, r := range rubies {
		have := r.numbers()
		if have[0] == asked[0] && have[1] > asked[1] && (!ok || have[1] < found.numbers()[1]) {
			found, ok = r, true
		}
	}
	return found, ok
}

// demand returns the first demand: the Gemfile's, the lock file's, then those
// of version managers.
func (p *project) demand() (demand, error) {
	if b := p.bundle; b != nil {
		if b.engine != "" && b.engine != "ruby" {
			return demand{}, source.Problemf(source.CodeNoVersion, "%s asks for %s, but berth has only the standard Ruby", b.gemfile, source.Printable(b.engine)).
				Hint("remove the engine from the ruby statement, or build with a Dockerfile")
		}
		if len(b.ruby) > 0 {
			return demand{requires: b.ruby, file: b.gemfile, bundler: true}, nil
		}
		if b.locked.ruby != "" {
			return demand{requires: []string{b.locked.ruby}, file: b.lock, bundler: true}, nil
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

// clauses returns what is asked for. A full version means its series: Debian's
// has the fixes of those that follow; exact is that version then.
func (d demand) clauses() (clauses []clause, exact string, err error) {
	all := strings.Join(d.requires, ", ")
	for _, s := range d.requires {
		for part := range strings.SplitSeq(s, ",") {
			c, err := parseClause(part)
			if err != nil {
				return nil, "", d.bad(source.CodeVersion, "%q is not a Ruby version", source.Printable(all))
			}
			clauses = append(clauses, c)
		}
	}
	if len(clauses) == 1 && clauses[0].op == "=" {
		if c := &clauses[0]; len(c.version) > 2 {
			exact = fmt.Sprintf("%d.%d.%d", c.version[0], c.version[1], c.version[2])
			c.version = c.version[:2]
		}
		clauses[0].op = "~"
	}
	return clauses, exact, nil
}

func (d demand) bad(code, format string, args ...any) *source.Problem {
	var have []string
	for _, r := range rubies {
		have = append(have, r.series)
	}
	return source.Problemf(code, "%s: %s", d.where(), fmt.Sprintf(format, args...)).
		Hint("Ruby %s are available, from Debian", strings.Join(have, ", "))
}

// refused says how a Ruby that cannot be had can be.
func (d demand) refused(exact string) *source.Problem {
	if exact == "" {
		exact = "X.Y.Z"
	}
	return d.bad(source.CodeNoVersion, "Ruby %s is not available", source.Printable(strings.Join(d.requires, ", "))).
		Hint("or put ruby-%s.tar.gz, Ruby's source, into the folder ruby of this server's mirror:", exact).
		Hint("it is built once, for all apps; berth builder:mirror says where the mirror is")
}

// choose returns the Ruby that fits: the one from before if it does, else the
// first of those that Debian has.
func choose(clauses []clause, before string) (debianRuby, bool) {
	choices := slices.Clone(rubies)
	if i := slices.IndexFunc(choices, func(r debianRuby) bool { return r.series == before }); i > 0 {
		choices[0], choices[i] = choices[i], choices[0]
	}
	for _, r := range choices {
		if fit(clauses, r) {
			return r, true
		}
	}
	return debianRuby{}, false
}

// fit tells whether the Ruby is what all clauses ask for.
func fit(clauses []clause, r debianRuby) bool {
	return !slices.ContainsFunc(clauses, func(c clause) bool { return !c.fits(r) })
}

// numbers are those of the version: 3, 3, 14.
func (r debianRuby) numbers() []int {
	major, minor, _ := strings.Cut(r.series, ".")
	x, _ := strconv.Atoi(major)
	y, _ := strconv.Atoi(minor)
	return []int{x, y, r.patch}
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
		return clause{}, fmt.Errorf("%q is not a version requirement", source.Printable(s))
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
	have := r.numbers()
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
