// Package sshd is the SSH door: git pushes, clones and berth's own commands.
// Everything else that SSH offers is refused. It identifies users by their keys, and
// passes on what they ask for:
//
//	listener ─ lobby ─ handshake ─ key ─┬─ git-receive-pack ─ Pushes ─ deploy
//	 (caps)   (deadline)  (auth.go)     ├─ git-upload-pack ── Pushes
//	                                    └─ any other words ── Command
package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// The limits of the door.
const (
	DefaultHandshake  = 20 * time.Second // from accept to a proven key; a person may have to touch a token
	DefaultStrangers  = 100              // connections without a proven key, all together
	DefaultPerAddress = 10               // and from one address
	DefaultKeepalive  = 30 * time.Second // a client that misses two of them is gone
	DefaultUnused     = 10 * time.Minute // a connection with nothing open on it
	DefaultGrace      = 10 * time.Second // for open sessions when the server stops

	maxAuthTries = 10 // keys that an agent may offer, one after the other
	maxSessions  = 10 // open at once on one connection
)

// version is how the server introduces itself. OpenSSH's client tells only a
// server of that name that nobody reads its output any more (eow@openssh.com).
const version = "OpenSSH_berth"

// Config says how the door behaves. Zero durations and counts are the defaults.
type Config struct {
	HostKeys map[string][]byte // PEM by kind, from GenerateHostKeys

	Handshake  time.Duration
	Strangers  int
	PerAddress int
	Keepalive  time.Duration
	Unused     time.Duration
	Grace      time.Duration

	// Register gets the connections whose key is proven; nil is one of the
	// server's own.
	Register *access.Register
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Handshake, DefaultHandshake)
	set(&c.Keepalive, DefaultKeepalive)
	set(&c.Unused, DefaultUnused)
	set(&c.Grace, DefaultGrace)
	if c.Register == nil {
		c.Register = &access.Register{}
	}
	if c.Strangers == 0 {
		c.Strangers = DefaultStrangers
	}
	if c.PerAddress == 0 {
		c.PerAddress = DefaultPerAddress
	}
	return c
}

// Request is one command that came in.
type Request struct {
	User       store.User
	RemoteAddr string
	Args       []string // empty: they want to know what there is
	Stdin      io.Reader
	Stdout     io.Writer // with a terminal, each newline gets its carriage return
	Stderr     io.Writer // with a terminal, the same as Stdout

	Terminal bool
	Term     string              // "xterm-256color"; only with a terminal
	Size     runtime.Size        // when it came in
	Resize   <-chan runtime.Size // the newest size, when it changes
	Raw      io.Writer           // the terminal as it is, for a program that drives it itself
	TakeKeys func()              // hands all keys on from now on; before, ^C ends ctx. Only with a terminal
	Signals  <-chan string       // "INT", "TERM", …; those that nobody takes are lost
}

// Command runs a request and returns its exit code. ctx ends with the session.
type Command func(ctx context.Context, r Request) int

// Server is the SSH server.
type Server struct {
	cfg    Config
	keys   Keys
	pushes *Pushes
	run    Command
	log    *slog.Logger

	lobby   *lobby
	signers []ssh.Signer
	work    sync.WaitGroup // sessions and connections

	mu       sync.Mutex // guards what follows
	conns    map[*conn]struct{}
	stopping bool // no new session is counted in work any more
}

// New returns a server; Serve opens it.
func New(cfg Config, keys Keys, pushes *Pushes, run Command, log *slog.Logger) (*Server, error) {
	cfg = cfg.withDefaults()
	signers, err := hostSigners(cfg.HostKeys)
	if err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg, keys: keys, pushes: pushes, run: run, log: log,
		lobby:   newLobby(cfg, log),
		signers: signers,
		conns:   map[*conn]struct{}{},
	}, nil
}

// Serve takes connections from l until ctx ends. Sessions that are open then
// have Config.Grace to finish; after that they are cut. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var failure error
	for {
		raw, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				raw.Close()
			}
			break
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				failure = fmt.Errorf("accept SSH connections: %w", err)
				break
			}
			// Out of file descriptors, mostly: it passes.
			s.log.Error("accept an SSH connection", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if c := s.admit(raw); c != nil {
			s.work.Go(func() { s.serveConn(life, c) })
		}
	}
	s.stop(end)
	return failure
}

// stop waits for sessions, then cuts what is left.
func (s *Server) stop(end func()) {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.closeConns(func(c *conn) bool { return c.sessions.Load() == 0 })
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(s.cfg.Grace):
	}
	end()
	s.closeConns(func(*conn) bool { return true })
	<-done
}

func (s *Server) closeConns(which func(*conn) bool) {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		if which(c) {
			c.Close()
		}
	}
}

// admit takes a connection in, or closes it at once when too many wait to
// show their key.
func (s *Server) admit(raw net.Conn) *conn {
	c := &conn{Conn: raw, lobby: s.lobby}
	var ok bool
	c.place, ok = s.lobby.enter(raw.RemoteAddr(), func() {
		c.pushed.Store(true)
		raw.Close()
	})
	if !ok {
		raw.Close()
		return nil
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		c.raw, _ = tcp.SyscallConn()
	}
	c.deadline = time.AfterFunc(s.cfg.Handshake, func() {
		c.late.Store(true)
		raw.Close()
	})
	c.unused = s.cfg.Unused
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	return c
}

// serveConn serves one connection to its end.
func (s *Server) serveConn(life context.Context, c *conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	auth := &authentication{keys: s.keys, conn: c, register: s.cfg.Register, log: s.log}
	defer auth.leave()
	server := &ssh.Server{
		Version:                    version,
		HostSigners:                s.signers,
		ServerConfigCallback:       func(ssh.Context) *gossh.ServerConfig { return serverConfig(auth) },
		KeyboardInteractiveHandler: auth.nothingLeft,
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"session": func(_ *ssh.Server, conn *gossh.ServerConn, channel gossh.NewChannel, ctx ssh.Context) {
				s.serveSession(life, c, conn, channel, ctx)
			},
			"default": func(_ *ssh.Server, _ *gossh.ServerConn, channel gossh.NewChannel, _ ssh.Context) {
				channel.Reject(gossh.Prohibited, "berth does not forward")
			},
		},
		// No handlers: every global request, forwards among them, is refused.
		RequestHandlers:   map[string]ssh.RequestHandler{},
		SubsystemHandlers: map[string]ssh.SubsystemHandler{},
		ConnectionFailedCallback: func(_ net.Conn, err error) {
			if c.late.Load() {
				err = fmt.Errorf("no key was shown within %v", s.cfg.Handshake)
			}
			if c.pushed.Load() {
				err = errors.New("no key was shown, and others waited for the place")
			}
			s.lobby.failed(c.RemoteAddr(), err)
		},
	}
	server.HandleConn(c)
}

// serverConfig is the protocol's side of one connection.
func serverConfig(auth *authentication) *gossh.ServerConfig {
	config := &gossh.ServerConfig{
		Config: gossh.Config{
			KeyExchanges: slices.Clone(keyExchanges),
			Ciphers:      slices.Clone(ciphers),
			MACs:         slices.Clone(macs),
		},
		PublicKeyAuthAlgorithms: slices.Clone(publicKeyAlgorithms),
		MaxAuthTries:            maxAuthTries,
	}
	auth.configure(config)
	return config
}

// serveSession serves one channel of a connection.
func (s *Server) serveSession(life context.Context, c *conn, sshConn *gossh.ServerConn, channel gossh.NewChannel, ctx ssh.Context) {
	if !s.begin() {
		channel.Reject(gossh.ResourceShortage, "berth is stopping")
		return
	}
	defer s.work.Done()
	if c.sessions.Add(1) > maxSessions {
		c.sessions.Add(-1)
		channel.Reject(gossh.ResourceShortage, "too many sessions on this connection")
		return
	}
	c.guard.Do(func() {
		c.deadline.Stop()
		s.work.Go(func() { keepalive(ctx, sshConn, c, s.cfg.Keepalive, s.cfg.Unused) })
	})
	desk := &desk{NewChannel: channel, resize: make(chan runtime.Size, 1), signals: make(chan string, 8), closed: make(chan struct{})}
	served := make(chan struct{})
	var once sync.Once
	leave := func() { once.Do(func() { c.sessions.Add(-1); close(served) }) }
	started := false
	server := &ssh.Server{
		SessionRequestCallback: func(ssh.Session, string) bool { started = true; return true },
		Handler: func(session ssh.Session) {
			defer leave()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(life, cancel)()
			go func() {
				select {
				case <-desk.closed:
					cancel()
				case <-ctx.Done():
				}
			}()
			session.Exit(s.answer(ctx, life, sshConn, session, desk))
		},
	}
	ssh.DefaultSessionHandler(server, sshConn, desk, ctx)
	if !started {
		leave()
	}
	<-served // a build goes on after its channel is gone
}

// begin counts a session in, unless the server stops.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.work.Add(1)
	return true
}

// answer finds out who asks for what, and has it done. A panic ends the
// session and not the appliance.
func (s *Server) answer(ctx, life context.Context, sshConn *gossh.ServerConn, session ssh.Session, desk *desk) (code int) {
	request := desk.request(session)
	log := s.log.With("remote", request.RemoteAddr)
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic in an SSH session", "panic", p, "stack", string(debug.Stack()))
			code = complain(request.Stderr, log, fmt.Errorf("panic: %v", p))
		}
	}()
	// Looked up again for each session: a key that was removed, or whose role
	// changed, must not live on in a connection that is kept open.
	fingerprint, err := fingerprintOf(sshConn.Permissions)
	if err != nil {
		return complain(request.Stderr, log, err)
	}
	key, err := s.keys.KeyByFingerprint(fingerprint)
	if err != nil {
		return complain(request.Stderr, log, err)
	}
	request.User = key.User()
	log = log.With("user", request.User.Name)
	request.Args, err = splitWords(session.RawCommand())
	if err != nil {
		return complain(request.Stderr, log, err)
	}
	if service, app, ok := gitCommand(request.Args); ok {
		protocol := gitProtocol(session.Environ())
		switch service {
		case "receive-pack":
			// Not the session's context: a dropped connection does not stop a build.
			err = s.pushes.receive(life, ctx, request, app, protocol)
		case "upload-pack":
			err = s.pushes.upload(ctx, request, app, protocol)
		}
		if err != nil {
			return complain(request.Stderr, log, err)
		}
		return 0
	}
	if request.Terminal {
		ctx, interrupt := context.WithCancel(ctx)
		defer interrupt()
		keys := newKeyboard(desk.channel, func() {
			io.WriteString(request.Stdout, "^C\n")
			interrupt()
		})
		defer keys.turnOff()
		request.Stdin, request.TakeKeys = keys, keys.Raw
		return s.run(ctx, request)
	}
	return s.run(ctx, request)
}
