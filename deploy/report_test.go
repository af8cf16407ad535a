package deploy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store/fault"
)

func TestReport_ShowsOutputWithoutTerminalCodes(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"plain", "one\ntwo\n", "       one\n       two\n"},
		{"colour", "\x1b[31mred\x1b[0m\n", "       red\n"},
		{"progress bar", "10%\r50%\r100%\n", "       100%\n"},
		{"CRLF", "one\r\ntwo\r\n", "       one\n       two\n"},
		{"title of the window", "\x1b]0;evil\x07text\n", "       text\n"},
		{"bell and backspace", "a\x07b\x08c\n", "       abc\n"},
		{"cut in the middle of a code", "\x1b[3", "       [3\n"},
		{"tab and umlauts", "\tä\n", "       \tä\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out)
			for _, b := range []byte(row.in) { // in the smallest pieces
				r.Write([]byte{b})
			}
			r.print("end")
			if got := strings.TrimSuffix(out.String(), "end\n"); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestReport_SilentStepShowsItsElapsedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := newReport(&out)
		r.timed("build", func() error {
			time.Sleep(40 * time.Second)
			r.Detail("half")
			time.Sleep(20 * time.Second)
			return nil
		})
		want := "       ... 15s\n       ... 30s\n       half\n       ... 55s\n"
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
		if len(r.steps) != 1 || r.steps[0].Took != time.Minute {
			t.Errorf("steps: got %v", r.steps)
		}
	})
}

func TestReport_FailShowsWhatAUserCanActOn(t *testing.T) {
	var out strings.Builder
	err := fault.New(fault.Failed, "E301", "web.1 did not become healthy in 30s").
		With("GET http://web.1:5000/ : 12 x connection refused", "| \x1b[31mboom").
		Hint("add flask to requirements.txt")
	newReport(&out).Fail(err, nil, "v17 still serves all traffic")
	want := `
error: web.1 did not become healthy in 30s [E301]
       GET http://web.1:5000/ : 12 x connection refused
       | boom
hint:  add flask to requirements.txt
       v17 still serves all traffic
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestReport_FailKeepsInternalErrorsToItself(t *testing.T) {
	var out strings.Builder
	newReport(&out).Fail(errors.New("dial unix /secret/path"), func(error) string { return "7f3a" }, "")
	if got := out.String(); strings.Contains(got, "secret") || !strings.Contains(got, "internal error (ref 7f3a)") {
		t.Errorf("got %q", got)
	}
}

func TestReport_LinesOfOursFitTheirColumns(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	r.Title("%s", headline("a-shop", git.Commit{ID: "4f1c9ab0", Subject: strings.Repeat("Füge Prüfung hinzu ", 10)}, "alice", 42))
	var names []string
	for n := range 30 {
		names = append(names, fmt.Sprintf("web.%d", n+1))
	}
	r.Up(names, make([]time.Duration, len(names)), true)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(out.String(), "by alice  build 42") || !strings.Contains(out.String(), "web.30 ok") {
		t.Errorf("something was lost:\n%s", out.String())
	}
}
