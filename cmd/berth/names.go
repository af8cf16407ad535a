package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/berthd/berth/names"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/router/peer"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

const (
	resolvConf = "/etc/resolv.conf"
	// maxNameConnections bounds the TCP connections of one container to the DNS
	// server.
	maxNameConnections = 20
)

// serveNames runs the DNS server of the containers until ctx ends.
func serveNames(ctx context.Context, network *runtime.Network, apps names.Apps, sites names.Sites, log *slog.Logger) error {
	resolvers := names.ReadResolvers(resolvConf)
	server := &names.Server{Apps: apps, Sites: sites, Upstream: resolvers.Servers, Foreign: resolvers.Foreign, Log: log}
	gate := new(peer.Gate)
	gate.Set(peer.Policy{MaxConnections: maxNameConnections})
	return network.ServeNames(ctx, func(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
		for i, l := range listeners {
			listeners[i] = gate.Listen(l, peer.Patience{Sending: 10 * time.Second}, log)
		}
		return server.Serve(ctx, packets, listeners)
	}, names.Probe)
}

// sites are the hosts of the machine as names.Sites has them.
type sites struct {
	network      *runtime.Network
	table        *router.Router
	certificates *certificates.Keeper
	db           *store.Store
}

// Certain is for hosts of which a CA has found that they lead here: whoever may
// add a domain could otherwise take any other one's callers on this machine. With
// a DNS provider a certificate proves only that the operator owns the zone, and
// nothing of where the host leads.
func (s *sites) Certain(host string) bool {
	if !s.table.Serves(host) || s.settings().DNSProvider != "" {
		return false
	}
	state := s.certificates.State(host)
	return !state.Local && !state.Own && time.Now().Before(state.NotAfter)
}

// settings are those of the machine. What cannot be read proves nothing.
func (s *sites) settings() (settings store.Settings) {
	err := s.db.View(func(tx *store.Tx) (err error) {
		settings, err = tx.Settings()
		return err
	})
	if err != nil {
		return store.Settings{DNSProvider: "unknown"}
	}
	return settings
}

// Likely is for hosts beneath the global domain, which an admin has set.
func (s *sites) Likely(host string) bool {
	if !s.table.Serves(host) {
		return false
	}
	domain := s.settings().Domain
	return domain != "" && (host == domain || strings.HasSuffix(host, "."+domain))
}

func (s *sites) Addresses() []netip.Addr { return s.network.Gateways() }
