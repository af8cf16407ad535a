package git

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setTime sets the modification time of an open file, by its descriptor: the
// name could have been changed meanwhile. A commit without a time keeps now.
func setTime(f *os.File, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	ts, err := unix.TimeToTimespec(at)
	if err != nil {
		return nil // a time that the file system cannot hold
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.UtimesNanoAt(int(fd), "", []unix.Timespec{ts, ts}, unix.AT_EMPTY_PATH)
	}); err != nil {
		return err
	}
	if set != nil {
		return &os.PathError{Op: "utimensat", Path: f.Name(), Err: set}
	}
	return nil
}
