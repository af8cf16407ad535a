package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berthd/berth/store/fault"
)

// journal is a file that systemd would say is the journal's.
func journal(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino))
	return f
}

func wantPriorities(t *testing.T, text string, want ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(want), text)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d: got %q, want it to begin with %q", i, line, want[i])
		}
	}
}

func TestLog_HasPrioritiesInTheJournal(t *testing.T) {
	f := journal(t)
	log := newLog(f, slog.LevelDebug)
	log.Debug("a")
	log.With("app", "shop").WithGroup("x").Warn("two\nlines", "k", 1)
	log.Info("c")
	log.Error("d")
	newLog(f, slog.LevelWarn).Info("not wanted")
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	wantPriorities(t, string(text), "<7>time=", "<4>time=", "<6>time=", "<3>time=")
	if !strings.Contains(string(text), "app=shop x.k=1") {
		t.Errorf("the attributes are lost:\n%s", text)
	}
}

// The reason why berth does not start is an error too, with all of its lines.
func TestPrintFault_IsAnErrorInTheJournal(t *testing.T) {
	f := journal(t)
	c := &cli{err: f}
	c.printFault(fault.New(fault.Failed, "E999", "it broke").Hint("mend it"))
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	wantPriorities(t, string(text), "<3>error: it broke", "<3>hint:")
}

// The variable alone says nothing: a shell of the same service inherits it.
func TestLog_IsPlainElsewhere(t *testing.T) {
	journal(t)
	var out bytes.Buffer
	newLog(&out, slog.LevelInfo).Warn("a")
	other, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	newLog(other, slog.LevelInfo).Warn("b")
	text, err := os.ReadFile(other.Name())
	if err != nil {
		t.Fatal(err)
	}
	wantPriorities(t, out.String()+string(text), "time=", "time=")
}
