package logline

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

var at = time.Date(2026, 11, 23, 18, 12, 52, 120, time.UTC)

func TestAppend_KeepsTextAndEscapesWhatMisleads(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"hello", "hello"},
		{"a\tb", "a\tb"},
		{"Grüße 🚢 \ufffd", "Grüße 🚢 \ufffd"},
		{`{"path":"C:\\x"}`, `{"path":"C:\\x"}`},
		{"10%\r20%", `10%\x0d20%`},
		{"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"nul\x00del\x7f", `nul\x00del\x7f`},
		{"c1\u009b2J", `c1\xc2\x9b2J`},
		{"latin1 \xe9t\xe9", `latin1 \xe9t\xe9`},
		{"two\nlines", `two\x0alines`},
	} {
		got := string(Append(nil, at, Stdout, []byte(test.text)))
		if want := "2026-11-23T18:12:52.000000120Z o " + test.want + "\n"; got != want {
			t.Errorf("Append(%q)\n got %q\nwant %q", test.text, got, want)
		}
	}
}

func TestAppend_WritesUTCWhateverTheZone(t *testing.T) {
	local := at.In(time.FixedZone("far", 5*3600))
	if got := string(Append(nil, local, Note, nil)); got != "2026-11-23T18:12:52.000000120Z - \n" {
		t.Errorf("got %q", got)
	}
}

func TestParse_RefusesWhatAppendDidNotWrite(t *testing.T) {
	for _, line := range []string{
		"",
		"2026-11-23T18:12:52.000000120Z",
		"2026-11-23T18:12:52.000000120Z o",
		"2026-11-23T18:12:52.000000120Z x text",
		"2026-11-23T18:12:52,000000120Z o text",
		"2026-11-23T18:12:52.+00000120Z o text",
		"2026-13-23T18:12:52.000000120Z o text",
		"12:52.000000120Z o the tail of a torn line",
		strings.Repeat("\x00", 4096),
	} {
		if got, ok := Parse([]byte(line)); ok {
			t.Errorf("Parse(%q) = %+v, want it refused", line, got)
		}
	}
}

func FuzzParse_RoundTrip(f *testing.F) {
	f.Add([]byte("hello"), int64(0), byte(0))
	f.Add([]byte("\x1b[2J\r\n\x00\xff\u2028"), int64(1_795_457_572_123_456_789), byte(1))
	f.Add([]byte("2026-11-23T18:12:52.000000120Z o nested"), int64(1), byte(2))
	f.Fuzz(func(t *testing.T, text []byte, nanos int64, n byte) {
		stream := "oe-"[n%3]
		when := time.Unix(0, nanos).UTC()
		if when.Year() < 0 || when.Year() > 9999 {
			t.Skip("no such clock")
		}
		line := Append(nil, when, stream, text)
		body, whole := bytes.CutSuffix(line, []byte("\n"))
		if !whole || bytes.IndexByte(body, '\n') >= 0 {
			t.Fatalf("not one line: %q", line)
		}
		if !utf8.Valid(body) {
			t.Fatalf("not UTF-8: %q", line)
		}
		got, ok := Parse(body)
		if !ok || !got.Time.Equal(when) || got.Stream != stream {
			t.Fatalf("Parse(%q) = %+v, %v; want time %v, stream %c", body, got, ok, when, stream)
		}
		if i := strings.IndexFunc(got.Text, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }); i >= 0 {
			t.Fatalf("control character at %d of %q", i, got.Text)
		}
		// What needs no escape is untouched, what was escaped needs none again.
		if again := Append(nil, when, stream, []byte(got.Text)); !bytes.Equal(again, line) {
			t.Fatalf("escaping twice differs:\n%q\n%q", line, again)
		}
	})
}

// FuzzParse_Input feeds the parser with what it did not write.
func FuzzParse_Input(f *testing.F) {
	f.Add([]byte("2026-11-23T18:12:52.000000120Z o hello"))
	f.Add([]byte("2026-11-23T24:60:60.000000120Z e "))
	f.Fuzz(func(t *testing.T, input []byte) {
		line, ok := Parse(input)
		if !ok {
			return
		}
		if again := Append(nil, line.Time, line.Stream, nil); !bytes.HasPrefix(input, again[:head]) {
			t.Fatalf("accepted %q, which Append writes as %q", input, again)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	text := []byte(`10.0.0.7 - - "GET /static/app.css HTTP/1.1" 200 5120 "-" "curl/8.5.0"`)
	buf := make([]byte, 0, 1024)
	for b.Loop() {
		buf = Append(buf[:0], at, Stdout, text)
	}
}

func BenchmarkParse(b *testing.B) {
	line := Append(nil, at, Stdout, []byte(`10.0.0.7 - - "GET /static/app.css HTTP/1.1" 200 5120`))
	line = line[:len(line)-1]
	for b.Loop() {
		Parse(line)
	}
}
