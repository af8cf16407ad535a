package admin

import (
	"context"
	"hash/fnv"
	"html"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/deploy/logs"
)

const (
	followBatch = 200                   // lines in one event, and in one chunk of the page
	followPause = 30 * time.Millisecond // how long a line waits for others to go with it
)

// followLines runs produce, which hands on lines until it ends, and sends each
// line that show does not leave out. After each batch the browser knows the
// place that id names. A browser that reads slowly holds up produce alone,
// which reads files; the apps that write them do not wait.
func followLines[T any](ctx context.Context, s *eventStream, show func(T) (template.HTML, bool), id func() string,
	produce func(ctx context.Context, emit func(T) error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan T, followBatch)
	ended := make(chan error, 1)
	go func() {
		defer close(lines)
		ended <- produce(ctx, func(line T) error {
			select {
			case lines <- line:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	defer func() { // produce must not outlive the request
		cancel()
		for range lines {
		}
	}()
	for line := range lines {
		var batch []string
		add := func(line T) {
			if shown, ok := show(line); ok {
				batch = append(batch, string(shown))
			}
		}
		add(line)
		full := time.After(followPause)
	more:
		for len(batch) < followBatch {
			select {
			case line, open := <-lines:
				if !open {
					break more
				}
				add(line)
			case <-full:
				break more
			}
		}
		if len(batch) == 0 {
			continue
		}
		if err := s.send("lines", id(), strings.Join(batch, "\n")); err != nil {
			return nil // gone
		}
	}
	err := <-ended
	if ctx.Err() != nil {
		return nil
	}
	s.send("end", "", "")
	return err
}

// chunk is as many lines as the browser lays out, or skips, as one.
type chunk []template.HTML

// logView is what the part "log" shows: the log as far as it is known, and how
// to follow it from there.
type logView struct {
	Follow string // address of the stream
	Chunks []chunk
	Empty  bool
}

func logChunks(lines []template.HTML) []chunk {
	var chunks []chunk
	for part := range slices.Chunk(lines, followBatch) {
		chunks = append(chunks, chunk(part))
	}
	return chunks
}

// logLineHTML shows one line of an app's log.
func logLineHTML(line logs.LogLine) template.HTML {
	var b strings.Builder
	stream := "out"
	switch line.Stream {
	case "stderr":
		stream = "err"
	case "berth":
		stream = "own"
	}
	source := html.EscapeString(plainText(line.Source))
	at := line.Time.UTC()
	b.WriteString(`<span class="l ` + stream + `"><span class="at" title="` + at.Format("2 Jan 2006 15:04:05.000 UTC") + `">` + at.Format("15:04:05") + `</span> `)
	b.WriteString(`<span class="s s` + strconv.Itoa(colourOf(line.Source)) + `" title="` + source + " of v" + strconv.Itoa(line.Release) + `">` + source + `</span> `)
	b.WriteString(string(outputHTML(line.Text)))
	b.WriteString("</span>")
	return template.HTML(b.String())
}

// sourceColours is how many colours tell sources apart (.s0 to .s5).
const sourceColours = 6

func colourOf(source string) int {
	h := fnv.New32a()
	h.Write([]byte(source))
	return int(h.Sum32() % sourceColours)
}

// cursor says which lines of a log a browser has: for each source the time of
// the last one, and how many it has of that very time. Lines of one source
// come in the order of their times; those of several sources need not.
type cursor struct {
	marks  map[string]mark
	again  map[string]int // lines of a mark's time seen while catching up
	newest time.Time
	first  bool // no line has been looked at yet
}

type mark struct {
	at time.Time
	n  int
}

const (
	maxCursor    = 4 << 10         // bytes that a place is written in
	maxMarks     = 60              // sources that it remembers
	sourceJitter = 2 * time.Second // by how much a source may lag behind another
)

func newCursor() *cursor {
	return &cursor{marks: map[string]mark{}, again: map[string]int{}, first: true}
}

func keyOf(line logs.LogLine) string {
	return line.Source + "@" + strconv.Itoa(line.Release)
}

// parseCursor reads what String wrote. What makes no sense is no place at all:
// the log is then shown from its tail.
func parseCursor(s string) *cursor {
	p := newCursor()
	if s == "" || len(s) > 2*maxCursor {
		return p
	}
	for entry := range strings.SplitSeq(s, ",") {
		fields := strings.Split(entry, ":")
		if len(fields) != 3 {
			return newCursor()
		}
		key, err := url.QueryUnescape(fields[0])
		if err != nil {
			return newCursor()
		}
		at, err := strconv.ParseInt(fields[1], 36, 64)
		if err != nil {
			return newCursor()
		}
		n, err := strconv.Atoi(fields[2])
		if err != nil {
			return newCursor()
		}
		m := mark{time.Unix(0, at), n}
		p.marks[key] = m
		if m.at.After(p.newest) {
			p.newest = m.at
		}
	}
	return p
}

func (p *cursor) String() string {
	var entries []string
	for key, m := range p.marks {
		entries = append(entries, url.QueryEscape(key)+":"+strconv.FormatInt(m.at.UnixNano(), 36)+":"+strconv.Itoa(m.n))
	}
	slices.Sort(entries)
	return strings.Join(entries, ",")
}

// started tells whether there is a place to go on from.
func (p *cursor) started() bool { return len(p.marks) > 0 }

// passed tells whether the browser has the line already. Lines that come again
// are passed in the order they came in before.
func (p *cursor) passed(line logs.LogLine) bool {
	if !p.started() {
		return false
	}
	key := keyOf(line)
	m, known := p.marks[key]
	switch {
	case !known:
		return line.Time.Before(p.newest.Add(-sourceJitter))
	case line.Time.Before(m.at):
		return true
	case line.Time.Equal(m.at) && p.again[key] < m.n:
		p.again[key]++
		return true
	}
	return false
}

// advance notes that the browser gets the line.
func (p *cursor) advance(line logs.LogLine) {
	key := keyOf(line)
	m, known := p.marks[key]
	switch {
	case known && line.Time.Equal(m.at):
		m.n++
		p.again[key] = m.n
	case !known || line.Time.After(m.at):
		m = mark{line.Time, 1}
		p.again[key] = 1
	}
	p.marks[key] = m
	if line.Time.After(p.newest) {
		p.newest = line.Time
	}
	for len(p.marks) > maxMarks { // the source that has been silent the longest is the likeliest to be gone
		oldest := ""
		for key, m := range p.marks {
			if oldest == "" || m.at.Before(p.marks[oldest].at) {
				oldest = key
			}
		}
		delete(p.marks, oldest)
		delete(p.again, oldest)
	}
}
