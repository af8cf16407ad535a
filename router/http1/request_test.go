package http1

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestParseRequest_TakesWhatIsPlainAlone(t *testing.T) {
	for raw, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n":                                              true,
		"GET /a%2Fb?x=1;y HTTP/1.1\r\nHost: h:80\r\nX-A: b\r\nx-a:  c \r\n\r\n":          true,
		"POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 3\r\n\r\n":                    true,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n":                    true,
		"GET / HTTP/1.0\r\nHost: h\r\n\r\n":                                              false,
		"GET  / HTTP/1.1\r\nHost: h\r\n\r\n":                                             false,
		"GET / HTTP/1.1 \r\nHost: h\r\n\r\n":                                             false,
		"GET / HTTP/1.1\nHost: h\n\n":                                                    false,
		"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n":                                      false,
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n":                                          false,
		"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n":                                        false,
		"BREW / HTTP/1.1\r\nHost: h\r\n\r\n":                                             false,
		"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n":                                           false,
		"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n":                                          false,
		"GET / HTTP/1.1\r\n\r\n":                                                         false,
		"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n":                                   false,
		"GET / HTTP/1.1\r\nHost: a@h\r\n\r\n":                                            false,
		"GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n":                                   false,
		"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n":                              false,
		"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\rc\r\n\r\n":                                 false,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n":                       false,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n":   false,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n":               false,
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n":                     false,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n": false,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-A\r\n\r\n":                    false,
	} {
		if _, got := ParseRequest([]byte(raw)); got != want {
			t.Errorf("%q: got %v, want %v", raw, got, want)
		}
	}
}

// FuzzParseRequest: what the short way takes, net/http reads the same.
func FuzzParseRequest(f *testing.F) {
	for _, raw := range []string{
		"GET /a%2Fb?x=1;y HTTP/1.1\r\nHost: h:80\r\nX-A: b\r\nx-a:  c \r\n\r\n",
		"POST //x HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 3\r\n\r\nabcGET",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nPragma: no-cache\r\nTe: trailers\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n", "GET / HTTP/1.1\nHost: h\n\n",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r := bufio.NewReader(strings.NewReader(raw))
		head, err := PeekHead(r, nil)
		if err != nil {
			return
		}
		got, ok := ParseRequest(head)
		if !ok {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Fatalf("%q is taken, net/http: %v", raw, err)
		}
		want.Header.Del("Host")
		same := got.Method == want.Method && got.URI == want.RequestURI && *got.URL == *want.URL && got.Host == want.Host &&
			got.Length == want.ContentLength && got.Close == want.Close && fmt.Sprint(got.Header) == fmt.Sprint(want.Header)
		if !same || want.TransferEncoding != nil || want.Trailer != nil || want.ProtoMinor != 1 {
			t.Errorf("%q: got %+v, net/http reads %+v", raw, got, want)
		}
		if body, _ := io.ReadAll(want.Body); int64(len(body)) > got.Length {
			t.Errorf("%q: net/http reads a longer body %q", raw, body)
		}
	})
}
