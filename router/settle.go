package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// notHTTP2For is how long a backend is not asked in HTTP/2 again that has shown
// not to speak it.
const notHTTP2For = 10 * time.Second

var errNotHTTP2 = errors.New("the app does not speak HTTP/2")

// dialH2C opens a connection that holds back what clients have to say until the
// backend has begun as a server of HTTP/2 does. Whether a call goes to it in
// HTTP/2 is its client's word: an app of HTTP/1.1 must not be given bytes of
// the client's choice that nobody has looked at.
func (b *backend) dialH2C(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := b.connect(ctx)
	if err != nil {
		return nil, err
	}
	u := &unsettled{Conn: c.Conn, settled: make(chan struct{})}
	u.tell = func(err error) {
		if errors.Is(err, errNotHTTP2) {
			b.notHTTP2.Store(time.Now().Add(notHTTP2For).UnixNano())
		}
	}
	go func() {
		late := time.NewTimer(b.timeout)
		defer late.Stop()
		select {
		case <-u.settled:
		case <-late.C:
			u.settle(fmt.Errorf("wait for the app to begin in HTTP/2: %w", os.ErrDeadlineExceeded))
			u.Conn.Close()
		}
	}()
	c.Conn = u
	return c, nil
}

// unsettled is a connection in HTTP/2 that begins.
type unsettled struct {
	net.Conn
	tell func(error)

	greeted bool   // the preface, which is no client's, was written; the writers' own
	begin   []byte // of what the backend says; the reader's own

	once    sync.Once
	settled chan struct{} // closed when it is known whether the backend speaks HTTP/2
	err     error         // after settled: why not
}

// Write writes the preface, which net/http does in one piece, and waits with
// everything else.
func (c *unsettled) Write(p []byte) (int, error) {
	if !c.greeted {
		c.greeted = true
		return c.Conn.Write(p)
	}
	<-c.settled
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Write(p)
}

// Read looks at the first frame: it has to be SETTINGS, RFC 9113 section 3.4.
func (c *unsettled) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	const head, kind = 9, 3
	if len(c.begin) < head {
		c.begin = append(c.begin, p[:min(n, head-len(c.begin))]...)
		switch {
		case len(c.begin) == head && c.begin[kind] == 4:
			c.settle(nil)
		case len(c.begin) > kind && c.begin[kind] != 4, err != nil:
			c.settle(errNotHTTP2)
			return 0, errNotHTTP2
		}
	}
	return n, err
}

func (c *unsettled) Close() error {
	c.settle(net.ErrClosed)
	return c.Conn.Close()
}

func (c *unsettled) settle(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.settled)
		c.tell(err)
	})
}

// SyscallConn is for who asks the kernel how a connection ended.
func (c *unsettled) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
