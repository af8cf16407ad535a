package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// lookAgain is how often a follower looks for log files that are new.
const lookAgain = 300 * time.Millisecond

// Query chooses lines of an app's logs.
type Query struct {
	App     string
	Process string // "web", "web.1", "cron.ID", "run.12", "release"; "" is every process of the formation
	Lines   int    // the last n; negative is all
	Follow  bool

	id string // of the app
}

// LogLine is one line of an app's log.
type LogLine struct {
	Time    time.Time `json:"time"`
	Source  string    `json:"source"` // "web.1"
	Release int       `json:"release"`
	Stream  string    `json:"stream"` // "stdout", "stderr", "berth"
	Text    string    `json:"text"`
}

// logFile is one container's log.
type logFile struct {
	path    string
	source  string
	release int
}

// Logs calls fn with each line that the query asks for, oldest first; with
// Follow until ctx ends. Calls do not overlap.
func (b *Book) Logs(ctx context.Context, q Query, fn func(LogLine) error) error {
	var record store.App
	err := b.cfg.Store.View(func(tx *store.Tx) (err error) {
		record, err = tx.App(q.App)
		return err
	})
	if err != nil {
		return err
	}
	q.id = record.ID()
	began := time.Now()
	seen := map[string]time.Time{} // file → time of its last line that was given out
	files, err := b.logFiles(q)
	if err != nil {
		return err
	}
	var lines []LogLine
	for _, file := range files {
		part, err := runtime.ReadLog(file.path, q.Lines)
		if err != nil {
			return fmt.Errorf("read a log of %s: %w", q.App, err)
		}
		for _, l := range part {
			lines = append(lines, file.line(l))
			seen[file.path] = l.Time
		}
	}
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	if q.Lines >= 0 && len(lines) > q.Lines {
		lines = lines[len(lines)-q.Lines:]
	}
	for _, l := range lines {
		if err := fn(l); err != nil {
			return err
		}
	}
	if !q.Follow {
		return nil
	}
	return b.followLogs(ctx, q, files, began, seen, fn)
}

// followLogs follows the files there are, from their last line that was seen
// or from when the looking began, and those that appear.
func (b *Book) followLogs(ctx context.Context, q Query, files []logFile, began time.Time, seen map[string]time.Time, fn func(LogLine) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var followers sync.WaitGroup
	defer followers.Wait()
	defer cancel(nil)
	var one sync.Mutex // calls of fn do not overlap
	followed := map[string]bool{}
	follow := func(file logFile, start time.Time) {
		followed[file.path] = true
		followers.Go(func() {
			err := runtime.FollowLog(ctx, file.path, start, func(l runtime.LogLine) error {
				one.Lock()
				defer one.Unlock()
				return fn(file.line(l))
			})
			if err != nil {
				cancel(err)
			}
		})
	}
	for _, file := range files {
		start := began
		if last, ok := seen[file.path]; ok {
			start = last.Add(1)
		}
		follow(file, start)
	}
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		files, err := b.logFiles(q)
		if err != nil {
			return err
		}
		for _, file := range files {
			if !followed[file.path] {
				follow(file, time.Time{}.Add(1)) // it is new: from its first line
			}
		}
	}
}

// logFiles finds the log files that a query is about.
func (b *Book) logFiles(q Query) ([]logFile, error) {
	dirs, err := os.ReadDir(filepath.Join(b.cfg.Dir, q.id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the logs of %s: %w", q.App, err)
	}
	var files []logFile
	for _, dir := range dirs {
		release, err := strconv.Atoi(strings.TrimPrefix(dir.Name(), "v"))
		if err != nil {
			continue // the build logs
		}
		path := filepath.Join(b.cfg.Dir, q.id, dir.Name())
		names, err := os.ReadDir(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been collected just now
			return nil, fmt.Errorf("list the logs of %s: %w", q.App, err)
		}
		for _, name := range names {
			base, isLog := strings.CutSuffix(name.Name(), ".log")
			dot := strings.LastIndexByte(base, '.')
			if !isLog || dot < 0 {
				continue // a rotated one, which its successor leads to
			}
			if source := base[:dot]; b.wants(q, source) {
				files = append(files, logFile{filepath.Join(path, name.Name()), source, release})
			}
		}
	}
	return files, nil
}

// wants tells whether a query asks for a source: "web.1", "cron.ID.NUMBER",
// "release".
func (b *Book) wants(q Query, source string) bool {
	if q.Process == "" {
		return !strings.HasPrefix(source, jobs.Source+".") && !strings.HasPrefix(source, jobs.OneOffSource+".") && !b.cfg.Aside(source)
	}
	return source == q.Process || strings.HasPrefix(source, q.Process+".")
}

func (f logFile) line(l runtime.LogLine) LogLine {
	stream := "stdout"
	switch l.Stream {
	case 'e':
		stream = "stderr"
	case '-':
		stream = "berth"
	}
	return LogLine{Time: l.Time, Source: f.source, Release: f.release, Stream: stream, Text: l.Text}
}
