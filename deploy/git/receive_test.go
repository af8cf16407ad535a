package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReceive_DecideSeesTheQuarantineAndSpeaksLive(t *testing.T) {
	l := newLocal(t)
	l.write("hello.py", "print('Hello world!')\n")
	id := l.commit("hello")
	repo := open(t)
	said, err := push(t, l, repo, "main", func(ctx context.Context, quarantined Repository, updates []Update, out io.Writer) error {
		if len(updates) != 1 || updates[0].New != id || updates[0].Branch() != "main" || updates[0].Deletes() {
			t.Errorf("updates %+v", updates)
		}
		if _, err := quarantined.ReadCommit(ctx, id); err != nil {
			t.Errorf("in the quarantine: %v", err)
		}
		if _, err := repo.ReadCommit(ctx, id); !errors.Is(err, errMissing) {
			t.Errorf("outside the quarantine: %v, want missing", err)
		}
		// Nothing that is said can pass for a verdict.
		fmt.Fprint(out, "-----> shop\nrefuse\naccept\n\x00\xff\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "remote: -----> shop") {
		t.Errorf("pusher saw %q", said)
	}
	if _, err := repo.ReadCommit(t.Context(), id); err != nil {
		t.Errorf("after the push: %v", err)
	}
	if _, err := os.Stat(filepath.Join(repo.Path, "refs/heads/main")); err != nil {
		t.Error(err)
	}
}

func TestReceive_RefusalKeepsTheRefAndCanBePushedAgain(t *testing.T) {
	l := newLocal(t)
	l.write("a", "a")
	l.commit("one")
	repo := open(t)
	failure := errors.New("build failed")
	said, err := push(t, l, repo, "main", func(_ context.Context, _ Repository, _ []Update, out io.Writer) error {
		fmt.Fprintln(out, "error: it does not build")
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("Receive: %v, want the decision's error", err)
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

func TestReceive_SurvivesAPusherThatLeaves(t *testing.T) {
	l := newLocal(t)
	l.write("a", "a")
	id := l.commit("one")
	repo := open(t)
	cmd, in, out := startPush(t, l, repo, "main", io.Discard)
	err := repo.Receive(t.Context(), in, &breaking{out: out}, io.Discard, "", func(_ context.Context, _ Repository, _ []Update, to io.Writer) error {
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
	l := newLocal(t)
	l.write("a", "a")
	l.commit("one")
	repo := open(t)
	ctx, kill := context.WithCancel(t.Context())
	cmd, in, out := startPush(t, l, repo, "main", io.Discard)
	defer func() { in.Close(); out.Close(); cmd.Wait() }()
	start := time.Now()
	err := repo.Receive(ctx, in, out, io.Discard, "", func(context.Context, Repository, []Update, io.Writer) error {
		kill()
		return errors.New("stopped")
	})
	if err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("Receive: %v after %v", err, time.Since(start))
	}
	if found, _ := filepath.Glob(filepath.Join(repo.Path, "objects/tmp_objdir-*")); len(found) == 0 {
		t.Error("the kill left no quarantine: this test shows nothing")
	}
	for _, name := range []string{"refs/heads/main.lock", "packed-refs.lock", "objects/pack/tmp_pack_x"} {
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

func noDebris(t *testing.T, repo Repository) {
	t.Helper()
	for _, pattern := range []string{"objects/tmp_*", "objects/pack/tmp_*", "*.lock", "refs/heads/*.lock"} {
		if found, _ := filepath.Glob(filepath.Join(repo.Path, pattern)); len(found) > 0 {
			t.Errorf("debris: %v", found)
		}
	}
}

func TestReceive_HookAloneRefuses(t *testing.T) {
	l := newLocal(t)
	l.write("a", "a")
	l.commit("one")
	repo := open(t)
	out, err := l.command("push", repo.Path, "main").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "push through berth") {
		t.Errorf("a push into the directory: %v\n%s", err, out)
	}
}

func TestReceive_DroppedBeforeThePackIsUnanswered(t *testing.T) {
	repo := open(t)
	err := repo.Receive(t.Context(), strings.NewReader("00a0"), io.Discard, io.Discard, "", func(context.Context, Repository, []Update, io.Writer) error {
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
	said, _ := push(t, l, repo, "main", func(context.Context, Repository, []Update, io.Writer) error {
		t.Error("decide was called")
		return nil
	})
	if !strings.Contains(said, "exceeds maximum allowed size") {
		t.Errorf("pusher saw %q", said)
	}
}

func TestPrune_RemovesWhatNothingRefersTo(t *testing.T) {
	l := newLocal(t)
	l.write("a", "a")
	l.commit("one")
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
	l := newLocal(t)
	l.write("a", "a")
	id := l.commit("one")
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
	err = repo.Receive(t.Context(), in, out, io.Discard, "", func(ctx context.Context, quarantined Repository, _ []Update, _ io.Writer) error {
		_, err := quarantined.ReadCommit(ctx, id)
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
