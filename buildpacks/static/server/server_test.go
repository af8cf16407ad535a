package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// files makes a directory of names and contents.
func files(t testing.TB, list ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(list); i += 2 {
		name := filepath.Join(dir, list[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(list[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func serve(t testing.TB, dir string, flags ...string) *site {
	t.Helper()
	o, err := parse(append([]string{"--root", dir}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.root.Close() })
	return s
}

// ask sends a request as it stands, its path uncleaned.
func ask(s *site, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "/", nil)
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func body(r *http.Response) string {
	data, _ := io.ReadAll(r.Body)
	return string(data)
}

func TestSite_FindsTheFileOfAPath(t *testing.T) {
	dir := files(t, "index.html", "home", "about.html", "about page", "docs/index.html", "docs", "docs/a b.txt", "spaced",
		"both.html", "both page", "both/x", "1", "Procfile", "web: x", "404.html", "not here", ".env", "SECRET=1", ".git/config", "secret",
		".well-known/security.txt", "contact", "private/x", "secret", "private.html", "secret", ".well-known/.x", "secret", "sub/.env", "SECRET=1", "empty/x", "1")
	s := serve(t, dir, "--hide", "private,other")
	for target, want := range map[string]string{
		"/": "200 home", "/index.html": "200 home", "/about": "200 about page", "/about.html": "200 about page",
		"/docs/": "200 docs", "/docs": "301 /docs/", "/docs?a=1": "301 /docs/?a=1", "/docs/a b.txt": "200 spaced",
		"/both": "200 both page", "/both/": "301 /both", "/about/": "301 /about", "/docs/a b.txt/": "301 /docs/a%20b.txt",
		"/nothing": "404 not here", "/empty/": "404 not here", "/empty": "404 not here", "/Procfile": "404 not here", "/private/x": "404 not here", "/private": "404 not here",
		"/.env": "404 not here", "/.git/config": "404 not here", "/sub/.env": "404 not here", "/.well-known/security.txt": "200 contact",
		"/.well-known/.x": "404 not here", "/x/../.env": "404 not here", "/../../../etc/passwd": "404 not here",
		"//evil.example/..//docs": "301 /docs/", "//docs": "301 /docs/", "/\\evil": "404 not here", "/index.html\x00.png": "404 not here",
		"/docs/../about": "200 about page", "": "200 home", "..": "200 home",
	} {
		r := ask(s, "GET", target)
		got := r.Status[:4] + r.Header.Get("Location")
		if r.StatusCode != 301 {
			got = r.Status[:4] + body(r)
		}
		if got != want {
			t.Errorf("GET %q: got %q, want %q", target, got, want)
		}
	}
}

func TestSite_NoLinkLeadsOutAndNothingBlocks(t *testing.T) {
	outside := files(t, "secret", "secret")
	dir := files(t, "index.html", "home", "real.txt", "real")
	for name, to := range map[string]string{"out": filepath.Join(outside, "secret"), "up": "../../../../etc/passwd", "dir": outside, "in": "real.txt", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := serve(t, dir)
	for target, want := range map[string]int{"/out": 404, "/up": 404, "/dir/secret": 404, "/dir/": 404, "/in": 200, "/loop": 404, "/pipe": 404} {
		if r := ask(s, "GET", target); r.StatusCode != want {
			t.Errorf("GET %s: got %s, want %d", target, r.Status, want)
		}
	}
}

func TestSite_FallbackIsForPagesAlone(t *testing.T) {
	s := serve(t, files(t, "index.html", "app", "main.js", "code", "404.html", "none"), "--fallback", "index.html")
	for _, c := range []struct {
		target string
		header []string
		want   string
	}{
		{"/cart/7", nil, "200 app"},
		{"/cart/7", []string{"Accept", "text/html,application/xhtml+xml"}, "200 app"},
		{"/cart/7", []string{"Accept", "*/*", "Sec-Fetch-Mode", "navigate"}, "200 app"},
		{"/api/cart", []string{"Accept", "application/json"}, "404 none"},
		{"/api/cart", []string{"Accept", "*/*", "Sec-Fetch-Mode", "cors"}, "404 none"},
		{"/old-4f1c9ab2.js", nil, "404 none"},
		{"/.env", nil, "200 app"}, // the app's own page; the file is not served
	} {
		if c.target == "/.env" {
			c.want = "404 none" // it has an extension
		}
		r := ask(s, "GET", c.target, c.header...)
		if got := r.Status[:4] + body(r); got != c.want {
			t.Errorf("GET %s %q: got %q, want %q", c.target, c.header, got, c.want)
		}
		if r.Header.Get("Cache-Control") != revalidate {
			t.Errorf("GET %s: may be kept: %q", c.target, r.Header.Get("Cache-Control"))
		}
	}
	if r := ask(serve(t, files(t, "200.html", "spa")), "GET", "/deep/link"); body(r) != "spa" {
		t.Error("200.html is not the fallback")
	}
	if _, err := open(options{root: files(t, "a", "b"), fallback: "none.html"}); err == nil {
		t.Error("a fallback that is not there was taken")
	}
}

func TestSite_MethodsOtherThanGetAndHeadAreRefused(t *testing.T) {
	s := serve(t, files(t, "index.html", "home"))
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
		if r := ask(s, method, "/"); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %s, %q", method, r.Status, r.Header.Get("Allow"))
		}
	}
	if r := ask(s, "HEAD", "/"); r.StatusCode != 200 || r.Header.Get("Content-Length") != "4" || body(r) != "" {
		t.Errorf("HEAD: got %s %v", r.Status, r.Header)
	}
}

func TestSite_ConditionsAndRanges(t *testing.T) {
	s := serve(t, files(t, "page.txt", "0123456789", "404.html", "none"))
	first := ask(s, "GET", "/page.txt")
	tag := first.Header.Get("ETag")
	if tag == "" || first.Header.Get("Last-Modified") == "" {
		t.Fatalf("headers %v", first.Header)
	}
	if r := ask(s, "GET", "/page.txt", "If-None-Match", tag); r.StatusCode != 304 {
		t.Errorf("the same again: got %s", r.Status)
	}
	if r := ask(s, "GET", "/page.txt", "If-Modified-Since", first.Header.Get("Last-Modified")); r.StatusCode != 304 {
		t.Errorf("not modified since: got %s", r.Status)
	}
	if r := ask(s, "GET", "/page.txt", "Range", "bytes=2-4"); r.StatusCode != 206 || body(r) != "234" {
		t.Errorf("a range: got %s", r.Status)
	}
	if r := ask(s, "GET", "/page.txt", "Range", "bytes=90-"); r.StatusCode != 416 {
		t.Errorf("a range behind the end: got %s", r.Status)
	}
	if r := ask(s, "GET", "/none", "Range", "bytes=0-1", "If-None-Match", "*"); r.StatusCode != 404 || body(r) != "none" {
		t.Errorf("a range of nothing: got %s", r.Status)
	}
}

// Two releases' files may have the same size and time.
func TestSite_ETagIsOfTheContent(t *testing.T) {
	when := time.Unix(1_700_000_000, 0)
	tagOf := func(content string) string {
		dir := files(t, "a.css", content)
		if err := os.Chtimes(filepath.Join(dir, "a.css"), when, when); err != nil {
			t.Fatal(err)
		}
		return ask(serve(t, dir), "GET", "/a.css").Header.Get("ETag")
	}
	if tagOf("one") == tagOf("two") || tagOf("one") != tagOf("one") {
		t.Error("the ETag does not follow the content")
	}
}

func TestSite_CompressedFormsAreForThoseWhoTakeThem(t *testing.T) {
	s := serve(t, files(t, "a.js", "plain", "a.js.gz", "zipped", "a.js.br", "brotli", "b.js", "plain", "b.js.gz", "zipped", "c.js", "plain"))
	for _, c := range []struct{ target, accept, want, encoding string }{
		{"/a.js", "gzip, deflate, br", "brotli", "br"},
		{"/a.js", "gzip", "zipped", "gzip"},
		{"/a.js", "br;q=0, gzip;q=0.5", "zipped", "gzip"},
		{"/a.js", "*", "brotli", "br"},
		{"/a.js", "", "plain", ""},
		{"/a.js", "br;q=x, brx, ;q=", "plain", ""},
		{"/b.js", "gzip, br", "zipped", "gzip"},
		{"/c.js", "gzip, br", "plain", ""},
	} {
		r := ask(s, "GET", c.target, "Accept-Encoding", c.accept)
		if got := body(r); got != c.want || r.Header.Get("Content-Encoding") != c.encoding {
			t.Errorf("%s, %q: got %q as %q, want %q as %q", c.target, c.accept, got, r.Header.Get("Content-Encoding"), c.want, c.encoding)
		}
		if got := r.Header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
			t.Errorf("%s: type %q", c.target, got)
		}
		if varies := r.Header.Get("Vary") != ""; varies != (c.target != "/c.js") {
			t.Errorf("%s: Vary %q", c.target, r.Header.Get("Vary"))
		}
	}
	plain, zipped := ask(s, "GET", "/b.js"), ask(s, "GET", "/b.js", "Accept-Encoding", "gzip")
	if plain.Header.Get("ETag") == zipped.Header.Get("ETag") {
		t.Error("two forms have one ETag")
	}
}

func TestCacheControl_OnlyNamesWithADigestAreKeptForEver(t *testing.T) {
	for name, want := range map[string]string{
		"index.html": revalidate, "main.js": revalidate, "assets/index-DiwrgTd4.js": forever, "assets/index-B-x3_9Kd.js": forever,
		"static/js/main.8d3f2c1a.js": forever, "static/js/2.1a2b3c4d.chunk.js": forever, "main-6QJ3LSSU.js": forever,
		"static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg": forever, "_next/static/chunks/main-app.js": forever, "_next/data/x.json": revalidate,
		"_app/immutable/start.js": forever, "_astro/page.B1xRhMn8.css": forever, "_nuxt/entry.js": forever,
		"jquery-3.7.1.min.js": revalidate, "vendor-bootstrap.css": revalidate, "app-component.js": revalidate, "report-20240101.js": revalidate,
		"photo-IMG12345.jpg": revalidate, "a1b2c3d4.js": revalidate, "service-worker.js": revalidate, "assets/page-8d3f2c1a.html": revalidate,
		"assets/react-CHdo91hT.svg": forever, "manifest.8d3f2c1a.json": revalidate,
	} {
		if got := cacheControl(name, 200); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestContentType(t *testing.T) {
	s := serve(t, files(t, "a.webmanifest", "{}", "f.woff2", "x", "m.mjs", "x", "w.wasm", "x", "LICENSE", "plain words", "x.unknownext", "<script>", "P.PNG", "x"))
	for target, want := range map[string]string{
		"/a.webmanifest": "application/manifest+json", "/f.woff2": "font/woff2", "/m.mjs": "text/javascript; charset=utf-8", "/w.wasm": "application/wasm",
		"/LICENSE": "text/plain; charset=utf-8", "/x.unknownext": "application/octet-stream", "/P.PNG": "image/png",
	} {
		r := ask(s, "GET", target)
		if got := r.Header.Get("Content-Type"); got != want || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

func TestParse_Flags(t *testing.T) {
	t.Setenv("PORT", "")
	for _, bad := range [][]string{{"--port", "x"}, {"--port", "70000"}, {"dir"}, {"--nothing"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	var out, complaints bytes.Buffer
	if code := start([]string{"--help"}, &out, &complaints); code != 0 || !strings.Contains(out.String(), "--fallback FILE") {
		t.Errorf("--help: code %d, %q", code, &out)
	}
	if code := start([]string{"--nothing"}, &out, &complaints); code != 2 || !strings.Contains(complaints.String(), "nothing") {
		t.Errorf("an unknown flag: code %d, %q", code, &complaints)
	}
	if code := start([]string{"--root", filepath.Join(t.TempDir(), "none")}, &out, &complaints); code != 1 {
		t.Errorf("a missing root: code %d", code)
	}
}

// said hands over the line that the server prints when it listens.
type said chan string

func (s said) Write(p []byte) (int, error) { s <- string(p); return len(p), nil }

func TestRun_AnswersOnTheirWayFinish(t *testing.T) {
	big := strings.Repeat("x", 32<<20) // more than the buffers between the two hold
	dir := files(t, "big", big)
	ctx, stop := context.WithCancel(t.Context())
	lines, ended := make(said, 1), make(chan error, 1)
	go func() { ended <- run(ctx, options{root: dir, port: "0"}, lines) }()
	line := strings.TrimSpace(<-lines)
	port := line[strings.LastIndexByte(line, ':')+1:]
	r, err := http.Get("http://127.0.0.1:" + port + "/big")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	data, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || len(data) != len(big) {
		t.Errorf("got %d bytes, %v; want all %d", len(data), err, len(big))
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func FuzzSite_NothingOutsideIsServed(f *testing.F) {
	for _, seed := range []string{"/", "/../x", "//a/..", "/.env", "/a%2f..", "/\x00", "/docs", "/link/passwd"} {
		f.Add(seed)
	}
	dir := files(f, "index.html", "home", "docs/index.html", "docs", ".env", "SECRET")
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		f.Fatal(err)
	}
	s := serve(f, dir)
	f.Fuzz(func(t *testing.T, target string) {
		r := ask(s, "GET", target)
		if got := body(r); r.StatusCode == 200 && got != "home" && got != "docs" {
			t.Errorf("GET %q: %q", target, got)
		}
		if to := r.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("GET %q leads to %q", target, to)
		}
	})
}
