package front

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berthd/berth/router/http1"
)

const (
	holdBack   = 2 << 10  // of a body whose length is not said: one that is shorter is given a length
	outBuffer  = 16 << 10 // what is gathered before it is written
	maxKeptOut = 64 << 10 // memory that a connection holds on to
)

// writer is the http.ResponseWriter of a connection, one response after the
// other. Its head is written when the first of its body is.
type writer struct {
	conn   *conn
	method string
	header http.Header
	status int
	close  bool // the connection ends with this response

	out      []byte // to be written
	held     []byte // the body's begin, while its length is unknown
	headDone bool
	length   int64 // as the handler says, -1 when it does not
	written  int64 // of the body
	chunked  bool
	untyped  bool // the handler does not say what it is
	failed   error
	limited  atomic.Bool // the handler has set a deadline of writing
}

func (w *writer) reset(method string, closing bool) {
	if cap(w.out) > maxKeptOut {
		w.out = nil
	}
	*w = writer{conn: w.conn, method: method, header: http.Header{}, close: closing, out: w.out[:0], held: w.held[:0], length: -1}
}

func (w *writer) Header() http.Header { return w.header }

// WriteHeader gathers the status and the fields. How the body will be framed
// is decided later.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.out = http1.AppendStatus(w.out, status, http.StatusText(status))
	if status < 200 && status != http.StatusSwitchingProtocols {
		for name, values := range w.header {
			w.appendFields(name, values)
		}
		w.out = append(w.out, "\r\n"...)
		w.flush()
		return
	}
	w.status = status
	dated, typed := false, false
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			if len(values) == 1 {
				if n, err := strconv.ParseInt(values[0], 10, 64); err == nil && n >= 0 {
					w.length = n
				}
			}
			continue
		case "Connection":
			for _, value := range values {
				w.close = w.close || http1.HasToken(value, "close")
			}
			continue
		case "Transfer-Encoding":
			continue
		case "Date":
			dated = true
		case "Content-Type", "Content-Encoding":
			typed = true
		}
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			w.appendFields(name, values)
		}
	}
	w.untyped = !typed && w.bodyAllowed()
	if !dated {
		w.out = time.Now().UTC().AppendFormat(append(w.out, "Date: "...), http.TimeFormat)
		w.out = append(w.out, "\r\n"...)
	}
}

// appendFields appends those that are well-formed.
func (w *writer) appendFields(name string, values []string) {
	for _, value := range values {
		if out, err := http1.AppendField(w.out, name, value); err == nil {
			w.out = out
		}
	}
}

// bodyAllowed tells whether the response may have a body; to HEAD it has none
// either, but says what it would be.
func (w *writer) bodyAllowed() bool { return w.status != 204 && w.status != 304 }

// endHead decides on the framing and ends the head. data is the first of the
// body, and all of it when whole.
func (w *writer) endHead(data []byte, whole bool) {
	w.headDone = true
	if w.untyped && len(data) > 0 {
		w.appendFields("Content-Type", []string{http.DetectContentType(data)})
	}
	switch {
	case !w.bodyAllowed():
	case w.length >= 0:
		w.out = http1.AppendLength(w.out, w.length)
	case w.method == http.MethodHead && (!whole || len(data) == 0): // who knows
	case whole:
		w.length = int64(len(data))
		w.out = http1.AppendLength(w.out, w.length)
	default:
		w.chunked = true
		w.out = http1.AppendChunked(w.out)
	}
	w.close = w.close || w.conn.server.closing.Load() || w.conn.left() > maxDiscard
	if w.close {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
}

func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.failed != nil:
		return 0, w.failed
	case !w.bodyAllowed():
		return 0, http.ErrBodyNotAllowed
	case len(p) == 0:
		return 0, nil
	}
	if w.written += int64(len(p)); w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength // and finish will end the connection
	}
	if !w.headDone {
		if w.length < 0 && len(w.held)+len(p) <= holdBack {
			w.held = append(w.held, p...)
			return len(p), nil
		}
		first := p
		if len(w.held) > 0 {
			first = w.held
		}
		w.endHead(first, false)
		w.appendBody(w.held)
		w.held = w.held[:0]
	}
	w.appendBody(p)
	return len(p), w.failed
}

func (w *writer) appendBody(p []byte) {
	if len(p) == 0 || w.method == http.MethodHead {
		return
	}
	if w.chunked {
		w.out = http1.AppendChunkSize(w.out, len(p))
	}
	if len(w.out)+len(p) <= outBuffer {
		w.out = append(w.out, p...)
	} else { // what is large is not copied
		w.flush()
		if w.failed == nil {
			_, w.failed = w.conn.nc.Write(p)
		}
	}
	if w.chunked {
		w.out = append(w.out, "\r\n"...)
	}
}

func (w *writer) flush() {
	if w.failed == nil && len(w.out) > 0 {
		_, w.failed = w.conn.nc.Write(w.out)
	}
	w.out = w.out[:0]
}

// FlushError sends what there is.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.headDone {
		w.endHead(w.held, false)
		w.appendBody(w.held)
		w.held = w.held[:0]
	}
	w.flush()
	return w.failed
}

// Flush is for handlers that look for an http.Flusher.
func (w *writer) Flush() { w.FlushError() }

// finish ends the response. An error means that the client has not got all of it.
func (w *writer) finish() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.headDone {
		w.endHead(w.held, true)
		w.appendBody(w.held)
	}
	if w.chunked {
		w.out = append(w.out, "0\r\n"...)
		w.appendTrailer()
		w.out = append(w.out, "\r\n"...)
	}
	w.flush()
	if w.limited.Load() {
		w.conn.nc.SetWriteDeadline(time.Time{})
	}
	if w.failed == nil && w.length >= 0 && w.length != w.written && w.bodyAllowed() && w.method != http.MethodHead {
		return http.ErrContentLength
	}
	return w.failed
}

// appendTrailer appends the fields that the handler has declared, or named
// with http.TrailerPrefix.
func (w *writer) appendTrailer() {
	for _, names := range w.header["Trailer"] {
		for name := range strings.SplitSeq(names, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			w.appendTrailing(name, w.header[name])
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			w.appendTrailing(http.CanonicalHeaderKey(name), values)
		}
	}
}

func (w *writer) appendTrailing(name string, values []string) {
	if http1.MayTrail(name) {
		w.appendFields(name, values)
	}
}

// SetReadDeadline, SetWriteDeadline and EnableFullDuplex are for
// http.ResponseController.

func (w *writer) SetReadDeadline(t time.Time) error { return w.conn.nc.SetReadDeadline(t) }

func (w *writer) SetWriteDeadline(t time.Time) error {
	w.limited.Store(true)
	return w.conn.nc.SetWriteDeadline(t)
}

// EnableFullDuplex is how it is: reading the body and writing do not wait for
// each other.
func (w *writer) EnableFullDuplex() error { return nil }
