package deploy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// host is the default host of an app.
func (d *Deployer) host(app string) string {
	return app + "." + d.settings().Domain
}

func (d *Deployer) settings() (s store.Settings) {
	err := d.db.View(func(tx *store.Tx) (err error) {
		s, err = tx.Settings()
		return err
	})
	d.warn("the settings cannot be read", err)
	return s
}

// domainsOf lists what leads to an app, its own domains first. The default host
// comes last, unless it was given to another app as a domain.
func domainsOf(tx *store.Tx, app string) ([]store.Domain, error) {
	settings, err := tx.Settings()
	if err != nil {
		return nil, err
	}
	domains, err := tx.Domains(app)
	if err != nil {
		return nil, err
	}
	usual := store.Domain{Host: app + "." + settings.Domain, App: app}
	if _, given, err := tx.Domain(usual.Address()); err != nil || given {
		return domains, err
	}
	return append(domains, usual), nil
}

// hostsOf lists the hosts of what leads to an app, wildcards and redirects
// among them, each once.
func hostsOf(tx *store.Tx, app string) (hosts []string, err error) {
	domains, err := domainsOf(tx, app)
	for _, domain := range domains {
		if !slices.Contains(hosts, domain.Host) {
			hosts = append(hosts, domain.Host)
		}
	}
	return hosts, err
}

// urls lists the addresses of an app for people, who can open neither a
// wildcard nor a redirect.
func (d *Deployer) urls(app string) []string {
	var domains []store.Domain
	err := d.db.View(func(tx *store.Tx) (err error) {
		domains, err = domainsOf(tx, app)
		return err
	})
	d.warn("the domains of an app cannot be read", err, "app", app)
	domains = slices.DeleteFunc(domains, func(domain store.Domain) bool { return domain.Wildcard() || domain.Redirect != "" })
	if n := len(domains); n > 1 && domains[n-1].Host == d.host(app) {
		domains = domains[:n-1] // who has a domain of their own wants to see that
	}
	urls := make([]string, len(domains))
	for n, domain := range domains {
		urls[n] = "https://" + d.withPort(domain.Host) + domain.Path
	}
	return urls
}

func (d *Deployer) withPort(host string) string {
	if d.cfg.HTTPSPort == 0 || d.cfg.HTTPSPort == 443 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(d.cfg.HTTPSPort))
}

// gitURL is the address to push an app to.
func (d *Deployer) gitURL(app string) string {
	domain := d.settings().Domain
	if d.cfg.SSHPort == 0 || d.cfg.SSHPort == 22 {
		return fmt.Sprintf("berth@%s:%s", domain, app)
	}
	return fmt.Sprintf("ssh://berth@%s:%d/%s", domain, d.cfg.SSHPort, app)
}

// sshCommand is how berth's commands are reached from elsewhere.
func (d *Deployer) sshCommand() string {
	domain := d.settings().Domain
	if d.cfg.SSHPort == 0 || d.cfg.SSHPort == 22 {
		return "ssh berth@" + domain
	}
	return fmt.Sprintf("ssh -p %d berth@%s", d.cfg.SSHPort, domain)
}

// AddDomains leads domains to an app, or from one host to another where they
// are redirects. Their hosts must be valid names in lower case and ASCII. One
// that another app has is a fault (E104), and so is a redirect that would never
// end (E184). Who takes a host or a path out of what leads to another app needs
// access to that one too (E111).
func (d *Deployer) AddDomains(ctx context.Context, app string, domains []store.Domain, by store.User) error {
	global := d.settings().Domain
	return d.changeDomains(app, by, "added "+addresses(domains), nil, func(tx *store.Tx) error {
		for _, domain := range domains {
			host := domain.Host
			if host == global || host == "berth."+global {
				return fault.New(fault.Conflict, "E104", "%s leads to the admin page", host)
			}
			owner, err := ownerOf(tx, domain, global)
			if err != nil {
				return err
			}
			if owner != "" && owner != app {
				if host == owner+"."+global && domain.Path == "" {
					return fault.New(fault.Conflict, "E104", "%s leads to the app %q already", host, owner)
				}
				if err := by.May(store.RoleDeploy, owner); err != nil {
					return err
				}
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

// ownerOf returns the app that requests for a domain lead to as long as it is
// nobody's: by the whole host, by its default host or by a wildcard; "" is none.
func ownerOf(tx *store.Tx, domain store.Domain, global string) (string, error) {
	label, under, _ := strings.Cut(domain.Host, ".")
	for _, address := range []string{domain.Host, "*." + under} {
		if above, found, err := tx.Domain(address); err != nil || found && address != domain.Address() {
			return above.App, err
		}
		if address == domain.Host && under == global {
			if _, err := tx.App(label); err == nil {
				return label, nil
			}
		}
	}
	return "", nil
}

// checkRedirect follows a redirect along those that there are.
func checkRedirect(tx *store.Tx, domain store.Domain) error {
	passed := []string{domain.Host}
	for to := domain.Redirect; to != ""; {
		if slices.Contains(passed, to) {
			return fault.New(fault.Usage, "E184", "%s would be sent to itself", domain.Host).
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
func (d *Deployer) RemoveDomains(ctx context.Context, app string, addresses []string, by store.User) error {
	return d.changeDomains(app, by, "removed "+strings.Join(addresses, ", "), addresses, func(tx *store.Tx) error {
		for _, address := range addresses {
			domain, found, err := tx.Domain(address)
			if err != nil {
				return err
			}
			if !found || domain.App != app {
				return fault.New(fault.NotFound, "E113", "%s has no domain %s", app, address).Hint("berth domains:report %s shows them", app)
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
func (d *Deployer) changeDomains(app string, by store.User, text string, freed []string, change func(tx *store.Tx) error) error {
	_, a, err := d.find(app)
	if err != nil {
		return err
	}
	err = d.db.Update(func(tx *store.Tx) error {
		if _, err := tx.App(app); err != nil { // destroyed or renamed just now: its domains would be nobody's
			return err
		}
		return change(tx)
	})
	if err != nil {
		return d.full(err)
	}
	d.reroute(a)
	d.announceHostsOf(a)
	d.giveBack(freed)
	d.happened(store.Event{App: app, By: by.Name, Kind: "domains", Text: text})
	return nil
}

// giveBack routes those apps that have their default host back, now that nobody
// has it as a domain any more.
func (d *Deployer) giveBack(freed []string) {
	global := d.settings().Domain
	for _, address := range freed {
		name, under, _ := strings.Cut(address, ".")
		if under != global {
			continue
		}
		if _, a, err := d.find(name); err == nil {
			d.reroute(a)
			d.announceHostsOf(a)
		}
	}
}

// SetSettings changes the appliance's settings and routes all apps by them.
func (d *Deployer) SetSettings(ctx context.Context, change func(*store.Settings) error, by store.User) (settings store.Settings, err error) {
	err = d.db.Update(func(tx *store.Tx) error {
		if settings, err = tx.Settings(); err != nil {
			return err
		}
		if err := change(&settings); err != nil {
			return err
		}
		return tx.PutSettings(settings)
	})
	if err != nil {
		return settings, d.full(err)
	}
	d.announceHosts() // the admin page's first: an app cannot take over its host
	for _, a := range d.all() {
		d.reroute(a)
	}
	d.happened(store.Event{By: by.Name, Kind: "settings", Text: "changed the settings"})
	return settings, nil
}

// all returns the live half of every app.
func (d *Deployer) all() []*app {
	d.mu.Lock()
	defer d.mu.Unlock()
	apps := make([]*app, 0, len(d.apps))
	for _, a := range d.apps {
		apps = append(apps, a)
	}
	return apps
}
