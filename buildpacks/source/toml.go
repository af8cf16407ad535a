package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// TOML decodes a file of at most limit bytes. Its mistakes are problems of the
// code. A file may be hostile: the decoder calls itself for each bracket, so
// they may not nest without end.
func (t *Tree) TOML(code, name string, limit int64, into any) error {
	text, err := t.Text(name, limit)
	if err != nil {
		return err
	}
	if n := strings.Count(text, "[") + strings.Count(text, "{"); n > 1000 {
		if depth := nesting(text); depth > 1000 {
			return Problemf(code, "%s nests its brackets too deep", name)
		}
	}
	if _, err := toml.Decode(text, into); err != nil {
		p := Problemf(code, "%s: %s", name, Printable(strings.TrimPrefix(err.Error(), "toml: ")))
		if parse, ok := errors.AsType[toml.ParseError](err); ok {
			all := Lines(text)
			if n := parse.Position.Line; n > 0 && n <= len(all) {
				p.With(fmt.Sprintf("%d | %s", n, Printable(all[n-1])))
			}
		}
		return p
	}
	return nil
}

// nesting returns how deep brackets nest at the most, strings and comments
// included.
func nesting(text string) int {
	depth, deepest := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return deepest
}
