package fleet

import (
	"context"
	"strconv"
)

// RouteSurvivors leads requests to the containers that run while the host's
// engine is away, those of wanted releases, until ctx ends. It is for a fleet
// without a host: nothing is started, stopped or healed. What ends leaves its
// route.
func (f *Fleet) RouteSurvivors(ctx context.Context, wanted []Wanted, containers []Container) {
	byApp := sortByApp(containers)
	for _, w := range wanted {
		if w.Release == nil {
			continue // nothing of it should run
		}
		taken, _ := w.App.fill(*w.Release, byApp[strconv.Itoa(w.App.uid)])
		if len(taken) == 0 {
			continue
		}
		for _, t := range taken {
			i := w.App.takeBack(t)
			go func() { // ends with ctx at the latest
				select {
				case <-t.container.Done():
					i.set(Crashed, "")
					w.App.Reroute()
				case <-ctx.Done():
				}
			}()
		}
		w.App.Reroute()
	}
}
