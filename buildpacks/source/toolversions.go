package source

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// toolFiles are the files in which asdf and mise keep the versions of all of a
// repository's tools, the first of asdf, the others of mise.
var toolFiles = []string{".tool-versions", "mise.toml", ".mise.toml", "mise/config.toml", ".mise/config.toml", ".config/mise.toml"}

// ToolVersion returns the version of a tool that .tool-versions or mise.toml
// asks for, and where it does; version is "" when none of them does. The tool
// may have several names ("golang", "go"). Of several versions the first is used,
// as it does for asdf and mise.
func (t *Tree) ToolVersion(tool ...string) (version, file string, line int, err error) {
	for _, file := range toolFiles {
		text, err := t.Text(file, MaxManifest)
		if Missing(err) {
			continue
		}
		if err != nil {
			return "", "", 0, err
		}
		if file == toolFiles[0] {
			version, line = asdfVersion(text, tool)
		} else if version, line, err = t.miseVersion(file, text, tool); err != nil {
			return "", "", 0, err
		}
		if version != "" {
			return version, file, line, nil
		}
	}
	return "", "", 0, nil
}

// asdfVersion finds a tool in lines of "tool version [version...]".
func asdfVersion(text string, tool []string) (version string, line int) {
	for i, line := range Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 1 && slices.Contains(tool, words[0]) {
			return words[1], i + 1
		}
	}
	return "", 0
}

// miseVersion finds a tool in the table tools of a file: a version, a list of
// versions, or a table with one.
func (t *Tree) miseVersion(file, text string, tool []string) (version string, line int, err error) {
	var mise struct {
		Tools map[string]any `toml:"tools"`
	}
	if err := t.TOML(CodeVersion, file, MaxManifest, &mise); err != nil {
		return "", 0, err
	}
	for _, name := range tool {
		value, ok := mise.Tools[name]
		if !ok {
			continue
		}
		if list, ok := value.([]any); ok && len(list) > 0 {
			value = list[0]
		}
		if list, ok := value.([]map[string]any); ok && len(list) > 0 {
			value = list[0]
		}
		if table, ok := value.(map[string]any); ok {
			value = table["version"]
		}
		line := lineOf(text, name)
		version, ok := value.(string)
		if !ok || version == "" {
			return "", 0, Problemf(CodeVersion, "%s, line %d: %s has no version", file, line, name).
				Hint(`write it as %s = "1.2.3"`, name)
		}
		return version, line, nil
	}
	return "", 0, nil
}

// lineOf returns the line on which a key of a TOML file probably stands: the
// decoder does not say.
func lineOf(text, key string) int {
	stands := regexp.MustCompile(fmt.Sprintf(`^\s*(\[?tools\.)?["']?%s["']?\s*[\].=]`, regexp.QuoteMeta(key)))
	for i, line := range Lines(text) {
		if stands.MatchString(line) {
			return i + 1
		}
	}
	return 1
}

// CompareVersions compares versions part by part, a missing part counting as 0:
// negative when a is the older one.
func CompareVersions(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x - y
		}
	}
	return 0
}
