package deploy

import (
	"context"
	"fmt"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// What deploy and the fleet know of each other stands in this file. The fleet
// runs instances; deploy tells it what to run, in its words, and keeps the
// record of it.

// Instance is one running copy of a process type, in its current state.
type Instance = fleet.Instance

// The states of an instance.
const (
	InstanceStarting = fleet.Starting
	InstanceUp       = fleet.Up
	InstanceCrashed  = fleet.Crashed
	InstanceStopping = fleet.Stopping
)

// Labels of containers and layers.
const (
	labelApp     = fleet.LabelApp
	labelKind    = fleet.LabelKind
	labelRelease = fleet.LabelRelease
	labelProcess = fleet.LabelProcess
)

// newFleet returns the fleet of a deployer.
func (d *Deployer) newFleet(host fleet.Host, to fleet.Router) *fleet.Fleet {
	return fleet.New(d.life, fleet.Config{
		Host: host, Router: to, Journal: events{d}, Logs: d.logs, SSHCommand: d.sshCommand, Log: d.log,
	})
}

// change is a new state for an app to run in.
type change struct {
	fleet.Change
	record  store.App
	release store.Release
	by      store.User // who wants it; berth itself has no name

	// commit is what the store learns at the swap. An error from it is a
	// failure before the swap.
	commit func(tx *store.Tx) error
}

// newJobs returns the jobs of a deployer, on the host of its fleet.
func (d *Deployer) newJobs(engine jobs.Engine) *jobs.Jobs {
	return jobs.New(d.life, jobs.Config{
		Store: d.db, Host: d.boxes, Fleet: d.fleet, Engine: engine, Apps: running{d}, Journal: events{d}, Logs: d.logs,
		SSHCommand: d.sshCommand, Ready: d.ready, Background: d.background, Log: d.log,
	})
}

// events is where the fleet's events go.
type events struct{ d *Deployer }

func (n events) RecordEvent(e store.Event) { n.d.recordEvent(e) }

func (n events) Changed(app string) { n.d.publish(app) }

// running is how the edge and the jobs find what runs of apps.
type running struct{ d *Deployer }

func (r running) Running(record store.App) *fleet.App { return r.d.app(record).fleet }

func (r running) Live(record store.App) (store.Release, error) { return r.d.liveRelease(record) }

func (r running) All() (apps []*fleet.App) {
	for _, a := range r.d.all() {
		apps = append(apps, a.fleet)
	}
	return apps
}

// sshCommand is how berth's commands are reached from elsewhere.
func (d *Deployer) sshCommand() string { return d.edge.SSHCommand() }

// converge makes an app run what the change says; see fleet.App.Converge. The
// caller holds the app's line.
func (s *turns) converge(ctx context.Context, a *app, c change) error {
	counts := s.counts(c.record)
	c.Release, c.StopFirst = formation.Of(counts, c.release), stopsFirst(counts, c.release)
	if c.commit != nil {
		c.Commit = func() error {
			if err := s.db.Update(c.commit); err != nil {
				return fault.ExplainDiskFull(fmt.Errorf("record the swap: %w", err))
			}
			return nil
		}
	}
	if !c.Patient {
		kept, err := s.promise(c.record, c.release, c.by)
		if err != nil {
			return err
		}
		defer kept()
	}
	return fault.ExplainDiskFull(a.fleet.Converge(ctx, c.Change))
}
