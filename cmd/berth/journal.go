package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
)

// The priorities of syslog(3) as sd-daemon(3) has them: a line that begins with
// one is stored under it by the journal, which takes all others for 6.
const (
	priorityError   = "<3>"
	priorityWarning = "<4>"
	priorityInfo    = "<6>"
	priorityDebug   = "<7>"
)

// journaled tells whether w leads to systemd's journal. systemd says which file
// that is, since the variable is inherited by programs that write elsewhere.
func journaled(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// newLog returns the log of serve: lines of text, with priorities in the journal.
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if !journaled(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(newJournalHandler(w, options))
}

// journalHandler has a text handler for each priority.
type journalHandler struct{ debug, info, warning, err slog.Handler }

func newJournalHandler(w io.Writer, options *slog.HandlerOptions) journalHandler {
	with := func(priority string) slog.Handler { return slog.NewTextHandler(prefixed{w, priority}, options) }
	return journalHandler{with(priorityDebug), with(priorityInfo), with(priorityWarning), with(priorityError)}
}

func (h journalHandler) at(level slog.Level) slog.Handler {
	switch {
	case level >= slog.LevelError:
		return h.err
	case level >= slog.LevelWarn:
		return h.warning
	case level >= slog.LevelInfo:
		return h.info
	}
	return h.debug
}

func (h journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.at(level).Enabled(ctx, level)
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.at(r.Level).Handle(ctx, r)
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(one slog.Handler) slog.Handler { return one.WithAttrs(attrs) })
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return h.each(func(one slog.Handler) slog.Handler { return one.WithGroup(name) })
}

func (h journalHandler) each(change func(slog.Handler) slog.Handler) slog.Handler {
	return journalHandler{change(h.debug), change(h.info), change(h.warning), change(h.err)}
}

// prefixed writes text with a prefix before each of its lines, in one piece.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p prefixed) Write(text []byte) (int, error) {
	lines := strings.TrimSuffix(string(text), "\n")
	marked := p.prefix + strings.ReplaceAll(lines, "\n", "\n"+p.prefix) + "\n"
	if _, err := io.WriteString(p.w, marked); err != nil {
		return 0, err
	}
	return len(text), nil
}
