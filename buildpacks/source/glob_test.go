package source

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestGlob_FitsAsFilesDo(t *testing.T) {
	tree := &Tree{FS: fstest.MapFS{"crates/a/Cargo.toml": {}, "crates/b/Cargo.toml": {}, "crates/README": {}, "x.txt": {}}}
	for pattern, want := range map[string][]string{
		"crates/*":      {"crates/README", "crates/a", "crates/b"},
		"crates/[ab]/*": {"crates/a/Cargo.toml", "crates/b/Cargo.toml"},
		"crates/a":      {"crates/a"},
		"./crates//b/":  {"crates/b"},
		"*.txt":         {"x.txt"},
		"nothing/*":     nil,
		"../*":          nil,
		"x.txt/*":       nil,
	} {
		got, err := tree.Glob(pattern)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v; want %q", pattern, got, err, want)
		}
	}
	if _, err := tree.Glob("a/[/b"); err == nil {
		t.Error("a malformed pattern was let through")
	}
}

// Ten links to the directory itself, and ten stars: 10^10 names.
func TestGlob_TreeThatLeadsBackIntoItselfHasAnEnd(t *testing.T) {
	dir := t.TempDir()
	for _, name := range strings.Split("abcdefghij", "") {
		if err := os.Symlink(".", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := &Tree{FS: root.FS()}
	done := make(chan int)
	go func() {
		names, _ := tree.Glob("*/*/*/*/*/*/*/*/*/*")
		done <- len(names)
	}()
	select {
	case n := <-done:
		if n > 0 {
			t.Errorf("%d names were found behind links", n)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it has no end")
	}
}
