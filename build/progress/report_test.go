package progress

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
			r := New(&out)
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
		r := New(&out)
		r.Timed("build", func() error {
			time.Sleep(40 * time.Second)
			r.Detail("half")
			time.Sleep(20 * time.Second)
			return nil
		})
		want := "       ... 15s\n       ... 30s\n       half\n       ... 55s\n"
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
		if len(r.Steps()) != 1 || r.Steps()[0].Took != time.Minute {
			t.Errorf("steps: got %v", r.Steps())
		}
	})
}

func TestReport_FailShowsWhatAUserCanActOn(t *testing.T) {
	var out strings.Builder
	err := fault.New(fault.Failed, "E301", "web.1 did not become healthy in 30s").
		With("GET http://web.1:5000/ : 12 x connection refused", "| \x1b[31mboom").
		Hint("add flask to requirements.txt")
	New(&out).Fail(err, nil, "v17 still serves all traffic")
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
	New(&out).Fail(errors.New("dial unix /secret/path"), func(error) string { return "7f3a" }, "")
	if got := out.String(); strings.Contains(got, "secret") || !strings.Contains(got, "internal error (ref 7f3a)") {
		t.Errorf("got %q", got)
	}
}
