package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// firstPassed is the first descriptor that systemd passes (SD_LISTEN_FDS_START).
const firstPassed = 3

// passed are the sockets that systemd handed to us, by their names.
type passed struct {
	listeners map[string][]net.Listener
	packets   map[string][]net.PacketConn
}

// passedSockets takes what sd_listen_fds(3) describes. What it read from the
// environment it removes, so that no program we start takes them for its own.
func passedSockets() (passed, error) {
	pid, fds, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	p := passed{map[string][]net.Listener{}, map[string][]net.PacketConn{}}
	if pid != strconv.Itoa(os.Getpid()) {
		return p, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil {
		return p, fmt.Errorf("take the sockets that were passed: LISTEN_FDS is %q", fds)
	}
	called := strings.Split(names, ":")
	for i := range n {
		syscall.CloseOnExec(firstPassed + i)
		name := "unknown"
		if i < len(called) {
			name = called[i]
		}
		if err := p.take(name, os.NewFile(uintptr(firstPassed+i), name)); err != nil {
			return p, fmt.Errorf("take the socket %q that was passed: %w", name, err)
		}
	}
	return p, nil
}

// take makes what it is of a socket, and closes the file, whose copy it keeps.
func (p passed) take(name string, file *os.File) error {
	defer file.Close()
	kind, err := syscall.GetsockoptInt(int(file.Fd()), syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return err
	}
	if kind == syscall.SOCK_DGRAM {
		c, err := net.FilePacketConn(file)
		if err != nil {
			return err
		}
		p.packets[name] = append(p.packets[name], c)
		return nil
	}
	l, err := net.FileListener(file)
	if err != nil {
		return err
	}
	p.listeners[name] = append(p.listeners[name], l)
	return nil
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
		return nil, fault.New(fault.Conflict, code.AddressTaken, "the %s address %s is taken by another program", name, address).
			Hint("ss -ltnp shows which one").Hint("berth serve --%s ADDRESS takes another one", name)
	case err != nil:
		return nil, fault.New(fault.Failed, code.AddressUnusable, "cannot listen for %s at %s: %w", name, address, err).With(err.Error())
	}
	return []net.Listener{l}, nil
}

// The values of --http3.
const (
	http3On   = "on"
	http3Auto = "auto"
	http3Off  = "off"
)

// listenQUIC returns the packet sockets of HTTP/3: those that were passed, else
// one beside each HTTPS listener, at its address and port.
func listenQUIC(given []net.PacketConn, https []net.Listener) ([]net.PacketConn, error) {
	if len(given) > 0 {
		return given, nil
	}
	var opened []net.PacketConn
	for _, l := range https {
		c, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			opened = append(opened, c)
			continue
		}
		for _, c := range opened {
			c.Close()
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fault.New(fault.Conflict, code.AddressTaken, "the UDP address %s of HTTP/3 is taken by another program", l.Addr()).
				Hint("ss -lunp shows which one").Hint("berth serve --http3 off goes without")
		}
		return nil, fault.New(fault.Failed, code.AddressUnusable, "cannot listen for HTTP/3 at the UDP address %s: %w", l.Addr(), err).With(err.Error())
	}
	return opened, nil
}

// listenLocal opens the machine's own socket. Whatever a dead berth left in its
// place is replaced; a living one is not.
func listenLocal(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, store.InUse("another berth answers at %s already", path).
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
