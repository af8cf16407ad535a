package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime/logline"
)

// notices writes lines of berth's own into the logs of apps: that a program
// crashed and why stands where its last lines are. Each source has a file of
// them beside its containers' logs, for only a container writes to its own.
type notices struct {
	mu   sync.Mutex // guards what follows, and the files
	last time.Time
}

const (
	// noticeLog is what stands in a file's name where the logs of containers
	// have the container's id.
	noticeLog = "berth"

	// maxNotices is the size in bytes at which a file of notices is rotated. One
	// elder is kept.
	maxNotices = 256 << 10
)

// notice writes a line of berth's own to the log of a source, as "web.1" or
// "cron.1a2b3c4d.7". A disk that refuses it costs the line and nothing else. An
// app that was destroyed gets none: its logs are gone.
func (b *LogBook) notice(a *app, release int, source, format string, args ...any) {
	b.note(a.fleet, release, source, fmt.Sprintf(format, args...))
}

// note is notice for the fleet.
func (b *LogBook) note(a *fleet.App, release int, source, text string) {
	err := b.notices.write(func() string {
		app := a.NameUnlessGone()
		if app == "" {
			return ""
		}
		return b.logFile(strconv.Itoa(a.UID()), release, source, noticeLog)
	}, text)
	b.warn("a line was not written to the log of an app", err, "app", a.Name())
}

// remove removes the logs of an app that is gone. What is being written to them
// ends before, and nothing is written after.
func (n *notices) remove(dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return os.RemoveAll(dir)
}

// write appends text to the file that place returns; "" is none.
func (n *notices) write(place func() string, text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := place()
	if name == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && info.Size() > maxNotices {
		if err := os.Rename(name, name+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	now := time.Now()
	if !now.After(n.last) {
		now = n.last.Add(1) // times rise from line to line
	}
	n.last = now
	var lines []byte
	for line := range strings.Lines(text) {
		lines = logline.Append(lines, now, logline.Note, []byte(strings.TrimSuffix(line, "\n")))
		now = now.Add(1)
		n.last = now
	}
	_, err = f.Write(lines)
	return err
}
