package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"
)

// The limits of a clone or fetch in time.
const (
	uploadIdle = 2 * time.Minute // a client that takes nothing and says nothing
	uploadMax  = time.Hour       // the whole of it, on a slow line
)

// Upload runs upload-pack on the streams (clone and fetch). It ends when ctx
// does. stdin may be read from until it ends, even after Upload returned.
func (r Repository) Upload(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, protocol string) error {
	ctx, cancel := context.WithTimeout(ctx, uploadMax)
	defer cancel()
	cmd := r.command(ctx, "upload-pack", "--strict", "--timeout="+strconv.Itoa(int(uploadIdle.Seconds())), r.Path)
	cmd.Env = append(cmd.Env, protocolEnv(protocol)...)
	cmd.Stdout = stdout
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("upload-pack: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("upload-pack: %w", err)
	}
	go func() { // ends with stdin, which is the caller's
		io.Copy(in, stdin)
		in.Close()
	}()
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 128 && ctx.Err() == nil {
		return nil // the client hung up or asked for what is not there; git has told it
	}
	if err != nil {
		return failed(ctx, "upload-pack", err, "")
	}
	return nil
}
