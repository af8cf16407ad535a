package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	goruntime "runtime"
	"time"

	"golang.org/x/sys/unix"
)

// within runs fn on a thread that has entered the network namespace, and comes
// back. What fn opens stays in that namespace: a socket knows where it was made.
// fn must not wait for others; a goroutine that it starts is in the host's network.
func (n *network) within(ns *os.File, fn func() error) error {
	raw, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	goruntime.LockOSThread()
	var in, ran error
	if err := raw.Control(func(fd uintptr) {
		if in = unix.Setns(int(fd), unix.CLONE_NEWNET); in == nil {
			ran = fn()
		}
	}); err != nil || in != nil {
		goruntime.UnlockOSThread() // it never left
		return errors.Join(err, in)
	}
	n.home()
	return ran
}

// home brings a locked thread back to the host's network namespace. A thread
// that cannot return stays locked, and dies with its goroutine, so that nothing
// else ever runs in a container's network by mistake.
func (n *network) home() {
	if err := unix.Setns(int(n.host.Fd()), unix.CLONE_NEWNET); err != nil {
		n.log.Error("thread cannot return to the host's network", "err", err)
		return
	}
	goruntime.UnlockOSThread()
}

// makeNetns makes a network namespace, with its loopback up, and pins it to
// the path, so that it stands before and after its processes.
func (n *network) makeNetns(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	goruntime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		goruntime.UnlockOSThread()
		return errors.Join(fmt.Errorf("new network namespace: %w", err), os.Remove(path))
	}
	err = func() error {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("loopback: %w", err)
		}
		// Ports below 1024 are nothing special in a network of one's own, and
		// the app's user has no capability to take them.
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0); err != nil {
			return err
		}
		// ping needs no CAP_NET_RAW then.
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}()
	n.home()
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// dropNetns removes a pinned network namespace; one that is gone is fine.
func dropNetns(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("unpin %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// dial opens a TCP connection from inside the namespace.
func (n *network) dial(ctx context.Context, ns *os.File, to netip.AddrPort) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	family := unix.AF_INET6
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if a := to.Addr().Unmap(); a.Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	}
	var fd int
	if err := n.within(ns, func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		return fail(err)
	}
	f := os.NewFile(uintptr(fd), "tcp:"+to.String())
	defer f.Close() // net.FileConn has its own copy
	raw, err := f.SyscallConn()
	if err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var connected error
	begun := false
	if err := raw.Write(func(fd uintptr) bool {
		if !begun {
			begun = true
			connected = unix.Connect(int(fd), sa)
			return connected != unix.EINPROGRESS
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		connected = err
		if err == nil && code != 0 {
			connected = unix.Errno(code)
		}
		if connected == nil {
			// The poller may wake us for what it saw before the connect.
			if _, err := unix.Getpeername(int(fd)); err == unix.ENOTCONN {
				return false
			}
		}
		return true
	}); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fail(err)
	}
	if connected != nil {
		return fail(os.NewSyscallError("connect", connected))
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return fail(err)
	}
	return conn, nil
}
