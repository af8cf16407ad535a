package router

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/berthd/berth/router/front"
	"github.com/berthd/berth/router/peer"
)

// Limits of HTTP/2 connections.
const (
	maxConcurrentStreams = 250 // as net/http's own default; said here so that it stays

	// The ping finds clients that vanished with requests open. It also ends a
	// header block that goes on for ever: empty CONTINUATION frames count for no
	// other limit. Until then one costs a tenth of a microsecond, less than the
	// bytes of an ordinary request do.
	http2PingAfter   = 30 * time.Second // without a whole frame
	http2PingTimeout = 15 * time.Second
)

// Listeners are what the router serves on. Serve closes them.
type Listeners struct {
	Plain  []net.Listener
	Secure []net.Listener
	QUIC   []net.PacketConn // HTTP/3, which the secure door tells of
}

// Serve answers on the listeners until ctx ends: plain HTTP, which leads to
// HTTPS when there are secure listeners, TLS, and HTTP/3; and on the ports of
// the routes. Then it stops accepting, cuts
// upgraded connections and event streams (their clients come back to whoever
// serves next), lets requests in flight finish for the drain time, cuts the
// rest, and returns nil. It is called once.
func (r *Router) Serve(ctx context.Context, on Listeners) error {
	if len(on.Secure)+len(on.QUIC) > 0 && r.cfg.Certificates == nil {
		return errors.New("serve HTTPS: no certificates are configured")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	requests, cutRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cutRequests()

	plain, secure := &door{redirect: len(on.Secure) > 0, stopping: ctx}, &door{secure: true, stopping: ctx}
	var packets *quicServer
	if len(on.QUIC) > 0 {
		var err error
		if packets, err = r.newQUICServer(requests, &door{secure: true, stopping: ctx}); err != nil {
			return err
		}
		secure.altSvc = altSvc(r.cfg.HTTPSPort)
	}
	servers := []*front.Server{{Next: r.server(requests, plain)}, {Next: r.server(requests, secure)}}
	if len(on.Secure) > 0 {
		servers[1].Next.TLSConfig = r.cfg.Certificates.TLSConfig(r.certified)
	}
	patience := peer.Patience{Greeting: r.cfg.HeaderTimeout, Sending: r.cfg.SendTimeout}
	running := len(on.Plain) + len(on.Secure) + len(on.QUIC)
	failed := make(chan error, running)
	for _, l := range on.Plain {
		go func() { failed <- servers[0].Serve(r.peers.Listen(l, patience, r.log), false) }()
	}
	for _, l := range on.Secure {
		go func() { failed <- servers[1].Serve(r.peers.Listen(l, patience, r.log), true) }()
	}
	for _, socket := range on.QUIC {
		go func() { failed <- packets.Serve(socket) }()
	}

	ports := make(chan struct{})
	go func() { defer close(ports); r.ports.serve(ctx) }()

	var cause error
	select {
	case <-ctx.Done():
	case err := <-failed:
		running--
		cause = fmt.Errorf("serve: %w", err)
		stop()
	}
	r.shutdown(servers, packets, cutRequests)
	<-ports
	for range running {
		<-failed
	}
	return cause
}

func (r *Router) server(requests context.Context, d *door) *http.Server {
	d.Router, d.errorLog = r, r.errorLog()
	return &http.Server{
		Handler:           d,
		ReadHeaderTimeout: r.cfg.HeaderTimeout,
		IdleTimeout:       r.cfg.IdleTimeout,
		MaxHeaderBytes:    r.cfg.MaxHeaderBytes,
		ErrorLog:          d.errorLog,
		BaseContext:       func(net.Listener) context.Context { return requests },
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxConcurrentStreams,
			SendPingTimeout:      http2PingAfter,
			PingTimeout:          http2PingTimeout,
		},
	}
}

// errorLog takes the handshakes of scanners and broken requests.
func (r *Router) errorLog() *log.Logger { return slog.NewLogLogger(r.log.Handler(), slog.LevelDebug) }

// shutdown lets the servers finish their requests, cuts what lasts longer than
// the drain time, and waits until every handler has returned.
func (r *Router) shutdown(servers []*front.Server, packets *quicServer, cutRequests context.CancelFunc) {
	drained, cancel := context.WithTimeout(context.Background(), r.cfg.Drain)
	defer cancel()
	done := make(chan struct{}, len(servers)+2)
	for _, s := range servers {
		go func() {
			if s.Shutdown(drained) != nil {
				cutRequests()
				s.Close()
			}
			done <- struct{}{}
		}()
	}
	if packets != nil {
		go func() {
			if err := packets.shutdown(drained, cutRequests); err != nil && drained.Err() == nil {
				r.log.Warn("HTTP/3 does not end as it should", "err", err)
			}
			done <- struct{}{}
		}()
		<-done
	}
	for range servers {
		<-done
	}
	cutRequests() // upgraded connections, which the servers do not count
	go func() { r.exchanges.Wait(); done <- struct{}{} }()
	select {
	case <-done:
	case <-time.After(2 * cutGrace):
		r.log.Warn("a handler does not end; leaving without it")
	}
	for _, rt := range r.table.Load().routes.all() {
		for _, b := range rt.backends {
			b.closeIdle()
		}
	}
}
