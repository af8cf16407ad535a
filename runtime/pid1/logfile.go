package pid1

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/berthd/berth/runtime/logline"
)

// retryWrite is how long the disk is left alone after it refused something.
const retryWrite = 250 * time.Millisecond

// batch is a run of whole lines on its way to the disk.
type batch struct {
	start time.Time // before the first line, after the batch before: the time of a note that goes in front
	bytes []byte
	lines int
	lost  int // lines that had to be thrown away after these, while the disk was stuck
}

// logFile is the log of one container, rotated by size. A disk that refuses
// costs lines, which are counted and reported in the log itself once it takes
// writes again; it never costs the caller more than a failed system call.
type logFile struct {
	name string
	file *os.File // nil after a failed open, which is tried again
	size int64
	torn bool // the file ends within a line

	dropped int       // lines not written since the last note
	reason  string    // why the last of them was not
	retry   time.Time // nothing is written before

	limit     int64     // logline.FileSize, less in tests
	rotate    time.Time // no rotation is tried before
	rotateErr error     // why the last one failed
}

// openLog opens the log file. Where only the disk stands in the way (full,
// broken) the file is opened later, by write: an app must start on a full disk.
func openLog(name string) (*logFile, error) {
	l := &logFile{name: name, limit: logline.FileSize}
	err := l.open()
	for _, refusal := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS} {
		if errors.Is(err, refusal) {
			err = nil
		}
	}
	return l, err
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, st.Size()
	if l.size > 0 {
		last := make([]byte, 1)
		_, err := f.ReadAt(last, l.size-1)
		l.torn = err != nil || last[0] != '\n'
	}
	return nil
}

// write appends the batch, with a note in front if lines were dropped before it.
func (l *logFile) write(b batch) {
	l.append(b)
	if b.lost > 0 {
		l.drop(b.lost, "the disk did not keep up")
	}
}

func (l *logFile) append(b batch) {
	if time.Now().Before(l.retry) {
		l.drop(b.lines, l.reason)
		return
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			l.refused(b.lines, err)
			return
		}
	}
	out, front := l.front(b)
	if l.size > 0 && l.size+int64(len(out)) > l.limit {
		// A file that cannot be rotated grows to twice its bound: enough to get
		// over a hiccup, and still a bound.
		if err := l.rotateNow(); err != nil && l.size+int64(len(out)) > 2*l.limit {
			l.refused(b.lines, err)
			return
		}
	}
	n, err := l.file.Write(out)
	if err == nil {
		l.size += int64(n)
		l.torn, l.dropped = false, 0
		return
	}

	// Keep the lines that fitted and cut the one that did not.
	whole := bytes.LastIndexByte(out[:n], '\n') + 1
	kept := 0
	if whole > 0 {
		l.torn = false
	}
	if whole >= front {
		kept = bytes.Count(out[front:whole], newline)
		l.dropped = 0 // the note is among what was kept, if there was one
	}
	l.size += int64(whole)
	if n > whole && l.file.Truncate(l.size) != nil {
		l.size += int64(n - whole)
		l.torn = true
	}
	l.refused(b.lines-kept, err)
}

var newline = []byte{'\n'}

// front returns the bytes to write for b and how many of them come before its
// lines: the end of a torn line, the note on dropped ones.
func (l *logFile) front(b batch) (out []byte, front int) {
	if !l.torn && l.dropped == 0 {
		return b.bytes, 0
	}
	if l.torn {
		out = append(out, '\n')
	}
	if l.dropped > 0 {
		note := strconv.Itoa(l.dropped) + " lines dropped: " + l.reason
		out = logline.Append(out, b.start, logline.Note, []byte(note))
	}
	return append(out, b.bytes...), len(out)
}

func (l *logFile) drop(lines int, reason string) {
	l.dropped += lines
	l.reason = reason
}

func (l *logFile) refused(lines int, err error) {
	l.retry = time.Now().Add(retryWrite)
	l.drop(lines, cause(err))
}

// cause is the plain words of a system call's error, without the path, which
// means nothing outside the container.
func cause(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// rotateNow starts a new file: NAME becomes NAME.1, NAME.1 becomes NAME.2, and
// the oldest goes. The new file is made first, under a name that no reader
// knows, so that a disk without room for one leaves everything as it was.
func (l *logFile) rotateNow() error {
	if time.Now().Before(l.rotate) {
		return l.rotateErr
	}
	f, err := l.shift()
	if err != nil {
		l.rotate, l.rotateErr = time.Now().Add(retryWrite), err
		return err
	}
	l.file.Close()
	l.file, l.size, l.torn = f, 0, false
	return nil
}

// shift moves each file one name further and returns the new one, open.
func (l *logFile) shift() (*os.File, error) {
	fresh := l.name + ".new"
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o640)
	if errors.Is(err, syscall.ENOSPC) {
		os.Remove(l.elder(logline.Files)) // it would go now anyway, and leaves room
		f, err = os.OpenFile(fresh, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o640)
	}
	if err != nil {
		return nil, err
	}
	for i := logline.Files - 1; i >= 0 && err == nil; i-- {
		err = os.Rename(l.elder(i), l.elder(i+1))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(fresh, l.name)
	}
	if err != nil {
		f.Close()
		os.Remove(fresh)
		return nil, err
	}
	return f, nil
}

// elder is the name of the i-th rotated file; the 0th is the log file itself.
func (l *logFile) elder(i int) string {
	if i == 0 {
		return l.name
	}
	return l.name + "." + strconv.Itoa(i)
}

func (l *logFile) close() {
	if l.file != nil {
		l.file.Close()
	}
}
