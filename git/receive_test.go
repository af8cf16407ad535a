package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestReceive_DecideSeesTheObjectsAndSpeaksLive(t *testing.T) {
	l := newLocal(t)
	l.write("hello.py", "print('Hello world!')\n")
	id := l.commit("hello")
	repo := open(t)
	said, err := push(t, l, repo, "main", func(ctx context.Context, in *Incoming, out io.Writer) error {
		if len(in.Updates) != 1 || in.Updates[0].New != id || in.Updates[0].Branch() != "main" || in.Updates[0].Deletes() {
			t.Errorf("updates %+v", in.Updates)
		}
		if _, err := repo.ReadCommit(ctx, id); err != nil {
			t.Errorf("the pushed commit: %v", err)
		}
		if err := in.Lock(ctx); err != nil {
			t.Error(err)
		}
		if got := refOf(repo, "refs/heads/main"); got != "" {
			t.Errorf("main is at %s before the decision", got)
		}
		// Nothing that is said can pass for an answer.
		fmt.Fprint(out, "-----> shop\nng refs/heads/main no\nok refs/heads/main\n0000\x00\xff\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "remote: -----> shop") {
		t.Errorf("pusher saw %q", said)
	}
	if got := refOf(repo, "refs/heads/main"); got != id {
		t.Errorf("main is at %q, want %s", got, id)
	}
}

// refOf returns where a ref is; "" is nowhere.
func refOf(repo Repository, ref string) string {
	out, _ := repo.command(context.Background(), "rev-parse", "--verify", "--quiet", ref).Output()
	return strings.TrimSpace(string(out))
}

func TestReceive_RefusalKeepsTheRefAndCanBePushedAgain(t *testing.T) {
	l, _ := oneCommit(t)
	repo := open(t)
	failure := errors.New("build failed")
	said, err := push(t, l, repo, "main", func(_ context.Context, _ *Incoming, out io.Writer) error {
		fmt.Fprintln(out, "error: it does not build")
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("Receive: %v, want the decision's error", err)
	}
	if left := repo.packFiles(); len(left) > 0 {
		t.Errorf("the objects stay: %v", left)
	}
	if !strings.Contains(said, "error: it does not build") || !strings.Contains(said, "pre-receive hook declined") {
		t.Errorf("pusher saw %q", said)
	}
	if _, err := os.Stat(filepath.Join(repo.Path, "refs/heads/main")); !os.IsNotExist(err) {
		t.Errorf("the ref is there: %v", err)
	}
	noDebris(t, repo)
	if _, err := push(t, l, repo, "main", accept); err != nil {
		t.Errorf("second push: %v", err)
	}
}

// While a push comes in its app may be renamed, and another take the name.
func TestReceive_ARefusedPushLeavesTheRepositoryThatTookThePathAlone(t *testing.T) {
	l := newLocal(t)
	l.write("a", "a")
	l.commit("one")
	repo := open(t)
	packs := func(path string) (names []string) { return Repository{Path: path}.packFiles() }
	if _, err := push(t, l, repo, "main", accept); err != nil {
		t.Fatal(err)
	}
	moved, before := repo.Path+"-moved", packs(repo.Path)
	other := open(t)
	l.write("b", "b")
	l.commit("two")
	if _, err := push(t, l, other, "main", accept); err != nil {
		t.Fatal(err)
	}
	others := packs(other.Path)
	no := errors.New("no")
	_, err := push(t, l, repo, "main", func(ctx context.Context, in *Incoming, _ io.Writer) error {
		if len(packs(repo.Path)) <= len(before) {
			t.Error("the push brought no pack")
		}
		return errors.Join(no, os.Rename(repo.Path, moved), os.Rename(other.Path, repo.Path))
	})
	if !errors.Is(err, no) {
		t.Errorf("got %v, want the refusal", err)
	}
	if got := packs(repo.Path); len(others) == 0 || !slices.Equal(got, others) {
		t.Errorf("the other repository has %v, want %v", got, others)
	}
	if got := packs(moved); !slices.Equal(got, before) {
		t.Errorf("the renamed repository has %v, want %v", got, before)
	}
}

func TestReceive_SurvivesAPusherThatLeaves(t *testing.T) {
	l, id := oneCommit(t)
	repo := open(t)
	cmd, in, out := startPush(t, l, repo, "main", io.Discard)
	err := repo.Receive(t.Context(), in, &breaking{out: out}, io.Discard, "", func(ctx context.Context, incoming *Incoming, to io.Writer) error {
		if err := incoming.Lock(ctx); err != nil {
			return err
		}
		in.Close()
		out.Close()
		cmd.Wait()
		for range 1000 {
			fmt.Fprintln(to, strings.Repeat("x", 200)) // more than any pipe holds
		}
		return nil
	})
	if err != nil {
		t.Errorf("Receive: %v", err)
	}
	ref, _ := os.ReadFile(filepath.Join(repo.Path, "refs/heads/main"))
	if got := strings.TrimSpace(string(ref)); got != id {
		t.Errorf("main is at %q, want %s: what was deployed must be recorded", got, id)
	}
}

// breaking fails once its file has been closed, like a dropped connection.
type breaking struct{ out *os.File }

func (b *breaking) Write(p []byte) (int, error) { return b.out.Write(p) }

func TestReceive_KilledPushLeavesNothingAfterSweep(t *testing.T) {
	l, _ := oneCommit(t)
	repo := open(t)
	ctx, kill := context.WithCancel(t.Context())
	cmd, in, out := startPush(t, l, repo, "main", io.Discard)
	defer func() { in.Close(); out.Close(); cmd.Wait() }()
	start := time.Now()
	err := repo.Receive(ctx, in, out, io.Discard, "", func(context.Context, *Incoming, io.Writer) error {
		kill()
		return errors.New("stopped")
	})
	if err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("Receive: %v after %v", err, time.Since(start))
	}
	if left := repo.packFiles(); len(left) > 0 {
		t.Errorf("objects of a push that was not accepted: %v", left)
	}
	for _, name := range []string{"refs/heads/main.lock", "packed-refs.lock", "objects/pack/tmp_pack_x", "objects/tmp_objdir-incoming-x/pack/x"} {
		os.MkdirAll(filepath.Dir(filepath.Join(repo.Path, name)), 0o700)
		if err := os.WriteFile(filepath.Join(repo.Path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := repo.Sweep(); err != nil {
		t.Fatal(err)
	}
	noDebris(t, repo)
	if _, err := push(t, l, repo, "main", accept); err != nil {
		t.Errorf("the next push: %v", err)
	}
}

// As when berth stops at the moment in which a release has gone live.
func TestReceive_KilledAfterTheDecisionKeepsWhatWasAccepted(t *testing.T) {
	l, id := oneCommit(t)
	repo := open(t)
	ctx, kill := context.WithCancel(t.Context())
	cmd, in, out := startPush(t, l, repo, "main", io.Discard)
	defer func() { in.Close(); out.Close(); cmd.Wait() }()
	repo.Receive(ctx, in, out, io.Discard, "", func(ctx context.Context, in *Incoming, _ io.Writer) error {
		err := in.Lock(ctx)
		kill()
		return err
	})
	if got := refOf(repo, "refs/heads/main"); got != id {
		t.Errorf("main is at %q, want %s", got, id)
	}
	if out, err := repo.command(t.Context(), "fsck", "--strict").CombinedOutput(); err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	if err := repo.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := push(t, l, repo, "main:refs/heads/next", accept); err != nil {
		t.Errorf("the next push: %v", err)
	}
}

func noDebris(t *testing.T, repo Repository) {
	t.Helper()
	for _, pattern := range []string{"objects/tmp_*", "objects/pack/tmp_*", "*.lock", "refs/heads/*.lock"} {
		if found, _ := filepath.Glob(filepath.Join(repo.Path, pattern)); len(found) > 0 {
			t.Errorf("debris: %v", found)
		}
	}
}

func TestReceive_HookAloneRefuses(t *testing.T) {
	l, _ := oneCommit(t)
	repo := open(t)
	out, err := l.command("push", repo.Path, "main").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "push to berth") {
		t.Errorf("a push into the directory: %v\n%s", err, out)
	}
}

func TestReceive_DroppedBeforeThePackIsUnanswered(t *testing.T) {
	repo := open(t)
	err := repo.Receive(t.Context(), strings.NewReader("00a0"), io.Discard, io.Discard, "", func(context.Context, *Incoming, io.Writer) error {
		t.Error("decide was called")
		return nil
	})
	if !errors.Is(err, ErrUnanswered) {
		t.Errorf("Receive: %v, want ErrUnanswered", err)
	}
	noDebris(t, repo)
}

func TestReceive_PackOverTheLimitIsRefused(t *testing.T) {
	l := newLocal(t)
	noise := make([]byte, 1<<20)
	f, _ := os.Open("/dev/urandom")
	io.ReadFull(f, noise)
	f.Close()
	l.write("noise", string(noise))
	l.commit("big")
	repo, err := Repositories{Dir: t.TempDir(), MaxPack: 100 << 10}.Open(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	said, _ := push(t, l, repo, "main", func(context.Context, *Incoming, io.Writer) error {
		t.Error("decide was called")
		return nil
	})
	if !strings.Contains(said, "exceeds maximum allowed size") {
		t.Errorf("pusher saw %q", said)
	}
}

func TestPrune_RemovesWhatNothingRefersTo(t *testing.T) {
	l, _ := oneCommit(t)
	repo := open(t)
	if _, err := push(t, l, repo, "main", accept); err != nil {
		t.Fatal(err)
	}
	orphan := filepath.Join(repo.Path, "objects/ce/013625030ba8dba906f756967f9e9ca394464a") // "hello\n"
	cmd := repo.command(t.Context(), "hash-object", "-w", "--stdin")
	cmd.Stdin = strings.NewReader("hello\n")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(orphan); err != nil {
		t.Fatal(err)
	}
	if err := repo.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(orphan); !os.IsNotExist(err) {
		t.Errorf("orphan still there: %v", err)
	}
	if _, err := repo.ReadCommit(t.Context(), l.git("rev-parse", "HEAD")); err != nil {
		t.Error(err)
	}
}

func TestReceive_GitRunsAsTheOwnerOfTheRepositories(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	l, id := oneCommit(t)
	const nobody = 65534
	dir := t.TempDir()
	rs := Repositories{Dir: filepath.Join(dir, "git"), UID: nobody, GID: nobody}
	if _, err := rs.Open(t.Context(), "shop"); err == nil {
		t.Error("opened in a directory that git's user cannot enter")
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	repo, err := rs.Open(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	// git push looks at the directory itself before it starts its receive-pack.
	l.git("config", "--local", "safe.directory", "*")
	cmd, in, out := startPush(t, l, repo, "main", io.Discard)
	err = repo.Receive(t.Context(), in, out, io.Discard, "", func(ctx context.Context, in *Incoming, _ io.Writer) error {
		if err := in.Lock(ctx); err != nil {
			return err
		}
		_, err := in.ReadCommit(ctx, id)
		return err
	})
	in.Close()
	out.Close()
	cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Prune(t.Context()); err != nil {
		t.Error(err)
	}
	err = filepath.Walk(repo.Path, func(name string, info os.FileInfo, err error) error {
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("%s belongs to user %d", name, info.Sys().(*syscall.Stat_t).Uid)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// io.WriteString prefers WriteString: with the file's own, the deadline of the
// first line would stand, and the pusher of a longer build lose the rest.
func TestProgress_HasOneWayToWrite(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	p := &progress{file: write}
	write.SetWriteDeadline(time.Now().Add(-time.Second)) // an earlier line's, long past
	if _, err := io.WriteString(p, "late\n"); err != nil || p.gone.Load() {
		t.Errorf("a line after a long silence was lost: %v", err)
	}
}

func TestPrune_KilledOnTheWayLeavesAWholeRepositoryAndIsDoneAgain(t *testing.T) {
	l := newLocal(t)
	repo := open(t)
	for n := range 22 {
		l.write("a", strings.Repeat(fmt.Sprint(n), 1000))
		l.commit("more")
		if _, err := push(t, l, repo, "main", accept); err != nil {
			t.Fatal(err)
		}
	}
	if !repo.Untidy() {
		t.Fatal("22 packs are not untidy: this test shows nothing")
	}
	ctx, kill := context.WithCancel(t.Context())
	kill()
	if err := repo.Prune(ctx); err == nil {
		t.Error("Prune went on after the end of its context")
	}
	// What a gc that was killed leaves: its own locks and half a pack.
	for _, name := range []string{"gc.pid", "objects/pack/.tmp-1-pack-x.pack", "objects/info/commit-graph.lock", "logs/refs/heads/main.lock"} {
		os.MkdirAll(filepath.Dir(filepath.Join(repo.Path, name)), 0o700)
		if err := os.WriteFile(filepath.Join(repo.Path, name), []byte("1 elsewhere"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.write("a", "last")
	id := l.commit("last")
	if err := repo.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := push(t, l, repo, "main", accept); err != nil {
		t.Fatal(err)
	}
	if err := repo.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if repo.Untidy() || refOf(repo, "refs/heads/main") != id {
		t.Errorf("after a second try: untidy %v, main at %s, want %s", repo.Untidy(), refOf(repo, "refs/heads/main"), id)
	}
	whole(t, l, repo, 23)
}

func TestPrune_RemovesTheObjectsOfAPushThatNeverEnded(t *testing.T) {
	l, id := oneCommit(t)
	repo := open(t)
	if _, err := push(t, l, repo, "main", accept); err != nil {
		t.Fatal(err)
	}
	if repo.Untidy() {
		t.Error("untidy after a push that ended")
	}
	// As after the end of berth in the middle of a push.
	if _, err := repo.arrive(); err != nil {
		t.Fatal(err)
	}
	l.write("a", "b")
	lost := l.commit("two")
	pack := l.command("pack-objects", "--revs", "--all", "-q", filepath.Join(repo.Path, packDir, "pack"))
	pack.Stdin = strings.NewReader("")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := repo.ReadCommit(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if !repo.Untidy() {
		t.Fatal("not untidy")
	}
	if err := repo.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.ReadCommit(t.Context(), lost); !errors.Is(err, errMissing) {
		t.Errorf("the lost commit: %v", err)
	}
	if _, err := repo.ReadCommit(t.Context(), id); err != nil || repo.Untidy() {
		t.Errorf("untidy %v, the commit of main: %v", repo.Untidy(), err)
	}
}

func TestAudience_OneWhoStopsReadingHoldsUpNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, write := io.Pipe()
		a := &audience{to: write}
		go io.ReadFull(read, make([]byte, 5))
		start := time.Now()
		if n, err := a.Write([]byte("hello")); n != 5 || err != nil || time.Since(start) != 0 {
			t.Errorf("one who reads: %d, %v after %v", n, err, time.Since(start))
		}
		for range 3 {
			if n, err := a.Write([]byte("more")); n != 4 || err != nil {
				t.Errorf("%d, %v; want that git notices nothing", n, err)
			}
		}
		if took := time.Since(start); took != lastBytes {
			t.Errorf("held up for %v, want %v once", took, lastBytes)
		}
		read.Close()
	})
}
