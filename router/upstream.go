package router

import (
	"bufio"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/berthd/berth/router/http1"
	"golang.org/x/sys/unix"
)

const (
	upstreamBuffer = 4 << 10               // most heads fit; bodies pass it by
	lateSender     = 50 * time.Millisecond // how long a request's end may follow its response for the connection to be kept
	maxKeptHead    = 16 << 10              // memory for heads that a kept connection holds on to
)

var longAgo = time.Unix(1, 0) // a deadline that ends reads and writes at once

// upstream is a connection to a backend that speaks HTTP/1.1, one exchange
// after the other, on the goroutine of whoever asks.
type upstream struct {
	*upstreamConn
	raw   syscall.RawConn // nil when the connection is not of the kernel's
	in    *bufio.Reader
	res   http1.Response
	body  http1.Body
	head  []byte // of the request; memory that is used again
	since time.Time
	live  *responseWriter // of a response that is sent as it comes: flushed before each wait for more

	mu      sync.Mutex // guards the deadlines
	waiting bool       // for the response's head
	aborted bool

	sent chan struct{} // of a request with a body: closed when its sender has ended
	all  atomic.Bool   // … having sent all of it
}

func newUpstream(c *upstreamConn) *upstream {
	u := &upstream{upstreamConn: c}
	u.in = bufio.NewReaderSize(waitingReader{u}, upstreamBuffer)
	if sc, ok := c.Conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			u.raw = raw
		}
	}
	return u
}

// waitingReader reads from the connection what is not in the buffer, for which
// it may have to wait.
type waitingReader struct{ *upstream }

func (r waitingReader) Read(p []byte) (int, error) {
	if r.live != nil {
		if err := r.live.FlushError(); err != nil {
			return 0, err
		}
	}
	return r.upstream.Read(p)
}

// silent tells whether an idle connection is still open, and has nothing to
// say: what comes unasked is no answer to the next request.
func (u *upstream) silent() bool {
	if u.in.Buffered() > 0 {
		return false
	}
	if u.raw == nil {
		return true
	}
	quiet := false
	var one [1]byte
	err := u.raw.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
	})
	return err == nil && quiet
}

// abort ends what is under way; safe at any time.
func (u *upstream) abort() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.aborted = true
	u.SetDeadline(longAgo)
}

// await begins the time in which the response has to begin. It never ends when
// timeout is 0.
func (u *upstream) await(timeout time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.aborted || !u.waiting {
		return
	}
	var until time.Time
	if timeout > 0 {
		until = time.Now().Add(timeout)
	}
	u.SetReadDeadline(until)
}

// begun ends that time, if the body has yet to come.
func (u *upstream) begun() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = false
	if !u.aborted && !u.body.Arrived() {
		u.SetReadDeadline(time.Time{})
	}
}

// send writes a request whose head is u.head. One with a body is sent by a
// goroutine of its own: the app may answer before it has read it all.
func (u *upstream) send(body io.ReadCloser, length int64, timeout time.Duration, lend *buffers) error {
	u.waiting, u.sent = true, nil
	u.all.Store(false)
	if body == nil {
		u.await(timeout)
		_, err := u.Write(u.head)
		return err
	}
	u.await(0)
	u.sent = make(chan struct{})
	go func(sent chan struct{}) {
		defer close(sent)
		if err := u.sendBody(body, length, lend); err == nil {
			u.all.Store(true)
			u.await(timeout)
		} else if errors.Is(err, errClientsBody) {
			u.abort() // the request will never be whole
		} // else the app has hung up, and reading will tell how
	}(u.sent)
	return nil
}

var errClientsBody = errors.New("the client's body ended early")

// sendBody writes the head and the body. The head goes first: a client may wait
// for the app's answer to it before it sends more.
func (u *upstream) sendBody(body io.ReadCloser, length int64, lend *buffers) error {
	if _, err := u.Write(u.head); err != nil {
		return err
	}
	buf := lend.Get()
	defer lend.Put(buf)
	if length < 0 {
		return u.sendChunks(body, buf)
	}
	for left := length; left > 0; {
		n, err := body.Read(buf[:min(int64(len(buf)), left)])
		left -= int64(n)
		if n > 0 {
			if _, err := u.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil && left > 0 {
			return errClientsBody
		}
	}
	// The client's side has to be asked for its end, too: that is where what
	// comes after the body is noticed.
	if n, err := body.Read(buf[:1]); n > 0 || err != io.EOF {
		return errClientsBody
	}
	return nil
}

// sendChunks reads into the middle of buf, so that the chunk's length and its
// end have room around the data.
func (u *upstream) sendChunks(body io.ReadCloser, buf []byte) error {
	const before, after = len("ffff\r\n"), len("\r\n0\r\n\r\n")
	for {
		n, err := body.Read(buf[before : len(buf)-after])
		if err != nil && err != io.EOF {
			return errClientsBody
		}
		chunk := buf[before:before]
		if n > 0 {
			size := http1.AppendChunkSize(nil, n)
			chunk = buf[before-len(size) : before+n]
			copy(chunk, size)
			chunk = append(chunk, "\r\n"...)
		}
		if err == io.EOF {
			chunk = append(chunk, "0\r\n\r\n"...)
		}
		if _, err := u.Write(chunk); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
	}
}

// receive reads the head of the response. informational is called for the 1xx
// that come before it.
func (u *upstream) receive(method string, informational func(*http1.Response)) error {
	for room := maxResponseHeaderBytes; ; {
		size, err := u.res.ReadResponse(u.in, method, room)
		if err != nil {
			return err
		}
		switch room -= size; {
		case u.res.Status == 101:
			return http1.ErrMalformed // nobody asked for it
		case u.res.Status >= 200:
			u.res.Body(u.in, &u.body)
			u.begun()
			return nil
		default:
			informational(&u.res)
		}
	}
}

// reusable tells whether the next request may follow: both messages are whole,
// and nothing is left of them.
func (u *upstream) reusable() bool {
	if u.live = nil; u.res.Close || u.in.Buffered() > 0 {
		return false
	}
	if u.sent != nil {
		if !u.hasSent() {
			return false
		}
	}
	if cap(u.head) > maxKeptHead {
		u.head = nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.aborted
}

// hasSent waits a moment for a sender that is about to end.
func (u *upstream) hasSent() bool {
	select {
	case <-u.sent:
	default:
		late := time.NewTimer(lateSender)
		defer late.Stop()
		select {
		case <-u.sent:
		case <-late.C:
			return false
		}
	}
	return u.all.Load()
}
