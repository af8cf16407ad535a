package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// block is how much of a file is read at once.
const block = 64 << 10

// Query chooses lines of a route's log.
type Query struct {
	Route  string          // empty is what no route has
	Lines  int             // the last n that are wanted; negative is all
	Follow bool            // and those that come
	Want   func(Line) bool // nil wants all
}

// Read calls fn with each line that the query asks for, oldest first; with
// Follow until ctx ends, which is its error then, or the route is forgotten.
// Between the last line that is there and the first that comes none is lost
// and none is given twice.
func (l *Log) Read(ctx context.Context, q Query, fn func(Line) error) error {
	files, f, err := l.open(q)
	if err != nil {
		return err
	}
	defer l.leave(f)
	past, err := tail(ctx, files, q)
	for _, file := range files {
		file.Close()
	}
	if err != nil {
		return fmt.Errorf("read an access log: %w", err)
	}
	for _, line := range slices.Backward(past) {
		if err := fn(line); err != nil {
			return err
		}
	}
	if f == nil {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.news:
		}
		text, ended := f.take()
		for line := range bytes.Lines(text) {
			if line, ok := parse(line); ok && q.wants(line) {
				if err := fn(line); err != nil {
					return err
				}
			}
		}
		if ended {
			return nil
		}
	}
}

func (q Query) wants(line Line) bool { return q.Want == nil || line.Dropped > 0 || q.Want(line) }

// open writes what is pending, opens the route's files, newest first, and
// registers the follower, if there is to be one: all at one moment.
func (l *Log) open(q Query) (files []*os.File, f *follower, err error) {
	l.disk.Lock()
	defer l.disk.Unlock()
	l.mu.Lock()
	b := l.books[q.Route]
	l.mu.Unlock()
	if b != nil {
		l.writeBook(b) // when the disk is full, that has been said
	} // else it is not served yet, and has what was written before
	for _, name := range []string{fileName, elderName} {
		file, err := os.Open(filepath.Join(l.dir, q.Route, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			for _, file := range files {
				file.Close()
			}
			return nil, nil, fmt.Errorf("open an access log: %w", err)
		}
		if _, err := file.Seek(0, io.SeekEnd); err != nil { // what is written from here on a follower is given
			return nil, nil, fmt.Errorf("read an access log: %w", err)
		}
		files = append(files, file)
	}
	if q.Follow && b != nil {
		f = &follower{book: b, news: make(chan struct{}, 1)}
		l.mu.Lock()
		b.followers[f] = struct{}{}
		l.mu.Unlock()
	}
	return files, f, nil
}

func (l *Log) leave(f *follower) {
	if f != nil {
		l.mu.Lock()
		delete(f.book.followers, f)
		l.mu.Unlock()
	}
}

// tail returns the last lines of files, the newest first.
func tail(ctx context.Context, files []*os.File, q Query) (lines []Line, err error) {
	full := func() bool { return q.Lines >= 0 && len(lines) >= q.Lines }
	for _, file := range files {
		if full() {
			break
		}
		err := backward(file, func(text []byte) bool {
			if line, ok := parse(text); ok && q.wants(line) {
				lines = append(lines, line)
			}
			return !full() && ctx.Err() == nil
		})
		if err != nil {
			return nil, err
		}
	}
	return lines, ctx.Err()
}

// backward calls fn with the whole lines of a file before where it stands, the
// last one first, until fn has enough.
func backward(file *os.File, fn func([]byte) bool) error {
	pos, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	var rest []byte // of a line whose beginning is not read yet
	whole := false  // what stands before the last newline is one
	for pos > 0 {
		size := min(pos, block)
		pos -= size
		part := make([]byte, int(size)+len(rest))
		if _, err := file.ReadAt(part[:size], pos); err != nil {
			return err
		}
		copy(part[size:], rest)
		for {
			end := bytes.LastIndexByte(part, '\n')
			if end < 0 {
				break
			}
			if whole && !fn(part[end+1:]) {
				return nil
			}
			part, whole = part[:end], true
		}
		if rest = part; len(rest) > block {
			rest, whole = nil, false // no line of ours
		}
	}
	if whole {
		fn(rest)
	}
	return nil
}

// follower is one who reads lines as they are written.
type follower struct {
	book *book
	news chan struct{} // something has come

	mu      sync.Mutex // guards what follows
	waiting []byte
	missed  uint64 // lines that did not fit
	ended   bool
}

// give hands over lines, or counts them when the follower is too slow and has
// no room for them.
func (f *follower) give(text []byte, room int) {
	f.mu.Lock()
	if len(f.waiting)+len(text) > room {
		f.missed += uint64(bytes.Count(text, []byte{'\n'}))
	} else {
		f.waiting = append(f.waiting, text...)
	}
	f.mu.Unlock()
	f.wake()
}

// end tells that no more will come.
func (f *follower) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.wake()
}

func (f *follower) wake() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// take returns what has come since the last time.
func (f *follower) take() (text []byte, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, f.waiting = f.waiting, nil
	if f.missed > 0 {
		text = appendDropped(text, time.Now(), f.missed)
		f.missed = 0
	}
	return text, f.ended
}
