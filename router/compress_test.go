package router

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// plainly reads a body as it was before it was compressed.
func plainly(t testing.TB, res *http.Response, body string) string {
	t.Helper()
	var r io.Reader
	var err error
	switch coding := res.Header.Get("Content-Encoding"); coding {
	case "":
		return body
	case "gzip":
		r, err = gzip.NewReader(strings.NewReader(body))
	case "zstd":
		var d *zstd.Decoder
		d, err = zstd.NewReader(strings.NewReader(body))
		defer d.Close()
		r = d
	default:
		t.Fatalf("the coding is %q", coding)
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestServe_CompressesWhatGains(t *testing.T) {
	s := start(t, Config{})
	long := strings.Repeat("all of the page ", 1000)
	var header http.Header
	var status int
	var body string
	chunked := false
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		if !chunked {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		w.WriteHeader(status)
		if r.Method != "HEAD" && status != 204 && status != 304 {
			io.WriteString(w, body)
		}
	})}})
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	with := func(more ...string) http.Header {
		h := html.Clone()
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	for _, proto := range []string{"HTTP/2", "HTTP/1.1"} {
		c := s.client(t)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = proto == "HTTP/2"
		c.Transport.(*http.Transport).DisableCompression = true
		for _, row := range []struct {
			name, accept string
			status       int
			header       http.Header
			body         string
			chunked      bool
			coding, vary string
		}{
			{"a browser", "gzip, deflate, br, zstd", 200, html, long, false, "zstd", "Accept-Encoding"},
			{"an older one", "gzip, deflate", 200, html, long, false, "gzip", "Accept-Encoding"},
			{"chunks", "gzip", 200, html, long, true, "gzip", "Accept-Encoding"},
			{"an error page", "gzip", 500, html, long, false, "gzip", "Accept-Encoding"},
			{"nobody asks", "", 200, html, long, false, "", "Accept-Encoding"},
			{"somebody refuses", "gzip;q=0, zstd;q=0, *", 200, html, long, false, "", "Accept-Encoding"},
			{"short", "gzip", 200, html, "short", false, "", ""},
			{"none", "gzip", 204, html, "", false, "", ""},
			{"a picture", "gzip", 200, with("Content-Type", "image/png"), long, false, "", ""},
			{"no type", "gzip", 200, with("Content-Type", "application/octet-stream"), long, false, "", ""},
			{"compressed already", "gzip", 200, with("Content-Encoding", "br"), long, false, "br", ""},
			{"a part", "gzip", 206, with("Content-Range", "bytes 0-9/99"), long, false, "", ""},
			{"not to be transformed", "gzip", 200, with("Cache-Control", "public, No-Transform"), long, false, "", ""},
			{"a digest", "gzip", 200, with("Content-Digest", "sha-256=:x:"), long, false, "", ""},
			{"varies already", "gzip", 200, with("Vary", "Cookie, accept-encoding"), long, false, "gzip", "Cookie, accept-encoding"},
			{"varies by all", "gzip", 200, with("Vary", "*"), long, false, "gzip", "*"},
		} {
			header, status, body, chunked = row.header, row.status, row.body, row.chunked
			accept := row.accept
			if accept == "" {
				accept = "identity"
			}
			res, got := get(t, c, "https://shop.localhost/", "Accept-Encoding", accept)
			if res.StatusCode != row.status || res.Header.Get("Content-Encoding") != row.coding || strings.Join(res.Header["Vary"], "|") != row.vary {
				t.Errorf("%s, %s: got %d %q, Vary %q; want %d %q, Vary %q", proto, row.name,
					res.StatusCode, res.Header.Get("Content-Encoding"), res.Header["Vary"], row.status, row.coding, row.vary)
			} else if row.coding != "br" && plainly(t, res, got) != row.body {
				t.Errorf("%s, %s: the body came out wrong", proto, row.name)
			} else if row.coding == "gzip" && len(got) > len(long)/10 {
				t.Errorf("%s, %s: %d bytes of %d are left", proto, row.name, len(got), len(long))
			}
		}
		header, status, body, chunked = with("Etag", `"v1"`, "Accept-Ranges", "bytes"), 200, long, false
		res, got := get(t, c, "https://shop.localhost/", "Accept-Encoding", "gzip")
		if res.Header.Get("Etag") != `W/"v1"` || res.Header.Get("Accept-Ranges") != "" || res.ContentLength == int64(len(long)) || plainly(t, res, got) != long {
			t.Errorf("%s: got %v, length %d; want a weak tag, no ranges, another length", proto, res.Header, res.ContentLength)
		}
		req, _ := http.NewRequestWithContext(t.Context(), "HEAD", "https://shop.localhost/", nil)
		req.Header.Set("Accept-Encoding", "gzip")
		if res, err := c.Do(req); err != nil || res.ContentLength != int64(len(long)) || res.Header.Get("Vary") == "" {
			t.Errorf("%s: HEAD gives %v, %v", proto, res, err)
		}
	}
}

// What an app flushes, the client gets then, and a client of a body that broke
// off does not take it for whole.
func TestServe_CompressedStreamsFlowAndBreakOff(t *testing.T) {
	s := start(t, Config{})
	next := make(chan struct{})
	noise := make([]byte, 100<<10)
	for i := range noise {
		noise[i] = byte('a' + rand.IntN(26))
	}
	set(t, s, Route{Name: "shop", Hosts: []string{"shop.localhost"}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "X-Sum")
		for n := range 3 {
			fmt.Fprintf(w, "line %d\n", n)
			http.NewResponseController(w).Flush()
			<-next
		}
		w.Write(noise)
		if r.URL.Path == "/break" {
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Sum", "42")
	})}})
	for _, path := range []string{"/", "/break"} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://shop.localhost"+path, nil)
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := s.client(t).Do(req)
		if err != nil || res.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("got %v, %v", res, err)
		}
		defer res.Body.Close()
		unzipped, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(unzipped)
		for n := range 3 {
			// The app goes on only after this line has been read.
			if line, err := lines.ReadString('\n'); line != fmt.Sprintf("line %d\n", n) {
				t.Fatalf("line %d is %q, %v", n, line, err)
			}
			next <- struct{}{}
		}
		rest, err := io.ReadAll(lines)
		if path == "/break" {
			if err == nil {
				t.Error("a body that broke off was taken for whole")
			}
			continue
		}
		if err != nil || !bytes.Equal(rest, noise) || res.Trailer.Get("X-Sum") != "42" {
			t.Errorf("the rest is %d bytes, %v, trailer %v", len(rest), err, res.Trailer)
		}
	}
}

func TestServe_OptionsOfCompressionCountAtOnce(t *testing.T) {
	s := start(t, Config{})
	rt := Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: Options{Uncompressed: true}, Backends: []Backend{app(t, "1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, strings.Repeat("[]", 2000))
	})}}
	set(t, s, rt)
	c := s.client(t)
	if res, _ := get(t, c, "https://shop.localhost/", "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") != "" {
		t.Error("compressed although that is switched off")
	}
	rt.Options.Uncompressed = false
	set(t, s, rt)
	if res, _ := get(t, c, "https://shop.localhost/", "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") != "gzip" {
		t.Error("not compressed although that is switched on")
	}
}

func FuzzAcceptable(f *testing.F) {
	for _, seed := range []string{"gzip", "zstd;q=0.5, gzip", "gzip;q=0, *", "*;q=0", "GZIP ; Q=1.0", "gzip;q=2", "gzip;q=NaN", ";;,,", "identity;q=0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := acceptable([]string{value})
		if got != "" && got != "gzip" && got != "zstd" {
			t.Errorf("%q: got %q", value, got)
		}
		if got != "" && !strings.Contains(strings.ToLower(value), got) && !strings.Contains(value, "*") {
			t.Errorf("%q: got %q, which is not in it", value, got)
		}
	})
}

func TestAcceptable(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "gzip": "gzip", "zstd;q=0.5, gzip": "gzip", "zstd;q=0.5, gzip;q=0.5": "zstd", "gzip;q=0": "", "*": "gzip", "gzip;q=0, *": "",
		"*, gzip;q=0": "", "br, identity": "", "GZIP ; Q=0.1": "gzip", "gzip;q=2": "", "gzip;q=NaN": "", "x-gzip": "gzip", "gzipped": "",
	} {
		if got := acceptable([]string{value}); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}
