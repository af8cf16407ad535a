package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// How much of its history the page of an app shows.
const (
	shownReleases = 15
	shownBuilds   = 10
	shownEvents   = 20
)

// appPage is what the page of an app shows.
type appPage struct {
	frame
	App         deploy.AppStatus
	Live        *store.Release
	Groups      []processGroup
	Traffic     trafficView
	Releases    []store.Release
	Builds      []buildRow
	Domains     []domainRow
	Maintenance bool
	Cron        []jobs.CronStatus
	Config      []string // names
	Events      []store.Event
	Log         logView
	MayDeploy   bool
	MayReveal   bool
}

// buildRow is a build and how long it took.
type buildRow struct {
	store.Build
	Took string // "" while it runs
}

func newBuildRow(build store.Build) buildRow {
	if build.FinishedAt.IsZero() {
		return buildRow{Build: build}
	}
	return buildRow{build, span(build.FinishedAt.Sub(build.StartedAt))}
}

// processGroup is a process type with its instances.
type processGroup struct {
	processCount
	Instances []deploy.Instance
}

// groupInstances sorts an app's instances by the process types of its live
// release. Those of a type that the release has no more come last, until they
// are drained.
func groupInstances(app deploy.AppStatus, live *store.Release) (groups []processGroup) {
	for _, count := range countProcesses(app, live) {
		groups = append(groups, processGroup{processCount: count})
	}
	for _, instance := range app.Instances {
		i := slices.IndexFunc(groups, func(g processGroup) bool { return g.Type == instance.Process })
		if i < 0 {
			i = len(groups)
			groups = append(groups, processGroup{processCount: processCount{Type: instance.Process}})
		}
		groups[i].Instances = append(groups[i].Instances, instance)
	}
	return groups
}

// appParts are the parts of the page that are sent again when they change. The
// log has a stream of its own.
var appParts = []string{"head", "actions", "processes", "traffic", "releases", "builds", "domains", "cron", "config", "history"}

// serveApp shows one app.
func (a *admin) serveApp(w http.ResponseWriter, r *http.Request, user store.User) error {
	page, err := a.readApp(r.Context(), r, user)
	if err != nil {
		return err
	}
	if page.Log, err = a.readLog(r.Context(), user, verbs.LogArgs{AppArgs: verbs.AppArgs{App: page.App.Name}, Lines: shownLog}); err != nil {
		return err
	}
	return a.render(w, http.StatusOK, "app", "", page)
}

func (a *admin) serveAppEvents(w http.ResponseWriter, r *http.Request, user store.User) error {
	return a.streamParts(w, r, "app", appParts, func(ctx context.Context) (any, error) {
		user, err := a.door.User(r)
		if err != nil {
			return nil, err
		}
		return a.readApp(ctx, r, user)
	})
}

func (a *admin) readApp(ctx context.Context, r *http.Request, user store.User) (appPage, error) {
	name := r.PathValue("app")
	page := appPage{
		frame:     a.frame(r, user, name),
		MayDeploy: a.may(user, "ps:restart", name) == nil,
		MayReveal: a.table.May(user, "config:reveal", verbs.ConfigGetArgs{ConfigArgs: verbs.ConfigArgs{ConfigOf: verbs.ConfigOf{App: name}}}) == nil,
	}
	of := verbs.AppArgs{App: name}
	var routing edge.RouterReport
	var builds []store.Build
	var live store.Release
	for _, read := range []func() error{
		func() (err error) {
			page.App, err = verbs.Ask[deploy.AppStatus](ctx, a.table, user, "apps:info", of)
			return err
		},
		func() (err error) { page.Traffic, err = a.readTraffic(ctx, user, name); return err },
		func() (err error) {
			page.Cron, err = verbs.Ask[[]jobs.CronStatus](ctx, a.table, user, "cron:list", of)
			return err
		},
		func() (err error) {
			if page.App.Release == 0 {
				return nil
			}
			live, err = verbs.Ask[store.Release](ctx, a.table, user, "releases:info", verbs.NumberArgs{AppArgs: of, Number: page.App.Release})
			page.Live = &live
			return err
		},
		func() (err error) {
			page.Releases, err = verbs.Ask[[]store.Release](ctx, a.table, user, "releases", verbs.LimitArgs{AppArgs: of, Limit: shownReleases})
			return err
		},
		func() (err error) {
			builds, err = verbs.Ask[[]store.Build](ctx, a.table, user, "builds:list", verbs.LimitArgs{AppArgs: of, Limit: shownBuilds})
			return err
		},
		func() (err error) {
			routing, err = verbs.Ask[edge.RouterReport](ctx, a.table, user, "router:report", of)
			return err
		},
		func() (err error) {
			page.Config, err = verbs.Ask[[]string](ctx, a.table, user, "config:keys", of)
			return err
		},
		func() (err error) {
			page.Events, err = verbs.Ask[[]store.Event](ctx, a.table, user, "events", verbs.EventArgs{App: name, Limit: shownEvents})
			return err
		},
		func() (err error) { page.Domains, err = a.readDomains(ctx, user, name); return err },
	} {
		if err := read(); err != nil {
			return page, fmt.Errorf("read what is known of %s: %w", name, err)
		}
	}
	page.Maintenance = routing.Maintenance
	for _, build := range builds {
		page.Builds = append(page.Builds, newBuildRow(build))
	}
	page.Groups = groupInstances(page.App, page.Live)
	return page, nil
}
