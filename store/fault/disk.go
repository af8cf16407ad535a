package fault

import (
	"errors"
	"strings"
	"syscall"
)

const codeDiskFull = "E501"

// FullDisk makes a fault (E501) of an error that a full disk caused. It returns
// other errors as they are.
func FullDisk(err error) error {
	if f := From(err); f != nil && f.Code == codeDiskFull {
		return f // the state file's own words
	}
	if errors.Is(err, syscall.ENOSPC) || err != nil && strings.Contains(err.Error(), "no space left on device") {
		return New(Failed, codeDiskFull, "the disk is full: %w", err).Hint("free some space and push again; nothing was changed")
	}
	return err
}
