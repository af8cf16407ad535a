package pid1

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/berthd/berth/runtime/logline"
)

const (
	idle       = time.Second            // a line without an end is written after it: a prompt, a progress bar
	gather     = 10 * time.Millisecond  // lines wait this long for company, one write for all
	gathered   = 64 << 10               // bytes that need not wait any longer
	maxPending = 256 << 10              // bytes that wait for the disk before the program has to wait too
	patience   = time.Second            // the program waits no longer than this for a disk that is stuck
	clockBack  = int64(time.Second)     // smaller steps back of the clock are smoothed over
	noteAfter  = 500 * time.Millisecond // a note on dropped lines needs no further line to carry it
)

// logger takes the program's output and writes it to the log file. Two readers
// (stdout, stderr) stamp lines and append them to what is pending, one writer
// takes all that is pending to the disk, so that a disk that hangs in a system
// call holds up the writer alone: pending is bounded, and what does not fit is
// read, counted and thrown away.
type logger struct {
	file    *logFile
	readers sync.WaitGroup
	wake    chan struct{} // something is pending
	hurry   chan struct{} // enough is pending
	written chan struct{} // closed when the writer has ended

	mu      sync.Mutex // guards what is below
	pending batch
	last    int64         // time of the last line, nanoseconds since 1970
	room    chan struct{} // closed when pending has been taken; nil when nobody waits
	stuck   bool          // patience has run out, until pending is taken
	ended   bool          // no more lines will come
}

// newLogger starts logging the two streams to file, which is nil when the
// output is not wanted. It owns all three.
func newLogger(file *logFile, stdout, stderr *os.File) *logger {
	l := &logger{
		file:    file,
		wake:    make(chan struct{}, 1),
		hurry:   make(chan struct{}, 1),
		written: make(chan struct{}),
	}
	l.readers.Go(func() { l.drain(stdout, logline.Stdout) })
	l.readers.Go(func() { l.drain(stderr, logline.Stderr) })
	go l.write()
	go func() {
		l.readers.Wait()
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
		nudge(l.wake)
		nudge(l.hurry)
	}()
	return l
}

// done is closed when both streams have ended and all lines are written or dropped.
func (l *logger) done() <-chan struct{} { return l.written }

// drain reads a stream until nobody holds its other end any more.
func (l *logger) drain(r *os.File, stream byte) {
	defer r.Close()
	buf := make([]byte, logline.MaxText+1) // one more, for the newline of the longest line
	held := 0                              // bytes of a line that has not ended yet
	for {
		deadline := time.Time{}
		if held > 0 {
			deadline = time.Now().Add(idle)
		}
		r.SetReadDeadline(deadline)
		n, err := r.Read(buf[held:])
		held += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.add(stream, buf[:held], true)
			held = 0
			continue
		}
		taken := l.add(stream, buf[:held], err != nil)
		held = copy(buf, buf[taken:held])
		if err != nil {
			return
		}
	}
}

// add stamps the lines of a chunk and returns how many of its bytes it has
// taken: up to the last newline, or all of them if the chunk is the last.
func (l *logger) add(stream byte, chunk []byte, last bool) (taken int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().UnixNano()
	for rest := chunk; len(rest) > 0; rest = chunk[taken:] {
		end := bytes.IndexByte(rest, '\n')
		switch {
		case end >= 0:
			taken += end + 1
			rest = bytes.TrimSuffix(rest[:end], []byte{'\r'})
		case len(rest) > logline.MaxText:
			rest = rest[:splitAt(rest)]
			taken += len(rest)
		case last:
			taken += len(rest)
		default:
			return taken
		}
		l.line(now, stream, rest)
	}
	return taken
}

// splitAt says where to end the first part of an overlong line: at MaxText, or
// a little before so as not to tear a character.
func splitAt(text []byte) int {
	at := logline.MaxText
	for i := at; i > at-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			return i
		}
	}
	return at
}

// line appends one line to what is pending, or counts it as lost. The lock is held.
func (l *logger) line(now int64, stream byte, text []byte) {
	for len(l.pending.bytes) >= maxPending && !l.stuck {
		l.waitForRoom()
	}
	if l.stuck {
		l.pending.lost++
		return
	}
	if len(l.pending.bytes) == 0 {
		l.pending.start = l.tick(now)
		nudge(l.wake)
	}
	l.pending.bytes = logline.Append(l.pending.bytes, l.tick(now), stream, text)
	l.pending.lines++
	if len(l.pending.bytes) >= gathered {
		nudge(l.hurry)
	}
}

// waitForRoom waits, without the lock, until pending is taken or patience ends.
func (l *logger) waitForRoom() {
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	l.mu.Unlock()
	late := time.NewTimer(patience)
	select {
	case <-room:
		l.mu.Lock()
	case <-late.C:
		l.mu.Lock()
		// The writer may have come just now.
		l.stuck = len(l.pending.bytes) >= maxPending
	}
	late.Stop()
}

// tick returns the time for the next line, later than that of every line before.
func (l *logger) tick(now int64) time.Time {
	if now <= l.last && l.last-now < clockBack {
		now = l.last + 1
	}
	l.last = now
	return time.Unix(0, now)
}

// write takes what is pending to the disk until the streams have ended.
func (l *logger) write() {
	defer close(l.written)
	timer := time.NewTimer(gather)
	defer timer.Stop()
	var spare []byte
	for {
		var note <-chan time.Time
		if l.file != nil && l.file.dropped > 0 {
			timer.Reset(noteAfter)
			note = timer.C
		}
		select {
		case <-l.wake:
			timer.Reset(gather)
			select {
			case <-l.hurry:
			case <-timer.C:
			}
		case <-note:
		}
		b, ended := l.take(spare)
		if l.file != nil && (len(b.bytes) > 0 || b.lost > 0 || l.file.dropped > 0) {
			l.file.write(b)
		}
		if spare = b.bytes[:0]; cap(spare) > gathered && len(b.bytes) < gathered {
			spare = nil // the rush is over
		}
		if ended {
			break
		}
	}
	if l.file != nil {
		if l.file.dropped > 0 { // the last chance to say so
			l.file.retry = time.Time{}
			l.file.write(batch{start: l.tick(time.Now().UnixNano())})
		}
		l.file.close()
	}
}

// take returns what is pending and leaves an empty buffer in its place.
func (l *logger) take(spare []byte) (b batch, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b = l.pending
	if len(b.bytes) == 0 {
		b.start = l.tick(time.Now().UnixNano())
	}
	l.pending = batch{bytes: spare}
	l.stuck = false
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	select {
	case <-l.hurry: // it spoke of what has just been taken
	default:
	}
	return b, l.ended
}

// nudge leaves word for whoever waits on c, once.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
