package store

import (
	"errors"
	"strings"
	"sync"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// trouble is why the state file cannot be written for the moment. berth goes
// on without: what is stored can be read, and what runs is served.
type trouble struct {
	mu  sync.Mutex // guards err
	err error
}

// Unwritable returns the fault with which the last write was refused (E501,
// E510), nil when it went through.
func (s *Store) Unwritable() error {
	s.trouble.mu.Lock()
	defer s.trouble.mu.Unlock()
	return s.trouble.err
}

// written notes how a write of the state file ended, and returns the fault.
func (t *trouble) written(path string, err error) error {
	if err != nil {
		err = unwritable(path, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	return err
}

// met notes that a file beside the state file could not be written, when the
// disk is why; a write of the state file that goes through clears it.
func (t *trouble) met(err error) bool {
	if !diskTrouble(err) {
		return false
	}
	t.written(markerFile, err)
	return true
}

// diskTrouble tells whether an error is the disk's: full, read-only, broken.
func diskTrouble(err error) bool {
	return err != nil && (diskFull(err) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO))
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), syscall.ENOSPC.Error()) // bbolt does not wrap all of its causes
}

func unwritable(path string, err error) error {
	if f := fault.From(err); f != nil {
		return f // damaged, see guard
	}
	if diskFull(err) {
		return fault.NoSpace("the disk is full: the state file %s cannot be written: %w", path, err).
			Hint("nothing was changed and running apps are served; free some space and try again")
	}
	f := fault.New(fault.Failed, code.StateUnwritable, "the state file %s cannot be written: %w", path, err)
	if errors.Is(err, bolterrors.ErrDatabaseReadOnly) || errors.Is(err, syscall.EROFS) {
		return f.Hint("its filesystem is read-only: mount it writable, and berth continues; running apps are served meanwhile")
	}
	return f.Hint("nothing was changed and running apps are served; dmesg may show the disk error")
}
