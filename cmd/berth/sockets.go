package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/berthd/berth/store/fault"
)

// firstPassed is the first descriptor that systemd passes (SD_LISTEN_FDS_START).
const firstPassed = 3

// passedListeners returns the listening sockets that systemd handed to us, by
// their names, as sd_listen_fds(3) describes. What it read from the environment
// it removes, so that no program we start takes them for its own.
func passedListeners() (map[string][]net.Listener, error) {
	pid, fds, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	passed := map[string][]net.Listener{}
	if pid != strconv.Itoa(os.Getpid()) {
		return passed, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil {
		return nil, fmt.Errorf("take the sockets that were passed: LISTEN_FDS is %q", fds)
	}
	called := strings.Split(names, ":")
	for i := range n {
		syscall.CloseOnExec(firstPassed + i)
		name := "unknown"
		if i < len(called) {
			name = called[i]
		}
		file := os.NewFile(uintptr(firstPassed+i), name)
		l, err := net.FileListener(file)
		file.Close() // the listener has its own
		if err != nil {
			return nil, fmt.Errorf("take the socket %q that was passed: %w", name, err)
		}
		passed[name] = append(passed[name], l)
	}
	return passed, nil
}

// listen returns the listeners of that name: those that were passed, else one
// at the address; none when that is empty.
func listen(passed map[string][]net.Listener, name, address string) ([]net.Listener, error) {
	if ls := passed[name]; len(ls) > 0 || address == "" {
		return ls, nil
	}
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.New(fault.Conflict, "E133", "the %s address %s is taken by another program", name, address).
			Hint("ss -ltnp shows by which").Hint("berth serve --%s ADDRESS takes another one", name)
	case err != nil:
		return nil, fault.New(fault.Failed, "E134", "cannot listen for %s at %s: %w", name, address, err).With(err.Error())
	}
	return []net.Listener{l}, nil
}

// listenLocal opens the machine's own socket. Whatever a dead berth left in its
// place is replaced; a living one is not.
func listenLocal(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fault.New(fault.Conflict, "E122", "another berth answers at %s already", path).
			Hint("two on one machine need different --state, --data and --bridge")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the socket of the commands: %w", err)
	}
	// Root alone: git runs as the user berth on what strangers send, and must
	// not reach the appliance from there.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// hostOf returns the host of a listening address; "" is every one.
func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// port returns the port of the first listener, 0 without any.
func port(ls []net.Listener) int {
	for _, l := range ls {
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			return addr.Port
		}
	}
	return 0
}

// notify tells the service manager where we stand, if there is one
// (sd_notify(3)): "READY=1", "STOPPING=1", "WATCHDOG=1". Descriptors that go along are
// for it to store.
func notify(state string, fds ...int) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	defer conn.Close()
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	raw, err := conn.SyscallConn() // net writes no rights to a connected datagram socket
	if err != nil {
		return err
	}
	told := raw.Write(func(fd uintptr) bool {
		err = syscall.Sendmsg(int(fd), []byte(state), rights, nil, 0)
		return !errors.Is(err, syscall.EAGAIN)
	})
	return errors.Join(told, err)
}
