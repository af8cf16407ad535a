package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"
)

// The stack: the base filesystem of every container.
const (
	stackSuite   = "trixie"
	stackVersion = "1" // raised when something below changes that the key does not see

	stackKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// stackPackages are added to Debian's essential ones and apt. Each is here
// because apps need it to run, not to be built.
var stackPackages = []string{
	"ca-certificates", // HTTPS to anywhere
	"curl",            // health checks and hooks that Procfiles and app.json call
	"media-types",     // /etc/mime.types: the content types of static files
	"netbase",         // /etc/services and /etc/protocols, which getaddrinfo reads
	"procps",          // ps and top, for whoever looks into a container
	"tzdata",          // time zones
}

// stackDpkg leaves out what no server reads, here and in every layer above, and
// keeps copyright files. The empty directories of manual pages stay: some
// packages make links in them and fail without.
var stackDpkg = []string{
	"path-exclude=/usr/share/man/*",
	"path-include=/usr/share/man/man[1-9]",
	"path-exclude=/usr/share/doc/*",
	"path-include=/usr/share/doc/*/copyright",
	"path-exclude=/usr/share/info/*",
	"path-exclude=/usr/share/locale/*",
	"path-include=/usr/share/locale/locale.alias",
}

// StackKey returns the key of the base filesystem, whether it is there or not.
func StackKey() string {
	h := sha256.New()
	fmt.Fprintln(h, stackVersion, stackSuite, goruntime.GOARCH)
	fmt.Fprintln(h, strings.Join(stackPackages, "\n"))
	fmt.Fprintln(h, strings.Join(stackDpkg, "\n"))
	return "stack-" + stackSuite + "-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// StackLayer returns the key of the base filesystem (Debian 13), made on first
// use with mmdebstrap. Progress goes to out, a line at a time.
func (e *Engine) StackLayer(ctx context.Context, out io.Writer) (string, error) {
	key := StackKey()
	err := e.makeLayer(ctx, key, func(ctx context.Context, active string) error {
		scratch, err := e.Scratch()
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		tar, err := e.stackTar(ctx, key, scratch, out)
		if err != nil {
			return err
		}
		mounts, err := e.prepare(ctx, active, "")
		if err != nil {
			return err
		}
		if err := unpackStack(ctx, tar, layerDirs(mounts)[0]); err != nil {
			return fmt.Errorf("unpack %s: %w", tar, err)
		}
		return e.commit(ctx, active, key, nil)
	})
	if err != nil {
		return "", fmt.Errorf("make the stack: %w", err)
	}
	return key, nil
}

// stackTar returns the base filesystem as an archive, from the cache or made anew.
func (e *Engine) stackTar(ctx context.Context, key, scratch string, out io.Writer) (string, error) {
	cached := ""
	if e.cfg.StackCache != "" {
		cached = filepath.Join(e.cfg.StackCache, key+".tar")
		if _, err := os.Stat(cached); err == nil {
			return cached, nil
		}
	}
	made := filepath.Join(scratch, "stack.tar")
	if err := bootstrap(ctx, made, scratch, out); err != nil {
		return "", err
	}
	if cached == "" {
		return made, nil
	}
	// Whole or not at all, also across filesystems.
	if err := os.MkdirAll(e.cfg.StackCache, 0o755); err != nil {
		return "", err
	}
	if err := copyWhole(made, cached); err != nil {
		return "", fmt.Errorf("keep the stack in %s: %w", e.cfg.StackCache, err)
	}
	return cached, nil
}

// bootstrap runs mmdebstrap. No mirror is named: it knows Debian's own, and
// the host's administrator may have told it another.
func bootstrap(ctx context.Context, tar, tmp string, out io.Writer) error {
	if _, err := os.Stat(stackKeyring); err != nil {
		return fmt.Errorf("Debian's keys are missing, install debian-archive-keyring: %w", err)
	}
	reach, err := reachHook(tmp)
	if err != nil {
		return err
	}
	args := []string{"--mode=root", "--variant=minbase", "--format=tar", "--setup-hook=" + reach, "--include=" + strings.Join(stackPackages, ",")}
	for _, opt := range stackDpkg {
		args = append(args, "--dpkgopt="+opt)
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(args, stackSuite, tar)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	lines := &lineWriter{out: out}
	cmd.Stdout, cmd.Stderr = lines, lines
	// It is told to stop rather than killed, so that it unmounts what it has
	// mounted, in a mount namespace of its own; and it does not outlive us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	// The signal of a parent's death is one of the parent's thread.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	err = cmd.Run()
	lines.flush()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return &CommandError{Args: cmd.Args, Exit: Exit{Code: exit.ExitCode()}, Tail: lines.tail}
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
	for _, name := range []string{controlPath, logPath, homeDir} {
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
