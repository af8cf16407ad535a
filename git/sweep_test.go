package git

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSweep_OfAllRepositoriesAtTheStart(t *testing.T) {
	rs := Repositories{Dir: filepath.Join(t.TempDir(), "git"), UID: os.Getuid(), GID: os.Getgid()}
	if err := rs.Sweep(); err != nil {
		t.Errorf("before there is any: %v", err)
	}
	var left []string
	for _, name := range []string{"shop", "blog"} {
		repo, err := rs.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, filepath.Join(repo.Path, "objects", "tmp_objdir-incoming-"+name, "pack"))
	}
	left = append(left, filepath.Join(rs.Dir, ".new-123", "objects"))
	for _, dir := range left {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pack-1.pack"), []byte("half"), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := rs.Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range left {
		if _, err := os.Stat(filepath.Dir(dir)); err == nil {
			t.Errorf("%s is left", filepath.Dir(dir))
		}
	}
	for _, name := range []string{"shop", "blog"} {
		if _, err := os.Stat(filepath.Join(rs.Dir, name+".git", "HEAD")); err != nil {
			t.Errorf("the repository of %s: %v", name, err)
		}
	}
}
