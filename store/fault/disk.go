package fault

import (
	"errors"
	"strings"
	"syscall"
)

// CodeDiskFull is the code of what a full disk has stopped.
const CodeDiskFull = "E501"

// DiskFull makes a clear fault of an error that a full disk caused, and returns
// any other as it is.
func DiskFull(err error) error {
	if f := From(err); f != nil && f.Code == CodeDiskFull {
		return f // the state file's own words
	}
	if errors.Is(err, syscall.ENOSPC) || err != nil && strings.Contains(err.Error(), "no space left on device") {
		return New(Failed, CodeDiskFull, "the disk is full: %w", err).Hint("free some space and push again; nothing was changed")
	}
	return err
}
