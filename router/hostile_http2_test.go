package router

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

type field = [2]string

// The same in HTTP/2, where fields are of any bytes until somebody looks: what
// is said in them may become no second request, header or host in HTTP/1.1. The
// word evil stands where the app must not find it.
var hostileHTTP2 = []struct {
	name   string
	fields []field // in place of those of the same name, or beside them
	data   string
	passes bool // as a request without what is evil
}{
	{"a length that is too short", []field{{"content-length", "3"}}, "abcevil", false},
	{"a length that is too long", []field{{"content-length", "30"}}, "evil", false},
	{"two lengths", []field{{"content-length", "4"}, {"content-length", "5"}}, "evil", false},
	{"a length that is no number", []field{{"content-length", "+4"}}, "evil", false},
	{"a coding", []field{{"transfer-encoding", "chunked"}}, "0\r\n\r\nGET /evil HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", false},
	{"a header within a value", []field{{"x-a", "b\r\nevil: 1"}}, "", false},
	{"a bare LF in a value", []field{{"x-a", "b\nevil: 1"}}, "", false},
	{"NUL in a value", []field{{"x-a", "evil\x00"}}, "", false},
	{"a header within a name", []field{{"x-a: 1\r\nevil", "1"}}, "", false},
	{"a colon in a name", []field{{"x:evil", "1"}}, "", false},
	{"capitals in a name", []field{{"X-Evil", "evil"}}, "", false},
	{"a request within the path", []field{{":path", "/ HTTP/1.1\r\nevil: 1\r\n"}}, "", false},
	{"a space in the path is escaped", []field{{":path", "/a HTTP/1.1"}}, "", true},
	{"a path without a slash", []field{{":path", "evil"}}, "", false},
	{"an absolute path of another host", []field{{":path", "http://evil.localhost/"}}, "", true},
	{"a request within the method", []field{{":method", "GET /evil HTTP/1.1\r\n"}}, "", false},
	{"a host with a header in it", []field{{":authority", "shop.localhost\r\nevil: 1"}}, "", false},
	{"a host with a user", []field{{":authority", "evil@shop.localhost"}}, "", false},
	{"a pseudo header that is none", []field{{":evil", "1"}}, "", false},
	{"another host beside", []field{{"host", "evil.localhost"}}, "", true},
	{"headers of a connection", []field{{"connection", "x-b"}, {"x-b", "1"}}, "", false},
	{"what is ours to say", []field{{"x-forwarded-for", "evil"}, {"x-real-ip", "evil"}, {"forwarded", "for=evil"}, {"x_forwarded_for", "evil"}}, "", true},
}

func TestHostile_RequestsInHTTP2(t *testing.T) {
	s := start(t, Config{})
	var mu sync.Mutex
	var seen []string
	s.swap(t, "shop", []string{"shop.localhost"}, app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err == nil { // a request that breaks off is none
			seen = append(seen, fmt.Sprintf("%s %s %s %v %q", r.Method, r.RequestURI, r.Host, r.Header, body))
		}
	}))
	for _, tt := range hostileHTTP2 {
		t.Run(tt.name, func(t *testing.T) {
			mu.Lock()
			seen = nil
			mu.Unlock()
			status := askHTTP2(t, s, tt.fields, tt.data)
			if answered := status == "200"; answered != tt.passes {
				t.Errorf("it ended with %s", status)
			}
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(seen, "\n"); strings.Contains(got, "evil") || !tt.passes && got != "" {
				t.Errorf("the app saw %s", got)
			}
		})
	}
}

// askHTTP2 sends a POST with odd fields, and returns its status or how else it
// ended.
func askHTTP2(t *testing.T, s *service, odd []field, data string) string {
	t.Helper()
	c, err := tls.Dial("tcp", s.secure, &tls.Config{RootCAs: s.roots(), ServerName: "shop.localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.WriteSettings()
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	usual := []field{{":method", "POST"}, {":scheme", "https"}, {":authority", "shop.localhost"}, {":path", "/"}}
	for _, f := range usual {
		for _, o := range odd {
			if o[0] == f[0] {
				f = o
			}
		}
		encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for _, o := range odd {
		if usual := strings.HasPrefix(o[0], ":") && o[0] != ":evil"; !usual {
			encoder.WriteField(hpack.HeaderField{Name: o[0], Value: o[1]})
		}
	}
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
	framer.WriteData(1, true, []byte(data))
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return f.ErrCode.String()
		case *http2.GoAwayFrame:
			return f.ErrCode.String()
		}
	}
}
