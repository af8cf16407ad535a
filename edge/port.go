package edge

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// AddPorts leads ports of the machine to an app. One that leads elsewhere, that
// berth itself or another program listens on, is a fault (E167, E168), and then
// none is added. A user who is bound to some apps may open none (E198): the
// machine's ports are few, and the operator answers for each.
func (e *Edge) AddPorts(ctx context.Context, app string, ports []store.Port, by store.User) (PortsReport, error) {
	for _, p := range ports {
		if len(by.Apps) == 0 && slices.Contains(e.cfg.Ports, p.Number) {
			return PortsReport{}, fault.New(fault.Conflict, code.PortUnavailable, "port %d is used by berth itself", p.Number)
		}
	}
	e.porting.Lock()
	defer e.porting.Unlock()
	var opened []func() // before the state says so, or a failure would leave a port that is none
	defer func() {
		for _, release := range opened {
			release()
		}
	}()
	err := e.changePorts(app, by, "added "+portNames(ports), func(tx *store.Tx) error {
		for _, p := range ports {
			old, there, err := tx.Ports.Get(p.Number)
			if err != nil {
				return err
			}
			if len(by.Apps) > 0 && (!there || old.App != app) {
				return fault.New(fault.Denied, code.PortForbidden, "%s may not take port %d: a key that is bound to apps cannot open ports of the machine", by.Name, p.Number).
					Hint("an administrator can: berth ports:add %s %s", app, p)
			}
			p.App, p.CreatedAt = app, time.Now().UTC()
			if err := tx.Ports.Put(p); err != nil {
				return err
			}
			if there {
				continue
			}
			release, err := e.table.OpenPort(p.Number)
			if err != nil {
				return portFault(p.Number, err)
			}
			opened = append(opened, release)
		}
		return nil
	})
	if err != nil {
		return PortsReport{}, err
	}
	return e.PortsReport(ctx, app)
}

func portFault(number int, err error) error {
	f := fault.New(fault.Conflict, code.PortUnavailable, "port %d cannot be opened: %w", number, err)
	if errors.Is(err, syscall.EADDRINUSE) {
		f = fault.New(fault.Conflict, code.PortUnavailable, "port %d is in use by another program", number)
		f.Cause = err
		f.Hint("ss -ltnp shows which one")
	}
	return f.Hint("nothing was changed")
}

func portNames(ports []store.Port) string {
	names := make([]string, len(ports))
	for n, p := range ports {
		names[n] = p.String()
	}
	return strings.Join(names, ", ")
}

// RemovePorts closes ports of an app, and the connections that came by them.
// One that it does not have is a fault (E185).
func (e *Edge) RemovePorts(ctx context.Context, app string, ports []store.Port, by store.User) (PortsReport, error) {
	e.porting.Lock()
	defer e.porting.Unlock()
	err := e.changePorts(app, by, "removed "+portNames(ports), func(tx *store.Tx) error {
		for _, p := range ports {
			there, found, err := tx.Ports.Get(p.Number)
			if err != nil {
				return err
			}
			if !found || there.App != app || there.String() != p.String() {
				return fault.New(fault.NotFound, code.PortUnknown, "%s has no port %s", app, p).Hint("berth ports:report %s shows them", app)
			}
			if err := tx.Ports.Delete(p.Number); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return PortsReport{}, err
	}
	return e.PortsReport(ctx, app)
}

// ClearPorts closes all ports of an app.
func (e *Edge) ClearPorts(ctx context.Context, app string, by store.User) (PortsReport, error) {
	e.porting.Lock()
	defer e.porting.Unlock()
	err := e.changePorts(app, by, "removed all ports", func(tx *store.Tx) error {
		ports, err := tx.Ports.Of(app)
		for _, p := range ports {
			err = errors.Join(err, tx.Ports.Delete(p.Number))
		}
		return err
	})
	if err != nil {
		return PortsReport{}, err
	}
	return e.PortsReport(ctx, app)
}

func (e *Edge) changePorts(app string, by store.User, text string, change func(tx *store.Tx) error) error {
	_, a, err := e.find(app)
	if err != nil {
		return err
	}
	err = e.db.Update(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil { // destroyed or renamed just now
			return err
		}
		return errors.Join(change(tx), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "ports", Text: text}))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	a.Reroute()
	e.changed(app)
	return nil
}

// PortsReport is which ports lead to an app, or to any.
type PortsReport struct {
	App   string       `json:"app,omitempty"`
	Ports []PortReport `json:"ports"`
}

// PortReport is one port and its problem, if any.
type PortReport struct {
	store.Port
	Error  string   `json:"error,omitempty"`  // why it is not open; berth goes on trying
	Silent []string `json:"silent,omitempty"` // the instances that do not listen there
}

// PortsReport tells which ports lead to an app; "" is to any.
func (e *Edge) PortsReport(_ context.Context, app string) (PortsReport, error) {
	report := PortsReport{App: app, Ports: []PortReport{}}
	var ports []store.Port
	records := map[string]store.App{}
	err := e.db.View(func(tx *store.Tx) (err error) {
		if ports, err = tx.Ports.Of(app); err != nil {
			return err
		}
		names := []string{app}
		for _, p := range ports {
			names = append(names, p.App)
		}
		for _, name := range names {
			if name == "" {
				continue
			}
			if records[name], err = tx.App(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return report, err
	}
	for _, p := range ports {
		r := PortReport{Port: p, Silent: e.cfg.Apps.Running(records[p.App]).Silent(p.Container)}
		if err := e.table.PortError(p.Number); err != nil {
			r.Error = fleet.Plain(err).Error()
		}
		report.Ports = append(report.Ports, r)
	}
	return report, nil
}

// HoldPorts keeps ports from being added and removed until release.
func (e *Edge) HoldPorts() (release func()) {
	e.porting.Lock()
	return e.porting.Unlock
}

// containerPorts are where the app's ports lead in its web instances, as text.
func (e *Edge) containerPorts(app string) (ports []string) {
	err := e.db.View(func(tx *store.Tx) error {
		all, err := tx.Ports.Of(app)
		for _, p := range all {
			if at := strconv.Itoa(p.Container); !slices.Contains(ports, at) {
				ports = append(ports, at)
			}
		}
		return err
	})
	e.warn("the ports of an app cannot be read", err, "app", app)
	return ports
}
