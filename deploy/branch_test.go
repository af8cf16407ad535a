package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
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
