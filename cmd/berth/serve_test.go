package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestDashed_IsOneLabel(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7": "203-0-113-7", "2001:db8::1": "2001-db8--1", "2001:db8::": "2001-db8--0",
	} {
		if got := dashed(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestIsPublic(t *testing.T) {
	for in, want := range map[string]bool{
		"203.0.113.7": true, "2001:db8::1": true, "10.1.2.3": false, "192.168.1.1": false, "172.16.0.1": false,
		"100.64.0.1": false, "169.254.1.1": false, "127.0.0.1": false, "fe80::1": false, "fec0::1": false, "fd00::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: got %v, want %v", in, got, want)
		}
	}
}

func TestListenLocal_ReplacesTheDeadAndNotTheLiving(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // what a crash left
		t.Fatal(err)
	}
	l, err := listenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want mode 0600", info.Mode(), err)
	}
	if _, err := listenLocal(path); fault.From(err) == nil || fault.From(err).Code != "E122" {
		t.Errorf("a second one: got %v, want E122", err)
	}
}

func TestListen_SaysThatThePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := listen(nil, "http", l.Addr().String()); fault.From(err) == nil || fault.From(err).Code != "E133" {
		t.Errorf("got %v, want E133", err)
	}
	passed := map[string][]net.Listener{"http": {l}}
	if got, err := listen(passed, "http", l.Addr().String()); err != nil || len(got) != 1 || got[0] != l {
		t.Errorf("got %v, %v; want the one that was passed", got, err)
	}
}

func TestListenQUIC_IsBesideHTTPS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	https := []net.Listener{l}
	quic, err := listenQUIC(nil, https)
	if err != nil || len(quic) != 1 || quic[0].LocalAddr().String() != l.Addr().String() {
		t.Fatalf("got %v, %v; want a socket at %v", quic, err, l.Addr())
	}
	defer quic[0].Close()
	if got, err := listenQUIC(quic, https); err != nil || len(got) != 1 || got[0] != quic[0] {
		t.Errorf("got %v, %v; want the one that was passed", got, err)
	}
	if _, err := listenQUIC(nil, https); fault.From(err) == nil || fault.From(err).Code != "E133" {
		t.Errorf("a second one: got %v, want E133", err)
	}
	var log bytes.Buffer
	for want, insist := range map[string]string{"": http3Auto, "E133": http3On} {
		d := doors{https: https}
		err := (&serve{http3: insist}).openQUIC(&d, nil, slog.New(slog.NewTextHandler(&log, nil)))
		if code := fault.From(err); (code == nil) != (want == "") || code != nil && code.Code != want || d.quic != nil {
			t.Errorf("--http3 %s: got %v, %v; want %q", insist, d.quic, err, want)
		}
	}
	if !strings.Contains(log.String(), "without HTTP/3") {
		t.Errorf("logged %q, want that it goes without HTTP/3", log.String())
	}
	d := doors{https: https}
	if err := (&serve{http3: http3Off}).openQUIC(&d, quic, slog.New(slog.DiscardHandler)); err != nil || d.quic != nil {
		t.Errorf("--http3 off: got %v, %v", d.quic, err)
	}
	if _, err := quic[0].WriteTo([]byte("x"), quic[0].LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket that was passed is still open: %v", err)
	}
}

func TestPassed_TakesListenersAndPacketSockets(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := passed{map[string][]net.Listener{}, map[string][]net.PacketConn{}}
	for name, socket := range map[string]interface{ File() (*os.File, error) }{"https": l, "quic": c} {
		file, err := socket.File()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.take(name, file); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.listeners["https"]) != 1 || len(p.packets["quic"]) != 1 {
		t.Fatalf("got %v", p)
	}
	for _, closing := range []io.Closer{p.listeners["https"][0], p.packets["quic"][0]} {
		if err := closing.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNotify_ReachesTheServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 64)
	n, err := conn.Read(text)
	if got := string(text[:n]); got != "READY=1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestGroup_OneFailureEndsAll(t *testing.T) {
	boom := errors.New("boom")
	g := newGroup(t.Context())
	g.run("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	g.run("fails", func(context.Context) error { return boom })
	if err := g.wait(); !errors.Is(err, boom) || err.Error() != "fails: boom" {
		t.Errorf("got %v, want fails: boom", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g = newGroup(ctx)
	g.run("waits", func(ctx context.Context) error { <-ctx.Done(); return nil })
	cancel()
	if err := g.wait(); err != nil {
		t.Errorf("asked to end: got %v, want nil", err)
	}
}

func TestServe_GitUserOwnsTheRepositoriesAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to give directories away")
	}
	log := slog.New(slog.DiscardHandler)
	s := &serve{data: filepath.Join(t.TempDir(), "data"), state: t.TempDir(), gitUser: gitUser}
	repositories, err := s.directories(log)
	if err != nil {
		t.Fatal(err)
	}
	if repositories.UID == 0 || repositories.GID == 0 {
		t.Errorf("git runs as %d:%d, want the user %s", repositories.UID, repositories.GID, gitUser)
	}
	// It may pass through the data directory, and neither list nor change it.
	info, err := os.Stat(s.data)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm() != 0o710 || owner.Uid != 0 || int(owner.Gid) != repositories.GID {
		t.Errorf("the data directory is %v of %d:%d, want 0710 of root and git's group", info.Mode(), owner.Uid, owner.Gid)
	}
	s.gitUser = "no-such-user"
	if _, err := s.directories(log); fault.From(err) == nil || fault.From(err).Code != "E151" {
		t.Errorf("a user that is not there: got %v, want E151", err)
	}
}

// What a berth that is installed on the machine has in its environment is not
// for the daemons of the tests.
func TestForgetInstallation_KeepsTheTestsOwn(t *testing.T) {
	for _, name := range []string{"BERTH_BUILDS", "BERTH_STATE", "LISTEN_FDS", "NOTIFY_SOCKET", "JOURNAL_STREAM", "BERTH_TEST_X", "PATHS"} {
		t.Setenv(name, "set")
	}
	forgetInstallation()
	for name, want := range map[string]string{
		"BERTH_BUILDS": "", "BERTH_STATE": "", "LISTEN_FDS": "", "NOTIFY_SOCKET": "", "JOURNAL_STREAM": "",
		"BERTH_TEST_X": "set", "PATHS": "set",
	} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestOpenStore_CanBeStopped(t *testing.T) {
	// Not t.TempDir: what is given up ends with the process, and not before the test.
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	second, err := openStore(ctx, dir) // which else waits for the first to let go
	if second != nil || err != nil {
		t.Errorf("got %v, %v, want nothing of a start that was stopped", second, err)
	}
}

func TestOwn_ChangesNothingThatIsRight(t *testing.T) {
	dir := t.TempDir()
	if err := own(dir, -1, 0o710); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o710 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to make a read-only filesystem")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, "mode=0710,gid=7"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := own(dir, 7, 0o710); err != nil {
		t.Errorf("on a read-only filesystem: %v", err)
	}
}

// doctor judges the ports that other machines come to.
func TestDoors_OutsideLeavesOutLoopback(t *testing.T) {
	listen := func(address string) net.Listener {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	everywhere := listen(":0")
	quic, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer quic.Close()
	d := doors{http: []net.Listener{listen("127.0.0.1:0")}, https: []net.Listener{everywhere, everywhere}, quic: []net.PacketConn{quic}}
	want := []runtime.InputPort{
		{Number: everywhere.Addr().(*net.TCPAddr).Port, Protocol: "tcp"},
		{Number: quic.LocalAddr().(*net.UDPAddr).Port, Protocol: "udp"},
	}
	if got := d.outside(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
