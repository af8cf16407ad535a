package deploy

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
)

// AddPorts leads ports of the machine to an app. One that leads elsewhere, that
// berth itself or another program listens on, is a fault (E167, E168), and then
// none is added. A user who is bound to some apps may open none (E198): the
// machine's ports are few, and the operator answers for each.
func (d *Deployer) AddPorts(ctx context.Context, app string, ports []store.Port, by store.User) (PortsReport, error) {
	for _, p := range ports {
		if len(by.Apps) == 0 && slices.Contains(d.cfg.Ports, p.Number) {
			return PortsReport{}, fault.New(fault.Conflict, "E168", "port %d is berth's own", p.Number)
		}
	}
	d.porting.Lock()
	defer d.porting.Unlock()
	var opened []func() // before the state says so, or a failure would leave a port that is none
	defer func() {
		for _, release := range opened {
			release()
		}
	}()
	err := d.changePorts(app, by, "added "+portNames(ports), func(tx *store.Tx) error {
		for _, p := range ports {
			old, there, err := tx.Port(p.Number)
			if err != nil {
				return err
			}
			if len(by.Apps) > 0 && (!there || old.App != app) {
				return fault.New(fault.Denied, "E198", "%s may not take port %d: a key that is bound to apps opens no ports of the machine", by.Name, p.Number).
					Hint("an administrator can: berth ports:add %s %s", app, p)
			}
			p.App, p.CreatedAt = app, time.Now().UTC()
			if err := tx.PutPort(p); err != nil {
				return err
			}
			if there {
				continue
			}
			release, err := d.table.OpenPort(p.Number)
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
	return d.PortsReport(ctx, app)
}

func portFault(number int, err error) error {
	f := fault.New(fault.Conflict, "E168", "port %d cannot be opened: %w", number, err)
	if errors.Is(err, syscall.EADDRINUSE) {
		f = fault.New(fault.Conflict, "E168", "port %d is taken by another program", number)
		f.Cause = err
		f.Hint("ss -ltnp shows by which")
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
func (d *Deployer) RemovePorts(ctx context.Context, app string, ports []store.Port, by store.User) (PortsReport, error) {
	d.porting.Lock()
	defer d.porting.Unlock()
	err := d.changePorts(app, by, "removed "+portNames(ports), func(tx *store.Tx) error {
		for _, p := range ports {
			there, found, err := tx.Port(p.Number)
			if err != nil {
				return err
			}
			if !found || there.App != app || there.String() != p.String() {
				return fault.New(fault.NotFound, "E185", "%s has no port %s", app, p).Hint("berth ports:report %s shows them", app)
			}
			if err := tx.DeletePort(p.Number); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return PortsReport{}, err
	}
	return d.PortsReport(ctx, app)
}

// ClearPorts closes all ports of an app.
func (d *Deployer) ClearPorts(ctx context.Context, app string, by store.User) (PortsReport, error) {
	d.porting.Lock()
	defer d.porting.Unlock()
	err := d.changePorts(app, by, "removed all ports", func(tx *store.Tx) error {
		ports, err := tx.Ports(app)
		for _, p := range ports {
			err = errors.Join(err, tx.DeletePort(p.Number))
		}
		return err
	})
	if err != nil {
		return PortsReport{}, err
	}
	return d.PortsReport(ctx, app)
}

func (d *Deployer) changePorts(app string, by store.User, text string, change func(tx *store.Tx) error) error {
	_, a, err := d.find(app)
	if err != nil {
		return err
	}
	err = d.db.Update(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil { // destroyed or renamed just now
			return err
		}
		return errors.Join(change(tx), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "ports", Text: text}))
	})
	if err != nil {
		return d.full(err)
	}
	d.reroute(a)
	d.changes.publish(app)
	return nil
}

// PortsReport is which ports lead to an app, or to any.
type PortsReport struct {
	App   string       `json:"app,omitempty"`
	Ports []PortReport `json:"ports"`
}

// PortReport is one port, and what is wrong with it.
type PortReport struct {
	store.Port
	Error  string   `json:"error,omitempty"`  // why it is not open; berth goes on trying
	Silent []string `json:"silent,omitempty"` // the instances that do not listen there
}

// PortsReport tells which ports lead to an app; "" is to any.
func (d *Deployer) PortsReport(_ context.Context, app string) (PortsReport, error) {
	report := PortsReport{App: app, Ports: []PortReport{}}
	var ports []store.Port
	records := map[string]store.App{}
	err := d.db.View(func(tx *store.Tx) (err error) {
		if ports, err = tx.Ports(app); err != nil {
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
		r := PortReport{Port: p, Silent: d.app(records[p.App]).fleet.Silent(p.Container)}
		if err := d.table.PortError(p.Number); err != nil {
			r.Error = fleet.Plain(err).Error()
		}
		report.Ports = append(report.Ports, r)
	}
	return report, nil
}

// containerPorts are where the app's ports lead in its web instances, as text.
func (d *Deployer) containerPorts(app string) (ports []string) {
	err := d.db.View(func(tx *store.Tx) error {
		all, err := tx.Ports(app)
		for _, p := range all {
			if at := strconv.Itoa(p.Container); !slices.Contains(ports, at) {
				ports = append(ports, at)
			}
		}
		return err
	})
	d.warn("the ports of an app cannot be read", err, "app", app)
	return ports
}
