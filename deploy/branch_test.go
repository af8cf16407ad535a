package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/berthd/berth/store"
)

func TestSetGit_TheDeployBranchChangesAndItsNextPushIsNews(t *testing.T) {
	d := newDeployer(t)
	record, _ := shop(t, d)
	record.Branch = "master"
	update(t, d, func(tx *store.Tx) error { return tx.PutApp(record) })
	commit := emptyCommit(t, d, "shop")
	// As an earlier berth has stored it.
	if err := commit.Repo.DropBranch(t.Context(), "main"); err != nil {
		t.Errorf("a branch that is not there: %v", err)
	}
	gitIn(t, commit.Repo.Path, "update-ref", "refs/heads/main", commit.Commit)
	alice := store.User{Name: "alice", Role: store.RoleDeploy}
	report, err := d.SetGit(t.Context(), "shop", "deploy-branch", "main", alice)
	if err != nil || report.DeployBranch != "main" {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, there, err := commit.Repo.Resolve(t.Context(), "refs/heads/main"); there || err != nil {
		t.Errorf("a push of main would be up to date and deploy nothing (%v)", err)
	}
	if report, err := d.SetGit(t.Context(), "shop", "deploy-branch", "", alice); err != nil || report.DeployBranch != "" {
		t.Errorf("taken back: %+v, %v", report, err)
	}
	for _, bad := range []struct{ property, value, code string }{
		{"deploy-branch", "a..b", "E410"}, {"deploy-branch", "-d", "E410"}, {"deploy-branch", "a b", "E410"},
		{"deploy-branch", "x\x00y", "E410"}, {"branch", "main", "E412"}, {"", "", "E412"},
	} {
		if _, err := d.SetGit(t.Context(), "shop", bad.property, bad.value, alice); codeOf(err) != bad.code {
			t.Errorf("%q %q: %v, want %s", bad.property, bad.value, err, bad.code)
		}
	}
	if _, err := d.SetGit(t.Context(), "nowhere", "deploy-branch", "main", alice); codeOf(err) != "E101" {
		t.Errorf("no app: %v", err)
	}
	gitIn(t, commit.Repo.Path, "update-ref", "refs/heads/main", commit.Commit)
	if err := os.WriteFile(filepath.Join(commit.Repo.Path, "refs/heads/main.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SetGit(t.Context(), "shop", "deploy-branch", "main", alice); codeOf(err) != "E411" {
		t.Errorf("while it is pushed: %v, want E411", err)
	}
	if report, _ := d.GitReport(context.Background(), "shop"); report.DeployBranch != "" {
		t.Errorf("a refused change has changed it to %q", report.DeployBranch)
	}
}

// A transaction that waits for git would hold up all other writers, so a git
// that does not end until another writer was there must not stop anything.
func TestSetDeployBranch_NoWriterWaitsForGit(t *testing.T) {
	for _, row := range []struct{ meanwhile, code, branch string }{
		{"", "", "main"},
		{"other", "E415", "other"},
	} {
		d := newDeployer(t)
		shop(t, d)
		commit := emptyCommit(t, d, "shop")
		gitIn(t, commit.Repo.Path, "update-ref", "refs/heads/main", commit.Commit)
		dir := t.TempDir()
		for _, name := range []string{"begun", "written"} {
			if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		real, err := exec.LookPath("git")
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf(`#!/bin/bash
case " $* " in *" update-ref -d "*)
	echo >%[1]s/begun
	exec 3<>%[1]s/written
	read -t 5 -u 3 || exit 1
esac
exec %[2]s "$@"
`, dir, real)
		if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		path := os.Getenv("PATH")
		t.Setenv("PATH", dir+":"+path)
		set := make(chan error, 1)
		go func() {
			set <- d.SetDeployBranch(context.Background(), "shop", "main", store.User{Name: "alice", Role: store.RoleDeploy})
		}()
		if _, err := os.ReadFile(filepath.Join(dir, "begun")); err != nil {
			t.Fatal(err)
		}
		update(t, d, func(tx *store.Tx) error {
			record, err := tx.App("shop")
			record.Branch = row.meanwhile
			return errors.Join(err, tx.PutApp(record))
		})
		written, err := os.OpenFile(filepath.Join(dir, "written"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(written)
		if err := <-set; codeOf(err) != row.code || (err != nil) != (row.code != "") {
			t.Errorf("%q meanwhile: got %v, want %q", row.meanwhile, err, row.code)
		}
		written.Close()
		if record, _, _ := d.find("shop"); record.Branch != row.branch {
			t.Errorf("%q meanwhile: the deploy branch is %q, want %q", row.meanwhile, record.Branch, row.branch)
		}
		t.Setenv("PATH", path)
	}
}

func TestDestroyUnused_KeepsWhatWasBuiltOrSet(t *testing.T) {
	d := newDeployer(t)
	alice := store.User{Name: "alice", Role: store.RoleDeploy}
	for name, use := range map[string]func(tx *store.Tx) error{
		"unused": func(*store.Tx) error { return nil },
		"config": func(tx *store.Tx) error { return tx.PutConfig("config", map[string]string{"A": "b"}) },
		"built": func(tx *store.Tx) error {
			app, err := tx.App("built")
			app.LastBuild = 1
			if err == nil {
				err = tx.PutApp(app)
			}
			return err
		},
	} {
		if _, err := d.CreateApp(t.Context(), name, alice); err != nil {
			t.Fatal(err)
		}
		update(t, d, use)
		if err := d.DestroyUnused(t.Context(), name, alice); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := d.find(name); (err != nil) != (name == "unused") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func gitIn(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}
