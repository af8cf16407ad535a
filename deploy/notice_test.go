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
	if _, err := os.Lstat(filepath.Join(d.cfg.Logs, shopID)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the destroyed app has logs: %v", err)
	}
}
