// Package lines handles the output of programs line by line.
package lines

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
)

const (
	tailLines = 15       // of a failed command's output, as evidence
	lineBytes = 16 << 10 // of a line of output; the rest goes on the next
)

// Writer passes whole lines on and remembers the last ones. Of a line that
// was written over with carriage returns, as progress bars are, the last state
// is passed on.
type Writer struct {
	Out  io.Writer // nil keeps the last lines alone
	mu   sync.Mutex
	line []byte
	tail []string
}

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.line = append(w.line, p...)
			if len(w.line) >= lineBytes {
				w.end()
			}
			break
		}
		w.line = append(w.line, p[:i]...)
		p = p[i+1:]
		w.end()
	}
	return n, nil
}

// end passes the line on. An error of the reader's is not the command's: the
// build goes on, and its tail is kept.
func (w *Writer) end() {
	line := bytes.TrimRight(w.line, "\r")
	line = line[bytes.LastIndexByte(line, '\r')+1:]
	if w.Out != nil {
		fmt.Fprintf(w.Out, "%s\n", line)
	}
	w.tail = append(w.tail, string(line))
	if len(w.tail) > tailLines {
		w.tail = slices.Delete(w.tail, 0, len(w.tail)-tailLines)
	}
	w.line = w.line[:0]
}

// Flush passes on a last line that has no end.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.line) > 0 {
		w.end()
	}
}

// Tail returns the last lines.
func (w *Writer) Tail() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.tail)
}

// Locked returns a writer to w for several writers at once.
func Locked(w io.Writer) io.Writer { return &lockedWriter{w: w} }

// lockedWriter is a writer for two streams at once.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
