package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/web"
)

const (
	enginePause  = 500 * time.Millisecond // between two looks for a containerd that is away
	engineRemind = time.Minute            // between two lines of the log about it
)

// awaitEngine opens the engine. As long as containerd cannot be reached, it
// tries again, and meanwhile runs beside it: apps serve on without containerd,
// but nothing can be started, stopped or changed.
func awaitEngine[E any](ctx context.Context, open func(context.Context) (E, error), meanwhile func(context.Context) error, log *slog.Logger) (E, error) {
	engine, err := open(ctx)
	if !errors.Is(err, runtime.ErrNoContainerd) {
		return engine, err
	}
	beside, stop := context.WithCancel(ctx)
	var besides sync.WaitGroup
	besides.Go(func() {
		if err := meanwhile(beside); err != nil {
			log.Warn("sites and commands are not answered during the wait for containerd", "err", err)
		}
	})
	defer besides.Wait()
	defer stop()
	tell := func(state string) {
		if err := notify(state); err != nil {
			log.Warn("the service manager was not told", "err", err)
		}
	}
	began := time.Now()
	for reminded := (time.Time{}); errors.Is(err, runtime.ErrNoContainerd); {
		if time.Since(reminded) >= engineRemind {
			reminded = time.Now()
			log.Error("waiting for containerd; until it is there, apps that are found running are served, every other site answers 503 and every command "+code.ContainerdUnavailable, "err", err)
		}
		// Ready in so far as the doors are open: a start that lasts is ended by
		// systemd, and whoever waits for the start of berth would wait as long.
		tell("READY=1\nSTATUS=waiting for containerd\nWATCHDOG=1")
		select {
		case <-time.After(enginePause):
			engine, err = open(ctx)
		case <-ctx.Done():
			return engine, ctx.Err()
		}
	}
	if err == nil {
		log.Info("containerd is there", "after", time.Since(began).Round(time.Second))
	}
	tell("STATUS=")
	return engine, err
}

// closedDoors answers at the doors while there is no engine, and leads to the
// apps that run all the same. They stay open: what it listens on are copies, and
// what it does not take waits in the backlog.
type closedDoors struct {
	doors        doors
	db           *store.Store
	certificates *certificates.Keeper
	routes       router.Config
	requests     *accesslog.Log
	survivors    func() (found []*runtime.Container, release func() error, err error)
	log          *slog.Logger

	draining sync.WaitGroup // requests that were taken before ctx ended
}

// close waits for the requests that were taken.
func (c *closedDoors) close() error {
	c.draining.Wait()
	return nil
}

// serve answers until ctx ends. It does not wait for the requests that it has
// taken by then, which may last: whoever comes next has the doors.
func (c *closedDoors) serve(ctx context.Context) error {
	routes := c.routes
	routes.Sockets, routes.Unready = nil, true
	table := router.New(routes, c.log)
	hosts := &closedHosts{table, c.certificates, c.log}
	running := deploy.New(deploy.Config{AccessLog: c.requests}, c.db, nil, table, hosts, c.log)
	containers, release, err := c.survivors()
	if err != nil {
		c.log.Warn("apps that run are not found without containerd", "err", err)
		release = func() error { return nil }
	}
	running.RouteSurvivors(ctx, containers)
	running.Edge().AnnounceHosts() // for each other host to be answered with its own certificate

	var copies doors
	var errs [3]error
	copies.http, errs[0] = copyListeners(c.doors.http)
	copies.https, errs[1] = copyListeners(c.doors.https)
	local, err := copyListeners([]net.Listener{c.doors.local})
	errs[2] = err
	if err := errors.Join(errs[:]...); err != nil {
		return errors.Join(fmt.Errorf("copy the listeners: %w", err), copies.close(), release())
	}
	copies.local = local[0]

	commands := &http.Server{Handler: web.Unavailable(noContainerd()), ReadHeaderTimeout: 10 * time.Second}
	jobs := newGroup(ctx)
	jobs.run("sites", func(ctx context.Context) error {
		return table.Serve(ctx, router.Listeners{Plain: copies.http, Secure: copies.https})
	})
	jobs.run("commands", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { commands.Close() })
		defer stop()
		if err := commands.Serve(copies.local); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	ended := make(chan error, 1)
	c.draining.Go(func() {
		ended <- jobs.wait()
		if err := errors.Join(copies.close(), release()); err != nil {
			c.log.Debug("what was open during the wait for containerd is not all closed", "err", err)
		}
	})
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		copies.close() // at once: two take no connections from one backlog
		return nil
	}
}

// closedHosts is the edge.Hosts of closed doors. The router's page comes before
// the handlers, but it takes a host that it leads to for its certificate to be used.
type closedHosts struct {
	table        *router.Router
	certificates *certificates.Keeper
	log          *slog.Logger
}

func (h *closedHosts) SetHosts(_ string, hosts []certificates.Host, acme certificates.ACME) {
	var names []string
	for _, host := range hosts {
		// An app and another may want the same; what leads to an app that runs stays.
		if !slices.Contains(names, host.Name) && !h.table.Leads(host.Name) {
			names = append(names, host.Name)
		}
	}
	err := errors.Join(h.table.Handle(names, http.NotFoundHandler()), h.certificates.SetHosts(context.Background(), hosts, acme))
	if err != nil {
		h.log.Warn("some hosts are answered without their certificate", "err", err)
	}
}

func (h *closedHosts) SetHostsFor(string, []certificates.Host) {} // nothing changes as long as commands wait

func noContainerd() *fault.Error {
	return fault.New(fault.Failed, code.ContainerdUnavailable, "berth waits for containerd, which does not answer").
		Hint("systemctl status containerd shows its state, systemctl start containerd starts it").
		Hint("berth goes on by itself once it is there; apps that run keep running meanwhile")
}

// copyListeners returns listeners at the same sockets, which can be closed
// without closing those.
func copyListeners(listeners []net.Listener) (copies []net.Listener, err error) {
	for _, l := range listeners {
		sock, ok := l.(interface{ File() (*os.File, error) })
		if !ok {
			return copies, fmt.Errorf("%s is no socket", l.Addr())
		}
		f, err := sock.File()
		if err != nil {
			return copies, err
		}
		one, err := net.FileListener(f)
		f.Close() // the listener has its own
		if err != nil {
			return copies, err
		}
		copies = append(copies, one)
	}
	return copies, nil
}
