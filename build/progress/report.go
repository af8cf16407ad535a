// Package progress is the output of slow work for the person who waits, and the
// transcript that is kept with a build: lines for the steps, and between them the
// output of programs without the secrets of the app's config.
package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/units"
)

const (
	// Columns is the width of the push output: what a terminal of 80 columns
	// leaves beside git's own "remote: ".
	Columns = 72
	// Indent is what details and the output of programs begin with.
	Indent = "       "
)

// silence is how long a step may say nothing before its elapsed time is shown.
const silence = 15 * time.Second

// Report is the output of slow work: plain lines without cursor codes. It is
// safe for concurrent use, and a reader that disconnects does not disturb the
// work.
type Report struct {
	mu      sync.Mutex
	outs    []io.Writer
	Record  io.Writer // the build's own among outs; nil without any
	last    time.Time // when something was printed last
	partial []byte
	took    []store.Step
	old     []string          // layers that were there already
	notes   []string          // for after the step that is under way
	secrets *strings.Replacer // takes them out; nil without any

	Live     time.Time // when the release that is rolled out began to serve
	warnings []string  // for the end of a deploy that went well
}

// New returns a report that writes to all of outs.
func New(outs ...io.Writer) *Report {
	return &Report{outs: outs, last: time.Now()}
}

// Title prints the line that a deploy begins with.
func (r *Report) Title(format string, args ...any) {
	r.print("-----> " + fmt.Sprintf(format, args...))
}

// Waiting is Title for a turn that another one has.
func (r *Report) Waiting(holder string) { r.Title("waiting for %s", holder) }

// Step prints a line that begins a step.
func (r *Report) Step(name, format string, args ...any) {
	r.print(fmt.Sprintf("-----> %-8s ", name) + fmt.Sprintf(format, args...))
}

// Detail prints a line below the current step.
func (r *Report) Detail(format string, args ...any) {
	r.print(Indent + fmt.Sprintf(format, args...))
}

// Line prints a line unchanged: git colours it by its first word.
func (r *Report) Line(format string, args ...any) { r.print(fmt.Sprintf(format, args...)) }

func (r *Report) print(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	r.write(line)
}

func (r *Report) write(line string) {
	r.last = time.Now()
	for _, out := range r.outs {
		io.WriteString(out, strings.TrimRight(line, " ")+"\n")
	}
}

// Write takes a program's output and prints its lines indented, without
// terminal codes. Of a line that is drawn over and over, only its last state
// is shown.
func (r *Report) Write(p []byte) (int, error) {
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

func (r *Report) flush() {
	if len(r.partial) > 0 {
		line := string(r.partial)
		r.partial = nil
		r.writeOutput(line)
	}
}

func (r *Report) writeOutput(line string) {
	line = strings.TrimRight(line, "\r")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	if r.secrets != nil {
		line = r.secrets.Replace(line)
	}
	r.write(Indent + fault.Printable(line))
}

// Warn keeps warnings for the end of a deploy that went well.
func (r *Report) Warn(lines ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, lines...)
}

// PrintWarnings prints the warnings that were kept.
func (r *Report) PrintWarnings() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, warning := range r.warnings {
		r.write("warning: " + fault.Printable(warning))
	}
	r.warnings = nil
}

// RecordOnly writes the output of berth's own tools, line by line, to the
// build's record and not to the person who waits.
func (r *Report) RecordOnly() io.Writer { return recordWriter{r} }

// Keep adds to the build's record what another report has recorded.
func (r *Report) Keep(recorded []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Record != nil {
		r.Record.Write(recorded)
	}
}

type recordWriter struct{ Report *Report }

func (w recordWriter) Write(p []byte) (int, error) {
	r := w.Report
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Record != nil {
		for line := range strings.Lines(string(p)) {
			line = strings.TrimRight(line, "\r\n")
			if r.secrets != nil {
				line = r.secrets.Replace(line)
			}
			io.WriteString(r.Record, Indent+fault.Printable(line)+"\n")
		}
	}
	return len(p), nil
}

// Reuse notes that a layer is there already.
func (r *Report) Reuse(layer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.old = append(r.old, layer)
}

// Reused says which of a plan's layers were there already: just the last, when
// all were.
func (r *Report) Reused(layers int) {
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

// Timed runs a step's work: it notes how long it took, and prints the elapsed
// time whenever the work has been silent for a while.
func (r *Report) Timed(name string, work func() error) error {
	start := time.Now()
	done := make(chan struct{})
	var ticker sync.WaitGroup
	ticker.Go(func() { r.breakSilence(start, done) })
	err := work()
	close(done)
	ticker.Wait()
	r.note(name, time.Since(start))
	return err
}

// UnderWay says that the work which is waited for began before, for somebody else.
func (r *Report) UnderWay(began time.Time) {
	already := "already"
	if since := time.Since(began).Round(time.Second); since > 0 {
		already = fmt.Sprintf("for %s already", units.Elapsed(since))
	}
	r.Detail("in progress %s; this push waits for it", already)
}

// Steps returns the steps that were timed, and how long each took.
func (r *Report) Steps() []store.Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

func (r *Report) note(name string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, store.Step{Name: name, Took: d})
}

func (r *Report) breakSilence(start time.Time, done <-chan struct{}) {
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
func (r *Report) Fail(err error, ref func(error) string, still string) {
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
	for _, line := range shown.Lines(Columns) {
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
