package runtime

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Where systemd is the first process of a container, trees of /sys/fs/cgroup
// are mounted read-only.
func TestClearCgroupDir_ReadOnlyTree(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	tree := t.TempDir()
	if err := unix.Mount("tmpfs", tree, "tmpfs", 0, "mode=755"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { unix.Unmount(tree, unix.MNT_DETACH) })
	there := filepath.Join(tree, "there")
	if err := os.Mkdir(there, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", tree, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, remove := range []func(string) error{
		func(dir string) error { return clearCgroupDir(ctx, dir) }, removeCgroupTree,
	} {
		if err := remove(filepath.Join(tree, "gone")); err != nil {
			t.Errorf("what is not there: %v", err)
		}
		if err := remove(there); err == nil {
			t.Error("what is there and stays: no error")
		}
	}
	if ctx.Err() != nil {
		t.Error("waited for a directory that nothing can remove")
	}
}

func TestRemoveCgroupTree_TakesWhatIsBelow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "installation")
	if err := os.MkdirAll(filepath.Join(dir, "container", "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeCgroupTree(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it is still there")
	}
}
