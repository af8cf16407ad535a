package deploy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/berthd/berth/store"
)

// server starts something on a port, and returns how to reach it.
func server(t *testing.T, serve func(net.Listener)) dialer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l)
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
}

func grpcServer(t *testing.T, checks *health.Server) dialer {
	srv := grpc.NewServer()
	if checks != nil {
		healthpb.RegisterHealthServer(srv, checks)
	}
	t.Cleanup(srv.Stop)
	return server(t, func(l net.Listener) { srv.Serve(l) })
}

func webServer(t *testing.T, h2c bool, status int) dialer {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ok" {
			w.Write([]byte("fine"))
			return
		}
		w.WriteHeader(status)
	}))
	if h2c {
		srv.Config.Protocols = new(http.Protocols)
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}
}

func TestProbe_WhatSpeaksHTTP2AloneIsAskedInHTTP2(t *testing.T) {
	serving, closing := health.NewServer(), health.NewServer()
	closing.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	for _, tt := range []struct {
		name string
		dial dialer
		path string
		want string // part of what is wrong
	}{
		{"gRPC without checks", grpcServer(t, nil), "/", ""},
		{"gRPC that serves", grpcServer(t, serving), "/", ""},
		{"gRPC that does not", grpcServer(t, closing), "/", "not serving"},
		{"h2c", webServer(t, true, 200), "/", ""},
		{"h2c, without a page", webServer(t, true, 404), "/", ""},
		{"h2c that fails", webServer(t, true, 500), "/", "status 500"},
		{"h2c with a path of its own", webServer(t, true, 500), "/ok", ""},
		{"HTTP/1.1 that fails", webServer(t, false, 500), "/", "status 500"},
		{"neither", server(t, func(l net.Listener) {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Write([]byte("220 mail.example ESMTP\r\n"))
				c.Close()
			}
		}), "/", "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := getFrom(t.Context(), tt.dial, "shop.localhost", store.HealthCheck{Path: tt.path})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
