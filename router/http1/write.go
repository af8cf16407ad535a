package http1

import "strconv"

// AppendRequest appends the first line of a request and its Host.
func AppendRequest(b []byte, method, uri, host string) ([]byte, error) {
	if !isToken(method) || !validURI(uri) || !validValue(host) {
		return b, ErrMalformed
	}
	b = append(append(b, method...), ' ')
	b = append(b, uri...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	return append(b, "\r\n"...), nil
}

// AppendStatus appends the first line of a response. text has no control
// characters.
func AppendStatus(b []byte, status int, text string) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(b, ' '), text...)
	return append(b, "\r\n"...)
}

// AppendField appends a field, unless it could be read as something else.
func AppendField(b []byte, name, value string) ([]byte, error) {
	if !isToken(name) || !validValue(value) {
		return b, ErrMalformed
	}
	b = append(append(b, name...), ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...), nil
}

// AppendLength appends a Content-Length.
func AppendLength(b []byte, n int64) []byte {
	b = strconv.AppendInt(append(b, "Content-Length: "...), n, 10)
	return append(b, "\r\n"...)
}

// AppendChunked says that the body comes in chunks.
func AppendChunked(b []byte) []byte { return append(b, "Transfer-Encoding: chunked\r\n"...) }

// AppendChunkSize appends the line before n bytes of a chunk. CRLF follows them.
func AppendChunkSize(b []byte, n int) []byte {
	return append(strconv.AppendInt(b, int64(n), 16), "\r\n"...)
}

// validURI tells whether s can stand in the first line of a request.
func validURI(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}
