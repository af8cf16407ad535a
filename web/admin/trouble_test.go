package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/store"
)

func TestAdmin_SaysThatNothingCanBeChangedForTheMoment(t *testing.T) {
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("needs root to mount a small filesystem: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	t.Setenv("TMPDIR", dir) // where the state is
	h := openQuay(t)
	h.app("shop")
	v := h.enter(h.user("alice", store.RoleAdmin))
	v.get("/").mustNotContain(t, "Nothing can be changed")

	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	ballast.Close()
	for err = nil; err == nil; { // the free pages of the state file
		err = h.db.Update(func(tx *store.Tx) error { return tx.AddEvent(store.Event{Text: strings.Repeat("x", 20_000)}) })
	}
	for _, path := range []string{"/", "/apps/shop"} {
		v.get(path).mustContain(t, "Nothing can be changed for the moment", "the disk is full", "shop")
	}
	h.stranger().get("/").mustNotContain(t, "the disk is full")
}
