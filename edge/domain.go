package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// URLs lists the addresses of an app for people, who can open neither a
// wildcard nor a redirect.
func (e *Edge) URLs(app string) []string {
	var leads AppDomains
	err := e.db.View(func(tx *store.Tx) (err error) {
		leads, err = DomainsOf(tx, app)
		return err
	})
	e.warn("the domains of an app cannot be read", err, "app", app)
	closed := func(domain store.Domain) bool { return domain.Wildcard() || domain.Redirect != "" }
	domains := slices.DeleteFunc(leads.Added, closed)
	if len(domains) == 0 && leads.Default != nil { // who has a domain of their own wants to see that
		domains = append(domains, *leads.Default)
	}
	urls := make([]string, len(domains))
	for n, domain := range domains {
		urls[n] = "https://" + e.withPort(domain.Host) + domain.Path
	}
	return urls
}

func (e *Edge) withPort(host string) string {
	if e.cfg.HTTPSPort == 0 || e.cfg.HTTPSPort == 443 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(e.cfg.HTTPSPort))
}

// GitURL is the address to push an app to.
func (e *Edge) GitURL(app string) string { return GitURL(e.settings().Domain, e.cfg.SSHPort, app) }

// GitURL is the address to push an app to, at a host of the machine.
func GitURL(host string, sshPort int, app string) string {
	if sshPort == 0 || sshPort == 22 {
		return fmt.Sprintf("berth@%s:%s", host, app)
	}
	return fmt.Sprintf("ssh://berth@%s:%d/%s", host, sshPort, app)
}

// SSHCommand is how berth's commands are reached from elsewhere.
func (e *Edge) SSHCommand() string { return SSHCommand(e.settings().Domain, e.cfg.SSHPort) }

// SSHCommand is how berth's commands are reached at a host of the machine.
func SSHCommand(host string, sshPort int) string {
	if sshPort == 0 || sshPort == 22 {
		return "ssh berth@" + host
	}
	return fmt.Sprintf("ssh -p %d berth@%s", sshPort, host)
}

// AddDomains leads domains to an app, or from one host to another where they
// are redirects. Their hosts must be valid names in lower case and ASCII.
// Whether the user may lead them there is decided by claim; a redirect that
// would never end is a fault (E184).
func (e *Edge) AddDomains(ctx context.Context, app string, domains []store.Domain, by store.User) error {
	return e.changeDomains(app, by, "added "+addresses(domains), nil, func(tx *store.Tx) error {
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		if err := enableHosts(tx, app); err != nil {
			return err
		}
		claim := claim{tx: tx, settings: settings, by: by, app: app}
		for _, domain := range domains {
			if err := claim.check(domain); err != nil {
				return err
			}
			if err := checkRedirect(tx, domain); err != nil {
				return err
			}
			domain.App, domain.CreatedAt = app, time.Now().UTC()
			if err := tx.PutDomain(domain); err != nil {
				return err
			}
		}
		return nil
	})
}

func addresses(domains []store.Domain) string {
	names := make([]string, len(domains))
	for n, domain := range domains {
		if names[n] = domain.Address(); domain.Redirect != "" {
			names[n] += " to " + domain.Redirect
		}
	}
	return strings.Join(names, ", ")
}

// checkRedirect follows a redirect along those that there are.
func checkRedirect(tx *store.Tx, domain store.Domain) error {
	passed := []string{domain.Host}
	for to := domain.Redirect; to != ""; {
		if slices.Contains(passed, to) {
			return fault.New(fault.Usage, code.RedirectLoop, "%s would redirect to itself", domain.Host).
				With(strings.Join(append(passed, to), " -> "))
		}
		passed = append(passed, to)
		next, _, err := tx.Domain(to)
		if err != nil {
			return err
		}
		to = next.Redirect
	}
	return nil
}

// RemoveDomains takes domains off an app by their addresses: hosts, or hosts
// with paths. One that it does not have is a fault (E113).
func (e *Edge) RemoveDomains(ctx context.Context, app string, addresses []string, by store.User) error {
	return e.changeDomains(app, by, "removed "+strings.Join(addresses, ", "), addresses, func(tx *store.Tx) error {
		for _, address := range addresses {
			domain, found, err := tx.Domain(address)
			if err != nil {
				return err
			}
			if !found || domain.App != app {
				if byName, err := removeDefault(tx, app, address); byName || err != nil {
					if err != nil {
						return err
					}
					continue
				}
				return fault.New(fault.NotFound, code.DomainUnknown, "%s has no domain %s", app, address).Hint("berth domains:report %s shows them", app)
			}
			if err := tx.DeleteDomain(address); err != nil {
				return err
			}
		}
		return nil
	})
}

// changeDomains changes an app's domains; freed are the addresses that it lets
// go of.
func (e *Edge) changeDomains(app string, by store.User, text string, freed []string, change func(tx *store.Tx) error) error {
	_, a, err := e.find(app)
	if err != nil {
		return err
	}
	var sharing []string // a host's certificate with this app, before or after
	err = e.db.Update(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil { // destroyed or renamed just now: no app would have its domains
			return err
		}
		before, err := sharingWith(tx, app)
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, err := sharingWith(tx, app)
		sharing = slices.Concat(before, after)
		return errors.Join(err, tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "domains", Text: text}))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	a.Reroute()
	e.AnnounceHostsOf(a)
	slices.Sort(sharing)
	for _, other := range slices.Compact(sharing) {
		if _, a, err := e.find(other); err == nil {
			e.AnnounceHostsOf(a)
		}
	}
	e.GiveBack(freed)
	e.changed(app)
	return nil
}

// sharingWith returns the other apps that have something at a host of an app's.
func sharingWith(tx *store.Tx, app string) (others []string, err error) {
	hosts, err := HostsOf(tx, app)
	for _, host := range hosts {
		domains, err := tx.DomainsAt(host)
		if err != nil {
			return nil, err
		}
		for _, domain := range domains {
			if domain.App != app {
				others = append(others, domain.App)
			}
		}
	}
	return others, err
}

// GiveBack routes the default hosts of apps again that no app has as a domain
// any longer.
func (e *Edge) GiveBack(freed []string) {
	global := e.settings().Domain
	for _, address := range freed {
		label, under, _ := strings.Cut(address, ".")
		for _, name := range byName(address, label, under, store.Settings{Domain: global}) {
			if _, a, err := e.find(name); err == nil {
				a.Reroute()
				e.AnnounceHostsOf(a)
			}
		}
	}
}

// SetSettings changes the appliance's settings and routes all apps by them. A
// global domain that would take a host from an app is a fault (E189).
func (e *Edge) SetSettings(ctx context.Context, change func(*store.Settings) error, by store.User) (settings store.Settings, err error) {
	err = e.db.Update(func(tx *store.Tx) error {
		if settings, err = tx.Settings(); err != nil {
			return err
		}
		before := settings.Domain
		if err := change(&settings); err != nil {
			return err
		}
		if settings.Domain != before {
			if err := checkGlobalDomain(tx, settings); err != nil {
				return err
			}
		}
		return errors.Join(tx.PutSettings(settings), tx.AddEvent(store.Event{By: by.Name, Kind: "settings", Text: "changed the settings"}))
	})
	if err != nil {
		return settings, fault.ExplainDiskFull(err)
	}
	e.AnnounceHosts() // the admin page's first: an app cannot take over its host
	for _, a := range e.cfg.Apps.All() {
		a.Reroute()
	}
	e.changed("")
	return settings, nil
}
