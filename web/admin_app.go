package web

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
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
	App       deploy.AppStatus
	Live      *store.Release
	Groups    []processGroup
	Traffic   trafficView
	Releases  []store.Release
	Builds    []buildRow
	Domains   []domainRow
	Routing   store.Routing
	Jobs      []deploy.JobStatus
	Config    []string // names
	Events    []store.Event
	Log       logView
	MayDeploy bool
	MayReveal bool
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
var appParts = []string{"head", "actions", "processes", "traffic", "releases", "builds", "domains", "jobs", "config", "history"}

// serveApp shows one app.
func (a *admin) serveApp(w http.ResponseWriter, r *http.Request, user store.User) error {
	page, err := a.readApp(r.Context(), r, user)
	if err != nil {
		return err
	}
	if page.Log, err = a.readLog(r.Context(), deploy.LogQuery{App: page.App.Name, Lines: shownLog}); err != nil {
		return err
	}
	return a.render(w, http.StatusOK, "app", "", page)
}

func (a *admin) serveAppEvents(w http.ResponseWriter, r *http.Request, user store.User) error {
	return a.streamParts(w, r, "app", appParts, func(ctx context.Context) (any, error) {
		user, err := a.api.sessions.User(r)
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
		MayDeploy: user.May(store.RoleDeploy, name) == nil,
		MayReveal: user.May(store.RoleAdmin, name) == nil,
	}
	var err error
	if page.App, err = a.api.deployer.Status(ctx, name); err != nil {
		return page, err
	}
	if page.Traffic, err = a.readTraffic(ctx, name); err != nil {
		return page, err
	}
	if page.Jobs, err = a.api.deployer.Jobs(ctx, name); err != nil {
		return page, fmt.Errorf("read the jobs of %s: %w", name, err)
	}
	var domains []store.Domain
	err = a.api.db.View(func(tx *store.Tx) error {
		if page.App.Release != 0 {
			live, err := tx.ReleaseWithoutConfig(name, page.App.Release)
			if err != nil {
				return err
			}
			page.Live = &live
		}
		var err error
		if page.Releases, err = tx.Releases(name, shownReleases); err != nil {
			return err
		}
		builds, err := tx.Builds(name, shownBuilds)
		if err != nil {
			return err
		}
		for _, build := range builds {
			page.Builds = append(page.Builds, newBuildRow(build))
		}
		leads, err := deploy.DomainsOf(tx, name)
		if err != nil {
			return err
		}
		domains = leads.All()
		if page.Routing, err = tx.Routing(name); err != nil {
			return err
		}
		config, err := tx.Config(name)
		if err != nil {
			return err
		}
		page.Config = slices.Sorted(maps.Keys(config))
		page.Events, err = tx.Events(name, shownEvents)
		return err
	})
	if err != nil {
		return page, fmt.Errorf("read the records of %s: %w", name, err)
	}
	page.Groups = groupInstances(page.App, page.Live)
	page.Domains, err = a.domainRows(ctx, domains, time.Now())
	return page, err
}
