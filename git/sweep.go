package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes what killed pushes left in all repositories. It is for the
// start: no push may run beside it.
func (rs Repositories) Sweep() error {
	entries, err := os.ReadDir(rs.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, entry := range entries {
		path := filepath.Join(rs.Dir, entry.Name())
		switch {
		case !entry.IsDir():
		case strings.HasPrefix(entry.Name(), ".new-"): // one that was being made
			errs = append(errs, os.RemoveAll(path))
		case strings.HasSuffix(entry.Name(), ".git"):
			if err := (Repository{Path: path}).Sweep(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", entry.Name(), err))
			}
		}
	}
	return errors.Join(errs...)
}
