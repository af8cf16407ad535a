// Package logs keeps the output of apps, with berth's own lines about them. Each
// container has a file in the directory of its release:
//
//	DIR/ID/v7/web.1.CONTAINER.log     the lines of a container, and .log.1
//	DIR/ID/v7/web.1.berth.log         lines of berth's own about web.1
//	DIR/ID/v7/cron.JOB.3.CONTAINER.log
//
// ID is the app's, which it keeps when it is renamed.
//
// The containers write their files themselves. A Book finds, reads, follows and
// removes them.
package logs

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// Config is what a book of logs needs.
type Config struct {
	Dir   string
	Store *store.Store

	// Aside tells which sources are shown only when they are asked for.
	Aside func(source string) bool

	Log *slog.Logger
}

// Book is the logs of all apps. Its methods are safe for concurrent use. It is
// the fleet.Logs and the jobs.Logs.
type Book struct {
	cfg     Config
	notices notices
}

// New returns the logs in a directory, which need not exist yet.
func New(cfg Config) *Book { return &Book{cfg: cfg} }

// File is Path, for the fleet and the jobs.
func (b *Book) File(app fleet.Ref, release int, source, container string) string {
	return b.Path(strconv.Itoa(app.UID), release, source, container)
}

// Path is where the output of one container is kept, of the app with the id. Two
// containers never share a file.
func (b *Book) Path(id string, release int, source, container string) string {
	return filepath.Join(b.Dir(id, release), source+"."+container+".log")
}

// Dir is where the logs of a release are.
func (b *Book) Dir(id string, release int) string {
	return filepath.Join(b.cfg.Dir, id, "v"+strconv.Itoa(release))
}

// Last returns the last n lines of a file.
func (b *Book) Last(file string, n int) (texts []string, err error) {
	lines, err := runtime.ReadLog(file, n)
	for _, line := range lines {
		texts = append(texts, line.Text)
	}
	return texts, err
}

// Remove removes the logs of a destroyed app. Writers end before, and nothing
// is written after.
func (b *Book) Remove(id string) error { return b.notices.remove(filepath.Join(b.cfg.Dir, id)) }

// warn logs the failure of work that nobody waits for.
func (b *Book) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		b.cfg.Log.Warn(what, append(args, "err", err)...)
	}
}
