package deploy

import (
	"cmp"
	"context"

	"github.com/berthd/berth/store"
)

// AppState is the state of an app in one word.
type AppState string

// The states of an app.
const (
	StateEmpty     AppState = "empty"     // nothing was ever deployed
	StateRunning   AppState = "running"   // all instances healthy
	StateDegraded  AppState = "degraded"  // some instances are not
	StateDown      AppState = "down"      // none is
	StateStopped   AppState = "stopped"   // ps:stop, or scaled to none
	StateDeploying AppState = "deploying" // first deploy under way
)

// AppStatus is an app and its current state.
type AppStatus struct {
	store.App
	State     AppState   `json:"state"`
	URLs      []string   `json:"urls"`
	Instances []Instance `json:"instances"`
	Building  int        `json:"building,omitempty"` // number of the build that runs now
	Working   string     `json:"working,omitempty"`  // what is being done to it now
	Waiting   string     `json:"waiting,omitempty"`  // the push that waits
	GitURL    string     `json:"git_url"`

	// What the live release was built as.
	Language string `json:"language,omitempty"`
	Summary  string `json:"summary,omitempty"`
}

// Status returns the status of one app.
func (d *Apps) Status(ctx context.Context, name string) (AppStatus, error) {
	record, _, err := d.find(name)
	if err != nil {
		return AppStatus{}, err
	}
	return d.status(ctx, record), nil
}

// Statuses returns the status of every app, by name.
func (d *Apps) Statuses(ctx context.Context) ([]AppStatus, error) {
	records, err := d.db.Apps()
	if err != nil {
		return nil, err
	}
	statuses := make([]AppStatus, len(records))
	for n, record := range records {
		statuses[n] = d.status(ctx, record)
	}
	return statuses, nil
}

func (d *Apps) status(ctx context.Context, record store.App) AppStatus {
	a := d.app(record)
	s := AppStatus{App: record, Instances: []Instance{}, URLs: d.edge.URLs(record.Name), GitURL: d.edge.GitURL(record.Name)}
	changing, _ := a.line.state()
	building, waiting := a.builds.state()
	s.Working, s.Waiting = cmp.Or(changing, building), waiting
	live, err := d.liveWithoutConfig(record)
	d.warn("the live release cannot be read", err, "app", record.Name)
	s.Language, s.Summary = live.Language, live.Summary
	s.Building = d.build.Building(record.UID)

	s.Instances = append(s.Instances, a.fleet.Instances(ctx)...)
	up := 0
	for _, i := range s.Instances {
		if i.State == InstanceUp {
			up++
		}
	}
	switch {
	case record.Release == 0 && s.Building != 0:
		s.State = StateDeploying
	case record.Release == 0:
		s.State = StateEmpty
	case record.Stopped, len(s.Instances) == 0: // what crashed keeps its slot
		s.State = StateStopped
	case up == 0:
		s.State = StateDown
	case up < len(s.Instances):
		s.State = StateDegraded
	default:
		s.State = StateRunning
	}
	return s
}
