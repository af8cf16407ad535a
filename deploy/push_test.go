package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/git"
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
			if err := d.Push(t.Context(), push); !errors.Is(err, ErrReported) || !strings.Contains(out.String(), "error: another app got the name shop during your push [E416]\n") {
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
	rebuild(d)
	if err := d.Push(t.Context(), push); err == nil {
		t.Fatal("it was taken")
	}
	err := d.db.View(func(tx *store.Tx) error {
		build, err := tx.Builds.Get("shop", 1)
		if err == nil && (build.Status != store.BuildFailed || build.FinishedAt.IsZero()) {
			t.Errorf("got a build that is %s, want failed", build.Status)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
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

func TestReport_LinesOfOursFitTheirColumns(t *testing.T) {
	var out strings.Builder
	r := progress.New(&out)
	r.Title("%s", headline("a-shop", git.Commit{ID: "4f1c9ab0", Subject: strings.Repeat("Füge Prüfung hinzu ", 10)}, "alice", 42))
	var names []string
	for n := range 30 {
		names = append(names, fmt.Sprintf("web.%d", n+1))
	}
	r.Up(names, make([]time.Duration, len(names)), true)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > progress.Columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(out.String(), "by alice  build 42") || !strings.Contains(out.String(), "web.30 ok") {
		t.Errorf("something was lost:\n%s", out.String())
	}
}
