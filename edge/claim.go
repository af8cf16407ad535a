package edge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// claim is the question whether a user may lead hosts to an app. It is asked in
// the transaction that stores them, and answered nowhere else.
//
// A host that leads elsewhere already is refused to everybody. A user who is
// bound to some apps is a tenant beside others, so there is more that such a
// user may not take (E187):
//
//	shop.GLOBAL, GLOBAL's parents, *.GLOBAL    the operator's names
//	localhost, intranet, 10.0.0.1              the machine's and the network's
//	com, github.io, *.co.uk                    everybody's
//	a parent, child or wildcard of a host      another tenant's
//
// A host that leads to an app of such a user's can be used further, whoever gave
// it: its paths, or a redirect from it.
type claim struct {
	tx       *store.Tx
	settings store.Settings
	by       store.User
	app      string

	all     []store.Domain // of every app; read once, for a bound user
	pending int            // domains that were found right and are added later
}

// maxTenantDomains bounds the domains of an app that such users add: for each,
// the CA is asked by the operator's account, whose orders it counts.
const maxTenantDomains = 100

// check returns nil when the domain may lead to the app, else a fault: E104 for
// what leads elsewhere, E187 for what this user may not take, E199 for too many.
func (c *claim) check(domain store.Domain) error {
	if slices.Contains(AdminHosts(c.settings.Domain), domain.Host) {
		return store.DomainTaken(domain.Host, "the admin page")
	}
	owner, whole, err := c.owner(domain)
	if err != nil {
		return err
	}
	bound, replaces := len(c.by.Apps) > 0, false
	if bound {
		same, taken, err := c.tx.Domain(domain.Address())
		if err != nil {
			return err
		}
		replaces = taken && same.App == c.app
		if owner == "" || !c.mayUse(owner) {
			// First, so that the answer is the same whether the host is another's or free.
			if why := c.reserved(domain); why != "" {
				return c.refuse(domain, why)
			}
		}
		if taken && !c.mayUse(same.App) || owner != "" && !c.mayUse(owner) {
			return c.refuse(domain, otherTenant)
		}
	}
	if owner != "" && owner != c.app && domain.Path == "" && domain.Host == defaultHost(owner, c.settings) {
		return store.DomainTaken(domain.Host, fmt.Sprintf("the app %q", owner))
	}
	if !bound {
		return nil
	}
	if why := c.reserved(domain); !whole && why != "" {
		return c.refuse(domain, why)
	}
	if !replaces {
		if err := c.checkCount(); err != nil {
			return err
		}
	}
	if whole {
		return nil
	}
	return c.checkTenants(domain)
}

// checkCount refuses one more domain of an app that has as many as tenants may
// add. Paths count too: each is a record of its own.
func (c *claim) checkCount() error {
	own, err := c.tx.Domains(c.app)
	if err != nil || len(own)+c.pending < maxTenantDomains {
		return err
	}
	return fault.New(fault.Conflict, code.DomainsFull, "%s has %d domains, and %s may not add more", c.app, len(own), c.by.Name).
		Hint("a key that is not bound to apps can add more")
}

const otherTenant = "it, or a name above or below it, belongs to an app of another user"

// refuse names no other app: a tenant is not to learn of it.
func (c *claim) refuse(domain store.Domain, why string) error {
	return fault.New(fault.Denied, code.DomainForbidden, "%s may not add %s: %s", c.by.Name, domain.Address(), why).
		Hint("an administrator can: berth domains:add %s %s", c.app, domain.Address())
}

func (c *claim) mayUse(app string) bool { return c.by.May(store.RoleDeploy, app) == nil }

// owner returns the app that requests for a domain lead to before the domain is
// added: by the whole host, by its default host or by a wildcard; "" is none.
// whole tells that the host itself leads there, without a wildcard.
func (c *claim) owner(domain store.Domain) (app string, whole bool, err error) {
	label, under, _ := strings.Cut(domain.Host, ".")
	if exact, found, err := c.tx.Domain(domain.Host); err != nil || found {
		return exact.App, true, err
	}
	for _, name := range byName(domain.Host, label, under, c.settings) {
		if _, err := c.tx.App(name); err == nil {
			return name, true, nil
		}
	}
	wild, found, err := c.tx.Domain("*." + under)
	if !found || wild.Address() == domain.Address() {
		return "", false, err
	}
	return wild.App, false, err
}

// byName are the names of apps that would have a host by their name.
func byName(host, label, under string, s store.Settings) (names []string) {
	if isHost(host) {
		names = append(names, host)
	}
	if under == s.Domain {
		names = append(names, label)
	}
	return names
}

// OwnerOf returns the app that a host itself leads to, without a wildcard and
// its paths aside; "" is none.
func OwnerOf(tx *store.Tx, host string) (string, error) {
	settings, err := tx.Settings()
	if err != nil {
		return "", err
	}
	c := claim{tx: tx, settings: settings}
	owner, whole, err := c.owner(store.Domain{Host: host})
	if !whole {
		owner = ""
	}
	return owner, err
}

// reserved says why a host is no tenant's to take; "" is that it may be one's.
func (c *claim) reserved(domain store.Domain) string {
	name, wildcard := strings.CutPrefix(domain.Host, "*.")
	global := c.settings.Domain
	_, err := netip.ParseAddr(name)
	switch {
	case name == global || isUnder(name, global):
		return "it belongs to the global domain"
	case isUnder(global, name):
		return "the global domain is under it"
	case err == nil || !strings.Contains(name, ".") || isUnder(name, "localhost"):
		return "it is a name of this machine or of its network"
	case isPublicSuffix(name) || wildcard && isPublicSuffix("x."+name):
		return "it is a public suffix, under which names are registered"
	}
	return ""
}

// isUnder tells whether a name is below another in the DNS.
func isUnder(name, above string) bool { return above != "" && strings.HasSuffix(name, "."+above) }

func isPublicSuffix(name string) bool {
	suffix, _ := publicsuffix.PublicSuffix(name)
	return suffix == name
}

// checkTenants refuses names above, below and at those of apps that the user
// has no access to. Looking upwards ends at a name of the user's own apps:
// whoever was given blog.example.com has what is under it, whosever example.com is.
func (c *claim) checkTenants(domain store.Domain) error {
	if c.all == nil {
		var err error
		if c.all, err = c.tx.Domains(""); err != nil {
			return err
		}
		apps, err := c.tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			if isHost(app.Name) { // its name is as much its own as a domain that was added
				c.all = append(c.all, store.Domain{Host: app.Name, App: app.Name})
			}
		}
	}
	name, wildcard := strings.CutPrefix(domain.Host, "*.")
	nearest, own := "", false
	for _, other := range c.all {
		base, otherWildcard := strings.CutPrefix(other.Host, "*.")
		mine := c.mayUse(other.App)
		switch {
		case base == name && wildcard == otherWildcard || isUnder(base, name):
			if !mine {
				return c.refuse(domain, otherTenant)
			}
		case base == name || isUnder(name, base):
			if len(base) > len(nearest) {
				nearest, own = base, mine
			} else if base == nearest {
				own = own && mine
			}
		}
	}
	if nearest != "" && !own {
		return c.refuse(domain, otherTenant)
	}
	return nil
}

// CheckDefaultHost refuses the name of an app whose default host leads to
// another one or to the admin page; from is the app's name so far, if it has one.
func CheckDefaultHost(tx *store.Tx, name, from string) error {
	settings, err := tx.Settings()
	if err != nil {
		return err
	}
	return checkDefaultHost(tx, settings, name, from, "an app named "+name)
}

func checkDefaultHost(tx *store.Tx, settings store.Settings, name, from, what string) error {
	host := defaultHost(name, settings)
	if host != "" && slices.Contains(AdminHosts(settings.Domain), host) {
		return fault.New(fault.Conflict, code.DefaultHostTaken, "%s would answer at %s, where the admin page is", what, host).
			Hint("choose another name")
	}
	label, under, _ := strings.Cut(host, ".")
	for _, other := range byName(host, label, under, settings) {
		if other == name || other == from {
			continue
		}
		if _, err := tx.App(other); err == nil {
			return fault.New(fault.Conflict, code.DefaultHostTaken, "%s would answer at %s, as the app %q does by its name", what, host, other).
				Hint("choose another name")
		}
	}
	return checkFree(tx, host, what, from)
}

// checkGlobalDomain refuses a global domain whose names lead to apps already.
func checkGlobalDomain(tx *store.Tx, settings store.Settings) error {
	for _, host := range AdminHosts(settings.Domain) {
		if err := checkFree(tx, host, "the admin page", ""); err != nil {
			return err
		}
	}
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	for _, app := range apps {
		if err := checkDefaultHost(tx, settings, app.Name, app.Name, "the app "+app.Name); err != nil {
			return err
		}
	}
	return nil
}

// checkFree refuses a host that leads to an app other than that one.
func checkFree(tx *store.Tx, host, what, app string) error {
	if host == "" {
		return nil
	}
	domains, err := tx.DomainsAt(host)
	if err != nil {
		return err
	}
	for _, domain := range domains {
		if domain.App != app {
			return fault.New(fault.Conflict, code.DefaultHostTaken, "the default host of %s is %s, which belongs to the app %q", what, domain.Address(), domain.App).
				Hint("to free it: berth domains:remove %s %s", domain.App, domain.Address())
		}
	}
	return nil
}
