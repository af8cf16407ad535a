package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

type appsPage struct {
	frame
	Apps      []appRow
	Counts    []stateCount // how many apps are in each state, for the line above the table
	MayCreate bool
	GitURL    string // of an app that does not exist yet
}

type appRow struct {
	deploy.AppStatus
	Processes []processCount
	Live      *store.Release // nil when there is none
}

// processCount is how many instances of a process type are up, of how many
// that should be.
type processCount struct {
	Type     string
	Up, Want int
	Command  string
}

type stateCount struct {
	State deploy.AppState
	N     int
}

// serveApps shows all apps that the user may see.
func (a *admin) serveApps(w http.ResponseWriter, r *http.Request, user store.User) error {
	page, err := a.readApps(r.Context(), r, user)
	if err != nil {
		return err
	}
	return a.render(w, http.StatusOK, "apps", "", page)
}

func (a *admin) serveAppsEvents(w http.ResponseWriter, r *http.Request, user store.User) error {
	return a.streamParts(w, r, "apps", []string{"apps"}, func(ctx context.Context) (any, error) {
		user, err := a.door.User(r)
		if err != nil {
			return nil, err
		}
		return a.readApps(ctx, r, user)
	})
}

func (a *admin) readApps(ctx context.Context, r *http.Request, user store.User) (appsPage, error) {
	page := appsPage{
		frame:     a.frame(r, user, "Apps"),
		MayCreate: a.may(user, "apps:create", "my-app") == nil,
		GitURL:    a.gitURL(r, "my-app"),
	}
	statuses, err := verbs.Ask[[]deploy.AppStatus](ctx, a.table, user, "apps:list", nil)
	if err != nil {
		return page, fmt.Errorf("read the status of all apps: %w", err)
	}
	slices.SortFunc(statuses, func(a, b deploy.AppStatus) int { return strings.Compare(a.Name, b.Name) })
	for _, status := range statuses {
		row := appRow{AppStatus: status}
		if status.Release > 0 {
			args := verbs.NumberArgs{AppArgs: verbs.AppArgs{App: status.Name}, Number: status.Release}
			release, err := verbs.Ask[store.Release](ctx, a.table, user, "releases:info", args)
			if f := fault.From(err); f != nil && f.Kind == fault.NotFound {
				continue // destroyed or renamed since
			}
			if err != nil {
				return page, fmt.Errorf("read the live release of %s: %w", status.Name, err)
			}
			row.Live = &release
		}
		row.Processes = slices.DeleteFunc(countProcesses(status, row.Live), func(p processCount) bool { return p.Want == 0 })
		page.Apps = append(page.Apps, row)
	}
	for _, state := range []deploy.AppState{deploy.StateRunning, deploy.StateDeploying, deploy.StateDegraded, deploy.StateDown, deploy.StateStopped, deploy.StateEmpty} {
		n := 0
		for _, app := range page.Apps {
			if app.State == state {
				n++
			}
		}
		if n > 0 {
			page.Counts = append(page.Counts, stateCount{state, n})
		}
	}
	return page, nil
}

// countProcesses counts an app's instances by process type, in the order of the
// Procfile. Instances of a release that is being drained do not count.
func countProcesses(app deploy.AppStatus, live *store.Release) (counts []processCount) {
	if live == nil {
		return nil
	}
	for _, p := range live.Processes {
		count := processCount{Type: p.Type, Want: app.App.Instances(p.Type), Command: p.Command}
		for _, i := range app.Instances {
			if i.Process == p.Type && i.State == "up" {
				count.Up++
			}
		}
		// While a new release takes over, both sets are up for a moment.
		count.Up = min(count.Up, count.Want)
		counts = append(counts, count)
	}
	return counts
}
