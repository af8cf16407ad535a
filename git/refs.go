package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/berthd/berth/store/fault/code"
)

// refTransaction is a git update-ref that holds the locks of refs: all is
// written but the names of the files, so that what is left is a rename each.
type refTransaction struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	cancel context.CancelFunc
	ended  bool
}

// lockRefs prepares the updates, all or none. It is a *Refusal when git cannot
// make them.
func (r Repository) lockRefs(ctx context.Context, updates []Update) (*refTransaction, error) {
	// Not ended by ctx: a ref that names what serves is moved even when berth
	// is stopping.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &refTransaction{cancel: cancel}
	t.cmd = r.command(ctx, "update-ref", "-m", "push", "--stdin", "-z")
	t.cmd.Stderr = &t.stderr
	var err error
	if t.in, err = t.cmd.StdinPipe(); err == nil {
		var out io.ReadCloser
		if out, err = t.cmd.StdoutPipe(); err == nil {
			t.out = bufio.NewReader(out)
			err = t.cmd.Start()
		}
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("git update-ref: %w", err)
	}
	var script strings.Builder
	script.WriteString("start\x00")
	for _, u := range updates {
		script.WriteString(u.instruction(u.Old))
	}
	script.WriteString("prepare\x00")
	go io.WriteString(t.in, script.String()) // when it fails, so does reading the answer
	if err := t.expect("start", "prepare"); err != nil {
		t.abort()
		return nil, refusal(code.PushRefRefused, "git cannot change the refs as this push asks").
			with(strings.TrimPrefix(Printable(strings.TrimSpace(t.stderr.String()), 500), "fatal: ")).
			hint("check the current refs: git ls-remote berth").because(err)
	}
	return t, nil
}

// instruction is the update as update-ref reads it.
func (u Update) instruction(old string) string {
	switch {
	case u.Deletes() && strings.Trim(u.Old, "0") == "":
		return "" // a ref that is not there and shall not be
	case u.Deletes():
		return "delete " + u.Ref + "\x00" + old + "\x00"
	default:
		return "update " + u.Ref + "\x00" + u.New + "\x00" + old + "\x00"
	}
}

// expect reads that git has done the steps.
func (t *refTransaction) expect(steps ...string) error {
	for _, step := range steps {
		line, err := t.out.ReadString('\n')
		if err != nil {
			t.cmd.Wait() // stderr is whole only now
			t.ended = true
			return failed(context.Background(), "update-ref", err, t.stderr.String())
		}
		if line != step+": ok\n" {
			return fmt.Errorf("git update-ref answered %q", line)
		}
	}
	return nil
}

// commit gives the refs their new values.
func (t *refTransaction) commit() error {
	if _, err := io.WriteString(t.in, "commit\x00"); err != nil {
		return fmt.Errorf("git update-ref: %w", err)
	}
	if err := t.expect("commit"); err != nil {
		return err
	}
	t.in.Close()
	t.ended = true
	return t.cmd.Wait()
}

// abort gives the locks back, unless the refs have been moved.
func (t *refTransaction) abort() {
	if t == nil {
		return
	}
	t.in.Close() // git removes its locks at the end of its input
	if !t.ended {
		t.cmd.Wait()
	}
	t.cancel()
}

// force moves the refs when git could not commit them: on a full disk, it is
// the line for the reflog that has no room. So their reflogs go, and the refs
// stay.
func (r Repository) force(ctx context.Context, updates []Update) error {
	dir, err := os.OpenRoot(r.Path) // which is git's: nothing in it leads us out
	if err != nil {
		return err
	}
	defer dir.Close()
	var errs []error
	for _, u := range updates {
		errs = append(errs, dir.RemoveAll("logs/"+u.Ref))
		args := []string{"-c", "core.logAllRefUpdates=false", "update-ref"}
		if u.Deletes() {
			args = append(args, "-d", u.Ref)
		} else {
			args = append(args, u.Ref, u.New)
		}
		errs = append(errs, r.run(ctx, args...))
	}
	return errors.Join(errs...)
}
