// Package git runs the system's git: bare repositories, receiving and sending
// packs, and reading a commit's tree safely onto disk. It knows no apps and no
// SSH; the caller supplies the streams.
//
// A push, from left to right:
//
//	stdin ──> receive-pack ──> checks, objects in place
//	                           proc-receive hook ──updates──> lock refs, decide
//	stdout <─ side band <───── stderr of hook    <──text─────────┘   │
//	          report    <───── stdout of hook    <──answer── move refs
//
// Git itself moves no ref. The locks are taken before the decision, so that git
// cannot refuse anything after it.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// lastBytes is how long the last output of a git that has ended may be on its
// way to a client on a slow line.
const lastBytes = time.Minute

// command prepares git with the arguments: as the owner of the repository, in
// a process group of its own, with nothing of our environment but the path.
// Cancelling ctx kills the whole group.
func (r Repository) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.Path
	cmd.Env = []string{
		"PATH=" + searchPath(),
		"HOME=/nonexistent",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_NO_LAZY_FETCH=1",
		"GIT_OPTIONAL_LOCKS=0",
		// The name in the reflog; without it git looks up the Unix user,
		// which need not exist.
		"GIT_COMMITTER_NAME=berth",
		"GIT_COMMITTER_EMAIL=berth@localhost",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.uid != 0 && r.uid != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.gid)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = lastBytes
	return cmd
}

func searchPath() string {
	if path := os.Getenv("PATH"); path != "" {
		return path
	}
	return "/usr/local/bin:/usr/bin:/bin"
}

// run runs git for its effect; what it said on stderr becomes the error.
func (r Repository) run(ctx context.Context, args ...string) error {
	return r.runThen(ctx, func(int) {}, args...)
}

// runIdle is run for work that nobody waits for: the processor and the disk are
// everybody else's first.
func (r Repository) runIdle(ctx context.Context, args ...string) error {
	return r.runThen(ctx, func(group int) {
		// What git starts inherits both. Only a matter of speed: an error
		// changes nothing.
		_ = unix.Setpriority(unix.PRIO_PGRP, group, 19)
		const byGroup, idleClass = 2, 3 << 13 // linux/ioprio.h
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, byGroup, uintptr(group), idleClass)
	}, args...)
}

func (r Repository) runThen(ctx context.Context, started func(group int), args ...string) error {
	cmd := r.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Start()
	if err == nil {
		started(cmd.Process.Pid)
		err = cmd.Wait()
	}
	if err != nil {
		return failed(ctx, args[0], err, stderr.String())
	}
	return nil
}

// failed names the git program that failed, why, and what it said last.
func failed(ctx context.Context, program string, err error, stderr string) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if said := strings.TrimSpace(stderr); said != "" {
		return fmt.Errorf("git %s: %w: %s", program, err, Printable(said, 500))
	}
	return fmt.Errorf("git %s: %w", program, err)
}

// ErrObjectID is an object id that is none.
var ErrObjectID = errors.New("not an object id")

// checkID accepts full hexadecimal object ids alone, so that an id can never
// be read as an option, a range or a second request.
func checkID(id string) error {
	if len(id) != 40 && len(id) != 64 {
		return fmt.Errorf("%w: %q", ErrObjectID, Printable(id, 80))
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%w: %q", ErrObjectID, Printable(id, 80))
		}
	}
	return nil
}

// Printable returns s as it may stand in a line on somebody's terminal: valid
// UTF-8, no control, formatting or direction characters, at most max bytes.
func Printable(s string, max int) string {
	var b strings.Builder
	for _, c := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		switch {
		case unicode.IsSpace(c):
			c = ' '
		case !unicode.IsPrint(c):
			continue
		}
		if b.Len()+utf8.RuneLen(c) > max {
			break
		}
		b.WriteRune(c)
	}
	return b.String()
}
