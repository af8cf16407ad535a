package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/store"
)

// idle lists the process types of a release of which no instance is to run,
// and those among them that nobody has set to 0.
func idle(record store.App, r store.Release) (all, unset []string) {
	record.Stopped = false
	for _, p := range r.Processes {
		if p.Type == "release" || record.Instances(p.Type) > 0 {
			continue
		}
		all = append(all, p.Type)
		if _, set := record.Formation[p.Type]; !set && !slices.Contains(build.OnDemand, p.Type) {
			unset = append(unset, p.Type)
		}
	}
	return all, unset
}

// printLive prints that a release is live, or that it is and nothing of it
// runs, and how to start what does not run. It tells whether anything runs.
func printLive(ssh string, out *progress.Report, record store.App, release store.Release, took time.Duration) (runs bool) {
	all, unset := idle(record, release)
	start := func(types []string) string {
		return fmt.Sprintf("%s ps:scale %s %s=1", ssh, record.Name, strings.Join(types, "=1 "))
	}
	switch {
	case record.Stopped:
		out.Line("success: v%d is released, but %s stays stopped", release.Number, record.Name)
		out.Detail("start it: %s ps:start %s", ssh, record.Name)
		return false
	case len(formation.Slots(record, release)) > 0:
		out.Line("success: v%d live after %s", release.Number, progress.Seconds(took))
		if len(unset) > 0 {
			out.Detail("not started: %s; to start: %s", strings.Join(unset, ", "), start(unset))
		}
		return true
	case len(all) == 0:
		out.Line("warning: v%d is released, but nothing runs: it has no process", release.Number)
		out.Detail("add a line to the Procfile, as in web: COMMAND")
	default:
		out.Line("warning: v%d is released, but nothing runs: %s scaled to 0", release.Number, strings.Join(all, ", "))
		out.Detail("start it: %s", start(all))
	}
	return false
}
