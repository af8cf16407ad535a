package source

import (
	"strings"
)

// ProcessType is what may name a type of process.
var ProcessType = NewPattern(`^[A-Za-z0-9_-]{1,63}$`)

// Words splits a command at blanks, as far as needed to see which programs it
// starts: leading assignments and exec are left out.
func Words(command string) [][]string {
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
	commandEnd = NewPattern(`&&|\|\||[;|&()]`)
	assignment = NewPattern(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// plainWord needs no quotes.
var plainWord = NewPattern(`^[A-Za-z0-9_./:@%+=-]+$`)

// ShellWord returns s as one word of a shell command.
func ShellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// IsConflictMark tells the lines that an unresolved merge leaves in a file.
func IsConflictMark(line string) bool {
	return strings.HasPrefix(line, "<<<<<<< ") || strings.HasPrefix(line, ">>>>>>> ") || line == "======="
}
