package git

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTake_GivesTheObjectsAndNoRefs(t *testing.T) {
	l := newLocal(t)
	l.write("web.py", "print('hello')")
	id := l.commit("one")
	repos := Repositories{Dir: filepath.Join(t.TempDir(), "git")}
	old, err := repos.Open(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := push(t, l, old, "HEAD:refs/heads/main", accept); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	unfinished := filepath.Join(old.Path, "objects", "tmp_objdir-incoming-x")
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		t.Fatal(err)
	}
	repo, err := repos.Open(t.Context(), "copy")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := repo.Take(t.Context(), old); err != nil {
			t.Fatal(err)
		}
	}
	if commit, err := repo.ReadCommit(t.Context(), id); err != nil || commit.Subject != "one" {
		t.Errorf("the commit: %+v, %v", commit, err)
	}
	if _, known, err := repo.Resolve(t.Context(), "refs/heads/main"); known || err != nil {
		t.Errorf("it has the branch too: %v, %v", known, err)
	}
	if _, err := os.Stat(filepath.Join(repo.Path, "objects", "tmp_objdir-incoming-x")); err == nil {
		t.Error("it has what was on its way in")
	}
	if err := repo.SetBranch(t.Context(), "main", id); err != nil {
		t.Fatal(err)
	}
	if err := repos.Remove("shop"); err != nil { // each has names of its own
		t.Fatal(err)
	}
	if got, _, err := repo.Resolve(t.Context(), "refs/heads/main"); got != id || err != nil {
		t.Errorf("the branch is at %s, %v", got, err)
	}
	if err := repo.SetBranch(t.Context(), "main", "--help"); err == nil {
		t.Error("an option was taken for a commit")
	}
}
