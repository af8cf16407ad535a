package python

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// Python as the stack has it: Debian 13's.
const (
	stackMinor = 13 // 3.13
	stackPatch = 5  // at the least; Debian fixes it without counting up
)

// The minor versions of Python 3 that uv knows to download.
const (
	oldestMinor = 8
	newestMinor = 14
)

// pythonVersion is the Python that an app is to run on.
type pythonVersion struct {
	minor int    // of Python 3
	exact string // "3.12.4" when a patch release is asked for, else ""
	from  string // the file that asks for it; "" is nobody
}

func (v pythonVersion) stack() bool { return v.minor == stackMinor }

// String returns what uv is to install: "3.12" or "3.12.4".
func (v pythonVersion) String() string {
	if v.exact != "" && !v.stack() {
		return v.exact
	}
	return fmt.Sprintf("3.%d", v.minor)
}

// interpreter returns what uv is to make the virtual environment of.
func (v pythonVersion) interpreter() string {
	if v.stack() {
		return stackPython
	}
	return v.String()
}

// findVersion reads which Python the repository asks for: the first of its files
// that says so, else what its manifest requires, else the stack's.
func (p *project) findVersion() (pythonVersion, error) {
	var found []pythonVersion
	for _, file := range []string{".python-version", "runtime.txt"} {
		text, err := p.tree.Text(file, source.MaxManifest)
		if source.Missing(err) {
			continue
		}
		if err != nil {
			return pythonVersion{}, err
		}
		v, ok, err := parseVersionFile(file, text)
		if err != nil {
			return pythonVersion{}, err
		}
		if ok {
			found = append(found, v)
		}
	}
	if spec, file := p.requiresPython(); spec != "" {
		v, err := versionFor(spec, file)
		switch {
		case err != nil && len(found) == 0:
			return v, err
		case err == nil && len(found) == 0:
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return pythonVersion{minor: stackMinor}, nil
	}
	v := found[0]
	if len(found) > 1 && found[1].String() != v.String() {
		p.tree.Note("%s asks for Python %s and %s for %s; the first counts", v.from, v, found[1].from, found[1])
	}
	if v.stack() && v.exact != "" {
		p.tree.Note("%s asks for Python %s; it runs on Debian's 3.%d, which gets the security fixes", v.from, v.exact, stackMinor)
	}
	return v, nil
}

// versionLine takes what pyenv, uv and Heroku write: 3.12, 3.12.4, python-3.12.4.
var versionLine = regexp.MustCompile(`(?i)^(?:c?python-?)?(\d{1,3})(?:\.(\d{1,3})(?:\.(\d{1,3}|x|\*))?)?$`)

// parseVersionFile reads .python-version or runtime.txt: one version, on the
// first line that is neither blank nor a comment. ok is false when it leaves
// the choice to us.
func parseVersionFile(file, text string) (v pythonVersion, ok bool, err error) {
	for i, raw := range source.Lines(text) {
		line, _, _ := strings.Cut(raw, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		bad := func(code, format string, args ...any) error {
			return source.Problemf(code, "%s, line %d: %s", file, i+1, fmt.Sprintf(format, args...)).
				With(fmt.Sprintf("%d | %s", i+1, source.Printable(raw))).
				Hint("write it as %s", map[bool]string{true: "python-3.13", false: "3.13"}[file == "runtime.txt"])
		}
		if line == "system" {
			return pythonVersion{}, false, nil
		}
		m := versionLine.FindStringSubmatch(line)
		if m == nil {
			return v, false, bad(source.CodeVersion, "%q is no version of Python", source.Printable(line))
		}
		if m[1] != "3" {
			return v, false, bad(source.CodeNoVersion, "Python %s cannot be had; Python 3 can", source.Printable(strings.TrimLeft(line, "cCpPyYtThHoOnN-")))
		}
		if m[2] == "" {
			return pythonVersion{}, false, nil
		}
		v = pythonVersion{from: file}
		v.minor, _ = strconv.Atoi(m[2])
		if v.minor < oldestMinor || v.minor > newestMinor {
			return v, false, bad(source.CodeNoVersion, "Python 3.%d cannot be had; 3.%d to 3.%d can", v.minor, oldestMinor, newestMinor)
		}
		if patch, err := strconv.Atoi(m[3]); err == nil {
			v.exact = fmt.Sprintf("3.%d.%d", v.minor, patch)
		}
		return v, true, nil
	}
	return v, false, source.Problemf(source.CodeVersion, "%s is empty", file).Hint("write a version of Python into it, 3.%d, or remove it", stackMinor)
}

// versionFor chooses a Python that a requirement such as ">=3.9,<3.12"
// allows: the stack's if it can be, else the newest.
func versionFor(spec, file string) (pythonVersion, error) {
	clauses, err := parseSpecifiers(spec)
	if err != nil {
		return pythonVersion{}, source.Problemf(source.CodeVersion, "%s requires Python %q: %v", file, source.Printable(spec), err).
			Hint(`write it as ">=3.11" or "==3.12.*"`)
	}
	if satisfies(clauses, stackMinor, stackPatch) {
		return pythonVersion{minor: stackMinor, from: file}, nil
	}
	for minor := newestMinor; minor >= oldestMinor; minor-- {
		const patches = 40 // more than any Python 3 ever had
		// The newest patch release that fits is what uv will install, unless
		// the requirement forbids it.
		for patch := patches; patch >= 0; patch-- {
			if !satisfies(clauses, minor, patch) {
				continue
			}
			v := pythonVersion{minor: minor, from: file}
			if patch < patches {
				v.exact = fmt.Sprintf("3.%d.%d", minor, patch)
			}
			if minor == stackMinor {
				break // a patch release that Debian does not have yet
			}
			return v, nil
		}
	}
	return pythonVersion{}, source.Problemf(source.CodeNoVersion, "%s requires Python %s, and none from 3.%d to 3.%d is that", file, source.Printable(spec), oldestMinor, newestMinor).
		Hint("Python 3.%d is there at once, the others are downloaded", stackMinor)
}

// specifier is one clause of PEP 440, as far as a Python version needs it.
type specifier struct {
	op      string
	version []int
	prefix  bool // "==3.12.*"
}

// clauseText also takes Poetry's caret and tilde, and a bare version.
var clauseText = regexp.MustCompile(`^(===|==|>=|<=|!=|~=|>|<|\^|~|=)?\s*v?(\d{1,4}(?:\.\d{1,4}){0,3})(\.\*)?$`)

func parseSpecifiers(spec string) ([]specifier, error) {
	var out []specifier
	for clause := range strings.SplitSeq(spec, ",") {
		clause = strings.TrimSpace(clause)
		if clause == "" || clause == "*" {
			continue
		}
		m := clauseText.FindStringSubmatch(clause)
		if m == nil {
			return nil, fmt.Errorf("%q is no version specifier", source.Printable(clause))
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
		d := compareVersions(have, c.version)
		ok := map[string]bool{"==": d == 0, "!=": d != 0, ">=": d >= 0, "<=": d <= 0, ">": d > 0, "<": d < 0}[c.op]
		if !ok {
			return false
		}
	}
	return true
}

func compareVersions(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x - y
		}
	}
	return 0
}
