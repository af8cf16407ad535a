package deploy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Checks says which checks an app has, makes them, and whether they are waited for.
type Checks struct {
	*Processes
}

// CheckReport is one check of a process type.
type CheckReport struct {
	Process string `json:"process_type"`
	Type    string `json:"type"`  // startup, readiness, liveness
	Check   string `json:"check"` // "GET /health"
	Name    string `json:"name,omitempty"`
	Mode    string `json:"mode"` // enabled, skipped, disabled
}

// CheckReports returns the checks of an app's live release. A type without one of
// its own has the usual one.
func (d *Checks) CheckReports(_ context.Context, app string) ([]CheckReport, error) {
	record, _, err := d.find(app)
	if err != nil {
		return nil, err
	}
	release, err := d.liveWithoutConfig(record)
	if err != nil {
		return nil, err
	}
	reports := []CheckReport{}
	for _, process := range processTypes(release) {
		mode := "enabled"
		switch {
		case record.SkipsChecks(process) && record.Rollout == store.StopFirst:
			mode = "disabled"
		case record.SkipsChecks(process):
			mode = "skipped"
		}
		own := false
		for _, c := range release.Health {
			if c.Process == process {
				own = true
				reports = append(reports, CheckReport{process, c.Type, fleet.CheckName(c), c.Name, mode})
			}
		}
		if !own {
			usual := store.HealthCheck{Uptime: 1}
			if process == "web" {
				usual = store.HealthCheck{Path: "/"}
			}
			reports = append(reports, CheckReport{process, "startup", fleet.CheckName(usual), "the usual one", mode})
		}
	}
	return reports, nil
}

// CheckResult is how one check went.
type CheckResult struct {
	Instance string `json:"instance"`
	Check    string `json:"check"`
	OK       bool   `json:"ok"`
	Detail   string `json:"detail,omitempty"`
}

// RunChecks makes the checks of what runs, of one type or one instance, or with ""
// of all. When one does not pass, it is a fault (E630).
func (d *Checks) RunChecks(ctx context.Context, app, process string) ([]CheckResult, error) {
	record, a, err := d.find(app)
	if err != nil {
		return nil, err
	}
	if record.Release == 0 {
		return nil, NeverDeployed(app)
	}
	checked := a.fleet.Check(ctx, process)
	if len(checked) == 0 {
		return nil, fault.New(fault.NotFound, code.ProcessUnknown, "%s runs nothing named %.60q", app, process).
			Hint("to see what it runs: berth ps:report %s", app)
	}
	results, failed := []CheckResult{}, []string{}
	for _, c := range checked {
		r := CheckResult{Instance: c.Instance, Check: c.Check, OK: c.Err == nil}
		if c.Err != nil {
			r.Detail = c.Err.Error()
			failed = append(failed, fmt.Sprintf("%s %s : %s", c.Instance, c.Check, r.Detail))
		}
		results = append(results, r)
	}
	if len(failed) > 0 {
		return nil, fault.New(fault.Failed, code.CheckFailed, "%d of %d checks of %s failed", len(failed), len(results), app).With(failed...)
	}
	return results, nil
}

// SkipChecks says that the instances of process types are not checked when they
// start, or with on that they are again; no type is all of them. What runs is not
// touched.
func (d *Checks) SkipChecks(ctx context.Context, app string, types []string, on bool, by store.User, out io.Writer) error {
	text := "checks are skipped"
	if on {
		text = "checks are waited for"
	}
	if len(types) > 0 {
		text += ": " + strings.Join(types, ", ")
	}
	return d.reshape(ctx, app, "the change of checks by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		for _, process := range types {
			if err := hasType(*record, release, process); err != nil {
				return change{}, err
			}
		}
		skipped := processTypes(release)
		if len(types) > 0 {
			skipped = slices.Clone(record.UncheckedTypes)
			for _, process := range types {
				if skipped = allBut(skipped, process); !on {
					skipped = append(skipped, process)
				}
			}
		} else if on {
			skipped = nil
		}
		record.UncheckedTypes, record.Unchecked = skipped, len(types) == 0 && !on
		return change{}, nil
	}, store.Event{App: app, By: by.Name, Kind: "ps", Text: text})
}
