package runtime

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/berthd/berth/runtime/logline"
)

// logPoll is how often a follower looks. Two stats a tenth of a second cost
// less than they sound (4 µs); inotify instances are scarce (128 per user
// by default, and every open page with a log would take one), and would
// need a second way anyway for a directory that does not exist yet.
const logPoll = 100 * time.Millisecond

// LogSettles is how long the last lines of a log may take to be read after its
// program has ended.
const LogSettles = 300 * time.Millisecond

// FollowLog calls fn with each line that is written from now on (from start
// when it is not zero: lines at or after it), across rotations, until ctx ends,
// which is not an error, or fn returns one. The file need not exist yet.
//
// Times rise from line to line, so ReadLog and then FollowLog from a nanosecond
// after the last line it gave lose and repeat nothing.
func FollowLog(ctx context.Context, name string, start time.Time, fn func(LogLine) error) error {
	f := &follower{name: name, fn: fn}
	defer f.close()
	if err := f.begin(start); err != nil {
		return err
	}
	poll := time.NewTicker(logPoll)
	defer poll.Stop()
	for {
		if err := f.catchUp(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		}
	}
}

// follower reads a log as it grows. It holds the file it reads open, so that
// its end can be read after it has been renamed or removed.
type follower struct {
	name string
	fn   func(LogLine) error

	file   *os.File  // nil while there is none
	offset int64     // in file, always the beginning of a line
	last   time.Time // of the last line that was given to fn
	since  time.Time // lines before it are skipped; zero for none
	buf    []byte
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
	}
}

// begin finds the place to start from.
func (f *follower) begin(start time.Time) error {
	files, err := openLog(f.name)
	if err != nil || len(files) == 0 {
		return err
	}
	pick := len(files) - 1
	if start.IsZero() {
		f.offset, err = lastLineEnd(files[pick])
	} else {
		f.since = start
		for ; pick > 0; pick-- {
			if first := firstTime(files[pick]); !first.IsZero() && !first.After(start) {
				break
			}
		}
	}
	f.take(files, pick)
	return err
}

// take goes on with one of the files, which the others are closed for.
func (f *follower) take(files []*os.File, pick int) {
	f.close()
	f.file = files[pick]
	closeAll(slices.Delete(files, pick, pick+1))
}

// lastLineEnd is the offset behind the last whole line.
func lastLineEnd(file *os.File) (int64, error) {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	block := make([]byte, min(end, logLongest))
	if _, err := file.ReadAt(block, end-int64(len(block))); err != nil {
		return 0, err
	}
	return end - int64(len(block)) + int64(bytes.LastIndexByte(block, '\n')+1), nil
}

// firstTime is the time of the first line, and the zero time when there is none.
func firstTime(file *os.File) time.Time {
	block := make([]byte, logBlock)
	n, _ := file.ReadAt(block, 0)
	for text := range bytes.Lines(block[:n]) {
		// The text may be cut off at the block's end, which the time is not.
		if line, ok := logline.Parse(bytes.TrimSuffix(text, []byte{'\n'})); ok {
			return line.Time
		}
	}
	return time.Time{}
}

// catchUp reads on to the end of the newest file.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		if f.file != nil {
			if err := f.read(ctx); err != nil {
				return err
			}
		}
		moved, err := f.next(ctx)
		if err != nil {
			return err
		}
		if !moved {
			// Whatever comes now is new. A clock that is set back must not hide it.
			f.since = time.Time{}
			return nil
		}
	}
}

// read gives the lines from offset to the end of the file to fn.
func (f *follower) read(ctx context.Context) error {
	if f.buf == nil {
		f.buf = make([]byte, logBlock)
	}
	for ctx.Err() == nil {
		n, err := f.file.ReadAt(f.buf, f.offset)
		if err != nil && err != io.EOF {
			return fmt.Errorf("follow log: %w", err)
		}
		taken, err := f.deliver(f.buf[:n])
		f.offset += int64(taken)
		switch {
		case err != nil:
			return err
		case taken > 0:
		case n < len(f.buf):
			return f.checkTruncated()
		case n < logLongest:
			f.buf = make([]byte, 2*len(f.buf))
		default:
			f.offset += int64(n) // no line of ours
		}
	}
	return ctx.Err()
}

// deliver gives the whole lines of chunk to fn and returns their bytes. The
// rest is read again later, since the writer may take back half a line when
// the disk fills up.
func (f *follower) deliver(chunk []byte) (taken int, err error) {
	for {
		end := bytes.IndexByte(chunk[taken:], '\n')
		if end < 0 {
			return taken, nil
		}
		line, ok := logline.Parse(chunk[taken : taken+end])
		taken += end + 1
		if !ok || line.Time.Before(f.since) {
			continue
		}
		f.since = time.Time{}
		f.last = line.Time
		if err := f.fn(line); err != nil {
			return taken, err
		}
	}
}

// checkTruncated starts again at the beginning of a file that somebody has emptied.
func (f *follower) checkTruncated() error {
	st, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("follow log: %w", err)
	}
	if st.Size() < f.offset {
		f.offset = 0
	}
	return nil
}

// next goes on to the file that came after the one held, if there is one.
func (f *follower) next(ctx context.Context) (moved bool, err error) {
	if f.file != nil {
		held, err := f.file.Stat()
		if err != nil {
			return false, fmt.Errorf("follow log: %w", err)
		}
		if now, err := os.Stat(f.name); err == nil && os.SameFile(held, now) {
			return false, nil
		}
	}
	files, err := openLog(f.name)
	if err != nil || len(files) == 0 {
		return false, err
	}
	pick := f.successor(files)
	if pick < 0 {
		closeAll(files)
		return false, nil
	}
	if f.file != nil {
		// The writer had let go of the old file before its successor got its
		// name, so this time its end is the end.
		if err := f.read(ctx); err != nil {
			closeAll(files)
			return false, err
		}
	}
	f.take(files, pick)
	f.offset = 0
	return true, nil
}

// successor returns which of files to read after the one held, -1 for none yet.
func (f *follower) successor(files []*os.File) int {
	if f.file == nil {
		return 0
	}
	held := slices.IndexFunc(files, func(file *os.File) bool { return sameFile(file, f.file) })
	if held == len(files)-1 {
		return -1 // renamed, and the next is not there yet
	}
	if held >= 0 {
		return held + 1
	}
	// Removed: by rotations that were faster than fn, or by hand.
	for i, file := range files {
		if firstTime(file).After(f.last) {
			return i
		}
	}
	return -1
}
