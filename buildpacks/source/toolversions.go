package source

import (
	"regexp"
	"slices"
	"strings"
)

// miseFiles are the names under which a repository keeps mise's settings.
var miseFiles = []string{"mise.toml", ".mise.toml"}

// ToolVersion returns the version that .tool-versions (asdf) or mise.toml asks
// for, of the tool that goes by one of the names, as it is written there, and
// where. Of several versions the first counts. version is "" when neither asks.
func (t *Tree) ToolVersion(tool ...string) (version, file string, line int, err error) {
	const asdf = ".tool-versions"
	text, err := t.Text(asdf, MaxManifest)
	if err != nil && !Missing(err) {
		return "", "", 0, err
	}
	for i, raw := range Lines(text) {
		raw, _, _ = strings.Cut(raw, "#")
		if words := strings.Fields(raw); len(words) > 1 && slices.Contains(tool, words[0]) {
			return words[1], asdf, i + 1, nil
		}
	}
	for _, file := range miseFiles {
		var mise struct {
			Tools map[string]any `toml:"tools"`
		}
		if err := t.TOML(CodeVersion, file, MaxManifest, &mise); Missing(err) {
			continue
		} else if err != nil {
			return "", "", 0, err
		}
		for _, name := range tool {
			if version := miseVersion(mise.Tools[name]); version != "" {
				text, _ := t.Text(file, MaxManifest)
				return version, file, lineOf(text, name), nil
			}
		}
	}
	return "", "", 0, nil
}

// miseVersion takes what mise takes: "3.12", ["3.12", "3.11"], {version = "3.12"}.
func miseVersion(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		if len(v) > 0 {
			return miseVersion(v[0])
		}
	case []map[string]any:
		if len(v) > 0 {
			return miseVersion(v[0])
		}
	case map[string]any:
		s, _ := v["version"].(string)
		return s
	}
	return ""
}

// lineOf returns the line on which a key of a TOML file stands, as far as it
// can be told; else the first.
func lineOf(text, key string) int {
	stands := regexp.MustCompile(`^\s*(tools\.)?["']?` + regexp.QuoteMeta(key) + `["']?\s*[=.]|^\s*\[tools\.["']?` + regexp.QuoteMeta(key) + `["']?\]`)
	for i, line := range Lines(text) {
		if stands.MatchString(line) {
			return i + 1
		}
	}
	return 1
}
