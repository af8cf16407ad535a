package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/enginetest"
)

func attach(t testing.TB, ctx context.Context, cmd runtime.Command, att runtime.Attachment) (runtime.Exit, error) {
	t.Helper()
	e, stack := open(t)
	return e.Attach(ctx, runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001}, cmd, att)
}

func TestAttach_StreamsAndExitCode(t *testing.T) {
	var out, errs bytes.Buffer
	exit, err := attach(t, t.Context(), sh("cat; echo bad >&2; exit 5"), runtime.Attachment{Stdin: strings.NewReader("from stdin\n"), Stdout: &out, Stderr: &errs})
	if err != nil || exit.Code != 5 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if out.String() != "from stdin\n" || errs.String() != "bad\n" {
		t.Errorf("stdout %q, stderr %q", &out, &errs)
	}
}

func TestAttach_OutputIsWhole(t *testing.T) {
	var out bytes.Buffer
	if _, err := attach(t, t.Context(), sh("seq 200000"), runtime.Attachment{Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 200000 {
		t.Errorf("%d lines of 200000", n)
	}
}

func TestAttach_Terminal(t *testing.T) {
	in, typed := io.Pipe()
	defer typed.Close()
	out := enginetest.NewWatched()
	resize := make(chan runtime.Size)
	ready, resized := out.On("ready"), out.On("40 100")
	go func() {
		<-ready
		resize <- runtime.Size{Rows: 40, Cols: 100}
		key := "size\n"
		for { // until the new size has arrived, and then until ^C has: bash can miss one on its way into read
			if _, err := typed.Write([]byte(key)); err != nil {
				return
			}
			select {
			case <-resized:
				key, resized = "\x03", nil
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	exit, err := attach(t, t.Context(), sh(`tty; stty size; echo $TERM; trap 'exit 42' INT; echo ready; while read x; do stty size; done`),
		runtime.Attachment{Stdin: in, Stdout: out, Terminal: true, Size: runtime.Size{Rows: 30, Cols: 90}, Resize: resize})
	if err != nil || exit.Code != 42 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	for _, want := range []string{"/dev/pts/", "30 90", "xterm-256color", "40 100"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

func TestAttach_TerminalReadsItsInputToTheEnd(t *testing.T) {
	for _, input := range []string{"", "whole lines\n", "half a line"} {
		out := enginetest.NewWatched()
		exit, err := attach(t, t.Context(), sh(`cat >/tmp/read; echo "[$(cat /tmp/read)]"; exit 5`),
			runtime.Attachment{Stdin: strings.NewReader(input), Stdout: out, Terminal: true})
		if want := "[" + strings.TrimSpace(input) + "]"; err != nil || exit.Code != 5 || !strings.Contains(out.String(), want) {
			t.Errorf("%q: exit %+v, %v, output %q; want code 5 and %s", input, exit, err, out.String(), want)
		}
	}
}

func TestAttach_InterruptEndsAProgramWithoutHandlers(t *testing.T) {
	out := enginetest.NewWatched()
	ready := out.On("ready")
	signals := make(chan string, 1)
	go func() {
		<-ready
		signals <- "TERM"
	}()
	exit, err := attach(t, t.Context(), sh("echo ready; exec sleep 1000"), runtime.Attachment{Stdout: out, Signals: signals})
	if err != nil || exit.Code != 143 || exit.Signal != 15 {
		t.Errorf("exit %+v, %v; want 143", exit, err)
	}
}

func TestAttach_CancelKills(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := enginetest.NewWatched()
	ready := out.On("ready")
	go func() {
		<-ready
		cancel()
	}()
	if _, err := attach(t, ctx, sh("trap '' TERM INT; echo ready; sleep 1000"), runtime.Attachment{Stdout: out}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	nothingLeft(t)
}

// The kernel may kill what is to become the program before it is that.
func TestAttach_KilledAtItsStartIsHowItEnded(t *testing.T) {
	e, stack := open(t)
	for _, memory := range []int64{3 << 20, 4 << 20, 8 << 20} {
		spec := runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001, Limits: runtime.Limits{Memory: memory}}
		exit, err := e.Attach(t.Context(), spec, sh("head -c 32000000 /dev/zero | tail"), runtime.Attachment{})
		if err != nil || exit.Code == 0 {
			t.Errorf("with %d bytes: got %+v, %v, want how it ended", memory, exit, err)
		}
	}
	nothingLeft(t)
}
