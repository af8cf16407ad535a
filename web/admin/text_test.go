package admin

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestOutputHTML(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "a < b & c", "a &lt; b &amp; c"},
		{"colour", "\x1b[31mred\x1b[0m plain", `<span class="c1">red</span> plain`},
		{"bold and bright", "\x1b[1;92mok\x1b[m", `<span class="c10 cb">ok</span>`},
		{"left open", "\x1b[34mblue", `<span class="c4">blue</span>`},
		{"empty parameter", "\x1b[;33mx", `<span class="c3">x</span>`},
		{"palette", "\x1b[38;5;9mx\x1b[38;5;200my", `<span class="c9">x</span><span class="c9">y</span>`},
		{"true colour is left out", "\x1b[38;2;1;31;3mx", "x"},
		{"background is left out", "\x1b[41mx", "x"},
		{"title", "\x1b]0;owned\x07after", "after"},
		{"hyperlink", "\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", "text"},
		{"unending string", "a\x1bPnever", "a"},
		{"cursor", "a\x1b[2K\x1b[1Gb", "ab"},
		{"charset", "\x1b(Bx", "x"},
		{"interrupted", "x\x1b[31", "x"},
		{"ESC alone", "x\x1b", "x"},
		{"ESC before a letter of another script", "\x1bé", "é"},
		{"controls", "a\x00\x08\x7f\u0085b\tc", "ab\tc"},
		{"direction", "a\u202eb\u2066c\u200f", "abc"},
		{"progress", "10%\r50%\r100%\r", "100%"},
		{"not UTF-8", "a\xffb", "a\ufffdb"},
	} {
		if got := string(outputHTML(test.in)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	long := string(outputHTML(strings.Repeat("é", maxLine)))
	if want := "… 16384 more bytes"; !strings.Contains(long, want) || len(long) > maxLine+100 || !utf8.ValidString(long) {
		t.Errorf("a long line is %d bytes and ends in %q", len(long), long[max(0, len(long)-60):])
	}
}

func FuzzOutputHTML(f *testing.F) {
	f.Add(hostile)
	f.Add("\x1b[1;38;5;9;48;2;1;2;3mx\x1b]8;;\x1b\\\x1b[\xff")
	tag := regexp.MustCompile(`<span class="(c[0-9]{1,2}|c[bdiu]|cut| )+">|</span>`)
	f.Fuzz(func(t *testing.T, line string) {
		out := string(outputHTML(line))
		if strings.Count(out, "<span") != strings.Count(out, "</span>") {
			t.Errorf("tags do not pair: %q", out)
		}
		rest := tag.ReplaceAllString(out, "")
		if strings.ContainsAny(rest, "<>\"'\x1b\x00\r\n") || !utf8.ValidString(out) {
			t.Errorf("%q became %q", line, out)
		}
	})
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 59 * time.Second: "59 s ago", 60 * time.Second: "1 min ago", 90 * time.Minute: "1 h ago",
		30 * time.Hour: "1 day ago", 72 * time.Hour: "3 days ago", -10 * time.Minute: "in 10 min",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
