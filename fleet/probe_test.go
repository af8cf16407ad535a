package fleet

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
		{"gRPC that does not", grpcServer(t, closing), "/", "NOT_SERVING"},
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
			_, err := getFrom(t.Context(), tt.dial, []string{"shop.localhost"}, store.HealthCheck{Path: tt.path})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestProbe_ACheckOfTheAppsOwnTakesNoErrorOfTheClient(t *testing.T) {
	own := store.HealthCheck{Path: "/health", MaxStatus: 399}
	live := store.HealthCheck{Type: "liveness", Path: "/live", MaxStatus: 399}
	root := store.HealthCheck{Path: "/", MaxStatus: 399}
	before := store.HealthCheck{Path: "/health"} // of a release that an older berth has made
	for _, tt := range []struct {
		check  store.HealthCheck
		status int
		passes bool
	}{
		{own, 200, true}, {own, 204, true}, {own, 302, true}, {own, 308, true},
		{root, 200, true}, {root, 404, false},
		{own, 400, false}, {own, 401, false}, {own, 404, false}, {own, 429, false}, {own, 500, false},
		{live, 200, true}, {live, 404, false},
		{store.HealthCheck{}, 404, true}, {store.HealthCheck{}, 401, true}, {store.HealthCheck{}, 500, false},
		{before, 404, true}, {before, 503, false},
	} {
		for _, h2c := range []bool{false, true} {
			a, err := getFrom(t.Context(), webServer(t, h2c, tt.status), []string{"shop.localhost"}, tt.check)
			if (err == nil) != tt.passes || a.status != tt.status {
				t.Errorf("%+v, h2c %v: status %d: got %d, %v; want it to pass: %v", tt.check, h2c, tt.status, a.status, err, tt.passes)
			}
		}
	}
}

// hostServer lets one host in, as frameworks with a list of hosts do.
func hostServer(t *testing.T, host string, status int, body string) dialer {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != host {
			w.WriteHeader(status)
			w.Write([]byte(body))
		}
	}))
	t.Cleanup(srv.Close)
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}
}

func TestProbe_AHostThatIsRefusedIsNotTheAppsIllness(t *testing.T) {
	check := store.HealthCheck{Path: "/health", MaxStatus: 399}
	for _, let := range []string{"www.shop.com", "shop.localhost"} {
		dial := hostServer(t, let, 400, "<h1>Bad Request (400)</h1>")
		if a, err := getFrom(t.Context(), dial, []string{"www.shop.com", "shop.localhost"}, check); err != nil || a.status != 200 {
			t.Errorf("%s is let in: got %+v, %v", let, a, err)
		}
	}
	dial := hostServer(t, "elsewhere.com", 400, "<h1>Bad Request (400)</h1>")
	a, err := getFrom(t.Context(), dial, []string{"www.shop.com", "shop.localhost"}, check)
	if advice, is := refused(a, "www.shop.com", "python"); err == nil || !is || !strings.Contains(advice, "ALLOWED_HOSTS") {
		t.Errorf("none is let in: got %+v, %v, advice %q", a, err, advice)
	}
}

func TestRefused_NamesWhatToSet(t *testing.T) {
	for _, tt := range []struct {
		status         int
		body, language string
		want           string // "" when the host is not what is refused
	}{
		{400, "<h1>Bad Request (400)</h1>", "python", "Django: add shop.com to ALLOWED_HOSTS"},
		{400, "Invalid HTTP_HOST header: 'shop.com'. You may need to add 'shop.com' to ALLOWED_HOSTS.", "python", "ALLOWED_HOSTS"},
		{400, "Invalid host header", "python", "TrustedHostMiddleware"},
		{400, `URL with hostname "shop.com" is not allowed.`, "node", "NG_ALLOWED_HOSTS=shop.com"},
		{403, `Blocked request. This host ("shop.com") is not allowed.`, "node", "allowedHosts"},
		{403, "Invalid Host header", "node", "webpack"},
		{403, "Blocked hosts: shop.com", "ruby", "config.hosts"},
		{403, "", "ruby", "config.hosts"},
		{403, "Host not permitted", "ruby", "permitted_hosts"},
		{403, "", "node", ""},
		{400, `{"error": "missing parameter"}`, "node", ""},
		{403, "sign in first", "ruby", ""},
		{404, "Bad Request (400)", "python", ""},
		{200, "ALLOWED_HOSTS", "python", ""},
	} {
		advice, is := refused(answer{tt.status, tt.body}, "shop.com", tt.language)
		if is != (tt.want != "") || !strings.Contains(advice, tt.want) {
			t.Errorf("%d %q: got %q, %v; want %q", tt.status, tt.body, advice, is, tt.want)
		}
	}
}
