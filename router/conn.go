package router

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// upstreamConn is a connection to a backend that remembers how it ended.
//
// The classic 502 behind a proxy is a kept connection that the app closes in
// the moment in which we reuse it. Whether such a request may be sent again is
// a question of whether the app can have acted on it: a GET is harmless, a POST
// may be repeated only when the app has not read it. The kernel knows: data
// that meets a closed socket, or is still unread when its reader closes, is
// answered by a reset; a reader who took it all and then closed, by a mere end.
type upstreamConn struct {
	net.Conn
	received atomic.Int64
	sent     atomic.Int64 // counted before the bytes go out, corrected if they do not
	writing  atomic.Int32

	end       sync.Once
	ended     atomic.Bool
	sentAtEnd int64 // what had been sent when the end was seen; after ended
	reset     bool  // the peer left without reading all of it; after ended
}

// Read and Write count, and look at the first failure that is not our own Close.

func (c *upstreamConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	if err != nil {
		c.noteEnd(err)
	}
	return n, err
}

func (c *upstreamConn) Write(p []byte) (int, error) {
	c.writing.Add(1)
	c.sent.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n - len(p)))
	c.writing.Add(-1)
	if err != nil {
		c.noteEnd(err)
	}
	return n, err
}

func (c *upstreamConn) noteEnd(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	c.end.Do(func() {
		c.sentAtEnd = c.sent.Load()
		c.reset = c.wasReset()
		c.ended.Store(true)
	})
}

// CloseWrite lets an upgraded connection be closed in one direction.
func (c *upstreamConn) CloseWrite() error { return closeWrite(c.Conn) }

// unread tells whether the peer is known to have left without reading what was
// sent after the first before bytes.
func (c *upstreamConn) unread(before int64) bool {
	return c.ended.Load() && (c.reset || c.sentAtEnd == before || c.sent.Load() == before)
}

// wasReset asks the kernel whether the peer answered our data with a reset.
func (c *upstreamConn) wasReset() (reset bool) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	// The end may overtake the reset by a moment, while our data is under way;
	// on a busy machine the moment is a few turns of the scheduler.
	const tries, pause = 50, time.Millisecond
	for range tries {
		waiting := false
		err := raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				return // not TCP
			}
			reset = info.State == unix.BPF_TCP_CLOSE
			waiting = !reset && (info.Unacked > 0 || c.writing.Load() > 0)
		})
		if err != nil || !waiting {
			return reset
		}
		time.Sleep(pause)
	}
	return reset
}
