package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"

	"github.com/berthd/berth/runtime/internal/lines"
	"github.com/berthd/berth/runtime/stack"
)

// StackKey returns the key of the base filesystem, whether it is there or not.
func StackKey() string { return stack.Key() }

// StackTitle is what the base filesystem is, for people.
const StackTitle = stack.Title

// ReachArchives is a command for a root layer's container. It fails within 20 s
// when the archives that apt reads from cannot be reached, and prints which host
// it is.
func ReachArchives() Command { return Command{Args: []string{"bash", "-c", stack.Reach}} }

// StackLayer returns the key of the base filesystem (Debian 13), made on first
// use with mmdebstrap. Progress goes to out, a line at a time.
func (s *LayerStore) StackLayer(ctx context.Context, out io.Writer) (string, error) {
	key := StackKey()
	err := s.MakeLayer(ctx, key, func(ctx context.Context, active string) error {
		scratch, err := s.Scratch()
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		tar, err := s.stackTar(ctx, key, scratch, out)
		if err != nil {
			return err
		}
		mounts, err := s.Prepare(ctx, active, "")
		if err != nil {
			return err
		}
		if err := unpackStack(ctx, tar, layerDirs(mounts)[0]); err != nil {
			return fmt.Errorf("unpack %s: %w", tar, err)
		}
		return s.commit(ctx, active, key, nil)
	})
	if err != nil {
		return "", fmt.Errorf("make the stack: %w", err)
	}
	return key, nil
}

// stackTar returns the base filesystem as an archive: one that install.sh has
// left for us, one of the cache, or one made anew.
func (s *LayerStore) stackTar(ctx context.Context, key, scratch string, out io.Writer) (string, error) {
	made := filepath.Join(scratch, "stack.tar")
	if err := os.Rename(filepath.Join(s.cfg.Root, "stack", key+".tar"), made); err == nil {
		return made, nil
	}
	cached := ""
	if s.cfg.StackCache != "" {
		cached = filepath.Join(s.cfg.StackCache, key+".tar")
		if _, err := os.Stat(cached); err == nil {
			return cached, nil
		}
	}
	if err := bootstrap(ctx, made, scratch, out); err != nil {
		return "", err
	}
	if cached == "" {
		return made, nil
	}
	// Whole or not at all, also across filesystems.
	if err := os.MkdirAll(s.cfg.StackCache, 0o755); err != nil {
		return "", err
	}
	if err := copyWhole(made, cached); err != nil {
		return "", fmt.Errorf("keep the stack in %s: %w", s.cfg.StackCache, err)
	}
	return cached, nil
}

// bootstrap runs mmdebstrap.
func bootstrap(ctx context.Context, tar, tmp string, out io.Writer) error {
	cmd, err := stack.Command(ctx, tar, tmp)
	if err != nil {
		return err
	}
	text := &lines.Writer{Out: out}
	cmd.Stdout, cmd.Stderr = text, text
	// The signal of a parent's death is one of the parent's thread.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	err = cmd.Run()
	text.Flush()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return &CommandError{Args: cmd.Args, Exit: Exit{Code: exit.ExitCode()}, Tail: text.Tail()}
	}
	return err
}

// unpackStack unpacks the archive and adds what containers mount over or live in.
func unpackStack(ctx context.Context, tar, dir string) error {
	cmd := exec.CommandContext(ctx, "tar", "--extract", "--file", tar, "--directory", dir, "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, bytes.TrimSpace(out))
	}
	for _, name := range []string{"etc/hosts", "etc/resolv.conf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil { // not the host's, which mmdebstrap copied
			return err
		}
	}
	for _, name := range []string{controlPath, logPath, HomeDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, initPath), nil, 0o755)
}

// copyWhole copies a file so that under its new name it is whole or absent.
func copyWhole(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err = errors.Join(err, dst.Sync(), dst.Close()); err == nil {
		err = os.Rename(dst.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(dst.Name()))
	}
	return nil
}
