package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/units"
)

// buildID names a build.
type buildID struct {
	uid    int // of the app
	number int
}

// Transcripts are the outputs of builds.
type Transcripts struct {
	dir string // of the apps' logs
	db  *store.Store

	mu      sync.Mutex              // guards running
	running map[buildID]*Transcript // those of builds that run now
}

// Transcript is the output of a build: a file, and a notification when it grows
// while the build runs.
type Transcript struct {
	of   *Transcripts
	id   buildID
	file *os.File

	mu    sync.Mutex
	size  int           // bytes in the file
	grown chan struct{} // closed at the next write, and at the end
	ended bool
}

func (ts *Transcripts) path(id string, number int) string {
	return filepath.Join(ts.dir, id, "builds", strconv.Itoa(number)+".log")
}

// Transcribe opens the transcript of a build.
func (ts *Transcripts) Transcribe(record store.App, build store.Build) (*Transcript, error) {
	path := ts.path(record.ID(), build.Number)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fault.ExplainDiskFull(fmt.Errorf("make the directory of build logs: %w", err))
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fault.ExplainDiskFull(fmt.Errorf("open the build log: %w", err))
	}
	t := &Transcript{of: ts, id: buildID{record.UID, build.Number}, file: file, grown: make(chan struct{})}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.running == nil {
		ts.running = map[buildID]*Transcript{}
	}
	ts.running[t.id] = t
	return t, nil
}

// longestTranscript bounds the transcript of a build: one that prints without
// end must not fill the disk.
const longestTranscript = 16 << 20 // bytes

// Write never fails: a full disk costs lines of the log, not the build.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.size > longestTranscript {
		return len(p), nil
	}
	t.file.Write(p)
	if t.size += len(p); t.size > longestTranscript {
		fmt.Fprintf(t.file, "%s... more than %s; the rest is omitted\n", progress.Indent, units.Bytes(longestTranscript))
	}
	close(t.grown)
	t.grown = make(chan struct{})
	return len(p), nil
}

// Close ends the transcript: the build has ended.
func (t *Transcript) Close() {
	t.of.mu.Lock()
	delete(t.of.running, t.id)
	t.of.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	close(t.grown)
	t.file.Close()
}

// state tells whether the build has ended, and returns what tells of more output.
func (t *Transcript) state() (grown <-chan struct{}, ended bool) {
	if t == nil {
		return nil, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grown, t.ended
}

// Building returns the number of the build that runs now for the app of a user
// id; 0 when none does.
func (ts *Transcripts) Building(uid int) (number int) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for id := range ts.running {
		if id.uid == uid {
			number = id.number
		}
	}
	return number
}

// FollowBuild copies the output of a build from its start to w until the build
// ends or ctx does.
func (ts *Transcripts) FollowBuild(ctx context.Context, app string, number int, w io.Writer) error {
	var record store.App
	err := ts.db.View(func(tx *store.Tx) (err error) {
		if record, err = tx.App(app); err == nil {
			_, err = tx.Builds.Get(app, number)
		}
		return err
	})
	if err != nil {
		return err
	}
	ts.mu.Lock()
	t := ts.running[buildID{record.UID, number}]
	ts.mu.Unlock()
	file, err := os.Open(ts.path(record.ID(), number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it failed before it could say anything
	}
	if err != nil {
		return fmt.Errorf("open the build log: %w", err)
	}
	defer file.Close()
	for {
		grown, ended := t.state() // before reading, so that nothing slips between
		if _, err := io.Copy(w, file); err != nil {
			return err
		}
		if ended {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
