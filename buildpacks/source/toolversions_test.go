package source

import (
	"testing"
	"testing/fstest"
)

func TestToolVersion_ReadsAsdfAndMise(t *testing.T) {
	for name, c := range map[string]struct {
		file, text, version string
		line                int
	}{
		"asdf":         {".tool-versions", "# tools\nruby 3.3.0\nnodejs 24.11.1 22.0.0 # newest first\n", "24.11.1", 3},
		"another name": {".tool-versions", "node lts\r\n", "lts", 1},
		"not named":    {".tool-versions", "nodejs-foo 1\n#nodejs 2\n", "", 0},
		"mise":         {"mise.toml", "[tools]\npython = '3.13'\nnode = '22'\n", "22", 3},
		"a list":       {".mise.toml", "[tools]\nnode = ['22.1.0', '20']\n", "22.1.0", 2},
		"a table":      {"mise.toml", "[tools.node]\nversion = '20'\n", "20", 0},
		"no text":      {"mise.toml", "[tools]\nnode = true\n", "", 0},
	} {
		tree := &Tree{FS: fstest.MapFS{c.file: {Data: []byte(c.text)}}}
		version, file, line, err := tree.ToolVersion("node", "nodejs")
		if err != nil || version != c.version || line != c.line || version != "" && file != c.file {
			t.Errorf("%s: got %q of %s, line %d, %v; want %q of %s, line %d", name, version, file, line, err, c.version, c.file, c.line)
		}
	}
	tree := &Tree{FS: fstest.MapFS{"mise.toml": {Data: []byte("[tools\n")}}}
	if _, _, _, err := tree.ToolVersion("node"); err == nil {
		t.Error("a malformed mise.toml was passed over")
	}
}

func FuzzToolVersion(f *testing.F) {
	f.Add("nodejs 24\n")
	f.Add("[tools]\nnode = [['x']]\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, file := range []string{".tool-versions", "mise.toml"} {
			(&Tree{FS: fstest.MapFS{file: {Data: []byte(text)}}}).ToolVersion("node", "nodejs")
		}
	})
}
