package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// read reads a response with a buffer so small that its edges are met.
func read(raw, method string) (res Response, body string, trailer []Field, err error) {
	r := bufio.NewReaderSize(strings.NewReader(raw), 64)
	if _, err := res.ReadResponse(r, method, 4096); err != nil {
		return res, "", nil, err
	}
	var b Body
	res.Body(r, &b)
	text, err := io.ReadAll(&b)
	return res, string(text), b.Trailer(), err
}

func TestReadResponse_LengthOfTheBody(t *testing.T) {
	for _, tt := range []struct {
		name, method, raw string
		body              string
		err               error
		close             bool
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1", "hello", nil, false},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", nil, false},
		{"the same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "hi", nil, false},
		{"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "", ErrAmbiguous, false},
		{"length with a sign", "GET", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", "", ErrAmbiguous, false},
		{"length and chunks", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ErrAmbiguous, false},
		{"an unknown coding", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "", ErrAmbiguous, false},
		{"chunks of an old server", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ErrAmbiguous, false},
		{"cut short", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "hell", io.ErrUnexpectedEOF, false},
		{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", nil, true},
		{"an old server", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", nil, true},
		{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", "", nil, true},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", nil, false},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", nil, false},
		{"204 with chunks", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "", nil, false},
		{"bare line feeds", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\nX-A: b\n\nhi", "hi", nil, false},
		{"a folded line", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n c\r\n\r\nhi", "hi", nil, false},
		{"a long head", "GET", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 3000) + "\r\nContent-Length: 2\r\n\r\nhi", "hi", nil, false},
		{"too long a head", "GET", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 5000) + "\r\n\r\n", "", ErrTooLarge, false},
		{"space before the colon", "GET", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi", "", ErrMalformed, false},
		{"a bare CR", "GET", "HTTP/1.1 200 OK\r\nX-A: b\rContent-Length: 2\r\n\r\nhi", "", ErrMalformed, false},
		{"another protocol", "GET", "ICY 200 OK\r\n\r\n", "", ErrMalformed, false},
		{"a status that is none", "GET", "HTTP/1.1 2000 OK\r\n\r\n", "", ErrMalformed, false},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0a \r\n0123456789\r\n0\r\n\r\n", "abc0123456789", nil, false},
		{"a chunk that is longer", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "abc", ErrMalformed, false},
		{"a chunk with a sign", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", "", ErrMalformed, false},
		{"a chunk too long to count", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "", ErrMalformed, false},
		{"chunks with bare LF", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "", ErrMalformed, false},
		{"chunks cut short", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "abc", io.ErrUnexpectedEOF, false},
		{"extensions without end", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n", 4000), "", ErrMalformed, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body, _, err := read(tt.raw, tt.method)
			if !errors.Is(err, tt.err) || tt.body != "" && body != tt.body {
				t.Errorf("got %q, %v, want %q, %v", body, err, tt.body, tt.err)
			}
			if err == nil && res.Close != tt.close {
				t.Errorf("Close is %v, want %v", res.Close, tt.close)
			}
		})
	}
}

func TestReadResponse_Trailer(t *testing.T) {
	_, body, trailer, err := read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 42\r\n\r\n", "GET")
	if want := []Field{{"X-Sum", "42"}}; err != nil || body != "hi" || !reflect.DeepEqual(trailer, want) {
		t.Errorf("got %q with %v, %v, want %v", body, trailer, err, want)
	}
}

func TestAddTo_LeavesOutWhatIsAboutOneConnection(t *testing.T) {
	h := http.Header{"Set-Cookie": {"own"}}
	AddTo(h, []Field{{"Connection", "close, X-Own"}, {"X-Own", "1"}, {"Keep-Alive", "timeout=5"}, {"Transfer-Encoding", "chunked"},
		{"Set-Cookie", "a"}, {"Set-Cookie", "b"}, {"Content-Type", "text/plain"}})
	want := http.Header{"Set-Cookie": {"own", "a", "b"}, "Content-Type": {"text/plain"}}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got %v, want %v", h, want)
	}
}

func TestAppend_RefusesWhatCouldBeReadAsSomethingElse(t *testing.T) {
	for _, f := range []Field{{"X A", "b"}, {"X-A:", "b"}, {"", "b"}, {"X-A", "b\r\nX-B: c"}, {"X-A", "b\nc"}, {"X-A", "b\x00"}} {
		if b, err := AppendField(nil, f.Name, f.Value); err == nil {
			t.Errorf("%q became %q", f, b)
		}
	}
	for _, line := range [][3]string{{"GET /", "/", "h"}, {"GET", "/a b", "h"}, {"GET", "/\r\n", "h"}, {"GET", "", "h"}, {"GET", "/", "h\r\nX: y"}} {
		if b, err := AppendRequest(nil, line[0], line[1], line[2]); err == nil {
			t.Errorf("%q became %q", line, b)
		}
	}
}

// FuzzReadResponse: what is accepted, net/http reads the same.
func FuzzReadResponse(f *testing.F) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 304 \nX: y\n z\n\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
	} {
		f.Add(raw, false)
		f.Add(raw, true)
	}
	f.Fuzz(func(t *testing.T, raw string, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		res, body, _, err := read(raw, method)
		if err != nil || res.Status < 200 {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), httptest.NewRequest(method, "/", nil))
		if err != nil {
			t.Fatalf("%q is accepted, net/http: %v", raw, err)
		}
		text, err := io.ReadAll(want.Body)
		if err != nil || string(text) != body || want.StatusCode != res.Status {
			t.Errorf("%q: got %d %q, net/http reads %d %q, %v", raw, res.Status, body, want.StatusCode, text, err)
		}
		h := http.Header{}
		for _, field := range res.Fields {
			h.Add(field.Name, field.Value)
		}
		for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection"} { // net/http moves them
			h.Del(name)
			want.Header.Del(name)
		}
		if _, ok := h["Cache-Control"]; !ok {
			want.Header.Del("Cache-Control") // which it derives from Pragma
		}
		if fmt.Sprint(h) != fmt.Sprint(want.Header) {
			t.Errorf("%q: got fields %v, net/http reads %v", raw, h, want.Header)
		}
	})
}
