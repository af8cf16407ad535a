package sshd

import (
	"strings"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// splitWords splits a command line as a POSIX shell does, without expanding
// anything: blanks separate, quotes and backslashes join, and ” is a word too
// (an empty argument is an argument).
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var inWord bool
	var quote byte
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == 0:
			return nil, fault.New(fault.Usage, code.SSHCommandInvalid, "the command contains a NUL byte")
		case quote == '\'':
			if c == '\'' {
				quote = 0
			} else {
				word.WriteByte(c)
			}
		case c == '\\':
			i++
			if i == len(line) {
				return nil, fault.New(fault.Usage, code.SSHCommandInvalid, "the command ends in a backslash")
			}
			switch {
			case line[i] == '\n': // joins two lines
			case quote == '"' && !strings.ContainsRune("$`\"\\", rune(line[i])):
				word.WriteByte('\\')
				word.WriteByte(line[i])
			default:
				word.WriteByte(line[i])
			}
			inWord = inWord || line[i] != '\n'
		case quote == '"':
			if c == '"' {
				quote = 0
			} else {
				word.WriteByte(c)
			}
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fault.New(fault.Usage, code.SSHCommandInvalid, "a quote is never closed: %c", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
