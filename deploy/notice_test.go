package deploy

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

func TestNotice_StandsAmongTheLinesOfItsSource(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	d.notice(a, 1, "web.1", "crashed: %s", "exit code 137, killed for the memory limit of 512 MB")
	d.notice(a, 1, "web.1", "two\nlines\x1b[2J")
	d.notice(a, 1, "cron.1a2b3c4d.7", "failed")
	for process, want := range map[string][]string{
		"":      {"crashed: exit code 137, killed for the memory limit of 512 MB", "two", `lines\x1b[2J`},
		"web.1": {"crashed: exit code 137, killed for the memory limit of 512 MB", "two", `lines\x1b[2J`},
		"cron":  {"failed"},
	} {
		var got []string
		err := d.Logs(t.Context(), LogQuery{App: "shop", Process: process, Lines: -1}, func(l LogLine) error {
			if got = append(got, l.Text); l.Stream != "berth" || l.Release != 1 {
				t.Errorf("got %+v", l)
			}
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v; want %q", process, got, err, want)
		}
	}
}

func TestNotice_HasABound(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	for range 40 {
		d.notice(a, 1, "web.1", "%s", strings.Repeat("x", 32<<10))
	}
	lines, err := runtime.ReadLog(d.logFile(shopID, 1, "web.1", noticeLog), -1)
	if err != nil || len(lines) < 9 || len(lines) > 20 {
		t.Errorf("got %d lines, %v; want the newest, in two files of %d bytes", len(lines), err, maxNotices)
	}
}

// A job or an instance may end after its app was destroyed.
func TestNotice_OfADestroyedAppIsNotWritten(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	d.notice(a, 1, "cron.1a2b3c4d.7", "failed: %s", "exit code 1")
	if err := d.DestroyApp(t.Context(), "shop", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	d.notice(a, 1, "cron.1a2b3c4d.7", "failed: %s", errDestroyed)
	if _, err := os.Lstat(filepath.Join(d.cfg.Logs, shopID)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the destroyed app has logs: %v", err)
	}
}
