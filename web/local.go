package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// idleTimeout closes connections that a client forgot.
const idleTimeout = 2 * time.Minute

// Serve answers on the machine's own socket, whose peer the kernel names, and
// to the clients of Client, until ctx ends. Then it ends the followers of logs,
// and running requests may finish for up to grace. It closes the listener, and
// is called once.
func (s *Server) Serve(ctx context.Context, socket net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler:           s.api.handler(userOfConn),
		ConnContext:       withUser,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       idleTimeout,
		// A request outlives ctx, for as long as grace says.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 2)
	for _, l := range []net.Listener{socket, s.inside} {
		go func() { ended <- server.Serve(l) }()
	}
	var err error
	select {
	case <-ctx.Done():
		ended <- nil // so that there is one to take besides the two
	case err = <-ended:
		ended <- nil
	}
	s.api.Close()
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if server.Shutdown(shutdown) != nil {
		server.Close()
	}
	for range 2 {
		<-ended
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the API on %s: %w", socket.Addr(), err)
}

// Client returns a client within the process that asks in the user's name. It
// works while Serve does.
func (s *Server) Client(user store.User) *client.Client {
	return client.New(func(ctx context.Context) (net.Conn, error) { return s.inside.dial(ctx, user) })
}

type userKey struct{}

// withUser notes on the connection's context who is at its other end.
func withUser(ctx context.Context, conn net.Conn) context.Context {
	switch conn := conn.(type) {
	case userConn:
		return context.WithValue(ctx, userKey{}, conn.user)
	case *net.UnixConn:
		if uid, err := peerUID(conn); err == nil && uid == 0 {
			return context.WithValue(ctx, userKey{}, store.Root)
		}
	}
	return ctx
}

func userOfConn(r *http.Request) (store.User, error) {
	if user, ok := r.Context().Value(userKey{}).(store.User); ok {
		return user, nil
	}
	return store.User{}, fault.New(fault.Denied, code.SocketNotRoot, "only root may use this socket").Hint("try again with sudo")
}

// peerUID asks the kernel who opened the other end.
func peerUID(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); ctlErr != nil {
		return 0, ctlErr
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the peer's credentials: %w", err)
	}
	return cred.Uid, nil
}

// socketPair returns two connected ends. It is the kernel's and not net.Pipe,
// which has no buffer: two ends that write at once would wait for each other.
func socketPair() (ours, theirs net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "inside")
		end, endErr := net.FileConn(file)
		file.Close() // the connection has its own
		ends[i], err = end, errors.Join(err, endErr)
	}
	if err != nil {
		for _, end := range ends {
			if end != nil {
				end.Close()
			}
		}
		return nil, nil, err
	}
	return ends[0], ends[1], nil
}

// userConn is one end of a connection within the process; user is at the other.
type userConn struct {
	net.Conn
	user store.User
}

// insideListener is a listener for connections within the process.
type insideListener struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newInsideListener() *insideListener {
	done := make(chan struct{})
	return &insideListener{conns: make(chan net.Conn), done: done, close: sync.OnceFunc(func() { close(done) })}
}

func (l *insideListener) dial(ctx context.Context, user store.User) (net.Conn, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	select {
	case l.conns <- userConn{theirs, user}:
		return ours, nil
	case <-l.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	ours.Close()
	theirs.Close()
	return nil, err
}

func (l *insideListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *insideListener) Close() error   { l.close(); return nil }
func (l *insideListener) Addr() net.Addr { return insideAddr{} }

type insideAddr struct{}

func (insideAddr) Network() string { return "inside" }
func (insideAddr) String() string  { return "inside" }
