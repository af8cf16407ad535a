package front

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// late is a listener whose Accept returns what it has accepted only once the
// listener is closed: a process that gets no processor just then.
type late struct {
	net.Listener
	accepted chan struct{}
	closed   chan struct{}
	once     sync.Once
}

func (l *late) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		close(l.accepted)
		<-l.closed
	}
	return c, err
}

func (l *late) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// secureServer answers "hello" over TLS, by the certificate of httptest.
func secureServer(t *testing.T) (s *Server, client *tls.Config) {
	t.Helper()
	reference := httptest.NewUnstartedServer(nil)
	reference.EnableHTTP2 = true
	reference.StartTLS()
	t.Cleanup(reference.Close)
	client = reference.Client().Transport.(*http.Transport).TLSClientConfig
	return newSecureServer(reference.TLS.Certificates), client
}

func newSecureServer(certificates []tls.Certificate) *Server {
	return &Server{Next: &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }),
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: certificates, NextProtos: []string{"h2", "http/1.1"}},
	}}
}

func TestShutdown_WhatWasAcceptedIsServed(t *testing.T) {
	s, config := secureServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	slow := &late{Listener: l, accepted: make(chan struct{}), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(slow, true) }()

	answered := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone()}}
		defer client.CloseIdleConnections()
		res, err := client.Get("https://" + l.Addr().String())
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		answered <- err
	}()
	<-slow.accepted
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-answered; err != nil {
		t.Errorf("a connection that was accepted when Shutdown began: %v", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// The socket stays open, as with systemd's; one server follows another on it,
// and no new connection meets the change.
func TestShutdown_NewConnectionsSurviveRestarts(t *testing.T) {
	first, config := secureServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	var asked atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := askAnew(l.Addr().String(), config, i%2 == 0, asked.Add(1)%3 == 0); err != nil {
					t.Errorf("request %d: %v", asked.Load(), err)
					return
				}
			}
		})
	}
	restarts := 20
	if testing.Short() {
		restarts = 5
	}
	for range restarts {
		s := newSecureServer(first.Next.TLSConfig.Certificates)
		s.patience = 100 * time.Millisecond
		again, err := listenerOf(socket)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(again, true) }()
		for before := asked.Load(); asked.Load() < before+8 && !t.Failed(); {
			time.Sleep(time.Millisecond) // until it has had requests
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-served
	}
	close(stop)
	last := newSecureServer(first.Next.TLSConfig.Certificates) // for those who wait
	again, err := listenerOf(socket)
	if err != nil {
		t.Fatal(err)
	}
	go last.Serve(again, true)
	clients.Wait()
	last.Close()
	t.Logf("%d connections over %d restarts", asked.Load(), restarts)
}

func listenerOf(socket *os.File) (net.Listener, error) { return net.FileListener(socket) }

// askAnew makes one request over a new connection, whose ClientHello perhaps
// comes in pieces.
func askAnew(addr string, config *tls.Config, http2, inPieces bool) error {
	config = config.Clone()
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2, DisableKeepAlives: true}
	if !http2 {
		config.NextProtos = []string{"http/1.1"}
	}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && inPieces {
			c = &crumbs{Conn: c}
		}
		return c, err
	}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Get("https://" + addr)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	return err
}

// crumbs sends its first write in pieces.
type crumbs struct {
	net.Conn
	begun bool
}

func (c *crumbs) Write(p []byte) (n int, err error) {
	if c.begun {
		return c.Conn.Write(p)
	}
	c.begun = true
	for len(p) > 0 && err == nil {
		var m int
		m, err = c.Conn.Write(p[:min(len(p), 100)])
		n, p = n+m, p[m:]
	}
	return n, err
}
