package fleet

import (
	"context"
	"strconv"
)

// RouteSurvivors leads requests to the web instances that run, while the host's
// engine is away, until ctx ends. Nothing is started, stopped or healed. What ends
// leaves its route. It is for a fleet whose apps are not changed.
func (f *Fleet) RouteSurvivors(ctx context.Context, wanted []Wanted, containers []Container) {
	byApp := map[string][]Container{}
	for _, c := range containers {
		about := c.About()
		if about.Labels[LabelProcess] == "web" {
			byApp[about.Labels[LabelApp]] = append(byApp[about.Labels[LabelApp]], c)
		}
	}
	for _, w := range wanted {
		if w.Release == nil {
			continue
		}
		found, _ := w.App.found(*w.Release, byApp[strconv.Itoa(w.App.uid)])
		if len(found) == 0 {
			continue
		}
		w.App.mu.Lock()
		w.App.live = found
		w.App.mu.Unlock()
		w.App.Reroute()
		for _, i := range found {
			go func() { // ends with ctx at the latest
				select {
				case <-i.container.Done():
					i.set(Crashed, "")
					w.App.Reroute()
				case <-ctx.Done():
				}
			}()
		}
	}
}
