package deploy

import (
	"context"
	"fmt"
	"net"
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

// hostsOf lists the hosts that lead to an app, its own domains first. The
// default host comes last, unless it was given to another app as a domain.
func (d *Deployer) hostsOf(app string) (hosts []string, err error) {
	err = d.db.View(func(tx *store.Tx) error {
		hosts, err = hostsOf(tx, app)
		return err
	})
	return hosts, err
}

func hostsOf(tx *store.Tx, app string) (hosts []string, err error) {
	settings, err := tx.Settings()
	if err != nil {
		return nil, err
	}
	domains, err := tx.Domains(app)
	if err != nil {
		return nil, err
	}
	for _, domain := range domains {
		hosts = append(hosts, domain.Host)
	}
	usual := app + "." + settings.Domain
	if _, given, err := tx.Domain(usual); err != nil || given {
		return hosts, err
	}
	return append(hosts, usual), nil
}

// urls lists the addresses of an app for people.
func (d *Deployer) urls(app string) []string {
	hosts, err := d.hostsOf(app)
	d.warn("the hosts of an app cannot be read", err, "app", app)
	if usual := d.host(app); len(hosts) > 1 && hosts[len(hosts)-1] == usual {
		hosts = hosts[:len(hosts)-1] // who has a domain of their own wants to see that
	}
	urls := make([]string, len(hosts))
	for n, host := range hosts {
		urls[n] = "https://" + d.withPort(host)
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

// AddDomains leads hosts to an app. They must be valid host names in lower
// case and ASCII; one that another app has is a fault (E104).
func (d *Deployer) AddDomains(ctx context.Context, app string, hosts []string, by store.User) error {
	global := d.settings().Domain
	return d.changeDomains(app, by, "added "+strings.Join(hosts, ", "), func(tx *store.Tx) error {
		for _, host := range hosts {
			if host == global || host == "berth."+global {
				return fault.New(fault.Conflict, "E104", "%s leads to the admin page", host)
			}
			if name, under := strings.CutSuffix(host, "."+global); under && name != app {
				if _, err := tx.App(name); err == nil {
					return fault.New(fault.Conflict, "E104", "%s leads to the app %q already", host, name)
				}
			}
			if err := tx.PutDomain(store.Domain{Host: host, App: app, CreatedAt: time.Now().UTC()}); err != nil {
				return err
			}
		}
		return nil
	})
}

// RemoveDomains takes hosts off an app. One that it does not have is a fault (E113).
func (d *Deployer) RemoveDomains(ctx context.Context, app string, hosts []string, by store.User) error {
	return d.changeDomains(app, by, "removed "+strings.Join(hosts, ", "), func(tx *store.Tx) error {
		for _, host := range hosts {
			domain, found, err := tx.Domain(host)
			if err != nil {
				return err
			}
			if !found || domain.App != app {
				return fault.New(fault.NotFound, "E113", "%s has no domain %s", app, host).Hint("berth domains:report %s shows them", app)
			}
			if err := tx.DeleteDomain(host); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *Deployer) changeDomains(app string, by store.User, text string, change func(tx *store.Tx) error) error {
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
	for _, other := range d.all() { // one may get its default host back
		d.reroute(other)
	}
	d.announceHosts()
	d.happened(store.Event{App: app, By: by.Name, Kind: "domains", Text: text})
	return nil
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
