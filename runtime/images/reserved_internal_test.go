package images

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/berthd/berth/runtime"
)

func TestOwnFiles_WhatIsInTheWayOfBerthsOwnIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		make func(root string) error
		ok   bool
	}{
		"nothing":           {func(string) error { return nil }, true},
		"as steps leave it": {func(root string) error { return os.WriteFile(filepath.Join(root, ".berth", "berth-init"), nil, 0o755) }, true},
		"a link": {func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, ".berth")), os.Symlink("/etc", filepath.Join(root, ".berth")))
		}, false},
		"a link to nowhere": {func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, ".berth")), os.Symlink("nowhere", filepath.Join(root, ".berth")))
		}, false},
		"a loop": {func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, ".berth")), os.Symlink(".berth", filepath.Join(root, ".berth")))
		}, false},
		"a file": {func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, ".berth")), os.WriteFile(filepath.Join(root, ".berth"), nil, 0o644))
		}, false},
		"a link below":     {func(root string) error { return os.Symlink("/etc", filepath.Join(root, ".berth", "control")) }, false},
		"a program's link": {func(root string) error { return os.Symlink("/bin/sh", filepath.Join(root, ".berth", "berth-init")) }, false},
		"a directory":      {func(root string) error { return os.Mkdir(filepath.Join(root, ".berth", "berth-init"), 0o755) }, false},
	} {
		root := t.TempDir()
		if err := errors.Join(os.Mkdir(filepath.Join(root, ".berth"), 0o755), row.make(root)); err != nil {
			t.Fatal(err)
		}
		err := ownFiles(t.Context(), root, Config{}, os.Getuid())
		if row.ok != (err == nil) || !row.ok && !errors.Is(err, runtime.ErrReserved) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
