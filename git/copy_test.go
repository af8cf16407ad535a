package git

import (
	"context"
	"errors"
	"io"
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

// The directories are git's, and whoever has got hold of git may have put
// anything there; Take is root's.
func TestTake_IsNotLedOutOfTheRepositories(t *testing.T) {
	repos := Repositories{Dir: filepath.Join(t.TempDir(), "git")}
	opened := func(name string) Repository {
		repo, err := repos.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return repo
	}
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}

	old, repo := opened("old"), opened("copy")
	if err := os.Symlink(secret, filepath.Join(old.Path, "shallow")); err != nil {
		t.Fatal(err)
	}
	err := repo.Take(t.Context(), old)
	if text, _ := os.ReadFile(filepath.Join(repo.Path, "shallow")); err == nil || len(text) > 0 {
		t.Errorf("a file outside was read: %q, %v", text, err)
	}

	old, repo = opened("honest"), opened("led")
	if err := os.WriteFile(filepath.Join(old.Path, "shallow"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(repo.Path, "shallow")); err != nil {
		t.Fatal(err)
	}
	err = repo.Take(t.Context(), old)
	if text, _ := os.ReadFile(secret); err == nil || string(text) != "secret" {
		t.Errorf("a file outside was written: %q, %v", text, err)
	}

	elsewhere := t.TempDir()
	old, repo = opened("third"), opened("fourth")
	if err := os.WriteFile(filepath.Join(old.Path, "objects", "info", "packs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(repo.Path, "objects", "info")), os.Symlink(elsewhere, filepath.Join(repo.Path, "objects", "info"))); err != nil {
		t.Fatal(err)
	}
	err = repo.Take(t.Context(), old)
	if left, _ := os.ReadDir(elsewhere); err == nil || len(left) > 0 {
		t.Errorf("files outside were made: %v, %v", left, err)
	}
}

func TestTake_OutlastsAPushThatIsRefused(t *testing.T) {
	l, id := oneCommit(t)
	repos := Repositories{Dir: filepath.Join(t.TempDir(), "git")}
	old, err := repos.Open(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := push(t, l, old, "HEAD:refs/heads/main", accept); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	repo, err := repos.Open(t.Context(), "copy")
	if err != nil {
		t.Fatal(err)
	}
	l.write("b", "b")
	second := l.commit("two")
	no := errors.New("no")
	_, err = push(t, l, repo, "HEAD:refs/heads/main", func(ctx context.Context, _ *Incoming, _ io.Writer) error {
		return errors.Join(no, repo.Take(ctx, old))
	})
	if !errors.Is(err, no) {
		t.Fatalf("got %v, want the refusal", err)
	}
	if _, there, err := repo.Resolve(t.Context(), id); !there || err != nil {
		t.Errorf("what was taken is gone with the push: %v", err)
	}
	if _, there, _ := repo.Resolve(t.Context(), second); there {
		t.Error("the objects of the refused push stay")
	}
}

func TestSetBranch_LeavesWhatIsThere(t *testing.T) {
	l, first := oneCommit(t)
	repo := open(t)
	if said, err := push(t, l, repo, "main", accept); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	l.write("b", "b")
	second := l.commit("two")
	if said, err := push(t, l, repo, "main", accept); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	if err := repo.SetBranch(t.Context(), "main", first); err == nil || refOf(repo, "refs/heads/main") != second {
		t.Errorf("the branch was moved back: %v", err)
	}
}

// A file beside a pack keeps git from tidying up, until its push has ended.
func TestTake_LeavesTheMarksOfAPushThatIsUnderWay(t *testing.T) {
	l, _ := oneCommit(t)
	repos := Repositories{Dir: filepath.Join(t.TempDir(), "git")}
	old, err := repos.Open(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	repo, err := repos.Open(t.Context(), "copy")
	if err != nil {
		t.Fatal(err)
	}
	kept := func(r Repository) []string {
		marks, _ := filepath.Glob(filepath.Join(r.Path, "objects", "pack", "*.keep"))
		return marks
	}
	said, err := push(t, l, old, "HEAD:refs/heads/main", func(ctx context.Context, in *Incoming, out io.Writer) error {
		if len(kept(old)) == 0 {
			t.Error("git keeps nothing: this test tests nothing")
		}
		return errors.Join(accept(ctx, in, out), repo.Take(ctx, old))
	})
	if err != nil {
		t.Fatalf("%v %s", err, said)
	}
	if left := kept(repo); len(left) > 0 {
		t.Errorf("kept for ever: %v", left)
	}
}
