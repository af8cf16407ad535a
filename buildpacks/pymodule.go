package buildpacks

import (
	"path"
	"strings"
)

// pyModule is what one Python file says: what it imports, what names it gives
// at its top level, and what it calls.
type pyModule struct {
	file    string            // "web.py"
	imports []pyImport        // in order
	names   map[string]string // a local name → what it stands for: "F" → "flask.Flask"
	stars   []string          // modules all of whose names were imported
	assigns []pyAssign        // at the top level, in order
	defs    []pyDef           // functions at the top level
	calls   []string          // what is called anywhere, as written: "Flask", "app.run"
	script  bool              // has an if __name__ == "__main__"

	settings string // Django's, as in os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site.settings")
}

type pyImport struct {
	module   string // "a.b"; "" for one relative to the package
	level    int    // leading dots
	name     string // of "from module import name"
	optional bool   // the program goes on without it
}

type pyAssign struct {
	name  string
	value string // dotted name on the right: "flask.Flask", "dash.server"
	call  bool   // which is called
}

type pyDef struct {
	name string
	bare bool // can be called with no arguments
}

// pyBlock is an indented block that the line at hand stands in.
type pyBlock struct {
	indent int
	kind   pyBlockKind
	try    *bool // of a try: whether it is one that a missing module does not end
}

type pyBlockKind byte

const (
	pyPlain    pyBlockKind = iota // if, for, with: still the top level
	pyScope                       // def, class
	pyMain                        // if __name__ == "__main__"
	pyTyping                      // if TYPE_CHECKING
	pyEither                      // if sys.version_info, sys.platform, and their else
	pyTry                         // try
	pyFallback                    // except ImportError
)

// maxStatements bounds what is kept of each sort; what comes later in a file
// of that size is generated, and no app.
const maxStatements = 2000

// parsePython reads a module.
func parsePython(file, src string) *pyModule {
	m := &pyModule{file: file, names: map[string]string{}}
	var blocks []pyBlock
	tries := map[int]*bool{}      // the last try at an indentation
	ifs := map[int]pyBlockKind{}  // the last if at an indentation
	guards := make([][]*bool, 0)  // of each import, the tries it stands in
	record := func(b []pyBlock) { // brings guards up to the imports
		var g []*bool
		for _, block := range b {
			if block.try != nil {
				g = append(g, block.try)
			}
		}
		for len(guards) < len(m.imports) {
			guards = append(guards, g)
		}
	}
	for _, line := range scanPython(src) {
		for len(blocks) > 0 && blocks[len(blocks)-1].indent >= line.indent {
			blocks = blocks[:len(blocks)-1]
		}
		m.callsIn(line.tokens)
		head, body := splitHead(line.tokens)
		if head == nil {
			m.statements(body, blocks)
			record(blocks)
			continue
		}
		block := pyBlock{indent: line.indent}
		switch word := head[0].text; word {
		case "def", "class", "async":
			if word != "async" || len(head) > 1 && head[1].is("def") {
				block.kind = pyScope
			}
			if word == "def" && topLevel(blocks) {
				m.def(head)
			}
		case "if", "elif":
			block.kind = conditionKind(head)
			if word == "elif" && ifs[line.indent] == pyEither {
				block.kind = pyEither
			}
			ifs[line.indent] = block.kind
			m.script = m.script || block.kind == pyMain
		case "else":
			if ifs[line.indent] == pyEither {
				block.kind = pyEither
			}
		case "try":
			block.kind, block.try = pyTry, new(bool)
			tries[line.indent] = block.try
			delete(ifs, line.indent)
		case "except":
			if caught := tries[line.indent]; caught != nil && catchesImport(head) {
				*caught = true
				block.kind = pyFallback
			}
		}
		m.statements(body, append(blocks, block))
		record(append(blocks, block))
		blocks = append(blocks, block)
	}
	for i, g := range guards {
		for _, caught := range g {
			m.imports[i].optional = m.imports[i].optional || *caught
		}
	}
	return m
}

// splitHead splits a line at the colon that ends the head of a block. head is
// nil when the line is no head.
func splitHead(tokens []pyToken) (head, body []pyToken) {
	if tokens[0].kind != pyName {
		return nil, tokens
	}
	switch tokens[0].text {
	case "if", "elif", "else", "try", "except", "finally", "for", "while", "with", "def", "class", "async":
	default:
		return nil, tokens
	}
	depth, lambdas := 0, 0
	for i, t := range tokens {
		if t.kind == pyName && t.text == "lambda" && depth == 0 {
			lambdas++
		}
		if t.kind != pyOp {
			continue
		}
		switch t.text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case ":":
			if depth > 0 {
				continue
			}
			if lambdas > 0 {
				lambdas--
				continue
			}
			return tokens[:i], tokens[i+1:]
		}
	}
	return tokens, nil
}

func topLevel(blocks []pyBlock) bool {
	for _, b := range blocks {
		if b.kind == pyScope || b.kind == pyMain || b.kind == pyTyping {
			return false
		}
	}
	return true
}

func conditionKind(head []pyToken) pyBlockKind {
	for i, t := range head {
		if t.kind != pyName {
			continue
		}
		switch t.text {
		case "__name__":
			if i+1 < len(head) && head[i+1].is("!") {
				return pyPlain
			}
			return pyMain
		case "TYPE_CHECKING":
			if i == 0 || !head[i-1].is("not") {
				return pyTyping
			}
		case "version_info", "platform":
			return pyEither
		}
	}
	return pyPlain
}

func catchesImport(head []pyToken) bool {
	if len(head) == 1 {
		return true
	}
	for _, t := range head {
		if t.is("ImportError") || t.is("ModuleNotFoundError") || t.is("Exception") || t.is("BaseException") {
			return true
		}
	}
	return false
}

// statements reads the simple statements of a line.
func (m *pyModule) statements(tokens []pyToken, blocks []pyBlock) {
	depth, start := 0, 0
	for i, t := range tokens {
		switch {
		case t.kind != pyOp:
		case strings.Contains("([{", t.text):
			depth++
		case strings.Contains(")]}", t.text):
			depth--
		case t.text == ";" && depth <= 0:
			m.statement(tokens[start:i], blocks)
			start = i + 1
		}
	}
	m.statement(tokens[start:], blocks)
}

func (m *pyModule) statement(tokens []pyToken, blocks []pyBlock) {
	if len(tokens) == 0 || max(len(m.imports), len(m.assigns)) > maxStatements {
		return
	}
	switch {
	case tokens[0].is("import"):
		m.importNames(tokens[1:], blocks)
	case tokens[0].is("from"):
		m.fromImport(tokens[1:], blocks)
	case topLevel(blocks):
		m.assign(tokens)
	}
	for i, t := range tokens {
		if t.kind == pyString && t.text == "DJANGO_SETTINGS_MODULE" && i+2 < len(tokens) && tokens[i+1].is(",") && tokens[i+2].kind == pyString {
			m.settings = tokens[i+2].text
		}
	}
}

// optional tells whether an import in these blocks may fail without harm, as
// far as the blocks' heads tell.
func optional(blocks []pyBlock) bool {
	for _, b := range blocks {
		if b.kind == pyTyping || b.kind == pyEither || b.kind == pyFallback {
			return true
		}
	}
	return false
}

// bind gives a name its meaning; one at the top level wins over one within a
// function.
func (m *pyModule) bind(name, meaning string, blocks []pyBlock) {
	if _, taken := m.names[name]; !taken || topLevel(blocks) {
		m.names[name] = meaning
	}
}

// importNames reads what follows the word import: "a.b as c, d".
func (m *pyModule) importNames(tokens []pyToken, blocks []pyBlock) {
	for len(tokens) > 0 {
		name, n := dotted(tokens)
		if n == 0 {
			return
		}
		m.imports = append(m.imports, pyImport{module: name, optional: optional(blocks)})
		tokens = tokens[n:]
		if len(tokens) > 1 && tokens[0].is("as") {
			m.bind(tokens[1].text, name, blocks)
			tokens = tokens[2:]
		} else {
			first, _, _ := strings.Cut(name, ".")
			m.bind(first, first, blocks)
		}
		if len(tokens) == 0 || !tokens[0].is(",") {
			return
		}
		tokens = tokens[1:]
	}
}

// fromImport reads what follows the word from: "..a.b import (c as d, e)".
func (m *pyModule) fromImport(tokens []pyToken, blocks []pyBlock) {
	level := 0
	for len(tokens) > 0 && tokens[0].is(".") {
		level++
		tokens = tokens[1:]
	}
	module := ""
	if len(tokens) > 0 && !tokens[0].is("import") {
		var n int
		module, n = dotted(tokens)
		tokens = tokens[n:]
	}
	if len(tokens) < 2 || !tokens[0].is("import") || module == "" && level == 0 {
		return
	}
	full := module
	if level > 0 {
		full = relative(m.file, level, module)
	}
	for i := 1; i < len(tokens); i++ {
		switch t := tokens[i]; {
		case t.is("*"):
			m.stars = append(m.stars, full)
			m.imports = append(m.imports, pyImport{module: module, level: level, optional: optional(blocks)})
		case t.is("as") && i+1 < len(tokens):
			last := m.imports[len(m.imports)-1]
			if last.name != "" {
				m.bind(tokens[i+1].text, full+"."+last.name, blocks)
			}
			i++
		case t.kind == pyName:
			m.imports = append(m.imports, pyImport{module: module, level: level, name: t.text, optional: optional(blocks)})
			m.bind(t.text, full+"."+t.text, blocks)
		case t.is("("), t.is(")"), t.is(","):
		default:
			return
		}
	}
}

// relative returns the full name of a module named from within a package.
func relative(file string, level int, module string) string {
	dir := path.Dir(file)
	for ; level > 1; level-- {
		dir = path.Dir(dir)
	}
	name := strings.ReplaceAll(strings.TrimPrefix(dir, "."), "/", ".")
	if module != "" {
		name += "." + module
	}
	return strings.Trim(name, ".")
}

// dotted reads a dotted name and returns how many tokens it takes. A name has
// at most some fifty parts, so that reading it again is cheap.
func dotted(tokens []pyToken) (name string, n int) {
	for n < min(len(tokens), 100) && tokens[n].kind == pyName {
		name += tokens[n].text
		n++
		if n+1 >= len(tokens) || !tokens[n].is(".") || tokens[n+1].kind != pyName {
			break
		}
		name += "."
		n++
	}
	return name, n
}

// assign reads "a = b = name(…)" and "a: T = name(…)".
func (m *pyModule) assign(tokens []pyToken) {
	var targets []string
	for len(tokens) > 2 && tokens[0].kind == pyName {
		equals := 1
		if tokens[1].is(":") {
			if equals = topLevelEquals(tokens); equals < 0 {
				return
			}
		}
		// "==" compares, and ends the chain as any other token does.
		if !tokens[equals].is("=") || equals+1 < len(tokens) && tokens[equals+1].is("=") {
			break
		}
		targets = append(targets, tokens[0].text)
		tokens = tokens[equals+1:]
	}
	value, n := dotted(tokens)
	if len(targets) == 0 || n == 0 {
		return
	}
	call := n < len(tokens) && tokens[n].is("(")
	for _, name := range targets {
		m.assigns = append(m.assigns, pyAssign{name: name, value: value, call: call})
	}
}

func topLevelEquals(tokens []pyToken) int {
	depth := 0
	for i, t := range tokens {
		switch {
		case t.kind != pyOp:
		case strings.Contains("([{", t.text):
			depth++
		case strings.Contains(")]}", t.text):
			depth--
		case t.text == "=" && depth == 0:
			return i
		}
	}
	return -1
}

// def reads the head of a function: "def name(a, b=1, *c) -> T".
func (m *pyModule) def(head []pyToken) {
	if len(m.defs) > maxStatements || len(head) < 4 || head[1].kind != pyName || !head[2].is("(") {
		return
	}
	d := pyDef{name: head[1].text, bare: true}
	depth, given, first := 1, true, true // of the parameter at hand
	for _, t := range head[3:] {
		if depth == 1 && (t.is(",") || t.is(")")) {
			d.bare = d.bare && given
			first, given = true, true
			if t.is(")") {
				break
			}
			continue
		}
		switch {
		case first:
			given = t.is("*") || t.is("/")
			first = false
		case depth == 1 && t.is("="):
			given = true
		}
		switch {
		case t.is("("), t.is("["), t.is("{"):
			depth++
		case t.is(")"), t.is("]"), t.is("}"):
			depth--
		}
	}
	m.defs = append(m.defs, d)
}

// callsIn notes the names that are called in a line.
func (m *pyModule) callsIn(tokens []pyToken) {
	for i := 0; i < len(tokens); {
		name, n := dotted(tokens[i:])
		if n > 0 && i+n < len(tokens) && tokens[i+n].is("(") && len(m.calls) < 10*maxStatements {
			m.calls = append(m.calls, name)
		}
		i += max(n, 1)
	}
}

// meaning returns what a dotted name of the module stands for.
func (m *pyModule) meaning(name string) string {
	first, rest, more := strings.Cut(name, ".")
	full, ok := m.names[first]
	if !ok {
		return name
	}
	if more {
		return full + "." + rest
	}
	return full
}
