// Package accesslog logs finished requests of the router: a file of JSON Lines for
// each route, DIR/ROUTE/access.log, and one for requests without a route,
// DIR/access.log.
//
//	request ─ Add ─ pending lines ─ Run ─┬─ access.log, rotated to access.log.1
//	                (memory, bounded)    └─ followers
//
// It never delays a request. Add formats and copies the line; another goroutine
// writes. If that one cannot keep up, or the disk is full, lines are dropped and
// counted, and the log gets a line with the count ({"dropped":12}) as soon as it
// can be written again.
//
// Files are opened for each writing and closed after it: thousands of apps need
// no thousands of descriptors, and a directory that is removed takes its log
// with it.
package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/router"
)

// FileSize and its one elder bound what a route takes of the disk: 20 MB are
// some 60,000 requests.
const FileSize = 10 << 20

const (
	fileName  = "access.log"
	elderName = fileName + ".1"

	// writeEvery is how old a line may be that nobody sees yet. A route with
	// many lines is written sooner, and so is one that is read. Each writing
	// opens a file, some 20 µs for each route that was asked anything.
	writeEvery = 500 * time.Millisecond
	manyBytes  = 256 << 10

	// maxPending bounds the lines of one route that wait for the disk, and
	// maxAllPending those of all: a disk that hangs costs memory for a moment.
	maxPending    = 4 << 20
	maxAllPending = 16 << 20
)

// Log is the access logs of all routes. Its methods are safe for concurrent use.
type Log struct {
	dir  string
	log  *slog.Logger
	size int64 // FileSize, and room is maxPending, but in tests
	room int

	lines   sync.Pool     // of *[]byte, to make lines in outside of the lock
	dropped atomic.Uint64 // in all
	many    chan struct{} // a route has many lines

	// disk guards the files and serialises those who write them. It comes
	// before mu.
	disk sync.Mutex
	full bool // the last writing failed

	mu      sync.Mutex // guards what follows; held for memory only
	books   map[string]*book
	pending int // bytes
	spare   []byte
}

// book is the log of one route.
type book struct {
	route     string
	pending   []byte // whole lines
	count     uint64 // of them
	dropped   uint64 // since the last that were told
	followers map[*follower]struct{}
}

// New returns a log in a directory, which need not be there yet. Run writes it.
func New(dir string, log *slog.Logger) *Log {
	l := &Log{dir: dir, log: log, size: FileSize, room: maxPending, many: make(chan struct{}, 1), books: map[string]*book{}}
	l.Keep("")
	return l
}

// Keep takes lines of a route from now on. Those of routes that are not kept
// are left out: requests that end after their app was destroyed.
func (l *Log) Keep(route string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.books[route] == nil {
		l.books[route] = &book{route: route, followers: map[*follower]struct{}{}}
	}
}

// Forget stops the log of a route, and ends its followers. Once it has
// returned, nothing is written for the route; the caller removes the files.
func (l *Log) Forget(route string) {
	l.disk.Lock()
	defer l.disk.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[route]
	if b == nil {
		return
	}
	for f := range b.followers {
		f.end()
	}
	l.pending -= len(b.pending)
	b.pending, b.followers = nil, map[*follower]struct{}{}
	delete(l.books, route)
}

// Dropped is how many lines were lost since the start.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Add takes a request's line. It is the router's Config.AccessLog.
func (l *Log) Add(a router.Access) {
	line, _ := l.lines.Get().(*[]byte)
	if line == nil {
		line = new([]byte)
	}
	*line = appendLine((*line)[:0], &a)
	l.add(a.Route, *line)
	l.lines.Put(line)
}

func (l *Log) add(route string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[route]
	if b == nil {
		return
	}
	if len(b.pending)+len(line) > l.room || l.pending+len(line) > maxAllPending {
		b.dropped++
		l.dropped.Add(1)
		return
	}
	b.pending = append(b.pending, line...)
	b.count++
	l.pending += len(line)
	if len(b.pending) >= manyBytes {
		select {
		case l.many <- struct{}{}:
		default:
		}
	}
}

// Run writes until ctx ends, and then the rest. It logs a failure to write once
// for each time that the disk refuses lines.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.write()
			return nil
		case <-tick.C:
		case <-l.many:
		}
		l.write()
	}
}

// write writes the lines of every route that has any.
func (l *Log) write() {
	l.disk.Lock()
	defer l.disk.Unlock()
	var failed error
	for _, b := range l.waiting() {
		if err := l.writeBook(b); err != nil {
			failed = err
		}
	}
	if failed != nil && !l.full {
		l.log.Error("access logs cannot be written; lines are dropped and counted", "err", failed)
	}
	l.full = failed != nil
}

func (l *Log) waiting() (books []*book) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.books {
		if len(b.pending) > 0 || b.dropped > 0 {
			books = append(books, b)
		}
	}
	return books
}

// writeBook writes the lines of one route; the caller holds disk.
func (l *Log) writeBook(b *book) error {
	l.mu.Lock()
	text, count, dropped := b.pending, b.count, b.dropped
	b.pending, b.count, b.dropped = l.spare, 0, 0
	l.spare = nil
	l.pending -= len(text)
	route := b.route
	l.mu.Unlock()
	if count == 0 && dropped == 0 {
		return nil
	}
	lines := len(text)
	if dropped > 0 {
		text = appendDropped(text, time.Now(), dropped)
	}
	err := l.append(filepath.Join(l.dir, route), text)

	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range b.followers {
		if err == nil {
			f.give(text, 2*l.room)
		} else {
			f.give(text[:lines], 2*l.room) // what was dropped is told once it can be
		}
	}
	if err != nil {
		b.dropped += count + dropped // to be told when the disk has room again
		l.dropped.Add(count)
	}
	if cap(text) <= 4*manyBytes { // one that a flood has blown up is let go
		l.spare = text[:0]
	}
	return err
}

// append writes whole lines or nothing: half a line that the disk took before
// it was full is taken back.
func (l *Log) append(dir string, text []byte) error {
	name := filepath.Join(dir, fileName)
	size, err := l.makeRoom(dir, name, int64(len(text)))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open an access log: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return errors.Join(fmt.Errorf("write an access log: %w", err), f.Truncate(size))
	}
	return nil
}

// makeRoom rotates a log that would grow too large, and returns how large it is.
func (l *Log) makeRoom(dir, name string, more int64) (int64, error) {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return 0, fmt.Errorf("make the directory of an access log: %w", err)
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open an access log: %w", err)
	}
	if st.Size()+more <= l.size || st.Size() == 0 {
		return st.Size(), nil
	}
	if err := os.Rename(name, filepath.Join(dir, elderName)); err != nil {
		return 0, fmt.Errorf("rotate an access log: %w", err)
	}
	return 0, nil
}
