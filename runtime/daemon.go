package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	daemonPatience = 15 * time.Second // for its socket to answer; it takes 0.13 s, a machine that boots has more to do
	daemonLogSize  = 4 << 20          // bytes, before its log starts anew; it holds warnings and errors alone
	daemonLogCheck = time.Minute
)

// daemonConfig is the embedded containerd's configuration: no CRI (it serves
// Kubernetes and wants a network of its own), no snapshotters that are not used.
// Names that a version does not know are ignored by it.
const daemonConfig = `version = 2
root = %q
state = %q
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart", "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.nri.v1.nri",
]
[grpc]
  address = %q
[debug]
  level = "warn"
`

// daemon is the embedded containerd. It is in a session of its own, writes to
// a file and not to us, and outlives us; the next life finds it by its pid file.
type daemon struct {
	log    *slog.Logger
	dir    string // State
	root   string // Root
	socket string

	mu      sync.Mutex // guards pid and held back by stop
	pid     *os.File   // pidfd
	stopped bool
}

func newDaemon(cfg Config, log *slog.Logger) *daemon {
	return &daemon{log: log, dir: cfg.State, root: cfg.Root, socket: filepath.Join(cfg.State, "containerd.sock")}
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, "containerd."+name) }

// ensure adopts the containerd that runs already, or starts one, and waits
// until it answers.
func (d *daemon) ensure(ctx context.Context) error {
	if fd, pid := d.running(); fd != nil {
		err := d.await(ctx, fd)
		if err == nil {
			d.log.Debug("adopted containerd", "pid", pid)
			d.keep(fd)
			return nil
		}
		// It lives and does not answer. Its containers do not need it.
		d.log.Warn("containerd does not answer, replacing it", "pid", pid, "err", err)
		signalPidfd(fd, unix.SIGKILL)
		awaitPidfd(ctx, fd)
		fd.Close()
	}
	fd, err := d.start()
	if err != nil {
		return err
	}
	if err := d.await(ctx, fd); err != nil {
		signalPidfd(fd, unix.SIGKILL)
		fd.Close()
		return fmt.Errorf("%w, it did not come up: %w%s", ErrNoContainerd, err, d.lastWords())
	}
	d.keep(fd)
	return nil
}

func (d *daemon) keep(fd *os.File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pid != nil {
		d.pid.Close()
	}
	d.pid = fd
}

// running returns a pidfd of the containerd that an earlier life started.
func (d *daemon) running() (*os.File, int) {
	data, err := os.ReadFile(d.path("pid"))
	if err != nil {
		return nil, 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, 0
	}
	fd, err := openPidfd(pid)
	if err != nil {
		return nil, 0
	}
	// The number may be somebody else's by now: only ours has our configuration
	// in its arguments.
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(cmdline, []byte("\x00"+d.path("toml")+"\x00")) {
		fd.Close()
		return nil, 0
	}
	return fd, pid
}

func (d *daemon) start() (*os.File, error) {
	config := fmt.Sprintf(daemonConfig, filepath.Join(d.root, "containerd"), filepath.Join(d.dir, "containerd"), d.socket)
	if err := os.WriteFile(d.path("toml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("containerd")
	if err != nil {
		return nil, fmt.Errorf("containerd is not installed: %w", err)
	}
	out, err := os.OpenFile(d.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, "--config", d.path("toml"))
	// Its own environment: it and its shims shall not inherit our secrets, nor
	// our NOTIFY_SOCKET, on which it would report for itself.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	pid := cmd.Process.Pid
	fd, err := openPidfd(pid)
	go cmd.Wait() // reaps it; ends when it does, or with us
	if err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	if err := os.WriteFile(d.path("pid"), []byte(strconv.Itoa(pid)+"\n"), 0o600); err != nil {
		return nil, err
	}
	return fd, nil
}

// await returns when containerd answers, or when it never will.
func (d *daemon) await(ctx context.Context, fd *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, daemonPatience)
	defer cancel()
	for {
		err := answers(ctx, d.socket)
		if err == nil {
			return nil
		}
		if pidfdEnded(fd) {
			return fmt.Errorf("it ended: %w", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lastWords returns the end of containerd's log for an error message.
func (d *daemon) lastWords() string {
	f, err := os.Open(d.path("log"))
	if err != nil {
		return ""
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, size-1024), io.SeekStart)
	}
	tail, _ := io.ReadAll(f)
	return "\n" + string(bytes.TrimSpace(tail))
}

// run restarts containerd when it dies, until ctx ends.
func (d *daemon) run(ctx context.Context) error {
	tick := time.NewTicker(daemonLogCheck)
	defer tick.Stop()
	pause := time.Duration(0) // the first restart is at once, a daemon that dies again and again waits
	for {
		d.mu.Lock()
		fd := d.pid
		d.mu.Unlock()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			awaitPidfd(ctx, fd)
		}()
		began := time.Now()
	watch:
		for {
			select {
			case <-ended:
				break watch
			case <-tick.C:
				d.boundLog()
			}
		}
		d.mu.Lock()
		stopped := d.stopped
		d.mu.Unlock()
		if ctx.Err() != nil || stopped {
			return nil
		}
		if time.Since(began) > time.Minute {
			pause = 0
		}
		d.log.Warn("containerd died, restarting it", "after", time.Since(began).Round(time.Second))
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			pause = min(max(2*pause, 100*time.Millisecond), 10*time.Second)
			err := d.ensure(ctx)
			if err == nil {
				d.log.Info("containerd is back")
				break
			}
			if ctx.Err() == nil {
				d.log.Error("containerd cannot be restarted", "err", err, "next", pause)
			}
		}
	}
}

// boundLog starts the log anew when it is too long. containerd appends to an
// open file, so the file is emptied where it is.
func (d *daemon) boundLog() {
	if info, err := os.Stat(d.path("log")); err == nil && info.Size() > daemonLogSize {
		if err := os.Truncate(d.path("log"), 0); err != nil {
			d.log.Warn("containerd's log cannot be bounded", "err", err)
		}
	}
}

// stop ends containerd.
func (d *daemon) stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.pid == nil {
		return nil
	}
	fd, err := dupPidfd(d.pid) // run waits on the other
	if err != nil {
		return err
	}
	defer fd.Close()
	signalPidfd(fd, unix.SIGTERM)
	grace, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !awaitPidfd(grace, fd) {
		signalPidfd(fd, unix.SIGKILL)
		if !awaitPidfd(ctx, fd) {
			return errors.New("containerd does not end")
		}
	}
	return os.Remove(d.path("pid"))
}
