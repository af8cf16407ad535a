package python

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// maxIncludes bounds the files that one requirements file may pull in.
const maxIncludes = 50

// requirements is what a requirements file says, with all that it includes.
type requirements struct {
	files []string        // of the tree that pip reads, the first is the start
	names map[string]bool // distributions that are asked for, normalised
	local bool            // something of the tree itself is installed
	utf16 bool
}

// requirementsFrom reads a requirements file in pip's format.
func requirementsFrom(t *source.Tree, file string) (*requirements, error) {
	r := &requirements{names: map[string]bool{}}
	data, err := t.Read(file, source.MaxManifest)
	if err != nil {
		return nil, err
	}
	if source.IsUTF16(string(data)) {
		// PowerShell's > writes UTF-16, so pip freeze > requirements.txt does.
		r.files, r.utf16 = []string{file}, true
		text := source.DecodeUTF16(data)
		return r, r.parse(t, file, text)
	}
	return r, r.include(t, file)
}

func (r *requirements) include(t *source.Tree, file string) error {
	if slices.Contains(r.files, file) {
		return nil
	}
	if len(r.files) == maxIncludes {
		return source.Problemf(source.CodeRequirements, "%s: more than %d files include each other", r.files[0], maxIncludes)
	}
	text, err := t.Text(file, source.MaxManifest)
	if err != nil {
		return err
	}
	r.files = append(r.files, file)
	return r.parse(t, file, text)
}

// parse reads the lines of one file: requirements by PEP 508, options by pip.
func (r *requirements) parse(t *source.Tree, file, text string) error {
	all := source.Lines(text)
	for i := 0; i < len(all); i++ {
		number, line := i+1, all[i]
		for strings.HasSuffix(line, `\`) && i+1 < len(all) {
			i++
			line = strings.TrimSuffix(line, `\`) + all[i]
			if len(line) > source.MaxManifest/16 {
				return r.bad(file, number, line, "the line is too long")
			}
		}
		line = strings.TrimSpace(stripComment(line))
		if line == "" {
			continue
		}
		if source.IsConflictMark(line) {
			return r.bad(file, number, line, "a merge conflict was committed").Hint("resolve the conflict and commit the file")
		}
		option, value := splitOption(line)
		switch option {
		case "-r", "--requirement", "-c", "--constraint":
			if strings.Contains(value, "://") {
				continue
			}
			target := path.Join(path.Dir(file), value)
			if value == "" || path.IsAbs(value) || target == ".." || strings.HasPrefix(target, "../") {
				return r.bad(file, number, line, "%s is outside the repository", source.Printable(value))
			}
			if err := r.include(t, target); source.Missing(err) {
				return r.bad(file, number, line, "there is no file %s", source.Printable(target)).
					Hint("commit %s, or remove the line", source.Printable(target))
			} else if err != nil {
				return err
			}
		case "-e", "--editable":
			r.local = r.local || !strings.Contains(value, "://")
			r.egg(value)
		case "-f", "--find-links":
			r.local = r.local || !strings.Contains(value, "://")
		case "":
			r.requirement(line)
		}
	}
	return nil
}

func (r *requirements) bad(file string, number int, line, format string, args ...any) *source.Problem {
	return source.Problemf(source.CodeRequirements, "%s, line %d: %s", source.Printable(file), number, fmt.Sprintf(format, args...)).
		With(fmt.Sprintf("%d | %s", number, source.Printable(line)))
}

// stripComment takes off a comment: pip's begins with a # at the start of a
// line or after a blank, so that the # of an address stays.
func stripComment(line string) string {
	for i := 0; i < len(line); i++ {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// splitOption splits "-r file", "-rfile", "--requirement=file". A requirement
// has no option.
func splitOption(line string) (option, value string) {
	if !strings.HasPrefix(line, "-") {
		return "", ""
	}
	end := strings.IndexAny(line, " \t=")
	if !strings.HasPrefix(line, "--") && len(line) > 2 && end != 2 {
		end = 2
	}
	if end < 0 {
		return line, ""
	}
	value = strings.TrimSpace(strings.TrimLeft(line[end:], " \t="))
	return line[:end], strings.Trim(value, `"'`)
}

var (
	// distName is a name by PEP 508.
	distName = source.NewPattern(`^(?i:[a-z0-9]|[a-z0-9][a-z0-9._-]*[a-z0-9])$`)
	nameHead = source.NewPattern(`^(?i:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)`)
	nameRuns = source.NewPattern(`[-_.]+`)
	eggName  = source.NewPattern(`#(?:.*&)?egg=([A-Za-z0-9._-]+)`)
)

// normal returns a name as PEP 503 normalises it: Flask_Login is flask-login.
func normal(name string) string { return strings.ToLower(nameRuns.ReplaceAllString(name, "-")) }

// requirement reads one line that names a distribution, a path or an address.
func (r *requirements) requirement(line string) {
	head := nameHead.FindString(line)
	rest := strings.TrimSpace(line[len(head):])
	scheme := strings.HasPrefix(rest, "://") || strings.HasPrefix(rest, "+")
	switch {
	case strings.HasPrefix(line, "file:"), head == "", strings.HasPrefix(rest, "/") && !scheme, isArchive(line):
		r.local = true // ".", "./lib", "lib/x", "x.whl"
	case scheme:
		r.egg(line)
	case strings.HasPrefix(rest, "@") && strings.HasPrefix(strings.TrimSpace(rest[1:]), "file:"):
		r.local = true
		r.names[normal(head)] = true
	default:
		r.names[normal(head)] = true
	}
}

func isArchive(line string) bool {
	word, _, _ := strings.Cut(line, " ")
	return !strings.Contains(word, "://") && (strings.HasSuffix(word, ".whl") || strings.HasSuffix(word, ".zip") || strings.HasSuffix(word, ".tar.gz"))
}

// egg notes the name that an address carries in its fragment.
func (r *requirements) egg(address string) {
	if m := eggName.FindStringSubmatch(address); m != nil {
		r.names[normal(m[1])] = true
	}
}

// nameOf returns the normalised name that a requirement of PEP 508 begins with.
func nameOf(requirement string) string {
	return normal(nameHead.FindString(strings.TrimSpace(requirement)))
}
