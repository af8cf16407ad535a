package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Limits of chunked bodies.
const (
	maxTrailer = 64 << 10
	maxExcess  = 16 << 10 // bytes that are not data, beyond what many small chunks need
)

type kind uint8

const (
	sized kind = iota
	chunked
	endless // ends with the connection
)

// Body reads the body of a message.
type Body struct {
	r       *bufio.Reader
	kind    kind
	left    int64 // of a sized body, or of the chunk
	inChunk bool
	excess  int64
	ended   bool
	trailer []Field
}

// Trailer returns the fields after a chunked body, once Read has told its end.
func (b *Body) Trailer() []Field { return b.trailer }

// Arrived reports whether all of the body is in the buffer.
func (b *Body) Arrived() bool {
	return b.ended || b.kind == sized && b.left <= int64(b.r.Buffered())
}

// Read returns io.EOF where the body ends, and io.ErrUnexpectedEOF where the
// connection ends before it.
func (b *Body) Read(p []byte) (n int, err error) {
	if b.ended {
		return 0, io.EOF
	}
	if b.kind == chunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	if b.kind != endless {
		if b.left == 0 {
			b.ended = true
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err = b.r.Read(p)
	if b.kind == endless {
		b.ended = errors.Is(err, io.EOF)
		return n, err
	}
	b.left -= int64(n)
	if err != nil {
		return n, truncated(err, true)
	}
	if b.kind == sized && b.left == 0 {
		b.ended = true
		return n, io.EOF
	}
	return n, nil
}

// nextChunk reads up to the data of the next chunk, or to the end of the body.
func (b *Body) nextChunk() error {
	if b.inChunk {
		if line, err := b.line(); err != nil {
			return err
		} else if len(line) > 0 {
			return ErrMalformed // longer than it said
		}
	}
	line, err := b.line()
	if err != nil {
		return err
	}
	b.excess += int64(len(line)) + 2
	size, extension, _ := bytes.Cut(line, []byte(";"))
	if !validValue(string(extension)) {
		return ErrMalformed
	}
	if b.left, err = parseHex(bytes.TrimRight(size, " \t")); err != nil {
		return err
	}
	b.inChunk = true
	b.excess = max(b.excess-16-2*b.left, 0)
	if b.excess > maxExcess {
		return ErrMalformed
	}
	if b.left > 0 {
		return nil
	}
	return b.readTrailer()
}

func (b *Body) readTrailer() error {
	if next, _ := b.r.Peek(2); string(next) == "\r\n" {
		b.r.Discard(2)
		return nil
	}
	head, err := ReadHead(b.r, maxTrailer)
	if err != nil {
		return truncated(err, true)
	}
	fields, ok := parseFields(string(head), nil)
	if !ok {
		return ErrMalformed
	}
	b.trailer = fields
	return nil
}

// line reads a line of the coding, without its CRLF.
func (b *Body) line() ([]byte, error) {
	line, err := b.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, ErrMalformed
	case err != nil:
		return nil, truncated(err, true)
	case len(line) < 2 || bytes.IndexByte(line, '\r') != len(line)-2:
		return nil, ErrMalformed
	}
	return line[:len(line)-2], nil
}

func parseHex(digits []byte) (n int64, err error) {
	if len(digits) == 0 || len(digits) > 15 {
		return 0, ErrMalformed
	}
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, ErrMalformed
		}
		n = n<<4 | int64(c)
	}
	return n, nil
}
