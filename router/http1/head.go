// Package http1 reads and writes HTTP/1.1 messages on kept connections, in the
// strictest reading and with few allocations. It is for the plain exchange;
// what it refuses is either wrong, or for net/http to read.
//
// It knows no connections and no time: the caller sets the deadlines.
package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// Errors of reading.
var (
	ErrTooLarge  = errors.New("the head of the message is too large")
	ErrMalformed = errors.New("malformed HTTP/1.1 message")
	ErrAmbiguous = errors.New("the length of the message's body is ambiguous")
)

// Field is one line of a head. Name is in canonical form.
type Field struct{ Name, Value string }

// ReadHead reads until the empty line that ends a head, of at most limit bytes.
// What it returns includes that line and is valid until the next read.
func ReadHead(r *bufio.Reader, limit int) ([]byte, error) {
	text, err := peekHead(r, limit, nil)
	if errors.Is(err, bufio.ErrBufferFull) {
		return readLongHead(r, limit)
	}
	r.Discard(len(text))
	return text, err
}

// PeekHead waits for a whole head and returns it without reading it. A head
// that does not fit in the buffer is ErrTooLarge. begun is called when a first
// part of it has come and the rest is yet to be waited for.
func PeekHead(r *bufio.Reader, begun func()) ([]byte, error) {
	text, err := peekHead(r, r.Size(), begun)
	if errors.Is(err, bufio.ErrBufferFull) {
		err = ErrTooLarge
	}
	return text, err
}

// peekHead is PeekHead for a head of at most limit bytes. One that may be
// within the limit, and does not fit in the buffer, is bufio.ErrBufferFull.
func peekHead(r *bufio.Reader, limit int, begun func()) ([]byte, error) {
	for seen := 0; ; {
		if r.Buffered() == seen { // nothing new: wait for more
			if seen == r.Size() {
				return nil, bufio.ErrBufferFull
			}
			if seen > 0 && begun != nil {
				begun()
				begun = nil
			}
			if _, err := r.Peek(seen + 1); err != nil {
				return nil, truncated(err, seen > 0)
			}
		}
		text, _ := r.Peek(r.Buffered())
		if end := headEnd(text, seen); end > limit {
			return nil, ErrTooLarge
		} else if end > 0 {
			return text[:end], nil
		}
		if seen = len(text); seen > limit {
			return nil, ErrTooLarge
		}
	}
}

// readLongHead is ReadHead for a head that is longer than the buffer.
func readLongHead(r *bufio.Reader, limit int) ([]byte, error) {
	var head []byte
	for {
		line, err := r.ReadSlice('\n')
		if len(head)+len(line) > limit {
			return nil, ErrTooLarge
		}
		begins := len(head) == 0 || head[len(head)-1] == '\n'
		head = append(head, line...)
		switch {
		case err == nil && begins && len(bytes.TrimRight(line, "\r\n")) == 0:
			return head, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, truncated(err, true)
		}
	}
}

// headEnd returns where the head in text ends, 0 when it does not; the first
// seen bytes have been searched before.
func headEnd(text []byte, seen int) int {
	for i := max(seen-2, 0); ; {
		n := bytes.IndexByte(text[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n + 1
		switch rest := text[i:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2
		}
	}
}

func truncated(err error, begun bool) error {
	if begun && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cutLine cuts the first line off, which must end in CRLF.
func cutLine(text string) (line, rest string, ok bool) {
	i := strings.IndexByte(text, '\n')
	if i < 1 || text[i-1] != '\r' {
		return "", "", false
	}
	return text[:i-1], text[i+1:], true
}

// parseFields reads lines of "Name: value" up to the empty line, and appends
// them. Names are tokens, values hold no control characters, no line is folded.
func parseFields(text string, fields []Field) ([]Field, bool) {
	for {
		line, rest, ok := cutLine(text)
		if !ok {
			return fields, false
		}
		if line == "" {
			return fields, rest == ""
		}
		text = rest
		colon := strings.IndexByte(line, ':')
		if colon < 1 || !isToken(line[:colon]) {
			return fields, false
		}
		value := strings.Trim(line[colon+1:], " \t")
		if !validValue(value) {
			return fields, false
		}
		fields = append(fields, Field{textproto.CanonicalMIMEHeaderKey(line[:colon]), value})
	}
}

// parseLenient reads what parseFields does not take, as net/http does: bare
// line feeds and folded lines, which apps of old still write.
func parseLenient(text string, fields []Field) ([]Field, error) {
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(text))).ReadMIMEHeader()
	if err != nil {
		return fields, ErrMalformed
	}
	for name, values := range h {
		if !isToken(name) {
			return fields, ErrMalformed
		}
		for _, value := range values {
			if !validValue(value) {
				return fields, ErrMalformed
			}
			fields = append(fields, Field{name, value})
		}
	}
	return fields, nil
}

// isToken tells whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokens[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokens = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return set
}()

// validValue tells whether s can stand in a line: no control characters but the tab.
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// parseLength reads a Content-Length: digits and nothing else.
func parseLength(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 { // 18 digits are an exabyte
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// HasToken tells whether a comma-separated list names a token, whatever its case.
func HasToken(list, token string) bool {
	if len(list) == len(token) {
		return strings.EqualFold(list, token)
	}
	for one := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(one, " \t"), token) {
			return true
		}
	}
	return false
}

// HopByHop tells whether a field is about one connection and not for the next
// (RFC 9110, section 7.6.1, and what was used before it).
func HopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// MayTrail tells whether a field may stand after a body: one that changes how
// the message is read may not (RFC 9110, section 6.5.1).
func MayTrail(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Host", "Authorization",
		"Cache-Control", "Expect", "Max-Forwards", "Pragma", "Range", "Set-Cookie":
		return false
	}
	return !HopByHop(name)
}

// framing is what the fields of a message say about its body and connection.
type framing struct {
	length  int64 // -1 when not said
	chunked bool
	close   bool
	keep    bool
}

func readFraming(fields []Field) (f framing, err error) {
	f.length = -1
	for _, field := range fields {
		switch field.Name {
		case "Content-Length":
			n, ok := parseLength(field.Value)
			if !ok || f.length >= 0 && f.length != n {
				return f, ErrAmbiguous
			}
			f.length = n
		case "Transfer-Encoding":
			if f.chunked || !strings.EqualFold(field.Value, "chunked") {
				return f, ErrAmbiguous
			}
			f.chunked = true
		case "Connection":
			f.close = f.close || HasToken(field.Value, "close")
			f.keep = f.keep || HasToken(field.Value, "keep-alive")
		}
	}
	if f.chunked && f.length >= 0 {
		return f, ErrAmbiguous
	}
	return f, nil
}

// AddTo adds the fields that are meant for the next connection to h.
func AddTo(h http.Header, fields []Field) {
	named := "" // by Connection: about this connection, too
	for _, f := range fields {
		if f.Name == "Connection" && !strings.EqualFold(f.Value, "close") && !strings.EqualFold(f.Value, "keep-alive") {
			named += "," + f.Value
		}
	}
	values := make([]string, len(fields)) // one allocation for all
	for i, f := range fields {
		if HopByHop(f.Name) || named != "" && HasToken(named, f.Name) {
			continue
		}
		if before := h[f.Name]; before != nil {
			h[f.Name] = append(before, f.Value)
			continue
		}
		values[i] = f.Value
		h[f.Name] = values[i : i+1 : i+1]
	}
}
