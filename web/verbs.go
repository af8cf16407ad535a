package web

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// table is every verb of the house but run, which is a WebSocket. The names
// are Dokku's wherever it has the verb.
func (a *API) table() []verb {
	const (
		admin   = store.RoleAdmin
		deploys = store.RoleDeploy
		reads   = store.RoleRead
	)
	return []verb{
		// apps.go
		act("apps:create", deploys, a.appsCreate),
		look("apps:list", reads, a.appsList),
		look("apps:info", reads, a.appsInfo),
		act("apps:rename", deploys, a.appsRename),
		act("apps:destroy", deploys, a.appsDestroy),
		look("ps:report", reads, a.psReport),
		act("ps:scale", deploys, a.psScale),
		act("ps:set", deploys, a.psSet),
		act("ps:restart", deploys, a.psRestart),
		act("ps:stop", deploys, a.psStop),
		act("ps:start", deploys, a.psStart),

		// releases.go; config is for those who may change it, since its values are secrets
		look("config:show", deploys, a.configShow),
		look("config:get", deploys, a.configGet),
		act("config:set", deploys, a.configSet),
		act("config:unset", deploys, a.configUnset),
		look("releases", reads, a.releases),
		look("releases:info", reads, a.releasesInfo),
		act("rollback", deploys, a.rollback),
		look("builds:list", reads, a.buildsList),
		look("builds:info", reads, a.buildsInfo),
		follow("builds:output", reads, a.buildsOutput),
		act("builds:cancel", deploys, a.buildsCancel),
		look("builds:cache", reads, a.buildsCache),
		act("builds:cache-clear", deploys, a.buildsCacheClear),

		// builder.go
		look("builder:report", reads, a.builderReport),
		act("builder:set", deploys, a.builderSet),
		look("builder:mirror", reads, a.builderMirror),
		look("builds:plan", reads, a.buildsPlan),

		// git.go
		look("git:report", reads, a.gitReport),
		act("git:set", deploys, a.gitSet),

		// image.go; whose login it is decides who may
		act("git:from-image", deploys, a.gitFromImage),
		act("registry:login", reads, a.registryLogin),
		act("registry:logout", reads, a.registryLogout),
		look("registry:report", reads, a.registryReport),

		// watch.go
		follow("logs", reads, a.logs),
		look("events", reads, a.events),
		look("cron:list", reads, a.cronList),
		act("cron:run", deploys, a.cronRun),

		// settings.go
		look("domains:report", reads, a.domainsReport),
		act("domains:add", deploys, a.domainsAdd),
		act("domains:remove", deploys, a.domainsRemove),
		act("domains:redirect", deploys, a.domainsRedirect),
		act("domains:set-global", admin, a.domainsSetGlobal),

		// certificate.go; who may, depends on whose host it is
		look("certs:root", reads, a.certsRoot),
		look("certs:report", reads, a.certsReport),
		act("certs:add", reads, a.certsAdd),
		act("certs:remove", reads, a.certsRemove),
		act("certs:generate", reads, a.certsGenerate),

		// letsencrypt.go
		look("letsencrypt:report", admin, a.letsencryptReport),
		act("letsencrypt:set", admin, a.letsencryptSet),
		act("letsencrypt:enable", deploys, a.letsencryptEnable),
		act("letsencrypt:disable", deploys, a.letsencryptDisable),
		look("letsencrypt:list", reads, a.letsencryptList),
		look("letsencrypt:active", reads, a.letsencryptActive),
		act("letsencrypt:revoke", deploys, a.letsencryptRevoke),
		act("letsencrypt:cleanup", admin, a.letsencryptCleanup),

		// router.go
		follow("router:logs", reads, a.routerLogs),
		look("router:traffic", reads, a.routerTraffic),
		look("router:report", reads, a.routerReport),
		act("router:set", deploys, a.routerSet),
		look("router:report-global", admin, a.routerReportGlobal),
		act("router:set-global", admin, a.routerSetGlobal),
		act("maintenance:on", deploys, a.maintenanceOn),
		act("maintenance:off", deploys, a.maintenanceOff),
		act("http-auth:add-user", deploys, a.httpAuthAdd),
		act("http-auth:remove-user", deploys, a.httpAuthRemove),

		// metrics.go
		act("metrics:token", admin, a.metricsToken),
		act("metrics:off", admin, a.metricsOff),

		// port.go
		look("ports:report", reads, a.portsReport),
		act("ports:add", deploys, a.portsAdd),
		act("ports:remove", deploys, a.portsRemove),
		act("ports:clear", deploys, a.portsClear),

		// keys.go
		look("ssh-keys:list", admin, a.keysList),
		act("ssh-keys:add", admin, a.keysAdd),
		act("ssh-keys:remove", admin, a.keysRemove),
		act("login", reads, a.login),

		// network.go
		look("network:report-global", admin, a.networkReportGlobal),
		act("network:set-global", admin, a.networkSetGlobal),
		look("doctor", admin, a.doctor),

		// connection.go
		look("sessions:list", admin, a.sessionsList),
		act("sessions:end", admin, a.sessionsEnd),

		look("version", reads, a.version),
	}
}

// NoArgs are no arguments.
type NoArgs struct{}

func (NoArgs) target() (string, bool) { return "", false }

// AppArgs name an app.
type AppArgs struct {
	App string `json:"app"`
}

func (a AppArgs) target() (string, bool) { return a.App, true }

// Version is what answers.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

func (a *API) version(context.Context, call, NoArgs) (Version, error) {
	return Version{a.cfg.Version, runtime.Version()}, nil
}

// Login is a link to sign in with, once.
type Login struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (a *API) login(_ context.Context, c call, _ NoArgs) (Login, error) {
	settings, err := a.settings()
	if err != nil {
		return Login{}, err
	}
	if settings.Domain == "" {
		return Login{}, fault.New(fault.Conflict, "E149", "the appliance has no domain yet").
			Hint("berth domains:set-global DOMAIN sets it")
	}
	token, expires, err := a.sessions.Link(c.user)
	if err != nil {
		return Login{}, err
	}
	return Login{"https://" + deploy.AdminHost(settings.Domain) + a.portSuffix() + "/login?token=" + token, expires}, nil
}

// portSuffix stands behind a host in links.
func (a *API) portSuffix() string {
	if a.cfg.HTTPSPort != 0 && a.cfg.HTTPSPort != 443 {
		return fmt.Sprintf(":%d", a.cfg.HTTPSPort)
	}
	return ""
}

// list makes an empty result [] and not null.
func list[T any](records []T, err error) ([]T, error) {
	if records == nil {
		records = []T{}
	}
	return records, err
}

// event remembers that someone did something.
func event(tx *store.Tx, by store.User, app, kind, format string, args ...any) error {
	return tx.AddEvent(store.Event{Time: time.Now(), App: app, By: by.Name, Kind: kind, Text: fmt.Sprintf(format, args...)})
}
