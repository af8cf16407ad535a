package accesslog

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berthd/berth/router"
)

// Line is one line of a log, as its readers see it. It tells of a request, or
// that lines were lost.
type Line struct {
	Time      time.Time `json:"time"` // when the request had come in
	ID        string    `json:"id,omitempty"`
	Client    string    `json:"client,omitempty"`
	Method    string    `json:"method,omitempty"`
	Host      string    `json:"host,omitempty"`
	Path      string    `json:"path,omitempty"` // with the query, unless that is left out
	Protocol  string    `json:"protocol,omitempty"`
	TLS       bool      `json:"tls,omitempty"`
	Status    int       `json:"status,omitempty"` // 499: the client left before there was one
	BytesIn   int64     `json:"bytes_in,omitempty"`
	BytesOut  int64     `json:"bytes_out,omitempty"`
	Duration  float64   `json:"duration_ms,omitempty"`
	FirstByte float64   `json:"first_byte_ms,omitempty"` // until the app's answer began; 0 when it gave none
	Instance  string    `json:"instance,omitempty"`      // empty when no instance was asked
	Release   int       `json:"release,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Referer   string    `json:"referer,omitempty"`
	Dropped   uint64    `json:"dropped,omitempty"` // lines that could not be written
}

// The longest that a client may make a line's parts; what is cut off ends with
// an ellipsis.
const (
	maxPath   = 2 << 10
	maxHeader = 512
	maxShort  = 255 // hosts, and whatever is shorter
)

const stamp = "2006-01-02T15:04:05.000Z"

// appendLine appends a request's line, newline included. By hand, it costs a
// quarter of what encoding/json takes (see BenchmarkAdd).
func appendLine(b []byte, a *router.Access) []byte {
	b = append(b, `{"time":"`...)
	b = appendTime(b, a.Time)
	b = append(b, `","id":"`...)
	b = appendText(b, a.ID, maxShort)
	b = append(b, `","client":"`...)
	b = appendText(b, a.Client, maxShort)
	b = append(b, `","method":"`...)
	b = appendText(b, a.Method, maxShort)
	b = append(b, `","host":"`...)
	b = appendText(b, a.Host, maxShort)
	b = append(b, `","path":"`...)
	b = appendText(b, a.URI, maxPath)
	b = append(b, `","protocol":"`...)
	b = appendText(b, a.Proto, maxShort)
	b = append(b, `","tls":`...)
	b = strconv.AppendBool(b, a.TLS)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, a.BytesIn, 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, a.BytesOut, 10)
	b = append(b, `,"duration_ms":`...)
	b = appendMillis(b, a.Duration)
	if a.FirstByte > 0 {
		b = append(b, `,"first_byte_ms":`...)
		b = appendMillis(b, a.FirstByte)
	}
	if a.Instance != "" {
		b = append(b, `,"instance":"`...)
		b = appendText(b, a.Instance, maxShort)
		b = append(b, `","release":`...)
		b = strconv.AppendInt(b, int64(a.Release), 10)
	}
	if a.UserAgent != "" {
		b = append(b, `,"user_agent":"`...)
		b = append(appendText(b, a.UserAgent, maxHeader), '"')
	}
	if a.Referer != "" {
		b = append(b, `,"referer":"`...)
		b = append(appendText(b, a.Referer, maxHeader), '"')
	}
	return append(b, "}\n"...)
}

// appendDropped appends the line that says how many are missing.
func appendDropped(b []byte, at time.Time, n uint64) []byte {
	b = append(b, `{"time":"`...)
	b = appendTime(b, at)
	b = append(b, `","dropped":`...)
	b = strconv.AppendUint(b, n, 10)
	return append(b, "}\n"...)
}

// appendTime appends a time as stamp has it.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, stamp)
	}
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/int(time.Millisecond), 3)
	return append(b, 'Z')
}

// appendDigits appends a number with leading zeros.
func appendDigits(b []byte, n, digits int) []byte {
	b = append(b, "0000"[:digits]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// appendMillis appends a time in milliseconds with three decimals.
func appendMillis(b []byte, d time.Duration) []byte {
	µs := max(0, d.Microseconds())
	b = strconv.AppendInt(b, µs/1000, 10)
	return appendDigits(append(b, '.'), int(µs%1000), 3)
}

const hex = "0123456789abcdef"

// appendText appends text as it stands between the quotes of a JSON string, at
// most so many bytes of it. What commands a terminal, ends a line in some
// reader's eyes or turns text around is escaped; what is not UTF-8 becomes
// U+FFFD.
func appendText(b []byte, text string, most int) []byte {
	cut := len(text) > most
	if cut {
		for most > 0 && !utf8.RuneStart(text[most]) {
			most--
		}
		text = text[:most]
	}
	done := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		if c == '"' || c == '\\' {
			b = append(append(b, text[done:i]...), '\\', c)
			i++
			done = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 || r <= 0xffff && !unicode.IsPrint(r) {
			b = append(b, text[done:i]...)
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			done = i + size
		}
		i += size
	}
	b = append(b, text[done:]...)
	if cut {
		b = append(b, "…"...)
	}
	return b
}

// parse reads a line. It is false for what is not one: a torn one, or a block
// that a power cut left zeroed.
func parse(text []byte) (line Line, ok bool) {
	return line, json.Unmarshal(text, &line) == nil && !line.Time.IsZero()
}
