package web

import (
	"context"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"syscall"
	"testing"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/store"
)

func TestSocket_RootIsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to be root")
	}
	h := newHouse(t)
	var keys []store.Key
	if err := client.Dial(h.socket).Call(t.Context(), "ssh-keys:list", nil, &keys, nil); err != nil {
		t.Errorf("got %v, want an admin's answer", err)
	}
}

func TestSocket_OthersAreRefusedWhateverItsMode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to be root, to be somebody else for a moment")
	}
	h := newHouse(t)
	for dir := h.socket; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	asker := client.New(func(ctx context.Context) (net.Conn, error) { return dialAs(65534, h.socket) })
	if err := asker.Call(t.Context(), "apps:list", nil, nil, nil); codeOf(err) != "E146" {
		t.Errorf("got %v, want E146", err)
	}
}

// dialAs connects as another user: the kernel notes the one of the thread.
func dialAs(uid int, socket string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		goruntime.LockOSThread() // and never unlock: the thread ends with its strange user
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
			err = e
			return
		}
		conn, err = net.Dial("unix", socket)
	}()
	<-done
	return conn, err
}
