package deploy

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
	"time"

	"github.com/berthd/berth/build/progress"

	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// buildID names a build.
type buildID struct {
	uid    int // of the app
	number int
}

// transcript is the output of a build: a file that lasts, and while the build
// runs a way to be told that it has grown.
type transcript struct {
	id   buildID
	file *os.File

	mu    sync.Mutex
	size  int           // bytes in the file
	grown chan struct{} // closed at the next write, and at the end
	ended bool
}

func (d *Deployer) transcriptPath(app string, number int) string {
	return filepath.Join(d.cfg.Logs, app, "builds", strconv.Itoa(number)+".log")
}

// beginBuild records a build that starts now. A push of another branch than the
// app deploys by now is a fault (E415).
func (d *Deployer) beginBuild(p Push, commit git.Commit) (record store.App, build store.Build, err error) {
	err = d.db.Update(func(tx *store.Tx) error {
		if record, err = tx.App(p.App); err != nil {
			return err
		}
		if p.Branch != "" && record.Branch != "" && p.Branch != record.Branch {
			return errBranchChanged(record)
		}
		record, build, err = newBuild(tx, p, commit)
		return err
	})
	return record, build, fault.DiskFull(err)
}

// newBuild stores a build that starts now.
func newBuild(tx *store.Tx, p Push, commit git.Commit) (record store.App, build store.Build, err error) {
	if record, err = tx.App(p.App); err != nil {
		return record, build, err
	}
	record.LastBuild++
	if record.Branch == "" {
		record.Branch = p.Branch
	}
	build = store.Build{
		App: record.Name, Number: record.LastBuild, Status: store.BuildRunning, Commit: commit.ID,
		Subject: commit.Subject, Branch: p.Branch, By: p.By.Name, StartedAt: time.Now().UTC(),
	}
	last, err := tx.Builds(p.App, 1)
	if err != nil {
		return record, build, err
	}
	for _, before := range last {
		build.Layers = before.Layers // until it knows its own
	}
	if err := tx.PutApp(record); err != nil {
		return record, build, err
	}
	return record, build, tx.PutBuild(build)
}

func (d *Deployer) endBuild(build store.Build) {
	err := d.db.Update(func(tx *store.Tx) error { return tx.PutBuild(build) })
	d.warn("the end of a build was not recorded", err, "app", build.App, "build", build.Number)
	d.changes.publish(build.App)
}

// transcribe opens the transcript of a build.
func (d *Deployer) transcribe(record store.App, build store.Build) (*transcript, error) {
	path := d.transcriptPath(record.Name, build.Number)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fault.DiskFull(fmt.Errorf("make the directory of build logs: %w", err))
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fault.DiskFull(fmt.Errorf("open the build log: %w", err))
	}
	t := &transcript{id: buildID{record.UID, build.Number}, file: file, grown: make(chan struct{})}
	d.mu.Lock()
	d.builds[t.id] = t
	d.mu.Unlock()
	d.changes.publish(record.Name) // now that it can be followed
	return t, nil
}

// longestTranscript bounds the transcript of a build: one that prints without
// end must not fill the disk.
const longestTranscript = 16 << 20 // bytes

// Write never fails: a full disk costs lines of the log, not the build.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.size > longestTranscript {
		return len(p), nil
	}
	t.file.Write(p)
	if t.size += len(p); t.size > longestTranscript {
		fmt.Fprintf(t.file, "%s... more than %d MiB; the rest is left out\n", progress.Indent, longestTranscript>>20)
	}
	close(t.grown)
	t.grown = make(chan struct{})
	return len(p), nil
}

func (d *Deployer) close(t *transcript) {
	d.mu.Lock()
	delete(d.builds, t.id)
	d.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	close(t.grown)
	t.file.Close()
}

// state tells whether the build has ended, and returns what tells of more output.
func (t *transcript) state() (grown <-chan struct{}, ended bool) {
	if t == nil {
		return nil, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grown, t.ended
}

// FollowBuild copies the output of a build from its start to w until the build
// ends or ctx does.
func (d *Deployer) FollowBuild(ctx context.Context, app string, number int, w io.Writer) error {
	record, _, err := d.find(app)
	if err != nil {
		return err
	}
	err = d.db.View(func(tx *store.Tx) error {
		_, err := tx.Build(app, number)
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	t := d.builds[buildID{record.UID, number}]
	d.mu.Unlock()
	file, err := os.Open(d.transcriptPath(app, number))
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
