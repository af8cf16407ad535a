package git

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// clone clones from, as a CI system does with a depth.
func (l local) clone(from string, options ...string) local {
	l.t.Helper()
	dir := filepath.Join(l.t.TempDir(), "clone")
	l.git(append(append([]string{"clone", "-q"}, options...), "file://"+from, dir)...)
	return local{l.t, dir}
}

func (l local) history(n int) {
	l.t.Helper()
	for i := range n {
		l.write("a", fmt.Sprint(i))
		l.commit(fmt.Sprint(i))
	}
}

// whole checks that the repository can be cloned, checked and packed.
func whole(t *testing.T, l local, repo Repository, commits int) {
	t.Helper()
	if err := repo.SetHead(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out, err := repo.command(t.Context(), "fsck", "--strict", "--connectivity-only").CombinedOutput(); err != nil {
			t.Errorf("fsck: %v\n%s", err, out)
		}
		copy := l.clone(repo.Path)
		if got := copy.git("rev-list", "--count", "HEAD"); got != fmt.Sprint(commits) {
			t.Errorf("a clone has %s commits, want %d", got, commits)
		}
		if err := repo.run(t.Context(), "gc", "--quiet", "--prune=now"); err != nil {
			t.Error(err)
		}
	}
}

func TestReceive_ShallowClonesPush(t *testing.T) {
	origin := newLocal(t)
	origin.history(5)
	repo := open(t)
	take := func(what string, l local, refspec string) {
		t.Helper()
		decided := false
		said, err := push(t, l, repo, refspec, noting(&decided))
		if err != nil || strings.Contains(said, "rejected") || !decided {
			t.Fatalf("%s: %v\n%s", what, err, said)
		}
		if got, want := refOf(repo, "refs/heads/main"), l.git("rev-parse", "HEAD"); got != want {
			t.Errorf("%s: main is at %q, want %s", what, got, want)
		}
	}
	ci := origin.clone(origin.dir, "--depth", "1")
	take("a clone of depth 1", ci, "main")
	whole(t, origin, repo, 1)

	ci.history(1)
	take("its next commit", ci, "main")
	whole(t, origin, repo, 2)

	// Each run of a pipeline clones anew.
	origin.history(2)
	take("a fresh clone of depth 1, forced", origin.clone(origin.dir, "--depth", "1"), "+main")
	whole(t, origin, repo, 1)

	origin.history(1)
	take("the whole clone afterwards", origin, "main")
	whole(t, origin, repo, 2)

	origin.history(1)
	take("a clone of depth 2 that has what is there", origin.clone(origin.dir, "--depth", "2"), "main")
	whole(t, origin, repo, 3)

	// An empty push of the same, and a deletion, from a shallow clone.
	if said, err := push(t, ci, repo, "main:refs/heads/other", accept); err != nil || strings.Contains(said, "rejected") {
		t.Errorf("another branch: %v\n%s", err, said)
	}
	if said, err := push(t, ci, repo, ":refs/heads/other", accept); err != nil || strings.Contains(said, "rejected") {
		t.Errorf("a deletion: %v\n%s", err, said)
	}
}

func TestReceive_AShallowCloneDoesNotCutAHistoryThatIsThere(t *testing.T) {
	origin := newLocal(t)
	origin.history(5)
	repo := open(t)
	if _, err := push(t, origin, repo, "main", accept); err != nil {
		t.Fatal(err)
	}
	ci := origin.clone(origin.dir, "--depth", "1")
	ci.history(1)
	if said, err := push(t, ci, repo, "main", accept); err != nil || strings.Contains(said, "rejected") {
		t.Fatalf("%v\n%s", err, said)
	}
	whole(t, origin, repo, 6)
	if _, err := os.Stat(filepath.Join(repo.Path, "shallow")); !os.IsNotExist(err) {
		t.Errorf("the repository has become shallow: %v", err)
	}
}

func TestReceive_ARefusedShallowPushLeavesTheRepositoryAsItWas(t *testing.T) {
	origin := newLocal(t)
	origin.history(3)
	repo := open(t)
	ci := origin.clone(origin.dir, "--depth", "1")
	push(t, ci, repo, "main", func(ctx context.Context, in *Incoming, _ io.Writer) error {
		if err := in.Lock(ctx); err != nil {
			t.Error(err)
		}
		return io.EOF
	})
	for _, name := range []string{"shallow", unfinished} {
		if _, err := os.Stat(filepath.Join(repo.Path, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(repo.Path, ".new-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := push(t, origin, repo, "main", accept); err != nil {
		t.Fatal(err)
	}
	whole(t, origin, repo, 3)
}
