package python

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// debianPython is the Python of a Debian suite.
type debianPython struct {
	suite string // "" is the stack's own
	minor int    // of Python 3
	patch int    // at the least; Debian fixes it without counting up
}

// debianPythons are asked in this order, before uv is sent to download one.
var debianPythons = []debianPython{
	{"", 13, 5},
	{plan.Forky, 14, 8},
	{plan.Bookworm, 11, 2},
	{plan.Bullseye, 9, 2},
}

const stackMinor = 13

// The minor versions of Python 3 that uv knows to download.
const (
	oldestMinor = 8
	newestMinor = 15
)

// anyPatch is more than any Python 3 ever had: uv installs the newest.
const anyPatch = 99

// pythonVersion is the Python that an app is to run on.
type pythonVersion struct {
	minor  int           // of Python 3
	exact  string        // "3.12.4" when a patch release is asked for, else ""
	debian *debianPython // where it comes from; nil is uv's download
	from   string        // the file that asks for it; "" is nobody

	archive *mirror.Archive // of the mirror, that it comes from before uv is sent; nil is none
}

// pythonOf returns where a Python comes from: the first source that has it.
func pythonOf(minor int, exact, from string) pythonVersion {
	v := pythonVersion{minor: minor, exact: exact, from: from}
	for i := range debianPythons {
		if debianPythons[i].minor == minor {
			v.debian = &debianPythons[i]
			break
		}
	}
	return v
}

func (v pythonVersion) stack() bool { return v.debian != nil && v.debian.suite == "" }

// patch returns the patch release that the app will run on, as far as it is known.
func (v pythonVersion) patch() int {
	if v.debian != nil {
		return v.debian.patch
	}
	if _, patch, ok := strings.Cut(strings.TrimPrefix(v.exact, "3."), "."); ok {
		n, _ := strconv.Atoi(patch)
		return n
	}
	return anyPatch
}

// String returns the version as it is told of, and as uv is to install it:
// "3.12" or "3.12.4".
func (v pythonVersion) String() string {
	if v.exact != "" && v.debian == nil {
		return v.exact
	}
	return fmt.Sprintf("3.%d", v.minor)
}

// interpreter returns what uv is to make the virtual environment of.
func (v pythonVersion) interpreter() string {
	switch {
	case v.archive != nil:
		return mirrorHome + "/bin/python3"
	case v.stack():
		return stackPython
	case v.debian != nil:
		return fmt.Sprintf("/usr/bin/python3.%d", v.minor)
	}
	return v.String()
}

// atHand lists the versions of Debian, then those that uv downloads.
func atHand() string {
	var debian, other []string
	for minor := newestMinor; minor >= oldestMinor; minor-- {
		if v := pythonOf(minor, "", ""); v.debian != nil {
			debian = append(debian, v.String())
		} else {
			other = append(other, v.String())
		}
	}
	return fmt.Sprintf("%s come from Debian, uv downloads %s", strings.Join(debian, ", "), strings.Join(other, ", "))
}

// findVersion chooses the Python: Debian's, then the mirror's, then uv's.
func (p *project) findVersion(before string) (pythonVersion, error) {
	v, err := p.askedVersion(before)
	if e, ok := errors.AsType[*source.Problem](err); ok && e.Code == source.CodeNoVersion {
		return v, p.mirror.Tell(e)
	}
	return v, err
}

// mirrored returns the version as the mirror has it, where the mirror has one
// that fits. What uv has brought the app before stays uv's.
func (p *project) mirrored(v pythonVersion, before string, fits func(pythonVersion) bool) pythonVersion {
	kept := len(p.mirror) > 0 && p.mirror[0].Kept
	if v.debian != nil || v.String() == before && !kept {
		return v
	}
	for _, a := range p.mirror {
		minor, _, _ := strings.Cut(strings.TrimPrefix(a.Version, "3."), ".")
		w := pythonVersion{exact: a.Version, from: v.from, archive: &a}
		w.minor, _ = strconv.Atoi(minor)
		if fits(w) {
			return w
		}
	}
	return v
}

// askedVersion reads which Python the repository asks for: the first of its files
// that pins one; else what its manifest requires, for which, as for nothing at
// all, the Python of the release before is kept while it will do.
func (p *project) askedVersion(before string) (pythonVersion, error) {
	pins, err := p.pins()
	if err != nil {
		return pythonVersion{}, err
	}
	spec, file := p.requiresPython()
	required, err := parseRequirement(spec)
	if err != nil {
		err = source.Problemf(source.CodeVersion, "%s requires Python %q: %v", file, source.Printable(spec), err).
			Hint(`write it as ">=3.11" or "==3.12.*"`)
	}
	if len(pins) == 0 {
		if err != nil {
			return pythonVersion{}, err
		}
		v, err := p.unpinned(required, spec, file, before)
		if err != nil {
			return v, err
		}
		return p.mirrored(v, before, required.allow), nil
	}
	v := pins[0]
	if len(pins) > 1 && pins[1].String() != v.String() {
		p.tree.Note("%s asks for Python %s and %s for %s; the first is used", v.from, v, pins[1].from, pins[1])
	}
	if own := (pythonVersion{minor: v.minor, exact: v.exact}); v.debian != nil && !required.allow(v) && required.allow(own) {
		v.debian = nil // Debian's patch release is too old for the manifest
	}
	v = p.mirrored(v, before, func(w pythonVersion) bool {
		return w.minor == v.minor && (w.exact == v.exact || v.exact == "" && required.allow(w))
	})
	if err == nil && !required.allow(v) {
		p.tree.Note("%s asks for Python %s, but %s requires %s", v.from, v, file, source.Printable(spec))
	}
	if v.debian != nil && v.exact != "" {
		p.tree.Note("%s asks for Python %s; it runs on Debian's 3.%d, which gets the security fixes", v.from, v.exact, v.minor)
	}
	return v, nil
}

// pins returns the versions that files of the repository pin, Python's own
// files first.
func (p *project) pins() (found []pythonVersion, err error) {
	for _, file := range []string{".python-version", "runtime.txt"} {
		text, err := p.tree.Text(file, source.MaxManifest)
		if source.Missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		v, ok, err := parseVersionFile(file, text)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, v)
		}
	}
	if text, line := p.pipfileVersion(); text != "" {
		v, ok, err := parseVersion(text, "Pipfile", line, text)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, v)
		}
	}
	text, file, line, err := p.tree.ToolVersion("python")
	if err != nil || text == "" || strings.HasPrefix(text, "latest") {
		return found, err
	}
	v, ok, err := parseVersion(text, file, line, "python "+text)
	if ok {
		found = append(found, v)
	}
	return found, err
}

// unpinned chooses a Python that a requirement allows.
func (p *project) unpinned(required requirement, spec, file, before string) (pythonVersion, error) {
	if m := versionLine.FindStringSubmatch(before); m != nil && m[1] == "3" && m[2] != "" {
		minor, _ := strconv.Atoi(m[2])
		v := pythonOf(minor, "", file)
		if m[3] != "" && v.debian == nil {
			v.exact = before
		}
		if minor >= oldestMinor && minor <= newestMinor && required.allow(v) {
			if file == "" && !v.stack() {
				p.tree.Note("no file asks for a Python version: it stays on %s; .python-version can ask for 3.%d", v, stackMinor)
			}
			return v, nil
		}
	}
	return versionFor(required, spec, file)
}

// versionLine takes what pyenv, uv and Heroku write: 3.12, 3.12.4, python-3.12.4.
var versionLine = source.NewPattern(`(?i)^(?:c?python-?)?(\d{1,3})(?:\.(\d{1,3})(?:\.(\d{1,3}|x|\*))?)?$`)

// parseVersionFile reads .python-version or runtime.txt: one version, on the
// first line that is neither blank nor a comment. ok is false when it leaves
// the choice to us.
func parseVersionFile(file, text string) (v pythonVersion, ok bool, err error) {
	for i, raw := range source.Lines(text) {
		line, _, _ := strings.Cut(raw, "#")
		if line = strings.TrimSpace(line); line != "" {
			return parseVersion(line, file, i+1, raw)
		}
	}
	return v, false, source.Problemf(source.CodeVersion, "%s is empty", file).Hint("write a version of Python into it, 3.%d, or remove it", stackMinor)
}

// parseVersion reads the version that stands in a line of a file.
func parseVersion(text, file string, line int, raw string) (v pythonVersion, ok bool, err error) {
	bad := func(code, format string, args ...any) *source.Problem {
		return source.Problemf(code, "%s, line %d: %s", file, line, fmt.Sprintf(format, args...)).
			With(fmt.Sprintf("%d | %s", line, source.Printable(raw)))
	}
	if text == "system" {
		return v, false, nil
	}
	m := versionLine.FindStringSubmatch(text)
	if m == nil {
		return v, false, bad(source.CodeVersion, "%q is not a Python version", source.Printable(text)).
			Hint("write it as %s", map[bool]string{true: "python-3.13", false: "3.13"}[file == "runtime.txt"])
	}
	if m[1] != "3" {
		return v, false, bad(source.CodeNoVersion, "Python %s is not available; Python 3 is", source.Printable(strings.TrimLeft(text, "cCpPyYtThHoOnN-"))).
			Hint("%s", atHand())
	}
	if m[2] == "" {
		return v, false, nil
	}
	minor, _ := strconv.Atoi(m[2])
	if minor < oldestMinor || minor > newestMinor {
		return v, false, bad(source.CodeNoVersion, "Python 3.%d is not available; 3.%d to 3.%d are", minor, oldestMinor, newestMinor).
			Hint("%s", atHand())
	}
	v = pythonOf(minor, "", file)
	if patch, err := strconv.Atoi(m[3]); err == nil {
		v.exact = fmt.Sprintf("3.%d.%d", minor, patch)
	}
	return v, true, nil
}

// versionFor chooses a Python that a requirement such as ">=3.9,<3.12" allows:
// one of Debian's if it can be, else the newest.
func versionFor(required requirement, spec, file string) (pythonVersion, error) {
	for _, d := range debianPythons {
		if v := pythonOf(d.minor, "", file); required.allow(v) {
			return v, nil
		}
	}
	for minor := newestMinor; minor >= oldestMinor; minor-- {
		// The newest patch release that fits is what uv will install, unless
		// the requirement forbids it.
		for patch := anyPatch; patch >= 0; patch-- {
			v := pythonVersion{minor: minor, from: file}
			if patch < anyPatch {
				v.exact = fmt.Sprintf("3.%d.%d", minor, patch)
			}
			if required.allow(v) {
				return v, nil
			}
		}
	}
	return pythonVersion{}, source.Problemf(source.CodeNoVersion, "%s requires Python %s, which none of 3.%d to 3.%d satisfies", file, source.Printable(spec), oldestMinor, newestMinor).
		Hint("%s", atHand())
}

// requirement is what a manifest allows: one of the alternatives, all clauses of it.
type requirement [][]specifier

// maxAlternatives bounds the alternatives of a requirement; real ones have two.
const maxAlternatives = 20

// parseRequirement reads specifiers of PEP 440, and Poetry's "or" between them.
func parseRequirement(spec string) (r requirement, err error) {
	for part := range strings.SplitSeq(strings.ReplaceAll(spec, "||", "|"), "|") {
		clauses, err := parseSpecifiers(part)
		if err != nil {
			return nil, err
		}
		if r = append(r, clauses); len(r) > maxAlternatives {
			return nil, errors.New("it has too many alternatives")
		}
	}
	return r, nil
}

// allow tells whether a Python satisfies the requirement.
func (r requirement) allow(v pythonVersion) bool {
	return len(r) == 0 || slices.ContainsFunc(r, func(clauses []specifier) bool { return satisfies(clauses, v.minor, v.patch()) })
}

// specifier is one clause of PEP 440, as far as a Python version needs it.
type specifier struct {
	op      string
	version []int
	prefix  bool // "==3.12.*"
}

// clauseText also takes Poetry's caret and tilde, and a bare version.
var clauseText = source.NewPattern(`^(===|==|>=|<=|!=|~=|>|<|\^|~|=)?\s*v?(\d{1,4}(?:\.\d{1,4}){0,3})(\.\*)?$`)

func parseSpecifiers(spec string) ([]specifier, error) {
	var out []specifier
	for clause := range strings.SplitSeq(spec, ",") {
		clause = strings.TrimSpace(clause)
		if clause == "" || clause == "*" {
			continue
		}
		m := clauseText.FindStringSubmatch(clause)
		if m == nil {
			return nil, fmt.Errorf("%q is not a version specifier", source.Printable(clause))
		}
		s := specifier{op: m[1], prefix: m[3] != ""}
		for part := range strings.SplitSeq(m[2], ".") {
			n, _ := strconv.Atoi(part)
			s.version = append(s.version, n)
		}
		switch s.op {
		case "^": // Poetry: up to the next major version
			out = append(out, specifier{op: "<", version: []int{s.version[0] + 1}})
			s.op = ">="
		case "~": // Poetry: up to the next minor version
			s.op, s.prefix = ">=", false
			out = append(out, specifier{op: "==", version: s.version[:min(len(s.version), 2)], prefix: true})
		case "~=": // PEP 440: the last part alone may grow
			if len(s.version) < 2 {
				return nil, fmt.Errorf("%q needs two parts", source.Printable(clause))
			}
			s.op = ">="
			out = append(out, specifier{op: "==", version: s.version[:len(s.version)-1], prefix: true})
		case "", "=", "===":
			s.op, s.prefix = "==", s.prefix || m[1] == "" && len(s.version) < 3
		}
		out = append(out, s)
	}
	return out, nil
}

func satisfies(clauses []specifier, minor, patch int) bool {
	for _, c := range clauses {
		have := []int{3, minor, patch}
		if c.prefix && len(c.version) < len(have) {
			have = have[:len(c.version)]
		}
		d := source.CompareVersions(have, c.version)
		ok := map[string]bool{"==": d == 0, "!=": d != 0, ">=": d >= 0, "<=": d <= 0, ">": d > 0, "<": d < 0}[c.op]
		if !ok {
			return false
		}
	}
	return true
}
