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
		"none":          {"README.md", "python 3.12", "", "", 0},
		"asdf":          {".tool-versions", "# tools\nnodejs 22.1.0\r\npython 3.12.4 3.11.9 # both\n", "3.12.4", ".tool-versions", 3},
		"no version":    {".tool-versions", "python\n", "", "", 0},
		"another tool":  {".tool-versions", "python-build 1.2\n", "", "", 0},
		"mise":          {"mise.toml", "[env]\nA = '1'\n[tools]\nnode = '22'\npython = '3.12'\n", "3.12", "mise.toml", 5},
		"mise, list":    {".mise.toml", "[tools]\npython = ['3.12', '3.11']\n", "3.12", ".mise.toml", 2},
		"mise, table":   {"mise.toml", "[tools]\n'python' = {version = '3.12', virtualenv = '.venv'}\n", "3.12", "mise.toml", 2},
		"mise, section": {"mise.toml", "\n[tools.python]\nversion = '3.12'\n", "3.12", "mise.toml", 2},
		"mise, dotted":  {"mise.toml", "tools.python = '3.12'\n", "3.12", "mise.toml", 1},
		"mise, number":  {"mise.toml", "[tools]\npython = 3.12\n", "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			tree := &Tree{FS: fstest.MapFS{c.file: {Data: []byte(c.text)}}}
			version, file, line, err := tree.ToolVersion("python", "cpython")
			if err != nil || version != c.version || file != c.from || line != c.line {
				t.Errorf("got %q of %s, line %d, %v; want %q of %s, line %d", version, file, line, err, c.version, c.from, c.line)
			}
		})
	}
	if _, _, _, err := (&Tree{FS: fstest.MapFS{"mise.toml": {Data: []byte("[tools\n")}}}).ToolVersion("python"); err == nil {
		t.Error("a mise.toml that is no TOML was let through")
	}
}

func FuzzToolVersion(f *testing.F) {
	f.Add("python 3.12.4 # x\n", "[tools]\npython = ['3.12']\n")
	f.Add("python", "[[tools.python]]\nversion = '3'\n")
	f.Fuzz(func(t *testing.T, asdf, mise string) {
		tree := &Tree{FS: fstest.MapFS{".tool-versions": {Data: []byte(asdf)}, "mise.toml": {Data: []byte(mise)}}}
		if version, file, line, err := tree.ToolVersion("python"); err == nil && version != "" && (file == "" || line < 1) {
			t.Errorf("%q comes from %q, line %d", version, file, line)
		}
	})
}
