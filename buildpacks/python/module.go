package python

import (
	"path"
	"strings"
)

// module is what one Python file says: what it imports, what names it gives
// at its top level, and what it calls.
type module struct {
	file    string            // "web.py"
	imports []importation     // in order
	names   map[string]string // a local name → what it stands for: "F" → "flask.Flask"
	stars   []string          // modules all of whose names were imported
	assigns []assign          // at the top level, in order
	defs    []definition      // functions at the top level
	calls   []string          // what is called anywhere, as written: "Flask", "app.run"
	script  bool              // has an if __name__ == "__main__"

	settings string // Django's, as in os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site.settings")
}

type importation struct {
	module   string // "a.b"; "" for one relative to the package
	level    int    // leading dots
	name     string // of "from module import name"
	optional bool   // the program goes on without it
}

type assign struct {
	name  string
	value string // dotted name on the right: "flask.Flask", "dash.server"
	call  bool   // which is called
}

type definition struct {
	name   string
	params []string
	bare   bool // can be called with no arguments
	async  bool
}

// block is an indented block that the line at hand stands in.
type block struct {
	indent int
	kind   blockKind
	try    *bool // of a try: whether it is one that a missing module does not end
}

type blockKind byte

const (
	blockPlain    blockKind = iota // if, for, with: still the top level
	blockScope                     // def, class
	blockMain                      // if __name__ == "__main__"
	blockTyping                    // if TYPE_CHECKING
	blockEither                    // if sys.version_info, sys.platform, and their else
	blockTry                       // try
	blockFallback                  // except ImportError
)

// maxStatements bounds what is kept of each sort; what comes later in a file
// of that size is generated, and no app.
const maxStatements = 2000

// parsePython reads a module.
func parsePython(file, src string) *module {
	m := &module{file: file, names: map[string]string{}}
	var blocks []block
	tries := map[int]*bool{}     // the last try at an indentation
	ifs := map[int]blockKind{}   // the last if at an indentation
	guards := make([][]*bool, 0) // of each import, the tries it stands in
	record := func(b []block) {  // brings guards up to the imports
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
		block := block{indent: line.indent}
		switch word := head[0].text; word {
		case "def", "class", "async":
			async := word == "async" && len(head) > 1 && head[1].is("def")
			if word != "async" || async {
				block.kind = blockScope
			}
			if async && topLevel(blocks) {
				m.def(head[1:], true)
			} else if word == "def" && topLevel(blocks) {
				m.def(head, false)
			}
		case "if", "elif":
			block.kind = conditionKind(head)
			if word == "elif" && ifs[line.indent] == blockEither {
				block.kind = blockEither
			}
			ifs[line.indent] = block.kind
			m.script = m.script || block.kind == blockMain
		case "else":
			if ifs[line.indent] == blockEither {
				block.kind = blockEither
			}
		case "try":
			block.kind, block.try = blockTry, new(bool)
			tries[line.indent] = block.try
			delete(ifs, line.indent)
		case "except":
			if caught := tries[line.indent]; caught != nil && catchesImport(head) {
				*caught = true
				block.kind = blockFallback
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
func splitHead(tokens []token) (head, body []token) {
	if tokens[0].kind != tokenName {
		return nil, tokens
	}
	switch tokens[0].text {
	case "if", "elif", "else", "try", "except", "finally", "for", "while", "with", "def", "class", "async":
	default:
		return nil, tokens
	}
	depth, lambdas := 0, 0
	for i, t := range tokens {
		if t.kind == tokenName && t.text == "lambda" && depth == 0 {
			lambdas++
		}
		if t.kind != tokenOp {
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

func topLevel(blocks []block) bool {
	for _, b := range blocks {
		if b.kind == blockScope || b.kind == blockMain || b.kind == blockTyping {
			return false
		}
	}
	return true
}

func conditionKind(head []token) blockKind {
	for i, t := range head {
		if t.kind != tokenName {
			continue
		}
		switch t.text {
		case "__name__":
			if i+1 < len(head) && head[i+1].is("!") {
				return blockPlain
			}
			return blockMain
		case "TYPE_CHECKING":
			if i == 0 || !head[i-1].is("not") {
				return blockTyping
			}
		case "version_info", "platform":
			return blockEither
		}
	}
	return blockPlain
}

func catchesImport(head []token) bool {
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
func (m *module) statements(tokens []token, blocks []block) {
	depth, start := 0, 0
	for i, t := range tokens {
		switch {
		case t.kind != tokenOp:
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

func (m *module) statement(tokens []token, blocks []block) {
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
		if t.kind == tokenString && t.text == "DJANGO_SETTINGS_MODULE" && i+2 < len(tokens) && tokens[i+1].is(",") && tokens[i+2].kind == tokenString {
			m.settings = tokens[i+2].text
		}
	}
}

// optional tells whether an import in these blocks may fail without harm, as
// far as the blocks' heads tell.
func optional(blocks []block) bool {
	for _, b := range blocks {
		if b.kind == blockTyping || b.kind == blockEither || b.kind == blockFallback {
			return true
		}
	}
	return false
}

// bind gives a name its meaning; one at the top level wins over one within a
// function.
func (m *module) bind(name, meaning string, blocks []block) {
	if _, taken := m.names[name]; !taken || topLevel(blocks) {
		m.names[name] = meaning
	}
}

// importNames reads what follows the word import: "a.b as c, d".
func (m *module) importNames(tokens []token, blocks []block) {
	for len(tokens) > 0 {
		name, n := dotted(tokens)
		if n == 0 {
			return
		}
		m.imports = append(m.imports, importation{module: name, optional: optional(blocks)})
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
func (m *module) fromImport(tokens []token, blocks []block) {
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
			m.imports = append(m.imports, importation{module: module, level: level, optional: optional(blocks)})
		case t.is("as") && i+1 < len(tokens):
			last := m.imports[len(m.imports)-1]
			if last.name != "" {
				m.bind(tokens[i+1].text, full+"."+last.name, blocks)
			}
			i++
		case t.kind == tokenName:
			m.imports = append(m.imports, importation{module: module, level: level, name: t.text, optional: optional(blocks)})
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
func dotted(tokens []token) (name string, n int) {
	for n < min(len(tokens), 100) && tokens[n].kind == tokenName {
		name += tokens[n].text
		n++
		if n+1 >= len(tokens) || !tokens[n].is(".") || tokens[n+1].kind != tokenName {
			break
		}
		name += "."
		n++
	}
	return name, n
}

// assign reads "a = b = name(…)" and "a: T = name(…)".
func (m *module) assign(tokens []token) {
	var targets []string
	for len(tokens) > 2 && tokens[0].kind == tokenName {
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
	if len(targets) == 0 {
		// "app, rt = fast_app()": what makes several things makes the app first.
		if n := tupleTargets(tokens); n > 0 {
			targets, tokens = append(targets, tokens[0].text), tokens[n:]
		}
	}
	value, n := dotted(tokens)
	if len(targets) == 0 || n == 0 {
		return
	}
	call := n < len(tokens) && tokens[n].is("(")
	for _, name := range targets {
		m.assigns = append(m.assigns, assign{name: name, value: value, call: call})
	}
}

// tupleTargets returns how many tokens the names on the left of "a, b = " have,
// the sign included; 0 is no such assignment.
func tupleTargets(tokens []token) int {
	for i := 0; i+1 < len(tokens) && tokens[i].kind == tokenName; i += 2 {
		switch {
		case tokens[i+1].is("="):
			if i == 0 || i+2 < len(tokens) && tokens[i+2].is("=") {
				return 0
			}
			return i + 2
		case !tokens[i+1].is(","):
			return 0
		}
	}
	return 0
}

func topLevelEquals(tokens []token) int {
	depth := 0
	for i, t := range tokens {
		switch {
		case t.kind != tokenOp:
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
func (m *module) def(head []token, async bool) {
	if len(m.defs) > maxStatements || len(head) < 4 || head[1].kind != tokenName || !head[2].is("(") {
		return
	}
	d := definition{name: head[1].text, bare: true, async: async}
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
			if t.kind == tokenName && len(d.params) < 10 {
				d.params = append(d.params, t.text)
			}
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
func (m *module) callsIn(tokens []token) {
	for i := 0; i < len(tokens); {
		name, n := dotted(tokens[i:])
		if n > 0 && i+n < len(tokens) && tokens[i+n].is("(") && len(m.calls) < 10*maxStatements {
			m.calls = append(m.calls, name)
		}
		i += max(n, 1)
	}
}

// meaning returns what a dotted name of the module stands for.
func (m *module) meaning(name string) string {
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
