package plan

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/mirror"
)

func TestToolVersions(t *testing.T) {
	sum := "@sha256:" + strings.Repeat("0", 64)
	got := ToolVersions(map[string]string{
		"npm": "11.1.0", "python": "3.13",
		"gradle": "8.9", "gradle-archive": "gradle-8.10-bin.zip" + sum,
		"maven-archive": "apache-maven-3.9.9-bin.zip" + sum,
		"rust-archive":  "what another berth wrote",
	})
	want := []string{
		"gradle 8.10 from the mirror (gradle-8.10-bin.zip)", "maven 3.9.9 from the mirror (apache-maven-3.9.9-bin.zip)",
		"npm 11.1.0", "python 3.13",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// The other source of a layer is no part of what it is.
func TestToolchain_ElseIsNoPartOfTheKey(t *testing.T) {
	keys := map[string]bool{}
	for _, other := range []*Tool{nil, {Name: "x", Archive: &mirror.Archive{Tool: "node", Name: "x.tar.xz"}, Commands: []Command{Run("tar")}}} {
		p, c, err := Begin(Request{FS: fstest.MapFS{"x": {}}, Stack: "stack"})
		if err != nil {
			t.Fatal(err)
		}
		top, _, err := c.Toolchain(Toolchain{Title: "T", Tools: []Tool{{Name: "tool", Commands: []Command{Run("npm")}, Keep: []string{"opt/x"}, Else: other}}})
		if err != nil {
			t.Fatal(err)
		}
		keys[top] = true
		if l := p.Layers[0]; other != nil && (l.Else == nil || l.Else.Offline || !slices.ContainsFunc(l.Else.Commands, func(c Command) bool { return slices.Contains(c.Args, "xz-utils") })) {
			t.Errorf("what is packed by xz is unpacked without it: %+v", l.Else)
		}
	}
	if len(keys) != 1 {
		t.Errorf("got %d keys, want 1", len(keys))
	}
}
