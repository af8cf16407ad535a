// Package edge configures how requests reach apps: the hosts, paths and ports of
// an app, the certificates of the hosts, how requests are handled, and the access
// of apps to the network.
//
// The store has the settings. The router and the keeper of certificates get them
// in the order in which they were written:
//
//	domains:add ──> store ──> App.Reroute ──> Routes.Swap ──> router
//	                      └─> AnnounceHosts ──> Hosts ──> certificates
//
// The package does not know releases and builds. It finds the instances of an app
// by the interface Apps.
package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

// Config is what an edge needs. Store, Router, Hosts, Apps, Journal and Log must
// be set.
type Config struct {
	Store   *store.Store
	Router  *router.Router
	Hosts   Hosts
	Apps    Apps
	Journal Journal

	// AccessLog keeps the requests of apps that are routed.
	AccessLog *accesslog.Log

	// HTTPSPort and SSHPort are the ports that URLs name when they are not 443 and 22.
	HTTPSPort, SSHPort int

	// Ports are those of the machine that berth itself listens on.
	Ports []int

	// Containers are the networks of the containers, in which no proxy is believed.
	Containers []netip.Prefix

	Log *slog.Logger
}

// Hosts gets the hosts that need certificates. SetHosts is called with all of
// them when the settings change, SetHostsFor with those of one app when they
// change. Neither waits for a certificate. domain is the global one.
type Hosts interface {
	SetHosts(domain string, hosts []certificates.Host, acme certificates.ACME)
	SetHostsFor(whom string, hosts []certificates.Host)
}

// Apps finds what runs of apps.
type Apps interface {
	// Running returns the instances of an app, which may be none.
	Running(record store.App) *fleet.App

	// All returns the instances of every app.
	All() []*fleet.App
}

// Journal hears that something about an app has changed, or of all apps (""). It
// does not call back.
type Journal interface {
	Changed(app string)
}

// Edge changes what leads to apps. Its methods are safe for concurrent use.
type Edge struct {
	cfg   Config
	db    *store.Store
	table *router.Router
	hosts Hosts

	announcing sync.Mutex // serialises announcements of hosts
	porting    sync.Mutex // one change of ports at a time
}

// New returns an edge. It does nothing until it is asked to.
func New(cfg Config) *Edge {
	return &Edge{cfg: cfg, db: cfg.Store, table: cfg.Router, hosts: cfg.Hosts}
}

// find returns an app's record and what runs of it.
func (e *Edge) find(name string) (record store.App, a *fleet.App, err error) {
	err = e.db.View(func(tx *store.Tx) error {
		record, err = tx.App(name)
		return err
	})
	if err != nil {
		return record, nil, err
	}
	return record, e.cfg.Apps.Running(record), nil
}

// changed wakes those who watch.
func (e *Edge) changed(app string) { e.cfg.Journal.Changed(app) }

// warn logs the failure of work that nobody waits for.
func (e *Edge) warn(what string, err error, args ...any) {
	if err != nil && !errors.Is(err, context.Canceled) {
		e.cfg.Log.Warn(what, append(args, "err", err)...)
	}
}
