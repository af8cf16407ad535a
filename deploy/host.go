package deploy

import (
	"slices"

	"github.com/berthd/berth/store"
)

// AdminHost is the host of the admin page that links name, by the global domain.
func AdminHost(global string) string { return "berth." + global }

// AdminHosts are all hosts of the admin page.
func AdminHosts(global string) []string { return []string{global, AdminHost(global)} }

// defaultHost is the host that an app has by its name; "" without a global domain.
func defaultHost(app string, s store.Settings) string {
	if s.Domain == "" {
		return ""
	}
	return app + "." + s.Domain
}

// host is the default host of an app, whoever has it.
func (d *Deployer) host(app string) string { return defaultHost(app, d.settings()) }

func (d *Deployer) settings() (s store.Settings) {
	err := d.db.View(func(tx *store.Tx) (err error) {
		s, err = tx.Settings()
		return err
	})
	d.warn("the settings cannot be read", err)
	return s
}

// AppDomains is what leads to an app.
type AppDomains struct {
	Added   []store.Domain // by domains:add and domains:redirect, by address
	Default *store.Domain  // the host that the app has by its name; nil if that was added to an app
}

// DomainsOf returns what leads to an app. It alone decides that, for the
// router, certificates, reports and pages.
func DomainsOf(tx *store.Tx, app string) (AppDomains, error) {
	settings, err := tx.Settings()
	if err != nil {
		return AppDomains{}, err
	}
	added, err := tx.Domains(app)
	if err != nil {
		return AppDomains{}, err
	}
	host := defaultHost(app, settings)
	if _, taken, err := tx.Domain(host); err != nil || taken || host == "" {
		return AppDomains{Added: added}, err
	}
	return AppDomains{added, &store.Domain{Host: host, App: app}}, nil
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
