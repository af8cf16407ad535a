package buildpacks

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/source"
)

func TestNoteUnread_OnceForEachFile(t *testing.T) {
	files := fstest.MapFS{".env": {Data: []byte("A=1\nexport BUILDPACK_URL=https://x.test/b\nBUILDPACK_URL=y\n")}, "app.json": {Data: []byte("{}")}}
	for _, u := range unread {
		files[u.file] = &fstest.MapFile{Data: []byte("x")}
	}
	tree := &source.Tree{FS: files}
	noteUnread(tree)
	if len(tree.Notes) != len(unread)+1 {
		t.Errorf("got %q", tree.Notes)
	}
	for _, u := range unread {
		if n := strings.Count(strings.Join(tree.Notes, "\n"), u.file+" is not read"); n != 1 {
			t.Errorf("%s is named %d times", u.file, n)
		}
	}
	plain := &source.Tree{FS: fstest.MapFS{".env": {Data: []byte("# BUILDPACK_URL=x\nNOT_BUILDPACK_URL=1\n")}, "CHECKS.md": {Data: []byte("x")}}}
	if noteUnread(plain); len(plain.Notes) != 0 {
		t.Errorf("a tree without them: %q", plain.Notes)
	}
}
