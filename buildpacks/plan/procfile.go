package plan

import (
	"fmt"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// maxProcesses bounds a Procfile; real ones have fewer than ten.
const maxProcesses = 100

// readProcfile reads the Procfile; nil when there is none or it says nothing.
func readProcfile(t *source.Tree) ([]Process, error) {
	s, err := t.Text("Procfile", source.MaxManifest)
	if source.Missing(err) {
		for _, e := range t.Dir(".") {
			if n := strings.ToLower(e.Name()); n == "procfile" || n == "procfile.txt" {
				t.Note("%s is not read: the name must be exactly Procfile", source.Printable(e.Name()))
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	procs, err := parseProcfile(s)
	if err == nil && len(procs) == 0 {
		t.Note("Procfile names no process and is ignored")
	}
	return procs, err
}

// parseProcfile reads lines of "type: command", by the rules that Heroku and
// Dokku document: blank lines and lines that begin with # or // say nothing,
// a type is unique. A command ends at a comment as the shell would end it.
func parseProcfile(s string) ([]Process, error) {
	var procs []Process
	seen := map[string]int{}
	for i, raw := range source.Lines(s) {
		line := strings.TrimSpace(raw)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") {
			continue
		}
		bad := func(format string, args ...any) *source.Problem {
			p := source.Problemf(source.CodeProcfile, "Procfile, line %d: "+format, append([]any{i + 1}, args...)...)
			return p.With(fmt.Sprintf("%d | %s", i+1, source.Printable(line)))
		}
		if source.IsConflictMark(line) {
			return nil, bad("a merge conflict was committed").Hint("resolve the conflict and commit the file")
		}
		kind, command, colon := strings.Cut(line, ":")
		kind, command = strings.TrimSpace(kind), strings.TrimSpace(shellCommand(command))
		switch {
		case !colon:
			p := bad("no colon after the process type").Hint("write it as web: gunicorn web:app")
			if len(procs) > 0 && strings.HasSuffix(procs[len(procs)-1].Command, `\`) {
				p.Hint("a command stands on one line; it cannot be continued on the next")
			}
			return nil, p
		case !source.ProcessType.MatchString(kind):
			return nil, bad("%q cannot name a process", source.Printable(kind)).
				Hint("use letters, digits, - and _, at most 63 of them")
		case command == "":
			return nil, bad("%s has no command", kind).Hint("write it as %s: command", kind)
		case strings.ContainsFunc(command, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }):
			return nil, bad("a control character in the command")
		case seen[kind] > 0:
			return nil, bad("%s was named on line %d already", kind, seen[kind]).
				Hint("remove one of the two lines, or give it another name")
		case len(procs) == maxProcesses:
			return nil, bad("more than %d processes", maxProcesses)
		}
		seen[kind] = i + 1
		procs = append(procs, Process{Type: kind, Command: command})
	}
	return procs, nil
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
