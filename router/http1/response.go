package http1

import (
	"bufio"
	"strings"
)

// Response is the head of a response.
type Response struct {
	Status int
	Fields []Field // as they came, hop-by-hop ones included
	Close  bool    // the connection ends with this response
	Bare   bool    // the status has no body, whatever the fields say
	framing
}

// ReadResponse reads the head of a response to a request of the given method,
// of at most limit bytes, informational ones included. It uses the memory of
// res again.
func (res *Response) ReadResponse(r *bufio.Reader, method string, limit int) (size int, err error) {
	head, err := ReadHead(r, limit)
	if err != nil {
		return 0, err
	}
	return len(head), res.parse(string(head), method)
}

func (res *Response) parse(head, method string) (err error) {
	i := strings.IndexByte(head, '\n')
	line, rest := strings.TrimSuffix(head[:max(i, 0)], "\r"), head[i+1:]
	old := false
	switch {
	case strings.HasPrefix(line, "HTTP/1.1 "):
	case strings.HasPrefix(line, "HTTP/1.0 "):
		old = true
	default:
		return ErrMalformed
	}
	line = line[len("HTTP/1.1 "):]
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' || !validValue(line) {
		return ErrMalformed
	}
	status, ok := parseLength(line[:3])
	if !ok || status < 100 {
		return ErrMalformed
	}
	res.Status = int(status)

	fields, ok := parseFields(rest, res.Fields[:0])
	if !ok {
		if fields, err = parseLenient(rest, fields[:0]); err != nil {
			return err
		}
	}
	res.Fields = fields
	if res.framing, err = readFraming(fields); err != nil {
		return err
	}
	if old && res.chunked {
		return ErrAmbiguous
	}
	res.Close = res.close || old
	res.Bare = method == "HEAD" || status == 204 || status == 304 || status < 200
	return nil
}

// Length returns how long the body is, -1 when its end will tell.
func (res *Response) Length() int64 {
	switch {
	case res.Bare:
		return 0
	case res.chunked:
		return -1
	}
	return res.length
}

// Body makes b the body of this response, which follows in r.
func (res *Response) Body(r *bufio.Reader, b *Body) {
	switch {
	case res.Bare:
		*b = Body{r: r, kind: sized}
	case res.chunked:
		*b = Body{r: r, kind: chunked}
	case res.length >= 0:
		*b = Body{r: r, kind: sized, left: res.length}
	default:
		*b = Body{r: r, kind: endless}
		res.Close = true
	}
}
