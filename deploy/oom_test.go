package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

func TestOOMWatch_ReportsTheFirstKillAtOnceAndTheRestAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kills atomic.Int64
		kills.Store(2) // before berth looked
		began := time.Now()
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			oomWatch{
				kills: func() (int64, int64) { return kills.Load(), 512 << 20 },
				tell: func(n, limit int64) {
					told = append(told, fmt.Sprintf("%d of %d at %s", n, limit>>20, time.Since(began)))
				},
			}.run(ctx)
		}()
		time.Sleep(12 * time.Second)
		kills.Store(3)
		time.Sleep(10 * time.Second)
		for range 60 { // a worker after the other, for ten minutes
			kills.Add(1)
			time.Sleep(10 * time.Second)
		}
		cancel()
		<-done
		if want := []string{"1 of 512 at 15s", "30 of 512 at 5m15s", "30 of 512 at 10m15s"}; !slices.Equal(told, want) {
			t.Errorf("got %q, want %q", told, want)
		}
	})
}

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
