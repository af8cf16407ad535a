package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime/logline"
)

// logWriter writes a log the way the container's first process does.
type logWriter struct {
	tb   testing.TB
	name string
	file *os.File
	last time.Time
}

func newLogWriter(tb testing.TB, name string) *logWriter {
	w := &logWriter{tb: tb, name: name, last: time.Now()}
	w.file = w.create(name)
	tb.Cleanup(func() { w.file.Close() })
	return w
}

func (w *logWriter) create(name string) *os.File {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		w.tb.Fatal(err)
	}
	return f
}

func (w *logWriter) lines(texts ...string) {
	var out []byte
	for _, text := range texts {
		w.last = w.last.Add(1)
		if now := time.Now(); now.After(w.last) {
			w.last = now
		}
		out = logline.Append(out, w.last, logline.Stdout, []byte(text))
	}
	w.raw(string(out))
}

func (w *logWriter) raw(text string) {
	if _, err := w.file.WriteString(text); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *logWriter) rotate() {
	fresh := w.create(w.name + ".new")
	for i := LogFiles; i > 1; i-- {
		os.Rename(w.name+"."+strconv.Itoa(i-1), w.name+"."+strconv.Itoa(i))
	}
	if err := errors.Join(os.Rename(w.name, w.name+".1"), os.Rename(w.name+".new", w.name)); err != nil {
		w.tb.Fatal(err)
	}
	w.file.Close()
	w.file = fresh
}

func numbers(from, to int) (texts []string) {
	for i := from; i < to; i++ {
		texts = append(texts, "line "+strconv.Itoa(i))
	}
	return texts
}

func textsOf(lines []LogLine) (texts []string) {
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	return texts
}

func wantTexts(t *testing.T, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "|"), strings.Join(want, "|"); g != w {
		if len(g)+len(w) > 2000 {
			t.Fatalf("got %d lines, want %d; first ones %.200q, want %.200q", len(got), len(want), g, w)
		}
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestReadLog_MissingFileHasNoLines(t *testing.T) {
	lines, err := ReadLog(filepath.Join(t.TempDir(), "none", "web.log"), 10)
	if len(lines) != 0 || err != nil {
		t.Fatalf("got %v, %v; want no lines and no error", lines, err)
	}
}

func TestReadLog_LastLinesAcrossRotatedFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	const each = 3000 // some blocks per file
	for i := range 4 {
		w.lines(numbers(i*each, (i+1)*each)...)
		w.rotate()
	}
	w.lines(numbers(4*each, 4*each+5)...)
	for _, n := range []int{0, 1, 5, 6, 2999, 3005, 3006, 4*each + 5, 1 << 20, -1} {
		lines, err := ReadLog(name, n)
		if err != nil {
			t.Fatal(err)
		}
		from := 4*each + 5 - n
		if n < 0 || from < 0 {
			from = 0
		}
		wantTexts(t, textsOf(lines), numbers(from, 4*each+5))
	}
}

func TestReadLog_GapOfAnUnfinishedRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	w.lines("old")
	w.rotate()
	w.lines("new")
	w.rotate() // old is .2, new is .1
	os.Rename(name+".2", name+".4")
	os.Remove(name)
	lines, err := ReadLog(name, -1)
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, textsOf(lines), []string{"old", "new"})
}

func TestReadLog_SkipsWhatIsNoLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	w.raw("the tail of a torn line\n")
	w.lines("one")
	w.raw(strings.Repeat("\x00", 3*logBlock) + "\n")
	w.lines("two", "")
	w.raw("2026-11-23T18:1\n")
	w.lines("three")
	w.raw("2026-11-23T18:12:52.123456789Z o not whole y")
	lines, err := ReadLog(name, 4)
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, textsOf(lines), []string{"one", "two", "", "three"})
}

func TestReadLog_LinesLongerThanABlock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	long := strings.Repeat("x", logline.MaxText)
	w.lines("first", long)
	w.lines(strings.Repeat("\x01", logline.MaxText), "last")
	lines, err := ReadLog(name, -1)
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, textsOf(lines), []string{"first", long, strings.Repeat(`\x01`, logline.MaxText), "last"})
}

func TestReadLog_RotatingUnderItGivesConsecutiveLines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 2000 {
			w.lines(numbers(i*10, i*10+10)...)
			if i%3 == 2 {
				w.rotate()
			}
		}
	}()
	for reads := 0; ; reads++ {
		lines, err := ReadLog(name, 60)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(lines); i++ {
			before, _ := strconv.Atoi(strings.TrimPrefix(lines[i-1].Text, "line "))
			after, _ := strconv.Atoi(strings.TrimPrefix(lines[i].Text, "line "))
			if after != before+1 {
				t.Fatalf("read %d: line %d follows line %d", reads, after, before)
			}
		}
		select {
		case <-written:
			return
		default:
		}
	}
}

// bigLog is a log as large as it gets.
func bigLog(b *testing.B) (name string) {
	name = filepath.Join(b.TempDir(), "web.log")
	w := newLogWriter(b, name)
	batch := make([]string, 1000)
	for i := range batch {
		batch[i] = fmt.Sprintf(`10.0.0.7 - - "GET /page/%d HTTP/1.1" 200 5120 "-" "curl/8.5.0"`, i)
	}
	for range LogFiles + 1 {
		for size := 0; size < LogFileSize; size += 100 * len(batch) {
			w.lines(batch...)
		}
		w.rotate()
	}
	return name
}

func BenchmarkReadLog_Last100Of60MB(b *testing.B) {
	name := bigLog(b)
	for b.Loop() {
		if lines, err := ReadLog(name, 100); err != nil || len(lines) != 100 {
			b.Fatal(len(lines), err)
		}
	}
}

func BenchmarkReadLog_All(b *testing.B) {
	name := bigLog(b)
	b.ReportAllocs()
	lines := 0
	for b.Loop() {
		all, err := ReadLog(name, -1)
		if err != nil {
			b.Fatal(err)
		}
		lines += len(all)
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}
