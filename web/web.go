// Package web is the HTTP door: the JSON API over the table of verbs, sessions
// in browsers, and the metrics. The admin pages are a room of their own (admin),
// the client of the API is package client.
//
// The package only handles requests and answers. Package verbs decides what can be
// asked, and by whom.
package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/verbs"
)

// Config has the settings of the door.
type Config struct {
	Version string
	// Certificate returns what is known of a host's certificate; may be nil.
	Certificate func(host string) certificates.State
	// Meter has figures for the metrics.
	Meter Meter
}

// Server is the door. It is safe for concurrent use.
type Server struct {
	cfg    Config
	api    *api
	log    *slog.Logger
	inside *insideListener
}

// New returns a door to the verbs. Handler answers at the admin host at once;
// the local doors open with Serve.
func New(cfg Config, table *verbs.Table, log *slog.Logger) *Server {
	return &Server{cfg: cfg, api: &api{table, cfg.Version, log}, log: log, inside: newInsideListener()}
}

// Handler serves the admin host: the pages, and the API for callers with a
// session. A browser's request that changes something must come from the admin
// host's own pages, over HTTPS.
func (s *Server) Handler(pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(client.Path, s.api.handler(s.User))
	mux.Handle("GET /metrics", s.metrics())
	mux.Handle("/", pages)
	return s.harden(http.NewCrossOriginProtection().Handler(s.registered(mux)))
}

// hstsAge is how long browsers insist on HTTPS after a visit. It is shorter
// than a certificate of a public CA lasts, so that whoever loses that CA is not
// locked out for long.
const hstsAge = 30 * 24 * time.Hour

// harden sets what all answers of the admin host have in common; the pages have
// a policy of their own that says more. Origins over plain HTTP are refused:
// net/http compares their hosts alone, and whoever can change what a browser is
// sent by plain HTTP has a page at this very host.
func (s *Server) harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if s.publiclyCertified(r) {
			h.Set("Strict-Transport-Security", fmt.Sprintf("max-age=%d", int(hstsAge.Seconds())))
		}
		if origin := r.Header.Get("Origin"); len(origin) >= 5 && strings.EqualFold(origin[:5], "http:") {
			http.Error(w, "requests from pages over plain HTTP are not allowed", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// publiclyCertified tells whether the host is served by a certificate of an ACME
// CA. With one of berth's own, which browsers warn of, HSTS would forbid to go on.
func (s *Server) publiclyCertified(r *http.Request) bool {
	if r.TLS == nil || s.cfg.Certificate == nil {
		return false
	}
	served := s.cfg.Certificate(HostName(r))
	return !served.Local && !served.Own && time.Now().Before(served.NotAfter)
}

// HostName is the host that the visitor has come by, without the port.
func HostName(r *http.Request) string {
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		return name
	}
	return r.Host
}
