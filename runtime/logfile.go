package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/berthd/berth/runtime/logline"
)

// A log file holds one line per line of output, see package logline for its
// format. It is written by the container's first process and by nobody else;
// when it reaches LogFileSize it is renamed to NAME.1, NAME.1 to NAME.2 and so on.

// The bounds of a log file.
const (
	LogFileSize = logline.FileSize // bytes, before it is rotated
	LogFiles    = logline.Files    // rotated files that are kept
)

// LogLine is one line of a log. Its text has no control characters except tab:
// it is safe to show.
type LogLine = logline.Line

const (
	logBlock = 64 << 10 // bytes read at once
	// logLongest is more than the longest line takes when each of its bytes is
	// escaped. What goes on longer is not ours.
	logLongest = 5 * logline.MaxText
)

// ReadLog returns the last n lines of a log file and its rotated elders,
// oldest first; n < 0 is all. A log that does not exist has no lines. What is
// not a line, or not yet a whole one, is skipped.
func ReadLog(name string, n int) ([]LogLine, error) {
	files, err := openLog(name)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	var lines []LogLine
	for _, f := range slices.Backward(files) {
		if n >= 0 && len(lines) >= n {
			break
		}
		err := backward(f, func(l LogLine) bool {
			lines = append(lines, l)
			return n < 0 || len(lines) < n
		})
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
	}
	slices.Reverse(lines)
	return lines, nil
}

// openLog opens a log and its rotated elders, oldest first, as they stood at
// one moment: a rotation in the middle of it makes it start again.
func openLog(name string) ([]*os.File, error) {
	for {
		files, err := openNames(name)
		if err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		still, err := openNames(name)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("open log: %w", err)
		}
		same := slices.EqualFunc(files, still, sameFile)
		closeAll(still)
		if same {
			return files, nil
		}
		closeAll(files)
	}
}

func openNames(name string) (files []*os.File, err error) {
	for i := LogFiles; i >= 0; i-- {
		elder := name
		if i > 0 {
			elder += "." + strconv.Itoa(i)
		}
		f, err := os.Open(elder)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a young log, or the gap of an unfinished rotation
		}
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func sameFile(a, b *os.File) bool {
	sa, errA := a.Stat()
	sb, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(sa, sb)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// backward calls fn with the lines of f, last one first, until fn has enough.
func backward(f *os.File, fn func(LogLine) bool) error {
	pos, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	var tail []byte // from pos on: the bytes of a line whose beginning is not read yet
	whole := false  // a newline has been seen behind tail
	for pos > 0 {
		size := min(pos, logBlock)
		pos -= size
		block := make([]byte, int(size)+len(tail))
		if _, err := f.ReadAt(block[:size], pos); err != nil {
			return err
		}
		copy(block[size:], tail)
		for {
			end := bytes.LastIndexByte(block, '\n')
			if end < 0 {
				break
			}
			if line, ok := logline.Parse(block[end+1:]); ok && whole && !fn(line) {
				return nil
			}
			block, whole = block[:end], true
		}
		if tail = block; len(tail) > logLongest {
			tail, whole = nil, false
		}
	}
	if line, ok := logline.Parse(tail); ok && whole {
		fn(line)
	}
	return nil
}
