package deploy

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// The push output is as wide as a terminal of 80 columns leaves beside git's
// own "remote: ".
const (
	columns = 72
	indent  = "       "
)

// silence is how long a step may say nothing before its elapsed time is shown.
const silence = 15 * time.Second

// report is what the one who waits for slow work reads: plain lines, no cursor
// codes. It is safe for concurrent use, and a reader that has gone does not
// disturb the work.
type report struct {
	mu      sync.Mutex
	outs    []io.Writer
	record  io.Writer // the build's own among outs; nil without any
	last    time.Time // when something was printed last
	partial []byte
	steps   []store.Step
	old     []string          // layers that were there already
	notes   []string          // for after the step that is under way
	secrets *strings.Replacer // takes them out; nil without any

	live     time.Time // when the release that is rolled out began to serve
	warnings []string  // for the end of a deploy that went well
}

func newReport(outs ...io.Writer) *report {
	return &report{outs: outs, last: time.Now()}
}

// Title prints the line that a deploy begins with.
func (r *report) Title(format string, args ...any) {
	r.print("-----> " + fmt.Sprintf(format, args...))
}

// Step prints a line that begins a step.
func (r *report) Step(name, format string, args ...any) {
	r.print(fmt.Sprintf("-----> %-8s ", name) + fmt.Sprintf(format, args...))
}

// Detail prints a line that belongs to the step above it.
func (r *report) Detail(format string, args ...any) {
	r.print(indent + fmt.Sprintf(format, args...))
}

// Line prints a line as it is: one that git colours by its first word.
func (r *report) Line(format string, args ...any) { r.print(fmt.Sprintf(format, args...)) }

func (r *report) print(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	r.write(line)
}

func (r *report) write(line string) {
	r.last = time.Now()
	for _, out := range r.outs {
		io.WriteString(out, strings.TrimRight(line, " ")+"\n")
	}
}

// Write takes a program's output and prints its lines indented, without
// terminal codes. Of a line that is drawn over and over, only its last state
// is shown.
func (r *report) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partial = append(r.partial, p...)
	for {
		line, rest, found := strings.Cut(string(r.partial), "\n")
		if !found {
			break
		}
		r.partial = []byte(rest)
		r.writeOutput(line)
	}
	return len(p), nil
}

func (r *report) flush() {
	if len(r.partial) > 0 {
		line := string(r.partial)
		r.partial = nil
		r.writeOutput(line)
	}
}

func (r *report) writeOutput(line string) {
	line = strings.TrimRight(line, "\r")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	if r.secrets != nil {
		line = r.secrets.Replace(line)
	}
	r.write(indent + fault.Printable(line))
}

// warn keeps warnings for the end of a deploy that went well.
func (r *report) warn(lines ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, lines...)
}

// printWarnings prints the warnings that were kept.
func (r *report) printWarnings() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, warning := range r.warnings {
		r.write("warning: " + fault.Printable(warning))
	}
	r.warnings = nil
}

// recordOnly takes the output of berth's own tools, line by line: it is for the
// build's record, and says nothing to the one who waits.
func (r *report) recordOnly() io.Writer { return recordWriter{r} }

// keep adds to the build's record what another report has recorded.
func (r *report) keep(recorded []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record != nil {
		r.record.Write(recorded)
	}
}

type recordWriter struct{ report *report }

func (w recordWriter) Write(p []byte) (int, error) {
	r := w.report
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record != nil {
		for line := range strings.Lines(string(p)) {
			line = strings.TrimRight(line, "\r\n")
			if r.secrets != nil {
				line = r.secrets.Replace(line)
			}
			io.WriteString(r.record, indent+fault.Printable(line)+"\n")
		}
	}
	return len(p), nil
}

// reuse notes that a layer is there already.
func (r *report) reuse(layer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.old = append(r.old, layer)
}

// reused says which of a plan's layers were there already: just the last, when
// all were.
func (r *report) reused(layers int) {
	r.mu.Lock()
	old := r.old
	r.old = nil
	r.mu.Unlock()
	switch {
	case len(old) == layers && layers > 0:
		r.Step("Build", "%s reused", old[layers-1])
	case len(old) > 0:
		r.Detail("reused: %s", strings.Join(old, ", "))
	}
}

// timed runs a step's work: it notes how long it took, and prints the elapsed
// time whenever the work has been silent for a while.
func (r *report) timed(name string, work func() error) error {
	start := time.Now()
	done := make(chan struct{})
	var ticker sync.WaitGroup
	ticker.Go(func() { r.breakSilence(start, done) })
	err := work()
	close(done)
	ticker.Wait()
	r.took(name, time.Since(start))
	return err
}

// underWay says that the work which is waited for began before, for somebody else.
func (r *report) underWay(began time.Time) {
	already := "already"
	if since := time.Since(began).Round(time.Second); since > 0 {
		already = fmt.Sprintf("for %s already", since)
	}
	r.Detail("being made %s; this push waits for it", already)
}

func (r *report) took(name string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, store.Step{Name: name, Took: d})
}

func (r *report) breakSilence(start time.Time, done <-chan struct{}) {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		r.mu.Lock()
		quiet := time.Since(r.last)
		if quiet >= silence {
			r.write(fmt.Sprintf("       ... %s", time.Since(start).Round(time.Second)))
			quiet = 0
		}
		r.mu.Unlock()
		timer.Reset(silence - quiet)
	}
}

// Fail prints an error the way a user can act on it: what happened, the
// evidence, what to do, what is still running.
func (r *report) Fail(err error, ref func(error) string, still string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	r.write("")
	f := fault.From(err)
	if f == nil {
		f = fault.Internal(ref(err))
	}
	shown := r.without(f)
	if still != "" {
		shown.Hints = append(shown.Hints[:len(shown.Hints):len(shown.Hints)], still)
	}
	for _, line := range shown.Lines(columns) {
		r.write(line)
	}
}

// pack joins parts to lines of at most the given width.
func pack(parts []string, gap string, width int) (lines []string) {
	for _, part := range parts {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+len(gap)+utf8.RuneCountInString(part) <= width {
			lines[last] += gap + part
		} else {
			lines = append(lines, part)
		}
	}
	return lines
}

// clip shortens a text to a number of letters.
func clip(text string, width int) string {
	if letters := []rune(text); len(letters) > max(width, 4) {
		return string(letters[:max(width, 4)-3]) + "..."
	}
	return text
}

// seconds shows a duration as the push output does: "0.3s".
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
