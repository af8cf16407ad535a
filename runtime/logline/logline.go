// Package logline is the format of a log file, as its writer (package pid1) and
// its readers (package runtime) share it:
//
//	2026-11-23T18:12:52.123456789Z o hello from stdout
//	2026-11-23T18:12:52.123456790Z e hello from stderr
//	2026-11-23T18:12:53.000000000Z - 17 lines dropped: no space left on device
//
// One line of output is one line of the file. The time is when the line was
// read from the program, in UTC, always with nine decimals; within a file it
// rises with every line (unless the clock is set back by a second or more), so
// a time names a line and a reader can go on after it.
//
// Text is UTF-8 as the program wrote it, without the line end (LF or CR LF).
// What could end a line early, overwrite what stands there already or command
// the terminal of whoever reads it — control characters other than tab, ESC
// included, and bytes that are not UTF-8 — is written as \xHH, a byte at a time. A backslash is
// not escaped, so that JSON and Windows paths stay what they are; a program
// that prints the four characters \x1b looks the same as one that prints ESC,
// which harms nobody since no reader turns them back.
package logline

import (
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of a log file.
const (
	FileSize = 10 << 20 // bytes, before it is rotated
	Files    = 5        // rotated files that are kept
	MaxText  = 64 << 10 // bytes of output in one line; a longer one goes on in the next line
)

// The streams of a line.
const (
	Stdout = 'o'
	Stderr = 'e'
	Note   = '-' // the logger itself speaks
)

// Line is one line of a log.
type Line struct {
	Time   time.Time
	Stream byte   // 'o' stdout, 'e' stderr, '-' a note of the logger
	Text   string // as it stands in the file, free of control characters
}

const (
	stamp = "2006-01-02T15:04:05.000000000Z"
	head  = len(stamp) + len(" o ") // bytes before the text
)

// Append appends a whole line, newline included, to dst.
func Append(dst []byte, at time.Time, stream byte, text []byte) []byte {
	dst = at.UTC().AppendFormat(dst, stamp)
	dst = append(dst, ' ', stream, ' ')
	dst = appendText(dst, text)
	return append(dst, '\n')
}

func appendText(dst, text []byte) []byte {
	for len(text) > 0 {
		plain := 0
		for plain < len(text) && (text[plain] >= ' ' && text[plain] < 0x7f || text[plain] == '\t') {
			plain++
		}
		dst = append(dst, text[:plain]...)
		if text = text[plain:]; len(text) == 0 {
			break
		}
		// unicode.IsControl covers the C1 controls too: some terminals take U+009B for ESC [.
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) {
			for _, b := range text[:size] {
				dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
			}
		} else {
			dst = append(dst, text[:size]...)
		}
		text = text[size:]
	}
	return dst
}

const hex = "0123456789abcdef"

// Parse reads a line, given without its newline. It is false for anything that
// Append did not write: a torn line, or a block that a power cut left zeroed.
func Parse(line []byte) (Line, bool) {
	if len(line) < head || line[head-3] != ' ' || line[head-1] != ' ' {
		return Line{}, false
	}
	stream := line[head-2]
	if stream != Stdout && stream != Stderr && stream != Note {
		return Line{}, false
	}
	// time.Parse is more generous than a fixed layout: it takes a comma, or a
	// sign among the decimals.
	for i, b := range line[:len(stamp)] {
		if digit := stamp[i] >= '0' && stamp[i] <= '9'; digit && (b < '0' || b > '9') || !digit && b != stamp[i] {
			return Line{}, false
		}
	}
	at, err := time.Parse(stamp, string(line[:len(stamp)]))
	if err != nil {
		return Line{}, false
	}
	return Line{Time: at, Stream: stream, Text: string(line[head:])}, true
}
