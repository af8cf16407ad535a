package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The names of an app's files are as long as the app likes: what is remembered of
// them has a bound.
func TestLinks_RememberSoManyBytesOfNames(t *testing.T) {
	dir := t.TempDir()
	var l links
	meet := func(n int, name string) string {
		file := filepath.Join(dir, fmt.Sprint(n))
		if _, err := os.Lstat(file); err != nil {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(file, file+".link"); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		return l.first(found{path: name, info: info})
	}
	long := strings.Repeat("x", mostLinkedBytes/4)
	for n := range 8 {
		if got := meet(n, long); got != "" {
			t.Errorf("file %d was not met before, but has the name %.10q", n, got)
		}
	}
	if l.bytes != mostLinkedBytes || len(l.names) != 4 {
		t.Errorf("%d bytes of %d names are kept", l.bytes, len(l.names))
	}
	for n, want := range map[int]string{0: long, 3: long, 4: "", 7: ""} {
		if got := meet(n, "again"); got != want {
			t.Errorf("file %d: got %.10q", n, got)
		}
	}
}
