package buildpacks

import (
	"fmt"
	"regexp"
	"strings"
)

// maxProcesses bounds a Procfile; real ones have fewer than ten.
const maxProcesses = 100

var processType = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// procfile reads the Procfile; nil when there is none or it says nothing.
func (t *tree) procfile() ([]Process, error) {
	s, err := t.text("Procfile", maxManifest)
	if missing(err) {
		for _, e := range t.dir(".") {
			if n := strings.ToLower(e.Name()); n == "procfile" || n == "procfile.txt" {
				t.note("%s is not read: the name must be exactly Procfile", printable(e.Name()))
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	procs, err := parseProcfile(s)
	if err == nil && len(procs) == 0 {
		t.note("Procfile names no process and is passed over")
	}
	return procs, err
}

// parseProcfile reads lines of "type: command", by the rules that Heroku and
// Dokku document: blank lines and lines that begin with # or // say nothing,
// a type is unique. A command ends at a comment as the shell would end it.
func parseProcfile(s string) ([]Process, error) {
	var procs []Process
	seen := map[string]int{}
	for i, raw := range lines(s) {
		line := strings.TrimSpace(raw)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") {
			continue
		}
		bad := func(format string, args ...any) *Problem {
			p := problem(codeProcfile, "Procfile, line %d: "+format, append([]any{i + 1}, args...)...)
			return p.with(fmt.Sprintf("%d | %s", i+1, printable(line)))
		}
		if isConflictMark(line) {
			return nil, bad("a merge conflict was committed").hint("resolve the conflict and commit the file")
		}
		kind, command, colon := strings.Cut(line, ":")
		kind, command = strings.TrimSpace(kind), strings.TrimSpace(shellCommand(command))
		switch {
		case !colon:
			p := bad("no colon after the process type").hint("write it as web: gunicorn web:app")
			if len(procs) > 0 && strings.HasSuffix(procs[len(procs)-1].Command, `\`) {
				p.hint("a command stands on one line; it cannot be continued on the next")
			}
			return nil, p
		case !processType.MatchString(kind):
			return nil, bad("%q cannot name a process", printable(kind)).
				hint("use letters, digits, - and _, at most 63 of them")
		case command == "":
			return nil, bad("%s has no command", kind).hint("write it as %s: command", kind)
		case strings.ContainsFunc(command, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }):
			return nil, bad("a control character in the command")
		case seen[kind] > 0:
			return nil, bad("%s was named on line %d already", kind, seen[kind]).
				hint("remove one of the two lines, or give it another name")
		case len(procs) == maxProcesses:
			return nil, bad("more than %d processes", maxProcesses)
		}
		seen[kind] = i + 1
		procs = append(procs, Process{Type: kind, Command: command})
	}
	return procs, nil
}

func isConflictMark(line string) bool {
	return strings.HasPrefix(line, "<<<<<<< ") || strings.HasPrefix(line, ">>>>>>> ") || line == "======="
}

// shellCommand takes a comment off the end of a command: a # that begins a
// word, outside of quotes and of $(), is where bash would stop reading too.
// When in doubt the text stays, since bash decides in the end.
func shellCommand(s string) string {
	var quote byte
	nested := 0
	blank := false // before this byte, outside of quotes
	for i := 0; i < len(s); i++ {
		after := blank
		blank = quote == 0 && (s[i] == ' ' || s[i] == '\t')
		switch c := s[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '(' || c == '{':
			nested++
		case c == ')' || c == '}':
			nested--
		case c == '#' && nested == 0 && after:
			return s[:i]
		}
	}
	return s
}

// words splits a command at blanks, as far as it is needed to see which
// programs it starts: assignments and exec in front of them are left out.
func words(command string) [][]string {
	var cmds [][]string
	for _, part := range commandEnd.Split(command, -1) {
		var w []string
		for _, f := range strings.Fields(part) {
			f = strings.Trim(f, `"'`)
			if len(w) == 0 && (f == "exec" || f == "env" || assignment.MatchString(f)) {
				continue
			}
			w = append(w, f)
		}
		if len(w) > 0 {
			cmds = append(cmds, w)
		}
	}
	return cmds
}

var (
	commandEnd = regexp.MustCompile(`&&|\|\||[;|&()]`)
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)
