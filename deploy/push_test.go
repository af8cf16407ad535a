package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

// emptyCommit makes a repository of the app that holds one commit.
func emptyCommit(t *testing.T, d *Deployer, app string) Push {
	t.Helper()
	record, _, err := d.find(app)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := d.cfg.Git.Open(t.Context(), record.ID())
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", repo.Path, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	tree := git("hash-object", "-t", "tree", "-w", os.DevNull)
	return Push{App: app, Branch: "main", Commit: git("commit-tree", "-m", "Nothing", tree), Repo: repo, By: store.User{Name: "alice"}}
}

// The name may go to another app while a push is on its way.
func TestPush_IsOfTheAppThatItBeganWith(t *testing.T) {
	for name, deploys := range map[string]bool{"one that deploys": true, "one of tags": false} {
		t.Run(name, func(t *testing.T) {
			d := newDeployer(t)
			record, _ := shop(t, d)
			push := emptyCommit(t, d, "shop")
			if !deploys {
				push.Commit = ""
			}
			var out bytes.Buffer
			push.Out, push.UID = &out, record.UID+1
			push.Accept = func(context.Context) error { t.Error("the refs were moved"); return nil }
			if err := d.Push(t.Context(), push); !errors.Is(err, ErrReported) || !strings.Contains(out.String(), "error: the name shop went to another app during your push [E416]\n") {
				t.Errorf("got %v, and said %q", err, &out)
			}
			if record, _, err := d.find("shop"); err != nil || record.LastBuild != 0 {
				t.Errorf("build %d began, %v", record.LastBuild, err)
			}
		})
	}
}

func TestPush_BuildWithoutATranscriptHasFailed(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	push := emptyCommit(t, d, "shop")
	var out bytes.Buffer
	push.Out = &out
	d.cfg.Logs = os.DevNull // no directory can be made in it
	if err := d.Push(t.Context(), push); err == nil {
		t.Fatal("it was taken")
	}
	err := d.db.View(func(tx *store.Tx) error {
		build, err := tx.Build("shop", 1)
		if err == nil && (build.Status != store.BuildFailed || build.FinishedAt.IsZero()) {
			t.Errorf("got a build that is %s, want failed", build.Status)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTranscript_EndsAtItsBound(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	script, err := d.transcribe(record, store.Build{App: "shop", Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte("y\n"), 1<<19)
	for range 40 { // MiB
		script.Write(block)
	}
	d.close(script)
	info, err := os.Stat(d.transcriptPath(record.ID(), 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Size(); got < longestTranscript || got > longestTranscript+int64(len(block))+100 {
		t.Errorf("got %d bytes, want little more than %d", got, longestTranscript)
	}
}

func TestPush_OfABranchThatTheAppDoesNotDeployAnyMoreBuildsNothing(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	record.Branch = "other"
	update(t, d, func(tx *store.Tx) error { return tx.PutApp(record) })
	push := emptyCommit(t, d, "shop")
	push.Out, push.direct = io.Discard, true
	if err := d.Push(t.Context(), push); codeOf(err) != "E415" {
		t.Errorf("got %v, want E415", err)
	}
	if record, _, err := d.find("shop"); err != nil || record.LastBuild != 0 || record.Branch != "other" {
		t.Errorf("got build %d and the deploy branch %q, %v", record.LastBuild, record.Branch, err)
	}
}
