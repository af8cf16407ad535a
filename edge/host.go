package edge

import (
	"slices"
	"strings"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// AdminHost is the host of the admin page that links name, by the global domain.
func AdminHost(global string) string { return "berth." + global }

// AdminHosts are all hosts of the admin page.
func AdminHosts(global string) []string { return []string{global, AdminHost(global)} }

// defaultHost is the host that an app has by its name: below the global domain, or
// the name itself when it is a host's, as on Dokku. It is "" without a global domain.
func defaultHost(app string, s store.Settings) string {
	switch {
	case isHost(app):
		return app
	case s.Domain == "":
		return ""
	}
	return app + "." + s.Domain
}

// isHost tells whether an app's name is a host of its own, under no domain of ours.
func isHost(app string) bool { return strings.Contains(app, ".") }

// host is the default host of an app, whoever has it.
func (e *Edge) host(app string) string { return defaultHost(app, e.settings()) }

// visited lists the hosts by which visitors reach an app, its own domains
// first. The default host comes last: an app with domains of its own may
// refuse it.
func (e *Edge) visited(app string) (hosts []string) {
	var domains AppDomains
	err := e.db.View(func(tx *store.Tx) (err error) {
		domains, err = DomainsOf(tx, app)
		return err
	})
	e.warn("the domains of an app cannot be read", err, "app", app)
	usual := e.host(app)
	for _, domain := range domains.Added {
		if domain.Wildcard() || domain.Redirect != "" || domain.Host == usual || slices.Contains(hosts, domain.Host) {
			continue
		}
		hosts = append(hosts, domain.Host)
	}
	hosts = hosts[:min(len(hosts), fleet.MostVisited-1)]
	if domains.Default == nil && len(hosts) > 0 { // it leads to another app, or to none
		return hosts
	}
	return append(hosts, usual)
}

func (e *Edge) settings() (s store.Settings) {
	err := e.db.View(func(tx *store.Tx) (err error) {
		s, err = tx.Settings()
		return err
	})
	e.warn("the settings cannot be read", err)
	return s
}

// AppDomains is what leads to an app.
type AppDomains struct {
	Added   []store.Domain // by domains:add and domains:redirect, by address
	Default *store.Domain  // the host that the app has by its name; nil if that was added to an app, or cleared
}

// DomainsOf returns what leads to an app: nothing after domains:disable. It alone
// decides that, for the router, certificates, reports and pages.
func DomainsOf(tx *store.Tx, app string) (AppDomains, error) {
	settings, err := tx.Settings()
	if err != nil {
		return AppDomains{}, err
	}
	record, err := tx.App(app)
	if err != nil && !isNotFound(err) {
		return AppDomains{}, err
	}
	if record.Hosts.Off {
		return AppDomains{}, nil
	}
	added, err := tx.Domains(app)
	if err != nil || record.Hosts.NoDefault {
		return AppDomains{Added: added}, err
	}
	host := defaultHost(app, settings)
	if _, taken, err := tx.Domain(host); err != nil || taken || host == "" {
		return AppDomains{Added: added}, err
	}
	return AppDomains{added, &store.Domain{Host: host, App: app}}, nil
}

func isNotFound(err error) bool {
	f := fault.From(err)
	return f != nil && f.Kind == fault.NotFound
}

// All returns every domain, the default one last.
func (d AppDomains) All() []store.Domain {
	if d.Default == nil {
		return d.Added
	}
	return append(slices.Clone(d.Added), *d.Default)
}

// HostsOf returns the hosts of what leads to an app, wildcards and redirects
// among them, each once.
func HostsOf(tx *store.Tx, app string) (hosts []string, err error) {
	domains, err := DomainsOf(tx, app)
	for _, domain := range domains.All() {
		if !slices.Contains(hosts, domain.Host) {
			hosts = append(hosts, domain.Host)
		}
	}
	return hosts, err
}
