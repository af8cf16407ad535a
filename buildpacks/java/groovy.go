package java

import "strings"

// token is a word, a string or a sign of a build file in Groovy or Kotlin.
type token struct {
	kind tokenKind
	text string
}

type tokenKind byte

const (
	other tokenKind = iota // a sign
	word                   // a name, with the names after its dots, or a number
	text                   // the content of a string
)

// tokenize splits a build file as far as the two languages write alike:
// comments are left out, strings are one token. What is malformed gives some
// tokens or others.
func tokenize(s string) (tokens []token) {
	for len(s) > 0 {
		switch c := s[0]; {
		case strings.HasPrefix(s, "//"):
			s = s[lineEnd(s):]
		case strings.HasPrefix(s, "/*"):
			s = behind(s[2:], "*/")
		case strings.HasPrefix(s, `"""`), strings.HasPrefix(s, `'''`):
			mark, inner := s[:3], s[3:]
			s = behind(inner, mark)
			tokens = append(tokens, token{text, strings.TrimSuffix(inner[:len(inner)-len(s)], mark)})
		case c == '"' || c == '\'' || c == '`':
			n := quoted(s)
			tokens = append(tokens, token{text, strings.Trim(s[:n], string(c))})
			s = s[n:]
		case isName(c):
			n := 1
			for n < len(s) && (isName(s[n]) || s[n] == '.') {
				n++
			}
			tokens = append(tokens, token{word, s[:n]})
			s = s[n:]
		default:
			if c > ' ' {
				tokens = append(tokens, token{other, s[:1]})
			}
			s = s[1:]
		}
	}
	return tokens
}

func isName(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

func lineEnd(s string) int {
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return i
	}
	return len(s)
}

// behind returns what follows the end mark; "" when it is missing.
func behind(s, end string) string {
	if i := strings.Index(s, end); i >= 0 {
		return s[i+len(end):]
	}
	return ""
}

// quoted returns the length of the string that s begins with; it ends with its
// line at the latest.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n':
			return i
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}
