package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berthd/berth/router"
)

func newLog(t testing.TB) *Log {
	return New(t.TempDir(), slog.New(slog.DiscardHandler))
}

func access(route, uri string) router.Access {
	return router.Access{Time: time.Unix(1_795_457_572, 120_999_999), Route: route, Method: "GET", Host: route + ".example.com", URI: uri, Status: 200}
}

// paths are those that a query gives.
func paths(t *testing.T, l *Log, q Query) (got []string) {
	t.Helper()
	err := l.Read(t.Context(), q, func(line Line) error {
		if line.Dropped > 0 {
			line.Path = fmt.Sprintf("%d dropped", line.Dropped)
		}
		got = append(got, line.Path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLine_HoldsWhatWasAccessed(t *testing.T) {
	a := router.Access{
		Time: time.Date(2026, 11, 24, 22, 0, 1, 23_999_999, time.FixedZone("far", 3600)), Duration: 1_234_567, FirstByte: 999_000,
		ID: "abc", Route: "shop", Instance: "web.1", Release: 18, Client: "192.0.2.7", TLS: true, Proto: "HTTP/2.0",
		Method: "POST", Host: "shop.example.com", URI: `/cart?a="b"`, Status: 201, BytesIn: 3, BytesOut: 5,
		UserAgent: "curl/8", Referer: "https://example.com/",
	}
	want := `{"time":"2026-11-24T21:00:01.023Z","id":"abc","client":"192.0.2.7","method":"POST","host":"shop.example.com",` +
		`"path":"/cart?a=\"b\"","protocol":"HTTP/2.0","tls":true,"status":201,"bytes_in":3,"bytes_out":5,"duration_ms":1.234,` +
		`"first_byte_ms":0.999,"instance":"web.1","release":18,"user_agent":"curl/8","referer":"https://example.com/"}` + "\n"
	text := appendLine(nil, &a)
	if string(text) != want {
		t.Errorf("got  %swant %s", text, want)
	}
	line, ok := parse(text)
	if again, err := json.Marshal(line); !ok || err != nil || !sameJSON(t, again, text) {
		t.Errorf("read and written again it is %s", again)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var one, other any
	if json.Unmarshal(a, &one) != nil || json.Unmarshal(b, &other) != nil {
		return false
	}
	return fmt.Sprint(one) == fmt.Sprint(other)
}

func FuzzLine_IsOneLineOfJSONWhateverTheClientSends(f *testing.F) {
	f.Add("/", "curl/8", int64(0))
	f.Add("/\x1b[2J\"\\\r\n\x00", "\xff\xc3\u009b\u2028\u202e🚢", int64(-1))
	f.Add(strings.Repeat("ü", maxPath), strings.Repeat("\xff", 3*maxHeader), int64(1<<62))
	f.Fuzz(func(t *testing.T, uri, agent string, nanos int64) {
		a := access("shop", uri)
		a.UserAgent, a.Time, a.Duration = agent, time.Unix(0, nanos), time.Duration(nanos)
		text := appendLine(nil, &a)
		body, whole := bytes.CutSuffix(text, []byte("\n"))
		if !whole || !utf8.Valid(body) || bytes.ContainsFunc(body, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u202e' }) {
			t.Fatalf("not one line that can be shown: %q", text)
		}
		if len(text) > 6*(maxPath+maxHeader+4*maxShort) {
			t.Fatalf("a line of %d bytes", len(text))
		}
		line, ok := parse(body)
		if !ok || !line.Time.Equal(a.Time.Truncate(time.Millisecond)) && nanos >= 0 {
			t.Fatalf("read again: %+v of %s", line, text)
		}
		if want := strings.ToValidUTF8(uri, "\ufffd"); utf8.ValidString(uri) && len(uri) <= maxPath && line.Path != want {
			t.Fatalf("got the path %q, want %q", line.Path, want)
		}
	})
}

func TestLog_EachRouteHasItsOwn(t *testing.T) {
	l := newLog(t)
	l.Keep("shop")
	l.Add(access("shop", "/1"))
	l.Add(access("", "/nobody"))
	l.Add(access("destroyed", "/late"))
	l.Add(access("shop", "/2"))
	for route, want := range map[string][]string{"shop": {"/1", "/2"}, "": {"/nobody"}, "destroyed": nil} {
		if got := paths(t, l, Query{Route: route, Lines: -1}); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", route, got, want)
		}
	}
	if got := paths(t, l, Query{Route: "shop", Lines: 1}); !slices.Equal(got, []string{"/2"}) {
		t.Errorf("the last: got %q", got)
	}
	wanted := func(line Line) bool { return line.Path == "/1" }
	if got := paths(t, l, Query{Route: "shop", Lines: 1, Want: wanted}); !slices.Equal(got, []string{"/1"}) {
		t.Errorf("the last that is wanted: got %q", got)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "destroyed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an app that is not there has a directory: %v", err)
	}
}

func TestLog_IsRotatedAndBounded(t *testing.T) {
	l := newLog(t)
	l.size = 100 << 10
	l.Keep("shop")
	long := strings.Repeat("x", maxPath-10)
	n := 0
	for range 30 { // three files' worth
		for range 5 {
			n++
			l.Add(access("shop", fmt.Sprintf("/%08d%s", n, long)))
		}
		l.write()
	}
	var total int64
	for _, name := range []string{fileName, elderName} {
		st, err := os.Stat(filepath.Join(l.dir, "shop", name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() > l.size {
			t.Errorf("%s has %d bytes", name, st.Size())
		}
		total += st.Size()
	}
	if files, _ := os.ReadDir(filepath.Join(l.dir, "shop")); len(files) != 2 {
		t.Errorf("got %d files, want 2", len(files))
	}
	got := paths(t, l, Query{Route: "shop", Lines: -1})
	if int64(len(got)) < total/3000 || l.Dropped() != 0 {
		t.Errorf("got %d lines of %d bytes, %d dropped", len(got), total, l.Dropped())
	}
	for i, path := range got {
		if want := fmt.Sprintf("/%08d", n-len(got)+1+i); !strings.HasPrefix(path, want) {
			t.Fatalf("line %d: got %.12s, want %s: the newest, without a gap", i, path, want)
		}
	}
}

func TestLog_DropsCountsAndTellsWhenNobodyWrites(t *testing.T) {
	l := newLog(t)
	l.room = 100 << 10
	l.Keep("shop")
	a := access("shop", "/"+strings.Repeat("x", 1000))
	n := uint64(2 * l.room / 1000)
	for range n {
		l.Add(a)
	}
	if l.Dropped() == 0 || l.pending > l.room {
		t.Fatalf("%d dropped, %d bytes pending, want some dropped and at most %d pending", l.Dropped(), l.pending, l.room)
	}
	var lines, told uint64
	for _, path := range paths(t, l, Query{Route: "shop", Lines: -1}) {
		if _, err := fmt.Sscanf(path, "%d dropped", &told); err != nil {
			lines++
		}
	}
	if told != l.Dropped() || lines+told != n {
		t.Errorf("%d lines and %d told as dropped of %d, %d of them counted", lines, told, n, l.Dropped())
	}
}

// /dev/full takes no byte, as a disk that is full.
func TestLog_AFullDiskLosesLinesAndNothingElse(t *testing.T) {
	l := newLog(t)
	l.Keep("shop")
	dir := filepath.Join(l.dir, "shop")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	l.log = slog.New(slog.NewTextHandler(&said, nil))
	for range 3 {
		l.Add(access("shop", "/lost"))
		l.write()
	}
	if got := strings.Count(said.String(), "no space left"); got != 1 {
		t.Errorf("said %d times, want once: %s", got, &said)
	}
	if err := os.Remove(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	l.Add(access("shop", "/kept"))
	if got := paths(t, l, Query{Route: "shop", Lines: -1}); !slices.Equal(got, []string{"/kept", "3 dropped"}) || l.Dropped() != 3 {
		t.Errorf("got %q and %d dropped", got, l.Dropped())
	}
}

func TestRead_SkipsWhatIsTorn(t *testing.T) {
	l := newLog(t)
	l.Keep("shop")
	l.Add(access("shop", "/1"))
	l.write()
	f, err := os.OpenFile(filepath.Join(l.dir, "shop", fileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("{\"time\":\"2026-\n" + strings.Repeat("\x00", 3*block) + "\n{}\n")
	l.Add(access("shop", "/2"))
	l.write()
	f.WriteString(`{"time":"2026-11-24T21:00:01.023Z","path":"/half`)
	if got := paths(t, l, Query{Route: "shop", Lines: -1}); !slices.Equal(got, []string{"/1", "/2"}) {
		t.Errorf("got %q", got)
	}
}

func TestRead_FollowersMissNothingAcrossARotationAndEndWithTheRoute(t *testing.T) {
	l := newLog(t)
	l.size = 100 << 10
	l.Keep("shop")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	defer running.Wait()
	defer cancel()
	l.Add(access("shop", "/0"))

	got, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- l.Read(ctx, Query{Route: "shop", Lines: -1, Follow: true}, func(line Line) error { got <- line.Path; return nil })
	}()
	if first := <-got; first != "/0" {
		t.Fatalf("got %s first", first)
	}
	// Large enough that the next line begins a new file.
	if err := os.Truncate(filepath.Join(l.dir, "shop", fileName), l.size); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 300; n++ {
		l.Add(access("shop", fmt.Sprintf("/%d", n)))
		if n%100 == 0 {
			for i := n - 99; i <= n; i++ {
				if path := <-got; path != fmt.Sprintf("/%d", i) {
					t.Fatalf("got %s, want /%d", path, i)
				}
			}
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "shop", elderName)); err != nil {
		t.Errorf("it was not rotated: %v", err)
	}
	l.Forget("shop")
	if err := <-ended; err != nil {
		t.Errorf("the follower of what is gone: got %v", err)
	}
}

func TestRead_ASlowFollowerIsToldWhatItMissed(t *testing.T) {
	l := newLog(t)
	l.room = 100 << 10
	l.Keep("shop")
	_, f, err := l.open(Query{Route: "shop", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1000)
	sent := uint64(0)
	for range 6 {
		for range 50 {
			l.Add(access("shop", "/"+long))
			sent++
		}
		l.write()
	}
	text, _ := f.take()
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	last, ok := parse(lines[len(lines)-1])
	if !ok || last.Dropped == 0 || uint64(len(lines)-1)+last.Dropped != sent || l.Dropped() != 0 {
		t.Errorf("got %d lines and %d told as missed of %d; %d dropped from the file", len(lines)-1, last.Dropped, sent, l.Dropped())
	}
}

func TestForget_TakesNoMoreLines(t *testing.T) {
	l := newLog(t)
	l.Keep("shop")
	l.Add(access("shop", "/1"))
	l.Forget("shop")
	if l.Add(access("shop", "/2")); l.pending != 0 {
		t.Errorf("what is forgotten has %d bytes pending", l.pending)
	}
	l.Keep("shop") // the next of that name
	l.Add(access("shop", "/3"))
	if got := paths(t, l, Query{Route: "shop", Lines: -1}); !slices.Equal(got, []string{"/3"}) {
		t.Errorf("got %q", got)
	}
}

func TestRead_OfARouteThatIsNotServedYet(t *testing.T) {
	l := newLog(t)
	l.Keep("shop")
	l.Add(access("shop", "/before"))
	l.write()
	again := New(l.dir, l.log) // as after a restart
	if got := paths(t, again, Query{Route: "shop", Lines: -1, Follow: true}); !slices.Equal(got, []string{"/before"}) {
		t.Errorf("got %q", got)
	}
}

func TestRun_WritesWhatIsLeft(t *testing.T) {
	l := newLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Add(access("", "/last"))
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(l.dir, fileName)); err != nil || !bytes.Contains(text, []byte("/last")) {
		t.Errorf("got %q, %v", text, err)
	}
}

func BenchmarkAdd(b *testing.B) {
	a := router.Access{
		Time: time.Now(), Duration: 1_234_567, FirstByte: 999_000, ID: "qhbdbwkzrs2xzfjvnyspcgzq4l",
		Route: "shop", Instance: "web.1", Release: 18, Client: "192.0.2.7", TLS: true, Proto: "HTTP/1.1",
		Method: "GET", Host: "shop.example.com", URI: "/products/17?page=2", Status: 200, BytesOut: 5120,
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Referer: "https://shop.example.com/products",
	}
	b.Run("add", func(b *testing.B) {
		l := newLog(b)
		l.Keep("shop")
		ctx, cancel := context.WithCancel(b.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		defer running.Wait()
		defer cancel()
		b.ReportAllocs()
		for b.Loop() {
			l.Add(a)
		}
		b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
	})
	b.Run("encoding/json", func(b *testing.B) { // what it would cost to make the line by reflection
		for b.Loop() {
			line := Line{Time: a.Time, ID: a.ID, Client: a.Client, Method: a.Method, Host: a.Host, Path: a.URI, Protocol: a.Proto,
				TLS: true, Status: a.Status, BytesOut: a.BytesOut, Duration: 1.234, FirstByte: .999, Instance: a.Instance, Release: 18, UserAgent: a.UserAgent, Referer: a.Referer}
			if _, err := json.Marshal(line); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("line", func(b *testing.B) {
		var text []byte
		for b.Loop() {
			text = appendLine(text[:0], &a)
		}
	})
}
