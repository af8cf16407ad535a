package sshd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// lobby counts the connections that have not proven a key yet, and speaks for
// those that never will, without letting them fill the log.
//
// Strangers cannot be told from friends before that, so their places are few,
// and shared out as they become scarce:
//
//   - An address has perAddress of them, and one that has proven a key before
//     is never turned away for strangers: a quarter of the places is for these.
//   - From a tenth of the places on, a newcomer is turned away by chance, the
//     more often the fewer are left (OpenSSH's MaxStartups), and those who wait
//     get less time.
//   - In its stead goes the one who waits longest of the address that holds
//     most, when that holds more than the newcomer's would: whoever fills the
//     lobby from ten addresses makes room for everybody else.
type lobby struct {
	max, perAddress int
	patience        time.Duration  // for a proof, with all places free
	random          func() float64 // from 0 to 1
	log             *slog.Logger

	mu      sync.Mutex // guards what follows
	waiting map[netip.Prefix][]*place
	total   int                        // of them
	unknown int                        // of them, from addresses that never proved a key
	friends map[netip.Prefix]time.Time // when they last did
	minute  time.Time
	lines   int // logged in this minute
	unsaid  int // not logged
}

// place is that of a connection in the lobby.
type place struct {
	from   netip.Prefix
	friend bool
	since  time.Time
	close  func() // the connection
	left   bool
}

const (
	lobbyLines = 10                  // a minute that strangers may put into the log
	maxFriends = 4096                // addresses that are remembered
	friendship = 30 * 24 * time.Hour // and for how long
)

func newLobby(cfg Config, log *slog.Logger) *lobby {
	return &lobby{
		max: cfg.Strangers, perAddress: cfg.PerAddress, patience: cfg.Handshake, random: rand.Float64, log: log,
		waiting: map[netip.Prefix][]*place{}, friends: map[netip.Prefix]time.Time{},
	}
}

// enter gives a connection a place, unless there is none for it. close is
// called, at most once, when another one is given it.
func (l *lobby) enter(addr net.Addr, close func()) (*place, bool) {
	p := &place{from: origin(addr), since: time.Now(), close: close}
	l.mu.Lock()
	p.friend = p.since.Sub(l.friends[p.from]) < friendship
	goes := l.overdue(p.since)
	fits := l.fits(p)
	if !fits {
		if rival := l.rival(p); rival != nil {
			l.remove(rival)
			goes, fits = append(goes, rival), true
		}
	}
	if fits {
		l.add(p)
	} else {
		l.note(slog.LevelWarn, "SSH connection refused: too many are waiting to show a key", addr, nil)
	}
	l.mu.Unlock()
	for _, p := range goes {
		p.close()
	}
	return p, fits
}

// seats are the places for strangers.
func (l *lobby) seats() int { return max(1, l.max-l.max/4) }

// pressure is 0 while few strangers wait, and 1 when they have all places.
func (l *lobby) pressure() float64 {
	free := l.seats() / 10
	return max(0, min(1, float64(l.unknown-free)/float64(l.seats()-free)))
}

// fits tells whether a place is free for the newcomer; the caller holds mu.
func (l *lobby) fits(p *place) bool {
	switch pressure := l.pressure(); {
	case len(l.waiting[p.from]) >= l.perAddress:
		return false
	case p.friend:
		return l.total < l.max
	case l.unknown >= l.seats():
		return false
	case pressure == 0:
		return true
	default:
		return l.random() >= pressure
	}
}

// rival returns who goes in place of the newcomer; the caller holds mu.
func (l *lobby) rival(p *place) (rival *place) {
	most := len(l.waiting[p.from]) + 1
	if most > l.perAddress {
		return nil
	}
	if p.friend {
		most = 0 // of strangers, anybody
	}
	for _, places := range l.waiting {
		oldest := places[0]
		if !oldest.friend && (len(places) > most || rival != nil && len(places) == most && oldest.since.Before(rival.since)) {
			rival, most = oldest, len(places)
		}
	}
	return rival
}

// overdue takes out strangers who have waited for longer than there is time;
// the caller holds mu.
func (l *lobby) overdue(now time.Time) (late []*place) {
	patience := time.Duration(float64(l.patience) * (1 - 0.8*l.pressure()))
	if patience == l.patience {
		return nil // each has a timer for that
	}
	for _, places := range l.waiting {
		for _, p := range places {
			if !p.friend && now.Sub(p.since) > patience {
				late = append(late, p)
			}
		}
	}
	for _, p := range late {
		l.remove(p)
	}
	return late
}

func (l *lobby) add(p *place) {
	l.waiting[p.from] = append(l.waiting[p.from], p)
	l.total++
	if !p.friend {
		l.unknown++
	}
}

func (l *lobby) remove(p *place) {
	if p.left {
		return
	}
	p.left = true
	l.waiting[p.from] = slices.DeleteFunc(l.waiting[p.from], func(q *place) bool { return q == p })
	if len(l.waiting[p.from]) == 0 {
		delete(l.waiting, p.from)
	}
	l.total--
	if !p.friend {
		l.unknown--
	}
}

// leave gives the place back; again, it does nothing.
func (l *lobby) leave(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(p)
}

// proven gives the place back of one who has proven a key, and remembers the
// address.
func (l *lobby) proven(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(p)
	if _, known := l.friends[p.from]; !known && len(l.friends) >= maxFriends {
		oldest, when := p.from, time.Now()
		for from, last := range l.friends {
			if last.Before(when) {
				oldest, when = from, last
			}
		}
		delete(l.friends, oldest)
	}
	l.friends[p.from] = time.Now()
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
	place    *place      // in the lobby
	deadline *time.Timer // closes it: of the handshake, then of the first session
	unused   time.Duration
	late     atomic.Bool // the deadline has struck
	pushed   atomic.Bool // out of the lobby
	sessions atomic.Int32
	guard    sync.Once // its keepalive

	greeted int // bytes of the greeting seen; only the reader uses it
}

// enter is called once the client has proven its key.
func (c *conn) enter() {
	c.deadline.Reset(c.unused)
	c.lobby.proven(c.place)
}

func (c *conn) Close() error {
	c.deadline.Stop()
	c.lobby.leave(c.place)
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
