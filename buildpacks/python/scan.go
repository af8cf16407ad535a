package python

import (
	"strings"
	"unicode/utf8"
)

// A scanner of Python source, good enough to tell statements from strings and
// comments. It never fails: what is no Python gives tokens of no meaning. It
// takes time in proportion to the source's length.

type tokenKind byte

const (
	tokenName   tokenKind = iota // names and keywords
	tokenNumber                  // and whatever begins with a digit
	tokenString                  // text is the content of a plain literal, "" of any other
	tokenOp                      // one byte
)

type token struct {
	kind tokenKind
	text string
}

// is tells whether the token is this very name or operator.
func (t token) is(text string) bool {
	return t.text == text && (t.kind == tokenName || t.kind == tokenOp)
}

// logicalLine is a logical line: a statement, or several with semicolons between
// them, or the head of a block, perhaps with statements after its colon.
type logicalLine struct {
	indent int
	number int // of its first physical line
	tokens []token
}

type scanner struct {
	src    string
	at     int
	number int // of the physical line
	depth  int // of brackets
}

func scanPython(src string) []logicalLine {
	s := &scanner{src: strings.TrimPrefix(src, "\ufeff"), number: 1}
	var out []logicalLine
	for s.at < len(s.src) {
		line := logicalLine{indent: s.indent(), number: s.number}
		line.tokens = s.line()
		if len(line.tokens) > 0 {
			out = append(out, line)
		}
	}
	return out
}

// indent passes the blanks at the begin of a line. A tab goes to the next
// multiple of eight, a form feed starts anew, as in Python's own scanner.
func (s *scanner) indent() int {
	n := 0
	for ; s.at < len(s.src); s.at++ {
		switch s.src[s.at] {
		case ' ':
			n++
		case '\t':
			n = (n/8 + 1) * 8
		case '\f':
			n = 0
		default:
			return n
		}
	}
	return n
}

// line returns the tokens up to the end of the logical line and passes it.
func (s *scanner) line() []token {
	var tokens []token
	s.depth = 0
	for s.at < len(s.src) {
		c := s.src[s.at]
		switch {
		case c == '\n' || c == '\r':
			s.newline()
			if s.depth == 0 {
				return tokens
			}
		case c == ' ' || c == '\t' || c == '\f':
			s.at++
		case c == '\\' && s.at+1 < len(s.src) && (s.src[s.at+1] == '\n' || s.src[s.at+1] == '\r'):
			s.at++
			s.newline()
		case c == '#':
			for s.at < len(s.src) && s.src[s.at] != '\n' && s.src[s.at] != '\r' {
				s.at++
			}
		case c == '"' || c == '\'':
			tokens = append(tokens, s.str(""))
		case isNameByte(c):
			start := s.at
			for s.at < len(s.src) && isNameByte(s.src[s.at]) {
				s.at++
			}
			word := s.src[start:s.at]
			switch {
			case s.at < len(s.src) && (s.src[s.at] == '"' || s.src[s.at] == '\'') && isStringPrefix(word):
				tokens = append(tokens, s.str(strings.ToLower(word)))
			case c >= '0' && c <= '9':
				tokens = append(tokens, token{kind: tokenNumber, text: word})
			default:
				tokens = append(tokens, token{kind: tokenName, text: word})
			}
		default:
			switch c {
			case '(', '[', '{':
				s.depth++
			case ')', ']', '}':
				s.depth = max(s.depth-1, 0)
			}
			tokens = append(tokens, token{kind: tokenOp, text: s.src[s.at : s.at+1]})
			s.at++
		}
	}
	return tokens
}

func (s *scanner) newline() {
	if s.src[s.at] == '\r' && s.at+1 < len(s.src) && s.src[s.at+1] == '\n' {
		s.at++
	}
	s.at++
	s.number++
}

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func isStringPrefix(word string) bool {
	return len(word) <= 2 && strings.Trim(strings.ToLower(word), "rbuft") == ""
}

// str passes a string literal whose opening quote is next.
func (s *scanner) str(prefix string) token {
	quote := s.src[s.at : s.at+1]
	if q := strings.Repeat(quote, 3); strings.HasPrefix(s.src[s.at:], q) {
		quote = q
	}
	s.at += len(quote)
	start := s.at
	s.passString(quote, strings.ContainsAny(prefix, "ft"), 0)
	content := strings.TrimSuffix(s.src[start:s.at], quote)
	if strings.Trim(prefix, "ru") != "" || strings.Contains(content, `\`) {
		content = ""
	}
	return token{kind: tokenString, text: content}
}

// maxFormatNesting bounds strings within the fields of strings. Python's own
// limit is 150.
const maxFormatNesting = 50

// passString passes the rest of a literal, its closing quote included. One
// that is not closed ends with its line, or with the file if it may span lines.
func (s *scanner) passString(quote string, formatted bool, nesting int) {
	for s.at < len(s.src) {
		switch c := s.src[s.at]; {
		case c == '\\':
			if s.at++; s.at < len(s.src) && (s.src[s.at] == '\n' || s.src[s.at] == '\r') {
				s.newline()
			} else {
				s.at++
			}
		case strings.HasPrefix(s.src[s.at:], quote):
			s.at += len(quote)
			return
		case c == '\n' || c == '\r':
			if len(quote) == 1 {
				return
			}
			s.newline()
		case c == '{' && formatted && nesting < maxFormatNesting:
			if s.at++; s.at < len(s.src) && s.src[s.at] == '{' {
				s.at++ // "{{" is a brace
				continue
			}
			s.passField(quote, nesting+1)
		default:
			s.at++
		}
	}
	s.at = min(s.at, len(s.src))
}

// passField passes a replacement field of a formatted string, in which, since
// Python 3.12, even the quotes of the string itself may stand.
func (s *scanner) passField(quote string, nesting int) {
	depth, spec := 0, false
	for s.at < len(s.src) {
		switch c := s.src[s.at]; {
		case c == '\n' || c == '\r':
			if len(quote) == 1 {
				return
			}
			s.newline()
		case spec && strings.HasPrefix(s.src[s.at:], quote):
			return // a field that was never closed
		case (c == '"' || c == '\'') && !spec:
			inner := s.src[s.at : s.at+1]
			if q := strings.Repeat(inner, 3); strings.HasPrefix(s.src[s.at:], q) {
				inner = q
			}
			formatted := s.at > 0 && strings.ContainsRune("fFtT", rune(s.src[s.at-1]))
			s.at += len(inner)
			s.passString(inner, formatted, nesting)
		case c == '}' && depth == 0:
			s.at++
			return
		case c == '{' && spec && nesting < maxFormatNesting:
			s.at++
			s.passField(quote, nesting+1)
		case c == ':' && depth == 0:
			spec = true
			s.at++
		case (c == '(' || c == '[' || c == '{') && !spec:
			depth++
			s.at++
		case (c == ')' || c == ']' || c == '}') && !spec:
			depth = max(depth-1, 0)
			s.at++
		default:
			s.at++
		}
	}
}
