package deploy

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/berthd/berth/store"
)

// A job or an instance may end after its app was destroyed.
func TestNotice_OfADestroyedAppIsNotWritten(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	d.logs.Note(a.fleet, 1, "cron.1a2b3c4d.7", "failed: exit code 1")
	if err := d.DestroyApp(t.Context(), "shop", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	d.logs.Note(a.fleet, 1, "cron.1a2b3c4d.7", "failed: its app was destroyed")
	if _, err := os.Lstat(filepath.Join(d.cfg.Logs, "shop")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the destroyed app has logs: %v", err)
	}
}

func TestRenameApp_ToANameWithLogsOfADestroyedApp(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	d.logs.Note(a.fleet, 1, "web.1", "crashed")
	left := filepath.Join(d.cfg.Logs, "store", "v9")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.RenameApp(t.Context(), "shop", "store", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the app has the logs of another one: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(d.cfg.Logs, "store", "v1")); err != nil {
		t.Errorf("the app has lost its own: %v", err)
	}
}
