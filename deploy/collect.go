package deploy

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// keptReleases is how many releases of an app can be rolled back to.
const keptReleases = 5

// collect removes what no release refers to any more: layers of the app that
// are not of its last releases, and the logs of releases older than those.
// Layers shared by all apps stay.
func (d *Deployer) collect(ctx context.Context, name string) {
	d.collecting.Lock() // one at a time: two would race for the same layers
	defer d.collecting.Unlock()
	wanted := map[string]bool{}
	oldest := map[string]int{} // app → number of the oldest release that is kept
	err := d.db.View(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			releases, err := tx.Releases(app.Name)
			if err != nil {
				return err
			}
			for _, r := range keep(app, releases) {
				wanted[r.Layer], wanted[r.Base] = true, true
				if oldest[app.Name] == 0 || r.Number < oldest[app.Name] {
					oldest[app.Name] = r.Number
				}
			}
		}
		return nil
	})
	if err != nil {
		d.warn("what is still referred to cannot be read", err)
		return
	}
	d.collectLayers(ctx, wanted)
	if first, ok := oldest[name]; ok {
		d.collectLogs(name, first)
	}
}

// keep chooses the releases of which the layers stay: the live one, those that
// are being rolled out, and the last that served.
func keep(app store.App, newestFirst []store.Release) (kept []store.Release) {
	served := 0
	for _, r := range newestFirst {
		switch {
		case r.Number == app.Release, r.Status == store.ReleasePending:
			kept = append(kept, r)
		case r.Status == store.ReleaseRetired && served < keptReleases-1:
			served++
			kept = append(kept, r)
		}
	}
	return kept
}

func (d *Deployer) collectLayers(ctx context.Context, wanted map[string]bool) {
	layers, err := d.engine.Layers(ctx)
	if err != nil {
		d.warn("layers cannot be listed", err)
		return
	}
	parent := map[string]string{}
	for _, l := range layers {
		parent[l.Key] = l.Parent
	}
	for key := range wanted {
		for p := parent[key]; p != "" && !wanted[p]; p = parent[p] {
			wanted[p] = true
		}
	}
	// The youngest first: a layer can go once nothing stands on it. What a push
	// has just made is younger than any release that could name it; it is left
	// alone while the app's line is held.
	slices.SortFunc(layers, func(a, b runtime.Layer) int { return b.Created.Compare(a.Created) })
	for _, l := range layers {
		uid, own := l.Labels[labelApp]
		if !own || wanted[l.Key] || d.busyWith(uid) {
			continue
		}
		if err := d.engine.RemoveLayer(ctx, l.Key); err != nil {
			d.log.Debug("a layer was not removed", "layer", l.Key, "err", err) // an instance that drains stands on it; next time
		}
	}
}

// busyWith tells whether something is being done to the app of that user id.
func (d *Deployer) busyWith(uid string) bool {
	n, _ := strconv.Atoi(uid)
	d.mu.Lock()
	a := d.apps[n]
	d.mu.Unlock()
	if a == nil {
		return false
	}
	holder, _ := a.line.state()
	return holder != ""
}

// collectLogs removes the logs of releases before the first that is kept. One
// of them may be that of a release that failed: its log has had its use.
func (d *Deployer) collectLogs(app string, first int) {
	names, err := os.ReadDir(filepath.Join(d.cfg.Logs, app))
	if err != nil {
		d.warn("old logs cannot be listed", err, "app", app)
		return
	}
	for _, name := range names {
		number, isRelease := strings.CutPrefix(name.Name(), "v")
		if n, err := strconv.Atoi(number); isRelease && err == nil && n < first {
			d.warn("old logs were not removed", os.RemoveAll(d.releaseLogs(app, n)), "app", app)
		}
	}
}
