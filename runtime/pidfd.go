package runtime

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openPidfd returns a file that becomes readable when the process ends. It is
// in Go's poller: waiting for a thousand processes takes no thread.
func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid)), nil
}

// dupPidfd returns a second file for the same process: each has one waiter.
func dupPidfd(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dup error
	if err := raw.Control(func(old uintptr) { fd, dup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dup != nil {
		return nil, dup
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// awaitPidfd returns true when the process has ended, false when ctx ended or
// the file was closed before.
func awaitPidfd(ctx context.Context, f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	// A deadline in the past wakes the reader below, and would keep waking
	// later ones: hence the reset.
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			f.SetReadDeadline(time.Time{})
		}
	}()
	return raw.Read(readable) == nil
}

// pidfdEnded tells whether the process has ended, without waiting.
func pidfdEnded(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	raw.Control(func(fd uintptr) { ended = readable(fd) })
	return ended
}

func readable(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1
}

// signalPidfd sends a signal to the process and to no other that got its number.
func signalPidfd(f *os.File, sig unix.Signal) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	return sent
}
