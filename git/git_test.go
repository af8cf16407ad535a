package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// local is a work tree with the user's own git, as somebody who pushes has it.
type local struct {
	t   *testing.T
	dir string
}

func newLocal(t *testing.T) local {
	t.Helper()
	l := local{t, t.TempDir()}
	l.git("init", "-q", "-b", "main")
	return l
}

// oneCommit is a clone with one commit of the file a, and the commit's id.
func oneCommit(t *testing.T) (l local, id string) {
	t.Helper()
	l = newLocal(t)
	l.write("a", "a")
	return l, l.commit("one")
}

func (l local) command(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "HOME="+l.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
	return cmd
}

func (l local) git(args ...string) string { l.t.Helper(); return l.input("", args...) }

func (l local) input(stdin string, args ...string) string {
	l.t.Helper()
	cmd := l.command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (l local) write(name, text string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l local) commit(message string) string {
	l.t.Helper()
	l.git("add", "-A")
	l.git("commit", "-q", "--allow-empty", "-m", message)
	return l.git("rev-parse", "HEAD")
}

// commitTree makes a commit of a tree object that git itself would not make.
func (l local) commitTree(tree string) string {
	l.t.Helper()
	return l.input("hostile\n", "commit-tree", tree)
}

func open(t *testing.T) Repository {
	t.Helper()
	repo, err := Repositories{Dir: filepath.Join(t.TempDir(), "git")}.Open(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// push runs git push against Receive over two FIFOs: git's own protocol,
// without SSH.
func push(t *testing.T, l local, repo Repository, refspec string,
	decide func(ctx context.Context, in *Incoming, out io.Writer) error) (said string, err error) {

	t.Helper()
	var stderr bytes.Buffer
	cmd, in, out := startPush(t, l, repo, refspec, &stderr)
	err = repo.Receive(t.Context(), in, out, io.Discard, "", decide)
	in.Close()
	out.Close()
	cmd.Wait()
	return stderr.String(), err
}

// startPush starts a git push and returns the far ends of its streams: git
// runs a script as its "receive-pack", which carries the bytes over two FIFOs.
func startPush(t *testing.T, l local, repo Repository, refspec string, stderr io.Writer) (cmd *exec.Cmd, in, out *os.File) {
	t.Helper()
	dir := t.TempDir()
	up, down, script := filepath.Join(dir, "up"), filepath.Join(dir, "down"), filepath.Join(dir, "receive-pack")
	for _, name := range []string{up, down} {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A background job has no standard input unless it is kept in another descriptor.
	text := "#!/bin/sh\nexec 5<&0\ncat <&5 >" + up + " &\nexec cat <" + down + " 5<&-\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"push", "--receive-pack=" + script, repo.Path}
	cmd = l.command(append(args, strings.Fields(refspec)...)...)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(up, os.O_RDONLY, 0) // waits for the script
	if err != nil {
		t.Fatal(err)
	}
	out, err = os.OpenFile(down, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return cmd, in, out
}

func accept(ctx context.Context, in *Incoming, _ io.Writer) error { return in.Lock(ctx) }

// noting accepts as accept does, and notes whether it came to a decision.
func noting(decided *bool) func(context.Context, *Incoming, io.Writer) error {
	return func(ctx context.Context, in *Incoming, _ io.Writer) error {
		err := in.Lock(ctx)
		*decided = err == nil
		return err
	}
}

// codeOf returns the code of a refusal; "" is none.
func codeOf(err error) string {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal.code
	}
	return ""
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Fix cart total", "Fix cart total"},
		{"a\x1b[31mred\x07", "a[31mred"},
		{"tab\tand\r\nline", "tab and  line"},
		{"bad \xff utf8", "bad \uFFFD utf8"},
		{"c1 \u009b31m", "c1 31m"},
		{"right\u202eleft", "rightleft"},
		{strings.Repeat("é", 150), strings.Repeat("é", 100)},
	} {
		if got := Printable(c.in, 200); got != c.want {
			t.Errorf("Printable(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestOpen_PutsRightWhatSomebodyChanged(t *testing.T) {
	rs := Repositories{Dir: t.TempDir()}
	repo, err := rs.Open(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	hookFile := filepath.Join(repo.Path, "hooks", hookName)
	os.WriteFile(filepath.Join(repo.Path, "config"), []byte("[core]\n\tbare = true\n"), 0o600)
	os.Remove(hookFile)
	old := filepath.Join(repo.Path, "hooks", "pre-receive") // as an earlier berth has left it
	os.WriteFile(old, []byte("#!/bin/sh\nexit 1\n"), 0o700)
	if _, err := rs.Open(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	out, err := repo.command(t.Context(), "config", "receive.fsckObjects").Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "true" {
		t.Errorf("receive.fsckObjects = %q, %v; want true", got, err)
	}
	if got, _ := os.ReadFile(hookFile); string(got) != hook {
		t.Errorf("hook not written again: %q", got)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the hook of an earlier berth: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(rs.Dir, ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOpen_RefusesNamesThatLeaveTheDirectory(t *testing.T) {
	rs := Repositories{Dir: t.TempDir()}
	for _, name := range []string{"", "..", "../x", ".hidden", "a/b", "a\x00b"} {
		if _, err := rs.Open(t.Context(), name); err == nil {
			t.Errorf("Open(%q) succeeded", name)
		}
	}
}

func TestReadCommit(t *testing.T) {
	l := newLocal(t)
	l.write("a", "a")
	l.git("add", "-A")
	l.input("\x1b[31mFix \xff cart\x07\n\nbody\n", "-c", "i18n.commitEncoding=binary", "commit", "-q", "-F", "-", "--date", "2020-01-01T00:00:00Z")
	repo := open(t)
	if _, err := push(t, l, repo, "main", accept); err != nil {
		t.Fatal(err)
	}
	id := l.git("rev-parse", "HEAD")
	commit, err := repo.ReadCommit(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(commit.Subject, "\x1b\x07\n") || !strings.HasPrefix(commit.Subject, "[31mFix ") {
		t.Errorf("subject %q", commit.Subject)
	}
	if commit.Author != "Ada" || time.Since(commit.Time).Abs() > time.Hour {
		t.Errorf("author %q, time %v", commit.Author, commit.Time)
	}
	if tree := l.git("rev-parse", "HEAD^{tree}"); commit.Tree != tree {
		t.Errorf("tree %s, want %s", commit.Tree, tree)
	}
	for _, bad := range []string{"HEAD", "--help", id[:39], id + "\ninfo " + id, strings.ToUpper(id)} {
		if _, err := repo.ReadCommit(t.Context(), bad); !errors.Is(err, ErrObjectID) {
			t.Errorf("ReadCommit(%q): %v, want ErrObjectID", bad, err)
		}
	}
	if _, err := repo.ReadCommit(t.Context(), strings.Repeat("1", 40)); !errors.Is(err, errMissing) {
		t.Errorf("missing commit: %v", err)
	}
	if _, err := repo.ReadCommit(t.Context(), commit.Tree); err == nil || !strings.Contains(err.Error(), "is a tree, not a commit") {
		t.Errorf("a tree read as a commit: %v", err)
	}
}

func TestSetHead_CloneChecksOutTheDeployBranch(t *testing.T) {
	l, _ := oneCommit(t)
	repo := open(t)
	if _, err := push(t, l, repo, "main:live", accept); err != nil {
		t.Fatal(err)
	}
	if err := repo.SetHead(t.Context(), "live"); err != nil {
		t.Fatal(err)
	}
	l.git("clone", "-q", repo.Path, "copy")
	if got := (local{t, filepath.Join(l.dir, "copy")}).git("branch", "--show-current"); got != "live" {
		t.Errorf("clone is on %q, want live", got)
	}
}
