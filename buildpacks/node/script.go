package node

import (
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// settings are the plain values that a configuration in JavaScript or
// TypeScript has: `build: { outDir: "www" }` is www at "build.outDir". It is
// read and never run; what is computed is not seen.
type settings struct {
	values  map[string]string // by the path of names, the whole of it
	modules map[string]bool   // that are imported
}

// maxConfig bounds a configuration; real ones have a few KiB.
const maxConfig = 256 << 10

// readSettings reads the first of the files that there is; none is no settings.
func readSettings(t *source.Tree, files ...string) settings {
	for _, name := range files {
		text, err := t.Text(name, maxConfig)
		if source.Missing(err) {
			continue
		}
		if err != nil {
			t.Note("%s was not read: %v", name, err)
			continue
		}
		return parseSettings(text)
	}
	return settings{}
}

// configs returns the names that a configuration may have.
func configs(base string) (names []string) {
	for _, ext := range []string{".js", ".mjs", ".ts", ".cjs", ".mts", ".cts"} {
		names = append(names, base+".config"+ext)
	}
	return names
}

// at returns the value of a setting wherever an object that ends in the path
// stands: the path may be within the arguments of a call.
func (s settings) at(path string) string {
	if v, ok := s.values[path]; ok {
		return v
	}
	found := ""
	for _, name := range source.SortedKeys(s.values) {
		if strings.HasSuffix(name, "."+path) && found == "" {
			found = s.values[name]
		}
	}
	return found
}

// own returns the value of a setting of the outermost objects alone.
func (s settings) own(path string) string { return s.values[path] }

const (
	maxSettings = 1000
	maxPath     = 200 // letters
)

// parseSettings reads names and values between braces. A name before a brace
// counts ("build: {"), a call's is passed through ("defineConfig({").
func parseSettings(text string) settings {
	s := settings{values: map[string]string{}, modules: map[string]bool{}}
	type level struct{ path string }
	stack := []level{{}}
	name := ""   // of the setting whose value comes next
	before := "" // the token before this one
	last := ""   // the token before a colon
	for lex := (scanner{text: text}); ; {
		kind, token := lex.next(before)
		if kind == scanEnd {
			return s
		}
		top := stack[len(stack)-1]
		switch {
		case kind == scanString && (before == "from" || before == "import" || (before == "(" && (last == "require" || last == "import"))):
			s.modules[token] = true
		case kind == scanMark && token == ":":
			name = last
		case kind == scanMark && token == "{":
			path := top.path
			if before == ":" && name != "" && len(path)+len(name) < maxPath {
				path = strings.TrimPrefix(path+"."+name, ".")
			}
			if len(stack) < maxPath {
				stack = append(stack, level{path})
			}
			name = ""
		case kind == scanMark && token == "}":
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			name = ""
		case before == ":" && name != "" && (kind == scanString || kind == scanWord):
			path := strings.TrimPrefix(top.path+"."+name, ".")
			if _, ok := s.values[path]; !ok && len(s.values) < maxSettings && len(path) < maxPath && (kind == scanString || token == "true" || token == "false") {
				s.values[path] = token
			}
		}
		if kind == scanWord || kind == scanString {
			last = token
		}
		if kind == scanString {
			before = `"`
		} else {
			before = token
		}
	}
}

type scanKind byte

const (
	scanEnd    scanKind = iota
	scanWord            // an identifier, a keyword, a number
	scanString          // its content, without escapes that matter here
	scanMark            // one character of anything else
)

// scanner splits JavaScript into words, strings and marks, without comments.
type scanner struct {
	text string
	at   int
}

func (l *scanner) next(before string) (scanKind, string) {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch c := rest[0]; {
		case c <= ' ':
			l.at++
		case strings.HasPrefix(rest, "//"):
			l.skip(2, "\n")
		case strings.HasPrefix(rest, "/*"):
			l.skip(2, "*/")
		case c == '"' || c == '\'' || c == '`':
			return scanString, l.quoted(c)
		case c == '/' && !operand(before):
			l.quoted('/') // a regular expression
			return scanMark, ")"
		case isWord(c):
			n := 1
			for n < len(rest) && isWord(rest[n]) {
				n++
			}
			l.at += n
			return scanWord, rest[:n]
		default:
			l.at++
			return scanMark, rest[:1]
		}
	}
	return scanEnd, ""
}

// operand tells whether a slash after the token divides.
func operand(token string) bool {
	return token == ")" || token == "]" || token == "}" || token == `"` || token != "" && isWord(token[0]) && token != "return"
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (l *scanner) skip(from int, end string) {
	if i := strings.Index(l.text[l.at+from:], end); i >= 0 {
		l.at += from + i + len(end)
		return
	}
	l.at = len(l.text)
}

// quoted returns what stands until the quote comes again. A string without an
// end is none of the language's: it ends with its line, and is empty.
func (l *scanner) quoted(quote byte) string {
	var b strings.Builder
	for i := l.at + 1; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == quote:
			l.at = i + 1
			return b.String()
		case c == '\\' && i+1 < len(l.text):
			i++
			b.WriteByte(l.text[i])
		case c == '\n' && quote != '`':
			l.at = i
			return ""
		default:
			b.WriteByte(c)
		}
	}
	l.at = len(l.text)
	return ""
}
