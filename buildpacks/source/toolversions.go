package source

import (
	"slices"
	"strings"
)

// ToolVersion returns the version of a tool that .tool-versions or mise.toml
// asks for, the files of asdf and mise, with the file and the line that do; ""
// when neither names the tool. A tool may have several names ("node", "nodejs").
// Of several versions the first counts: the others are for when it is missing.
func (t *Tree) ToolVersion(tool ...string) (version, file string, line int, err error) {
	version, line, err = t.asdf(tool)
	if version != "" || err != nil {
		return version, ".tool-versions", line, err
	}
	for _, file := range []string{"mise.toml", ".mise.toml"} {
		version, line, err := t.mise(file, tool)
		if version != "" || err != nil {
			return version, file, line, err
		}
	}
	return "", "", 0, nil
}

// asdf reads lines of "nodejs 24.11.1".
func (t *Tree) asdf(tool []string) (version string, line int, err error) {
	text, err := t.Text(".tool-versions", MaxManifest)
	if Missing(err) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	for i, raw := range Lines(text) {
		raw, _, _ = strings.Cut(raw, "#")
		if words := strings.Fields(raw); len(words) > 1 && slices.Contains(tool, words[0]) {
			return words[1], i + 1, nil
		}
	}
	return "", 0, nil
}

// mise reads the table [tools]: node = "24", node = ["24", "22"] or
// node = { version = "24" }.
func (t *Tree) mise(file string, tool []string) (version string, line int, err error) {
	var config struct {
		Tools map[string]any `toml:"tools"`
	}
	err = t.TOML(CodeVersion, file, MaxManifest, &config)
	if Missing(err) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	for _, name := range tool {
		if version = miseVersion(config.Tools[name]); version != "" {
			return version, t.lineOf(file, name), nil
		}
	}
	return "", 0, nil
}

func miseVersion(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []any:
		if len(v) > 0 {
			return miseVersion(v[0])
		}
	case map[string]any:
		s, _ := v["version"].(string)
		return s
	}
	return ""
}

// lineOf returns the line of a TOML file that sets a key; 0 when it is not plain.
func (t *Tree) lineOf(file, key string) int {
	text, err := t.Text(file, MaxManifest)
	if err != nil {
		return 0
	}
	for i, line := range Lines(text) {
		name, _, _ := strings.Cut(line, "=")
		if strings.Trim(strings.TrimSpace(name), `"'`) == key {
			return i + 1
		}
	}
	return 0
}
