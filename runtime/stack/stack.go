// Package stack defines the content of the base filesystem of every container. It
// is separate from the engine because install.sh builds a base filesystem while
// the engine is still being compiled.
package stack

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Title is what the base filesystem is, for people.
const Title = "Debian 13"

const (
	suite   = "trixie"
	version = "1" // raised when something below changes that the key does not see

	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// packages are added to Debian's essential ones and apt. Each is here
// because apps need it to run, not to be built.
var packages = []string{
	"ca-certificates", // HTTPS to anywhere
	"curl",            // health checks and hooks that Procfiles and app.json call
	"media-types",     // /etc/mime.types: the content types of static files
	"netbase",         // /etc/services and /etc/protocols, which getaddrinfo reads
	"procps",          // ps and top, for whoever looks into a container
	"tzdata",          // time zones
}

// dpkgOptions leaves out what no server reads, here and in every layer above, and
// keeps copyright files. The empty directories of manual pages stay: some
// packages make links in them and fail without.
var dpkgOptions = []string{
	"path-exclude=/usr/share/man/*",
	"path-include=/usr/share/man/man[1-9]",
	"path-exclude=/usr/share/doc/*",
	"path-include=/usr/share/doc/*/copyright",
	"path-exclude=/usr/share/info/*",
	"path-exclude=/usr/share/locale/*",
	"path-include=/usr/share/locale/locale.alias",
}

// Reach is a script for bash. It fails within 20 s when the archives that apt
// reads from cannot be reached, and prints which host it is.
//
//go:embed reach.sh
var Reach string

// Key returns the key of the base filesystem, whether it is there or not.
func Key() string {
	h := sha256.New()
	fmt.Fprintln(h, version, suite, runtime.GOARCH)
	fmt.Fprintln(h, strings.Join(packages, "\n"))
	fmt.Fprintln(h, strings.Join(dpkgOptions, "\n"))
	return "stack-" + suite + "-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// Command returns the call of mmdebstrap that makes the base filesystem as an
// archive, with its scratch in tmp. No mirror is named: it knows Debian's own,
// and the host's administrator may have told it another. It is to be started by
// a locked thread, for it ends with the thread that started it.
func Command(ctx context.Context, tar, tmp string) (*exec.Cmd, error) {
	if _, err := os.Stat(keyring); err != nil {
		return nil, fmt.Errorf("Debian's keys are missing, install debian-archive-keyring: %w", err)
	}
	reach := filepath.Join(tmp, "reach")
	if err := os.WriteFile(reach, []byte("#!/bin/bash\n"+Reach), 0o700); err != nil {
		return nil, err
	}
	args := []string{"--mode=root", "--variant=minbase", "--format=tar", "--setup-hook=" + reach, "--include=" + strings.Join(packages, ",")}
	for _, opt := range dpkgOptions {
		args = append(args, "--dpkgopt="+opt)
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(args, suite, tar)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	// It is told to stop rather than killed, so that it unmounts what it has
	// mounted, in a mount namespace of its own; and it does not outlive us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd, nil
}
