package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime/logline"
)

// follow runs FollowLog; line returns the next text it gave.
type follow struct {
	t    *testing.T
	ch   chan string
	stop func() error
}

func startFollow(t *testing.T, name string, start time.Time) *follow {
	ctx, cancel := context.WithCancel(t.Context())
	f := &follow{t: t, ch: make(chan string, 100)}
	ended := make(chan error, 1)
	go func() {
		ended <- FollowLog(ctx, name, start, func(l LogLine) error {
			select {
			case f.ch <- l.Text:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	f.stop = func() error { cancel(); return <-ended }
	t.Cleanup(cancel)
	return f
}

func (f *follow) want(texts ...string) {
	f.t.Helper()
	for _, want := range texts {
		select {
		case got := <-f.ch:
			if got != want {
				f.t.Fatalf("got %.100q, want %.100q", got, want)
			}
		case <-time.After(10 * time.Second):
			f.t.Fatalf("no line came, want %.100q", want)
		}
	}
}

// settle waits until FollowLog has surely found its place: a line is written
// again and again until it comes, and then what is left of it is taken.
func (f *follow) settle(w *logWriter) {
	f.t.Helper()
	for i := range 100 {
		w.lines("settle " + strconv.Itoa(i))
		select {
		case <-f.ch:
			mark := "settled"
			w.lines(mark)
			for got := range f.ch {
				if got == mark {
					return
				}
			}
		case <-time.After(2 * logPoll):
		}
	}
	f.t.Fatal("nothing is followed")
}

func TestFollowLog_GivesOnlyWhatIsNew(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	w.lines("old 1", "old 2")
	f := startFollow(t, name, time.Time{})
	f.settle(w)
	w.lines("new 1", "new 2")
	f.want("new 1", "new 2")
	if err := f.stop(); err != nil {
		t.Fatalf("the end of ctx gave %v, want nil", err)
	}
}

func TestFollowLog_StartsBeforeTheDirectoryExists(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	name := filepath.Join(dir, "web.log")
	f := startFollow(t, name, time.Time{})
	select {
	case got := <-f.ch:
		t.Fatalf("got %q from nowhere", got)
	case <-time.After(2 * logPoll): // it has looked
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	newLogWriter(t, name).lines("first", "second")
	f.want("first", "second")
}

func TestFollowLog_FromStartAcrossElders(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	var start time.Time
	for i := range 4 {
		w.lines(numbers(i*10, i*10+5)...)
		if i == 1 {
			start = w.last.Add(1)
		}
		w.lines(numbers(i*10+5, i*10+10)...)
		w.rotate() // the newest file stays empty
	}
	f := startFollow(t, name, start)
	f.want(numbers(15, 40)...)
	w.lines("after")
	f.want("after")
}

func TestFollowLog_GoesOnAfterReadLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	w.lines("1", "2", "3") // within a microsecond
	read, err := ReadLog(name, 2)
	if err != nil {
		t.Fatal(err)
	}
	w.lines("4")
	w.rotate()
	w.lines("5")
	wantTexts(t, textsOf(read), []string{"2", "3"})
	startFollow(t, name, read[1].Time.Add(1)).want("4", "5")
}

func TestFollowLog_LosesAndRepeatsNothingAcrossRotations(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	f := startFollow(t, name, time.Time{})
	f.settle(w)
	const count, each = 20_000, 37
	go func() {
		for i := 0; i < count; i += each {
			w.lines(numbers(i, min(i+each, count))...)
			if i/each%20 == 19 {
				w.rotate()
			}
			if i/each%60 == 59 {
				time.Sleep(2 * logPoll) // so that no more than LogFiles rotations happen unseen
			}
		}
	}()
	f.want(numbers(0, count)...)
}

func TestFollowLog_LinesLongerThanABlock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	f := startFollow(t, name, time.Time{})
	f.settle(w)
	w.lines("before", strings.Repeat("\x01", logline.MaxText), "after")
	f.want("before", strings.Repeat(`\x01`, logline.MaxText), "after")
	w.raw(strings.Repeat("no line at all", logLongest) + "\n")
	w.lines("later")
	f.want("later")
}

func TestFollowLog_LineTakenBackByTheWriter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	f := startFollow(t, name, time.Time{})
	f.settle(w)
	st, err := w.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	w.raw("2026-11-23T18:12:52.123456789Z o half a line that the disk ref")
	select {
	case got := <-f.ch:
		t.Fatalf("got half a line: %q", got)
	case <-time.After(2 * logPoll):
	}
	if err := w.file.Truncate(st.Size()); err != nil {
		t.Fatal(err)
	}
	w.lines("whole again")
	f.want("whole again")
}

func TestFollowLog_FileEmptiedByHand(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	f := startFollow(t, name, time.Time{})
	f.settle(w)
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	w.lines("fresh")
	f.want("fresh")
}

func TestFollowLog_FileReplacedByHand(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	f := startFollow(t, name, time.Time{})
	f.settle(w)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	w.lines("last words of the old one")
	f.want("last words of the old one")
	newLogWriter(t, name).lines("fresh")
	f.want("fresh")
}

func TestFollowLog_ClockSetBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	w.lines("today")
	f := startFollow(t, name, w.last)
	f.want("today")
	w.raw("1999-12-31T23:59:59.000000000Z o yesterday\n")
	f.want("yesterday")
}

func TestFollowLog_ErrorOfTheCallerEndsIt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.log")
	w := newLogWriter(t, name)
	w.lines("one", "two")
	enough := errors.New("enough")
	var got []string
	err := FollowLog(t.Context(), name, w.last.Add(-time.Hour), func(l LogLine) error {
		got = append(got, l.Text)
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatalf("got %v, want %v", err, enough)
	}
	wantTexts(t, got, []string{"one"})
}

func BenchmarkFollowLog_FromStart(b *testing.B) {
	name := bigLog(b)
	lines := 0
	enough := errors.New("enough")
	all, err := ReadLog(name, -1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		seen := 0
		FollowLog(b.Context(), name, all[0].Time, func(LogLine) error {
			if seen++; seen == len(all) {
				return enough
			}
			return nil
		})
		lines += seen
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkFollowLog_Idle is what a quiet follower costs at each look.
func BenchmarkFollowLog_Idle(b *testing.B) {
	name := filepath.Join(b.TempDir(), "web.log")
	newLogWriter(b, name).lines("one")
	f := &follower{name: name, fn: func(LogLine) error { return nil }}
	defer f.close()
	if err := f.begin(time.Time{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := f.catchUp(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
