package fault

import (
	"errors"
	"strings"
	"syscall"

	"github.com/berthd/berth/store/fault/code"
)

// ExplainDiskFull turns an error that a full disk caused into a clear fault,
// and returns any other error unchanged.
func ExplainDiskFull(err error) error {
	if f := From(err); f != nil && f.Code == code.DiskFull {
		return f // the state file's own words
	}
	if errors.Is(err, syscall.ENOSPC) || err != nil && strings.Contains(err.Error(), "no space left on device") {
		return NoSpace("the disk is full: %w", err).Hint("free some space and push again; nothing was changed")
	}
	return err
}

// NoSpace returns the fault (E501) of a disk that is full or nearly so.
func NoSpace(format string, args ...any) *Error { return New(Failed, code.DiskFull, format, args...) }
