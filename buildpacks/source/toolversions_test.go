package source

import (
	"testing"
	"testing/fstest"
)

func TestToolVersion(t *testing.T) {
	for name, c := range map[string]struct {
		file, text    string
		version, from string
		line          int
	}{
		"asdf":          {".tool-versions", "nodejs 22.1.0\n# golang 1.20\ngolang 1.22.5 1.21 # both\r\n", "1.22.5", ".tool-versions", 3},
		"asdf, other":   {".tool-versions", "golang-ci 1.60\n", "", "", 0},
		"mise":          {"mise.toml", "[tools]\nnode = \"22\"\ngo = \"1.22\"\n", "1.22", "mise.toml", 3},
		"mise, list":    {".mise.toml", "[tools]\ngo = ['1.22', '1.21']\n", "1.22", ".mise.toml", 2},
		"mise, table":   {"mise.toml", "[tools]\n\"go\" = {version = \"1.21.0\"}\n", "1.21.0", "mise.toml", 2},
		"mise, section": {"mise.toml", "[tools.go]\nversion = \"1.21.0\"\n", "1.21.0", "mise.toml", 1},
	} {
		t.Run(name, func(t *testing.T) {
			tree := &Tree{FS: fstest.MapFS{c.file: {Data: []byte(c.text)}}}
			version, from, line, err := tree.ToolVersion("golang", "go")
			if version != c.version || from != c.from || line != c.line || err != nil {
				t.Errorf("got %q, %q, %d, %v; want %q, %q, %d", version, from, line, err, c.version, c.from, c.line)
			}
		})
	}
}

func FuzzToolVersion(f *testing.F) {
	f.Add("golang 1.22.5")
	f.Add("[tools]\ngo = [{version = 1}]")
	f.Add("[[tools.go]]\nversion = '1'")
	f.Fuzz(func(t *testing.T, text string) {
		for _, file := range toolFiles[:2] {
			tree := &Tree{FS: fstest.MapFS{file: {Data: []byte(text)}}}
			if version, from, line, err := tree.ToolVersion("go"); err == nil && version != "" && (from != file || line < 1) {
				t.Errorf("%q from %q, line %d", version, from, line)
			}
		}
	})
}
