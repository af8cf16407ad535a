package web

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

func TestRun_StreamsGoBothWays(t *testing.T) {
	h := newHouse(t)
	h.deployer.runOnce = func(_ context.Context, args []string, att runtime.Attachment) (int, error) {
		if !att.Terminal || att.Size != (runtime.Size{Rows: 24, Cols: 80}) {
			t.Errorf("got terminal %v of %v", att.Terminal, att.Size)
		}
		if got := <-att.Resize; got != (runtime.Size{Rows: 50, Cols: 100}) {
			t.Errorf("resized to %v", got)
		}
		if got := <-att.Signals; got != "INT" {
			t.Errorf("got the signal %q", got)
		}
		text, err := io.ReadAll(att.Stdin)
		if err != nil {
			t.Errorf("stdin: %v", err)
		}
		att.Stdout.Write(append([]byte(args[0]+" "), text...))
		io.WriteString(att.Stderr, "to stderr")
		return 7, nil
	}
	resize, signals := make(chan runtime.Size, 1), make(chan string, 1)
	resize <- runtime.Size{Rows: 50, Cols: 100}
	signals <- "INT"
	stdin := strings.Repeat("0123456789abcdef", 20_000) // more than one message
	var stdout, stderr bytes.Buffer
	code, err := h.Client(store.Root).Run(t.Context(), "shop", []string{"echo"}, runtime.Attachment{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
		Terminal: true, Size: runtime.Size{Rows: 24, Cols: 80}, Resize: resize, Signals: signals,
	})
	if code != 7 || err != nil {
		t.Errorf("got %d, %v; want 7", code, err)
	}
	if stdout.String() != "echo "+stdin || stderr.String() != "to stderr" {
		t.Errorf("got %d bytes %.40q… and %q", stdout.Len(), stdout.String(), stderr.String())
	}
}

func TestRun_ProgramThatReadsNoInputStillEnds(t *testing.T) {
	h := newHouse(t)
	h.deployer.runOnce = func(context.Context, []string, runtime.Attachment) (int, error) { return 0, nil }
	endless, _ := io.Pipe()
	defer endless.Close()
	for name, stdin := range map[string]io.Reader{
		"silent": endless, "flood": strings.NewReader(strings.Repeat("x", 10<<20)), "none": nil,
	} {
		code, err := h.Client(store.Root).Run(t.Context(), "shop", []string{"true"}, runtime.Attachment{Stdin: stdin, Stdout: io.Discard, Stderr: io.Discard})
		if code != 0 || err != nil {
			t.Errorf("%s: got %d, %v", name, code, err)
		}
	}
}

func TestRun_AskerWhoLeavesKillsIt(t *testing.T) {
	h := newHouse(t)
	killed := make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	h.deployer.runOnce = func(ctx context.Context, _ []string, _ runtime.Attachment) (int, error) {
		leave()
		<-ctx.Done()
		close(killed)
		return 0, ctx.Err()
	}
	if _, err := h.Client(store.Root).Run(ctx, "shop", []string{"sleep"}, runtime.Attachment{Stdout: io.Discard, Stderr: io.Discard}); err == nil {
		t.Error("got no error")
	}
	<-killed
}

func TestRun_Refusals(t *testing.T) {
	h := newHouse(t)
	att := runtime.Attachment{Stdout: io.Discard, Stderr: io.Discard}
	for _, c := range []struct {
		user store.User
		app  string
		args []string
		want string
	}{
		{reader, "shop", []string{"id"}, "E110"},
		{ofShop, "blog", []string{"id"}, "E111"},
		{store.Root, "", []string{"id"}, "E140"},
		{store.Root, "shop", nil, "E140"},
		{store.Root, "shop", []string{""}, "E140"},
	} {
		if _, err := h.Client(c.user).Run(t.Context(), c.app, c.args, att); codeOf(err) != c.want {
			t.Errorf("%s runs %v in %q: got %v, want %s", c.user.Name, c.args, c.app, err, c.want)
		}
	}
}

// What came before the asker left, or before its input broke, does not pass for
// all of it: an archive would be taken for a shorter one.
func TestRun_InputThatBreaksOffDoesNotEnd(t *testing.T) {
	h := newHouse(t)
	read := make(chan error, 1)
	h.deployer.runOnce = func(_ context.Context, _ []string, att runtime.Attachment) (int, error) {
		_, err := io.ReadAll(att.Stdin)
		read <- err
		return 0, err
	}
	run := func(ctx context.Context, stdin io.Reader) {
		h.Client(store.Root).Run(ctx, "shop", []string{"cat"}, runtime.Attachment{Stdin: stdin, Stdout: io.Discard, Stderr: io.Discard})
	}
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrClosedPipe))
	run(t.Context(), broken)
	if err := <-read; err == nil {
		t.Error("an input that broke was taken for all of it")
	}
	ctx, leave := context.WithCancel(t.Context())
	half, feed := io.Pipe()
	defer feed.Close()
	go func() {
		io.WriteString(feed, "half")
		leave()
	}()
	run(ctx, half)
	if err := <-read; err == nil {
		t.Error("what came of an asker who left was taken for all of it")
	}
	run(t.Context(), strings.NewReader("all"))
	if err := <-read; err != nil {
		t.Error(err)
	}
}
