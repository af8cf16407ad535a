package edge

import (
	"context"
	"slices"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// DomainsAs says what all of an app's domains are to be: those named, and the
// host that it has by its name, or not. Redirects are domains:redirect's, and stay.
type DomainsAs struct {
	Domains []store.Domain
	Default bool
}

// ReplaceDomains leads exactly these domains to an app. Whether the user may
// lead them there is decided by claim, as in AddDomains; when one of them cannot
// be, nothing changes. The app's default host among them is what it has by its
// name.
func (e *Edge) ReplaceDomains(ctx context.Context, app string, as DomainsAs, by store.User) error {
	var freed []string
	text := "cleared the domains"
	switch {
	case len(as.Domains) > 0:
		text = "set the domains " + addresses(as.Domains)
	case as.Default:
		text = "reset the domains"
	}
	err := e.changeDomains(app, by, text, nil, func(tx *store.Tx) error {
		freed = nil
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		before, err := tx.Domains(app)
		if err != nil {
			return err
		}
		claim := claim{tx: tx, settings: settings, by: by, app: app}
		for _, domain := range as.Domains { // before the old ones are gone: what a tenant was given, it keeps
			if err := claim.check(domain); err != nil {
				return err
			}
			if !slices.ContainsFunc(before, func(old store.Domain) bool { return old.Address() == domain.Address() }) {
				claim.pending++ // it is added below
			}
		}
		stays := map[string]bool{}
		for _, domain := range as.Domains {
			if domain.Path == "" && domain.Host == defaultHost(app, settings) {
				as.Default = true
				continue
			}
			stays[domain.Address()] = true
		}
		for _, old := range before {
			if old.Redirect == "" && !stays[old.Address()] {
				freed = append(freed, old.Address())
				if err := tx.DeleteDomain(old.Address()); err != nil {
					return err
				}
			}
		}
		for _, domain := range as.Domains {
			if !stays[domain.Address()] {
				continue
			}
			domain.App, domain.CreatedAt = app, time.Now().UTC()
			if err := tx.PutDomain(domain); err != nil {
				return err
			}
		}
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		record.Hosts.NoDefault = !as.Default
		return tx.PutApp(record)
	})
	if err == nil {
		e.GiveBack(freed)
	}
	return err
}

// SetHostless takes an app off all of its hosts, or puts it back. Its domains
// stay its own meanwhile.
func (e *Edge) SetHostless(ctx context.Context, app string, off bool, by store.User) error {
	text := "enabled the domains"
	if off {
		text = "disabled the domains"
	}
	return e.changeDomains(app, by, text, nil, func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		record.Hosts.Off = off
		return tx.PutApp(record)
	})
}

// enableHosts puts an app back on its hosts: whoever adds a domain wants it led
// there.
func enableHosts(tx *store.Tx, app string) error {
	record, err := tx.App(app)
	if err != nil || !record.Hosts.Off {
		return err
	}
	record.Hosts.Off = false
	return tx.PutApp(record)
}

// removeDefault takes the host off an app that it has by its name; found is false
// when that is not the address.
func removeDefault(tx *store.Tx, app, address string) (found bool, err error) {
	settings, err := tx.Settings()
	if err != nil || address != defaultHost(app, settings) {
		return false, err
	}
	record, err := tx.App(app)
	if err != nil || record.Hosts.NoDefault {
		return false, err
	}
	record.Hosts.NoDefault = true
	return true, tx.PutApp(record)
}

// NoHost returns the fault (E419) of an app that has no address.
func NoHost(app string) *fault.Error {
	return fault.New(fault.NotFound, code.AppHostless, "no host points to %s", app).
		Hint("berth domains:enable %s, berth domains:reset %s or berth domains:add %s DOMAIN gives it one", app, app, app)
}
