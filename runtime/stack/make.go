package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// Make makes the base filesystem in dir as an archive, under the name by which
// the engine looks for it there. What mmdebstrap prints goes to out.
func Make(ctx context.Context, dir string, out io.Writer) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(dir, "making-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	tar := filepath.Join(scratch, "stack.tar")
	cmd, err := Command(ctx, tar, scratch)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, out
	runtime.LockOSThread() // the command ends with the thread that started it
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	return os.Rename(tar, filepath.Join(dir, Key()+".tar"))
}
