package deploy

import (
	"context"
	"slices"
	"strings"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/store"
)

// Inspection is how an instance was started.
type Inspection struct {
	Instance
	User       int                 `json:"user"`  // of its processes, and its group
	Layer      string              `json:"layer"` // of its root filesystem
	Image      *store.Image        `json:"image,omitempty"`
	Command    []string            `json:"command"`
	Dir        string              `json:"dir"`
	Env        map[string]string   `json:"env"` // values are masked, but for those that berth gives
	StopSignal string              `json:"stop_signal"`
	StopGrace  float64             `json:"stop_timeout_seconds"`
	Limits     store.Resource      `json:"limits"` // the usual ones filled in; 0 is none
	Reserve    store.Resource      `json:"reserve"`
	Checks     []store.HealthCheck `json:"checks"`
}

// given are the variables that berth gives.
var given = append([]string{"PORT", "GIT_REV", "SOURCE_VERSION"}, fleet.IdentityNames...)

// masked stands in the place of a value.
const masked = "********"

// Inspect returns how the instances of an app were started. What an app is
// configured with is masked: whoever may look at an app need not know its secrets.
func (d *Apps) Inspect(ctx context.Context, app string) ([]Inspection, error) {
	status, err := d.Status(ctx, app)
	if err != nil {
		return nil, err
	}
	record := d.counts(status.App)
	list := []Inspection{}
	if record.Release == 0 {
		return list, nil
	}
	release, err := d.liveRelease(record)
	if err != nil {
		return nil, err
	}
	runs := formation.Of(record, release)
	for _, i := range status.Instances {
		one := Inspection{
			Instance: i, User: record.UID, Layer: release.Layer, Image: release.Image, Env: map[string]string{},
			StopSignal: "SIGTERM", StopGrace: fleet.StopGrace.Seconds(),
			Limits: usually(record.Limit(i.Process)), Reserve: record.Resources.Reserve(i.Process), Checks: []store.HealthCheck{},
		}
		if runs.StopSignal != "" {
			one.StopSignal = runs.StopSignal
		}
		if runs.Grace != 0 {
			one.StopGrace = runs.Grace.Seconds()
		}
		if p, found := release.Process(i.Process); found {
			cmd := formation.ProcessCommand(record, release, p, i.Name)
			one.Command, one.Dir, one.Env = cmd.Args, cmd.Dir, mask(cmd.Env, release.Variables())
		}
		for _, c := range release.Health {
			if c.Process == i.Process {
				one.Checks = append(one.Checks, c)
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// mask hides the values of variables, but for those that berth gives. One of their
// names that the config sets is the app's own secret; a port is none.
func mask(env []string, config map[string]string) map[string]string {
	shown := map[string]string{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		_, own := config[name]
		if !slices.Contains(given, name) || own && name != "PORT" {
			value = masked
		}
		shown[name] = value
	}
	return shown
}
