package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/units"
)

// printFault shows a failure: what happened, what was seen, what to do.
func (c *cli) printFault(f *fault.Error) {
	red, yellow, plain := "", "", ""
	if c.color {
		red, yellow, plain = "\x1b[31m", "\x1b[33m", "\x1b[0m"
	}
	var b strings.Builder
	for _, line := range f.Lines(0) {
		if rest, found := strings.CutPrefix(line, "error:"); found {
			line = red + "error:" + plain + rest
		} else if rest, found := strings.CutPrefix(line, "hint:"); found {
			line = yellow + "hint:" + plain + rest
		}
		b.WriteString(line + "\n")
	}
	if journaled(c.err) { // of serve, which does not start
		prefixed{c.err, priorityError}.Write([]byte(b.String()))
		return
	}
	io.WriteString(c.err, b.String())
}

func (c *cli) printJSON(raw []byte) error {
	var indented bytes.Buffer
	if err := json.Indent(&indented, raw, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err := indented.WriteTo(c.out)
	return err
}

// table aligns columns. It is written at once: over SSH, talk that comes after
// it would stand among its rows.
type table struct {
	w     *tabwriter.Writer
	all   *bytes.Buffer
	out   io.Writer
	quiet bool // no headers
}

func newTable(out io.Writer) *table {
	all := new(bytes.Buffer)
	return &table{w: tabwriter.NewWriter(all, 0, 0, 2, ' ', 0), all: all, out: out}
}

// newTable is a table on standard output.
func (c *cli) newTable() *table {
	t := newTable(c.out)
	t.quiet = c.global.quiet
	return t
}

// header is the row that names the columns.
func (t *table) header(cells ...any) {
	if !t.quiet {
		t.row(cells...)
	}
}

func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = cellText(fmt.Sprint(cell))
		if texts[i] == "" {
			texts[i] = "-" // so that columns can be counted
		}
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

// line writes a line that is no row.
func (t *table) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	lead := len(text) - len(strings.TrimLeft(text, "\n")) // blank lines before it
	fmt.Fprintln(t.w, text[:lead]+strings.ReplaceAll(fault.Printable(text[lead:]), "\t", " "))
}

func (t *table) flush() error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	_, err := t.all.WriteTo(t.out)
	return err
}

// cellText is a text as it stands in a row: a line break is shown as one, and
// does not join what it parted.
func cellText(text string) string {
	text = strings.NewReplacer("\r\n", `\n`, "\n", `\n`, "\t", " ").Replace(strings.TrimRight(text, "\r\n"))
	return fault.Printable(text)
}

// brief shortens a text for a list that has the whole of it elsewhere.
func brief(text string) string {
	const most = 100
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return text
}

// ago says when something was, as people do.
func ago(at time.Time) string {
	switch d := time.Since(at); {
	case at.IsZero():
		return "-"
	case d < 0:
		return "in " + span(-d)
	default:
		return span(d) + " ago"
	}
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size shows bytes in a table, where none is "-".
func size(n int64) string {
	if n <= 0 {
		return "-"
	}
	return units.Bytes(n)
}

// releaseName is how a release is called.
func releaseName(number int) string {
	if number == 0 {
		return "-"
	}
	return fmt.Sprintf("v%d", number)
}

// short is a commit's id as people use it.
func short(commit string) string { return commit[:min(7, len(commit))] }
