package fault

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// indent is as wide as "error: " and "hint:  ", so that what belongs to a line
// stands below its text.
const indent = "       "

// Lines shows the fault as every door does. Evidence stands as it was seen;
// message and hints are broken at the given width, 0 for not at all.
//
//	error: web.1 did not become healthy in 30s [E301]
//	       GET http://web.1:5000/ : 12 x connection refused
//	       | ModuleNotFoundError: No module named 'flask'
//	hint:  add flask to requirements.txt
//	       v17 still serves all traffic
func (e *Error) Lines(width int) []string {
	lines := wrap("error: ", e.Error(), width)
	for _, seen := range e.Evidence {
		lines = append(lines, indent+Printable(seen))
	}
	label := "hint:  "
	for _, hint := range e.Hints {
		lines = append(lines, wrap(label, hint, width)...)
		label = indent
	}
	return lines
}

// wrap breaks text between words. A word that is longer than a line stands alone.
func wrap(label, text string, width int) (lines []string) {
	line, empty := label, true
	for word := range strings.FieldsSeq(Printable(text)) {
		if !empty && width > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	return append(lines, line)
}

// terminalCodes are what a program writes to colour, or to move a cursor.
var terminalCodes = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|[@-Z\\\\^_])")

// Printable returns a line as it may stand on somebody's terminal: without the
// codes and control characters that would be obeyed there. Tabs stay.
func Printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, terminalCodes.ReplaceAllString(line, ""))
}
