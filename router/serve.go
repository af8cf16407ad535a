package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/berthd/berth/router/front"
)

// Limits of HTTP/2 connections.
const (
	maxConcurrentStreams = 250              // as net/http's own default; said here so that it stays
	http2PingAfter       = 30 * time.Second // of silence: finds clients that vanished with requests open
	http2PingTimeout     = 15 * time.Second
)

// Serve answers on the listeners until ctx ends: plain HTTP, which leads to
// HTTPS when there are https listeners, and TLS; and on the ports of the routes. Then it stops accepting, cuts
// upgraded connections and event streams (their clients come back to whoever
// serves next), lets requests in flight finish for the drain time, cuts the
// rest, and returns nil. It closes the listeners. It is called once.
func (r *Router) Serve(ctx context.Context, plain []net.Listener, secure []net.Listener) error {
	if len(secure) > 0 && r.cfg.Certificates == nil {
		return errors.New("serve HTTPS: no certificates are configured")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	requests, cutRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cutRequests()

	servers := []*front.Server{
		{Next: r.server(requests, &door{redirect: len(secure) > 0, stopping: ctx})},
		{Next: r.server(requests, &door{secure: true, stopping: ctx})},
	}
	if len(secure) > 0 {
		servers[1].Next.TLSConfig = r.cfg.Certificates.TLSConfig(r.certified)
	}
	failed := make(chan error, len(plain)+len(secure))
	for _, l := range plain {
		go func() { failed <- servers[0].Serve(l, false) }()
	}
	for _, l := range secure {
		go func() { failed <- servers[1].Serve(l, true) }()
	}

	ports := make(chan struct{})
	go func() { defer close(ports); r.ports.serve(ctx) }()

	var cause error
	running := len(plain) + len(secure)
	select {
	case <-ctx.Done():
	case err := <-failed:
		running--
		cause = fmt.Errorf("serve: %w", err)
		stop()
	}
	r.shutdown(servers, cutRequests)
	<-ports
	for range running {
		<-failed
	}
	return cause
}

func (r *Router) server(requests context.Context, d *door) *http.Server {
	d.Router = r
	d.errorLog = slog.NewLogLogger(r.log.Handler(), slog.LevelDebug) // handshakes of scanners, broken requests
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

// shutdown lets the servers finish their requests, cuts what lasts longer than
// the drain time, and waits until every handler has returned.
func (r *Router) shutdown(servers []*front.Server, cutRequests context.CancelFunc) {
	drained, cancel := context.WithTimeout(context.Background(), r.cfg.Drain)
	defer cancel()
	done := make(chan struct{}, len(servers)+1)
	for _, s := range servers {
		go func() {
			if s.Shutdown(drained) != nil {
				cutRequests()
				s.Close()
			}
			done <- struct{}{}
		}()
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
	for _, rt := range r.table.Load().routes {
		for _, b := range rt.backends {
			b.closeIdle()
		}
	}
}
