package sshd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// lobby counts the connections that have not proven a key yet, and speaks for
// those that never will, without letting them fill the log.
type lobby struct {
	max, perAddress int
	log             *slog.Logger

	mu     sync.Mutex // guards what follows
	total  int
	from   map[netip.Prefix]int
	minute time.Time
	lines  int // logged in this minute
	unsaid int // not logged
}

// lobbyLines is how many lines a minute strangers may put into the log.
const lobbyLines = 10

func newLobby(max, perAddress int, log *slog.Logger) *lobby {
	return &lobby{max: max, perAddress: perAddress, log: log, from: map[netip.Prefix]int{}}
}

// enter counts a connection in, unless there are too many.
func (l *lobby) enter(addr net.Addr) bool {
	from := origin(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.max || l.from[from] >= l.perAddress {
		l.note(slog.LevelWarn, "SSH connection refused: too many are waiting to show a key", addr, nil)
		return false
	}
	l.total++
	l.from[from]++
	return true
}

func (l *lobby) leave(addr net.Addr) {
	from := origin(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

// failed notes a handshake that came to nothing. On a public address that
// happens all day, so it is no warning.
func (l *lobby) failed(addr net.Addr, err error) {
	if _, ok := errors.AsType[*gossh.ServerAuthError](err); ok {
		return // said already, with the keys (see authentication.nothingLeft)
	}
	if leftByItself(err) {
		l.log.Debug("SSH client left before it showed a key", "remote", addr.String(), "error", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(slog.LevelInfo, "SSH handshake failed", addr, err)
}

// leftByItself tells whether a client hung up, as ssh-keyscan does once it has
// the host key, and health checks and port scanners at once. The end of berth
// closes connections too, which is no failure either.
func leftByItself(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

func (l *lobby) note(level slog.Level, what string, addr net.Addr, err error) {
	if now := time.Now(); now.Sub(l.minute) > time.Minute {
		l.minute, l.lines = now, 0
	}
	if l.lines++; l.lines > lobbyLines {
		l.unsaid++
		return
	}
	l.log.Log(context.Background(), level, what, "remote", addr.String(), "error", err, "not_logged", l.unsaid)
	l.unsaid = 0
}

// origin is who an address belongs to: for IPv6 the /64, since whoever has one
// address there has them all.
func origin(addr net.Addr) netip.Prefix {
	tcp, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{} // no address (a Unix socket): all count as one
	}
	ip := tcp.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}

// conn is a connection of a client.
type conn struct {
	net.Conn
	raw      syscall.RawConn // nil when it is no TCP connection
	lobby    *lobby
	deadline *time.Timer // closes it: of the handshake, then of the first session
	unused   time.Duration
	late     atomic.Bool // the deadline has struck
	left     sync.Once   // the lobby
	sessions atomic.Int32
	guard    sync.Once // its keepalive

	greeted int // bytes of the greeting seen; only the reader uses it
}

// enter is called once the client has proven its key.
func (c *conn) enter() {
	c.deadline.Reset(c.unused)
	c.left.Do(func() { c.lobby.leave(c.RemoteAddr()) })
}

func (c *conn) Close() error {
	c.deadline.Stop()
	c.left.Do(func() { c.lobby.leave(c.RemoteAddr()) })
	return c.Conn.Close()
}

// SetDeadline does nothing: gliderlabs/ssh resets the deadline with each read
// and write, so ours are timers that close.
func (c *conn) SetDeadline(time.Time) error { return nil }

var errNotSSH = errors.New("the client does not speak SSH")

// greeting is how each client begins (RFC 4253, 4.2).
const greeting = "SSH-"

// Read refuses at once what does not begin as SSH. x/crypto would wait for 255
// bytes or as many lines to be sure.
func (c *conn) Read(p []byte) (int, error) {
	c.acknowledge()
	n, err := c.Conn.Read(p)
	for i := 0; i < n && c.greeted < len(greeting); i++ {
		if p[i] != greeting[c.greeted] {
			return 0, errNotSSH
		}
		c.greeted++
	}
	return n, err
}

// acknowledge makes the kernel acknowledge at once what has come in. OpenSSH's
// client sends small packets with Nagle's algorithm on, each of them waiting
// for the last one's acknowledgement: with delayed ones, a push takes 40 ms
// longer, or twice that. Linux forgets the option, so it is set each time.
func (c *conn) acknowledge() {
	if c.raw == nil {
		return
	}
	c.raw.Control(func(fd uintptr) {
		// Only a matter of speed: an error changes nothing.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}

// keepalive closes a connection whose client does not answer any more, and one
// on which nothing has been open for long.
func keepalive(ctx context.Context, client *gossh.ServerConn, c *conn, every, unused time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	lastUse := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.sessions.Load() > 0 {
			lastUse = time.Now()
		} else if time.Since(lastUse) > unused {
			c.Close()
			return
		}
		// Any answer will do, and clients answer that they do not know it.
		answered := time.AfterFunc(2*every, func() { c.Close() })
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		answered.Stop()
		if err != nil {
			c.Close()
			return
		}
	}
}
