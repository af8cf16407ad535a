package code

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write docs/errors.md anew")

// page is docs/errors.md. Its headings are the codes alone, so that a link to
// one (errors.md#e301) stays good when its sentence changes.
func page() []byte {
	var b bytes.Buffer
	b.WriteString("# Errors\n\n" +
		"<!-- Made of store/fault/code: go test ./store/fault/code -run Docs -update -->\n\n" +
		"An error has a sentence, a code in brackets, what was seen, and a hint. The code is stable, so that scripts " +
		"and pages can refer to it. `berth explain E301` prints what stands here, also over SSH: `ssh berth@HOST explain E301`.\n")
	last := byte(0)
	for _, e := range All() {
		if class := e.Code[1]; class != last {
			fmt.Fprintf(&b, "\n## %s\n", classes[class])
			last = class
		}
		fmt.Fprintf(&b, "\n### %s\n\n**%s** %s", e.Code, e.Sentence, e.Help)
		if script := Script(e.Code); script != "" {
			fmt.Fprintf(&b, " (`%s` prints this code too.)", script)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

var classes = map[byte]string{
	'1': "E100 to E199: apps, access, settings, and berth itself",
	'2': "E200 to E299: the source and its build",
	'3': "E300 to E399: start and health",
	'4': "E400 to E499: pushes and sessions",
	'5': "E500 to E599: the machine",
	'6': "E600 to E699: storage, resources and networks",
}

func TestDocs_AreCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "errors.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, page(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page()) {
		t.Error("docs/errors.md is not what the table says: go test ./store/fault/code -run Docs -update")
	}
}
