package git

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A berth that is killed leaves its ends of the pipes closed, and git the hook's
// input open.
func TestHook_EndsWithTheProcessThatDecides(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", hook)
	cmd.Env = append(os.Environ(), "BERTH_RECEIVE=1")
	cmd.WaitDelay = time.Second
	pipe := func() (r, w *os.File) {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	in, fromGit := pipe()
	updates, toHook := pipe()
	text, ofText := pipe()
	answer, ofAnswer := pipe()
	cmd.Stdin, cmd.ExtraFiles = in, []*os.File{toHook, text, answer}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{in, toHook, text, answer} { // the hook has its own
		f.Close()
	}
	if _, err := fromGit.WriteString("version=1"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 9)
	if _, err := updates.Read(got); err != nil || string(got) != "version=1" {
		t.Errorf("git's words arrive as %q, %v", got, err)
	}
	ofText.Close()
	ofAnswer.Close()
	cmd.Wait()
	if ctx.Err() != nil {
		t.Error("the hook goes on")
	}
}
