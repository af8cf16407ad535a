package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refusedAs pushes and says by which code Lock refuses, and whether git took
// the push all the same.
func refusedAs(t *testing.T, l local, repo Repository, refspec ...string) (code, said string) {
	t.Helper()
	decided := false
	said, err := push(t, l, repo, strings.Join(refspec, " "), noting(&decided))
	if decided == strings.Contains(said, "rejected") {
		t.Errorf("push of %s: decided on: %v, and git said:\n%s", refspec, decided, said)
	}
	return codeOf(err), said
}

func TestLock_WhatGitWouldRefuseIsRefusedBeforeTheDecision(t *testing.T) {
	l, _ := oneCommit(t)
	repo := open(t)
	if code, said := refusedAs(t, l, repo, "main"); code != "" {
		t.Fatalf("%s\n%s", code, said)
	}
	before := refOf(repo, "refs/heads/main")
	l.write("a", "b")
	l.commit("two")
	blob, tree := l.git("rev-parse", "HEAD:a"), l.git("rev-parse", "HEAD^{tree}")
	l.git("tag", "-a", "-m", "a file", "file", blob)
	for _, c := range []struct {
		what, code string
		refspec    string
	}{
		{"a branch below a branch", "E406", "HEAD:refs/heads/main/x"},
		{"a branch that cannot be, beside one that can", "E406", "main HEAD:refs/heads/main/x"},
		{"a name longer than a file's may be", "E406", "main HEAD:refs/heads/" + strings.Repeat("x", 300)},
		{"two refs of which one is below the other", "E406", "main HEAD:refs/tags/t HEAD:refs/tags/t/u"},
		{"a tree", "E407", "+" + tree + ":refs/heads/main"},
		{"a file", "E407", "+" + blob + ":refs/heads/main"},
		{"a tag of a file", "E407", "+file:refs/heads/main"},
		{"a tree on another branch", "E407", "main " + tree + ":refs/heads/other"},
	} {
		decided := false
		said, err := push(t, l, repo, c.refspec, noting(&decided))
		code := codeOf(err)
		if code != c.code || decided || !strings.Contains(said, declined) {
			t.Errorf("%s: %q, want %s; decided: %v\n%v\n%s", c.what, code, c.code, decided, err, said)
		}
		if got := refOf(repo, "refs/heads/main"); got != before {
			t.Errorf("%s: main moved", c.what)
		}
	}
	noDebris(t, repo)
	if code, said := refusedAs(t, l, repo, "main"); code != "" {
		t.Errorf("a push that fits: %s\n%s", code, said)
	}
}

// A client's git never sends these; somebody else's program may.
func TestLock_WhatOnlyAHostileClientSends(t *testing.T) {
	l, id := oneCommit(t)
	zero := strings.Repeat("0", 40)
	whole := l.input(id+"\n", "rev-list", "--objects", "--stdin")
	var all []string
	for line := range strings.Lines(whole) {
		all = append(all, strings.Fields(line)[0])
	}
	tooShallow := make([]string, maxShallow+1, maxShallow+2)
	for n := range tooShallow {
		tooShallow[n] = fmt.Sprintf("shallow %040x", n+1)
	}
	tooShallow = append(tooShallow, zero+" "+id+" refs/heads/main")
	for _, c := range []struct {
		what    string
		lines   []string
		objects []string
		code    string
	}{
		{"a commit without its tree", []string{zero + " " + id + " refs/heads/main"}, []string{id}, ""},
		{"one ref that is broken, beside one that is not", []string{zero + " " + id + " refs/heads/main", zero + " " + strings.Repeat("1", 40) + " refs/heads/other"}, all, "E406"},
		{"a ref outside refs/", []string{zero + " " + id + " refs/heads/main", zero + " " + id + " HEAD"}, all, "E406"},
		{"a ref with a newline", []string{zero + " " + id + " refs/heads/ma\nin"}, all, "E406"},
		{"a ref that climbs", []string{zero + " " + id + " refs/heads/../../config"}, all, "E406"},
		{"the same ref twice", []string{zero + " " + id + " refs/heads/main", zero + " " + id + " refs/heads/main"}, all, "E406"},
		{"a value that the ref does not have", []string{id + " " + id + " refs/heads/main"}, all, "E406"},
		{"shallow, with its tree missing", []string{"shallow " + id, zero + " " + id + " refs/heads/main"}, []string{id}, ""},
		{"shallow at more commits than are kept", tooShallow, all, "E408"},
	} {
		repo := open(t)
		var in, out, stderr bytes.Buffer
		for i, line := range c.lines {
			if i == len(c.lines)-1 {
				line += "\x00 report-status"
			}
			fmt.Fprintf(&in, "%04x%s", len(line)+4, line)
		}
		in.WriteString("0000")
		pack := l.command("pack-objects", "--stdout", "-q")
		pack.Stdin = strings.NewReader(strings.Join(c.objects, "\n") + "\n")
		raw, err := pack.Output() // as it is: its last byte may be a space
		if err != nil {
			t.Fatal(err)
		}
		in.Write(raw)
		decided := false
		err = repo.Receive(t.Context(), &in, &out, &stderr, "", noting(&decided))
		code := codeOf(err)
		if decided || code != c.code {
			t.Errorf("%s: decided: %v, %q, want %q: %v\n%s%s", c.what, decided, code, c.code, err, out.String(), stderr.String())
		}
		if got := refOf(repo, "refs/heads/main"); got != "" {
			t.Errorf("%s: main is at %s", c.what, got)
		}
	}
}

func TestLock_AnAnnotatedTagBecomesItsCommit(t *testing.T) {
	l, id := oneCommit(t)
	l.git("tag", "-a", "-m", "release", "v1")
	l.git("tag", "-a", "-m", "of a tag", "outer", "v1")
	repo := open(t)
	for _, refspec := range []string{"v1:refs/heads/main", "outer:refs/heads/main", "outer:refs/heads/new v1"} {
		said, err := push(t, l, repo, refspec, func(ctx context.Context, in *Incoming, _ io.Writer) error {
			err := in.Lock(ctx)
			if in.Updates[0].New != id {
				t.Errorf("%s: %s is to be deployed, want the commit %s", refspec, in.Updates[0].New, id)
			}
			return err
		})
		if err != nil || strings.Contains(said, "rejected") {
			t.Errorf("%s: %v\n%s", refspec, err, said)
		}
	}
	if got := refOf(repo, "refs/heads/main"); got != id {
		t.Errorf("main is at %s, want %s", got, id)
	}
	if tag := l.git("rev-parse", "v1"); refOf(repo, "refs/tags/v1") != tag {
		t.Error("a tag that is pushed as a tag is no tag any more")
	}
}

func TestReceive_TooManyRefsAreRefusedAndDoNotHang(t *testing.T) {
	l, id := oneCommit(t)
	var refs strings.Builder
	for n := range 12_000 {
		fmt.Fprintf(&refs, "%s refs/tags/t%05d\n", id, n)
	}
	if err := os.WriteFile(filepath.Join(l.dir, ".git/packed-refs"), []byte(refs.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	repo := open(t)
	if code, said := refusedAs(t, l, repo, "refs/heads/*:refs/heads/* refs/tags/*:refs/tags/*"); code != "E405" {
		t.Errorf("%q, want E405\n%.2000s", code, said)
	}
	if code, said := refusedAs(t, l, repo, "main"); code != "" {
		t.Errorf("the next push: %s\n%s", code, said)
	}
}

func TestReceive_WhatIsAcceptedIsRecordedWhenTheReflogCannotBeWritten(t *testing.T) {
	l, id := oneCommit(t)
	repo := open(t)
	if err := os.MkdirAll(filepath.Join(repo.Path, "logs/refs/heads/main/x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repo.Path, "logs/refs/heads/main/x/y"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := push(t, l, repo, "main main:refs/heads/other", accept)
	if err != nil || strings.Contains(said, "rejected") {
		t.Errorf("%v\n%s", err, said)
	}
	if got := refOf(repo, "refs/heads/main"); got != id || refOf(repo, "refs/heads/other") != id {
		t.Errorf("main is at %q, want %s", got, id)
	}
}

func TestReceive_MirrorTakesAllKindsOfRefs(t *testing.T) {
	l, id := oneCommit(t)
	repo := open(t)
	if _, err := push(t, l, repo, "main main:refs/heads/old main:refs/tags/old", accept); err != nil {
		t.Fatal(err)
	}
	l.git("tag", "-a", "-m", "release", "v1")
	l.git("update-ref", "refs/remotes/origin/main", id)
	l.git("update-ref", "refs/notes/commits", id)
	if said, err := push(t, l, repo, "--atomic main:refs/heads/atomic main:refs/tags/atomic", accept); err != nil || strings.Contains(said, "rejected") {
		t.Errorf("atomic: %v\n%s", err, said)
	}
	said, err := push(t, l, repo, "--mirror", accept)
	if err != nil || strings.Contains(said, "rejected") {
		t.Errorf("%v\n%s", err, said)
	}
	if refOf(repo, "refs/heads/old") != "" || refOf(repo, "refs/tags/old") != "" || refOf(repo, "refs/notes/commits") != id {
		out, _ := repo.command(t.Context(), "for-each-ref").CombinedOutput()
		t.Errorf("refs: %s\n%s", out, said)
	}
}
