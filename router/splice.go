package router

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// pass writes to dst what comes from src until its end, then closes dst for
// writing. Between two TCP connections the bytes stay in the kernel (splice).
// While nothing comes it holds neither a pipe nor a buffer: most connections
// are silent most of the time.
func pass(dst, src net.Conn, count *atomic.Uint64, buffers *buffers) error {
	to, splices := dst.(*net.TCPConn)
	from, waits := src.(*net.TCPConn)
	var ready *readiness
	if waits {
		var err error
		if ready, err = newReadiness(from); err != nil {
			return err
		}
	}
	for {
		var n int64
		var err error
		switch {
		case waits && splices:
			var waiting int
			if waiting, err = ready.wait(); err == nil {
				// No more than is there, or the pipe would be kept until more comes.
				n, err = to.ReadFrom(&io.LimitedReader{R: from, N: int64(waiting)})
			}
		case waits:
			if _, err = ready.wait(); err == nil {
				n, err = copyOnce(dst, src, buffers)
			}
		default:
			n, err = copyOnce(dst, src, buffers)
		}
		count.Add(uint64(n))
		if err == io.EOF {
			return closeWrite(dst)
		}
		if err != nil {
			return err
		}
	}
}

func copyOnce(dst io.Writer, src io.Reader, buffers *buffers) (int64, error) {
	buffer := buffers.Get()
	defer buffers.Put(buffer)
	n, err := src.Read(buffer)
	if n > 0 {
		var failed error
		if n, failed = dst.Write(buffer[:n]); failed != nil {
			return int64(n), failed
		}
	}
	return int64(n), err
}

// closeWrite closes one direction; TLS and TCP both can.
func closeWrite(c any) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// readiness waits for a TCP connection to have something to read.
type readiness struct {
	raw     syscall.RawConn
	look    func(fd uintptr) bool // made once, for it is asked often
	waiting int
	err     error
}

func newReadiness(c *net.TCPConn) (*readiness, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &readiness{raw: raw}
	r.look = r.ask
	return r, nil
}

// wait returns how many bytes can be read, at least one. The end is io.EOF.
func (r *readiness) wait() (int, error) {
	if err := r.raw.Read(r.look); err != nil {
		return 0, err
	}
	return r.waiting, r.err
}

// ask tells whether the wait is over.
func (r *readiness) ask(fd uintptr) bool {
	r.err = nil
	if n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil && n > 0 {
		r.waiting = n
		return true
	}
	var one [1]byte
	n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	for err == unix.EINTR {
		n, _, err = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	}
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil:
		r.err = err
	case n == 0:
		r.err = io.EOF
	}
	r.waiting = n
	return true
}
