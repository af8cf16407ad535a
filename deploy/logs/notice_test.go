package logs

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

func newBook(t *testing.T) *Book {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	err = db.Update(func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err })
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Dir: filepath.Join(dir, "logs"), Store: db, Aside: func(source string) bool { return source == "release" }, Log: slog.New(slog.DiscardHandler)})
}

func TestNotice_StandsAmongTheLinesOfItsSource(t *testing.T) {
	b, a := newBook(t), new(fleet.Fleet).NewApp(70000, "shop")
	b.Note(a, 1, "web.1", "crashed: exit code 137, killed for the memory limit of 512 MiB")
	b.Note(a, 1, "web.1", "two\nlines\x1b[2J")
	b.Note(a, 1, "cron.1a2b3c4d.7", "failed")
	for process, want := range map[string][]string{
		"":      {"crashed: exit code 137, killed for the memory limit of 512 MiB", "two", `lines\x1b[2J`},
		"web.1": {"crashed: exit code 137, killed for the memory limit of 512 MiB", "two", `lines\x1b[2J`},
		"cron":  {"failed"},
	} {
		var got []string
		err := b.Logs(t.Context(), Query{App: "shop", Process: process, Lines: -1}, func(l LogLine) error {
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
	b, a := newBook(t), new(fleet.Fleet).NewApp(70000, "shop")
	for range 40 {
		b.Note(a, 1, "web.1", strings.Repeat("x", 32<<10))
	}
	lines, err := runtime.ReadLog(b.Path("70000", 1, "web.1", noticeLog), -1)
	if err != nil || len(lines) < 9 || len(lines) > 20 {
		t.Errorf("got %d lines, %v; want the newest, in two files of %d bytes", len(lines), err, maxNotices)
	}
}
