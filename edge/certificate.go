package edge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/router/certificates/dns"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// AnnounceHosts tells Hosts which hosts are to have certificates now, and how.
func (e *Edge) AnnounceHosts() {
	e.announcing.Lock() // what is told last is what was read last
	defer e.announcing.Unlock()
	settings := e.settings()
	acme, err := ACME(settings)
	e.warn("a part of the settings for certificates is not used", err)
	var hosts []certificates.Host
	err = e.db.View(func(tx *store.Tx) error {
		own, err := e.certHosts(tx, store.App{Name: store.AdminPairs}, AdminHosts(settings.Domain))
		if err != nil {
			return err
		}
		hosts = own
		if acme.DNS.Provider != "" { // one certificate for all default hosts
			hosts = append(hosts, certificates.Host{Name: "*." + settings.Domain})
		}
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			names, err := HostsOf(tx, app.Name)
			if err != nil {
				return err
			}
			certified, err := e.certHosts(tx, app, names)
			if err != nil {
				return err
			}
			hosts = append(hosts, certified...)
		}
		return nil
	})
	e.warn("the hosts cannot be read", err)
	e.hosts.SetHosts(settings.Domain, hosts, acme)
}

// AnnounceHostsOf is AnnounceHosts for the changes of one app; a destroyed app
// has no hosts.
func (e *Edge) AnnounceHostsOf(a *fleet.App) {
	e.announcing.Lock()
	defer e.announcing.Unlock()
	name := a.NameUnlessGone()
	var hosts []certificates.Host
	err := e.db.View(func(tx *store.Tx) error {
		if name == "" {
			return nil
		}
		record, err := tx.App(name)
		if err != nil {
			return err
		}
		names, err := HostsOf(tx, name)
		if err != nil {
			return err
		}
		hosts, err = e.certHosts(tx, record, names)
		return err
	})
	if err != nil {
		e.warn("the hosts of an app cannot be read", err, "app", name)
		return
	}
	e.hosts.SetHostsFor(certOwner(a.UID()), hosts)
}

// certOwner names the owner of certificates by the app's user id, which does not
// change when the app is renamed.
func certOwner(uid int) string {
	if uid == 0 {
		return "" // the admin page
	}
	return strconv.Itoa(uid)
}

// certHosts adds to each name how it gets its certificate. A pair for one host
// takes precedence over the app's.
func (e *Edge) certHosts(tx *store.Tx, app store.App, names []string) ([]certificates.Host, error) {
	stored, err := tx.Pairs.Of(app.Name)
	if err != nil {
		return nil, err
	}
	whole, of := (*certificates.Pair)(nil), map[string]*certificates.Pair{}
	for _, p := range stored {
		pair, err := certificates.LoadPair([]byte(p.Chain), []byte(p.Key))
		if err != nil {
			e.warn("a certificate that was given cannot be read", err, "app", app.Name, "host", p.Host)
			continue
		}
		if p.Host == "" {
			whole = pair
		} else {
			of[p.Host] = pair
		}
	}
	hosts := make([]certificates.Host, len(names))
	for i, name := range names {
		hosts[i] = certificates.Host{Name: name, Local: app.LocalCertificates, Own: of[name], For: certOwner(app.UID)}
		if hosts[i].Own != nil || whole == nil || !whole.Covers(name) {
			continue
		}
		others, err := Sharers(tx, app.Name, name)
		if err != nil {
			return nil, err
		}
		if len(others) == 0 {
			hosts[i].Own = whole
		}
	}
	return hosts, nil
}

// Sharers returns the apps that a host leads to besides one that has only paths
// of it: the host's certificate is theirs as much as that app's. An app to which
// the host itself leads shares its certificate with none.
func Sharers(tx *store.Tx, app, host string) (apps []string, err error) {
	owner, err := OwnerOf(tx, host)
	if err != nil || app == store.AdminPairs || owner == app {
		return nil, err
	}
	if owner != "" {
		apps = append(apps, owner)
	}
	domains, err := tx.DomainsAt(host)
	for _, domain := range domains {
		if domain.App != app && !slices.Contains(apps, domain.App) {
			apps = append(apps, domain.App)
		}
	}
	return apps, err
}

// ACME translates the settings of certificates into the router's terms. An
// incomplete part, for example missing credentials of a DNS provider, is left
// out; the error says what is missing.
func ACME(s store.Settings) (acme certificates.ACME, incomplete error) {
	acme = certificates.ACME{Email: s.Email, Addresses: s.ACMEAddresses}
	account := func(name, keyID, secret string) (string, string) {
		key := s.Secrets[secret]
		if (keyID == "") != (key == "") {
			incomplete = errors.Join(incomplete, fmt.Errorf("%s needs both a key ID and an HMAC key", name))
			return "", ""
		}
		return keyID, key
	}
	first := certificates.CA{Directory: s.ACME, Roots: s.ACMERoots, Profile: s.ACMEProfile}
	first.KeyID, first.MACKey = account("the external account", s.ACMEKeyID, store.SecretMACKey)
	acme.CAs = []certificates.CA{first}
	if s.Fallback.Server != "" {
		second := certificates.CA{Directory: s.Fallback.Server, Roots: s.Fallback.Roots}
		second.KeyID, second.MACKey = account("the fallback's external account", s.Fallback.KeyID, store.SecretFallbackMACKey)
		acme.CAs = append(acme.CAs, second)
	}
	if s.DNSProvider != "" {
		known, _ := dns.Settings(s.DNSProvider)
		provider := certificates.DNS{Provider: s.DNSProvider, Resolvers: s.DNSResolvers, Settings: map[string]string{}}
		for _, setting := range known {
			if value := s.Secrets[setting.Name]; value != "" {
				provider.Settings[setting.Name] = value
			}
		}
		if _, err := dns.New(provider.Provider, provider.Settings); err != nil {
			return acme, errors.Join(incomplete, err)
		}
		acme.DNS = provider
	}
	return acme, incomplete
}

// NoCertTarget returns the fault (E179) of a name that is neither an app nor a
// host.
func NoCertTarget(name string) *fault.Error {
	return fault.New(fault.NotFound, code.CertificateUnknown, "there is no app or host named %.80q", name).
		Hint("berth certs:report lists the hosts")
}

// NoOwnCertificate returns the fault (E179) of an app or a host that was given no
// certificate.
func NoOwnCertificate(what string) *fault.Error {
	return fault.New(fault.NotFound, code.CertificateUnknown, "%s has no certificate of its own", what).Hint("berth certs:report shows what serves")
}

// NoHostToCertify returns the fault (E179) of an app without a host.
func NoHostToCertify(app string) *fault.Error {
	return fault.New(fault.Conflict, code.CertificateUnknown, "%s has no host that can have a certificate", app).
		Hint("add a domain: berth domains:add %s DOMAIN", app)
}

// AddPair gives an app's hosts, or one host, a certificate of their own. One
// that browsers would refuse, or that is for other hosts, is a fault (E178).
func (e *Edge) AddPair(ctx context.Context, app, host string, chain, key []byte, by store.User) error {
	pair, sorted, secret, err := certificates.ParsePair(chain, key, time.Now())
	if err != nil {
		return fault.New(fault.Usage, code.CertificateInvalid, "the certificate was rejected: %w", err)
	}
	return e.changePairs(app, by, "added a certificate for "+strings.Join(pair.Hosts(), ", "), func(tx *store.Tx, names []string) error {
		if host != "" {
			names = []string{host}
		}
		if !slices.ContainsFunc(names, pair.Covers) {
			return fault.New(fault.Usage, code.CertificateInvalid, "the certificate is for %s, and not for %s", strings.Join(pair.Hosts(), ", "), strings.Join(names, ", "))
		}
		return tx.Pairs.Put(store.Pair{
			App: app, Host: host, Chain: string(sorted), Key: string(secret), GivenAt: time.Now().UTC(), GivenBy: by.Name,
		})
	})
}

// RemovePair takes the certificate of an app, or of one host, away again. One
// that is not there is a fault (E179).
func (e *Edge) RemovePair(ctx context.Context, app, host string, by store.User) error {
	what := app
	if host != "" {
		what = host
	}
	return e.changePairs(app, by, "removed the certificate of "+what, func(tx *store.Tx, _ []string) error {
		found, err := tx.Pairs.Delete(app, host)
		if err == nil && !found {
			return NoOwnCertificate(what)
		}
		return err
	})
}

// changePairs changes the pairs of an app, or of the admin page (AdminPairs),
// and has them served. change is given the hosts.
func (e *Edge) changePairs(app string, by store.User, text string, change func(tx *store.Tx, names []string) error) error {
	event := store.Event{App: app, By: by.Name, Kind: "certs", Text: text}
	if app == store.AdminPairs {
		event.App = ""
	}
	err := e.db.Update(func(tx *store.Tx) error {
		if app == store.AdminPairs {
			settings, err := tx.Settings()
			if err != nil {
				return err
			}
			return errors.Join(change(tx, AdminHosts(settings.Domain)), tx.AddEvent(event))
		}
		if _, err := tx.App(app); err != nil {
			return err
		}
		names, err := HostsOf(tx, app)
		if err != nil {
			return err
		}
		return errors.Join(change(tx, names), tx.AddEvent(event))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	if app == store.AdminPairs {
		e.AnnounceHosts()
	} else if _, a, err := e.find(app); err == nil {
		e.AnnounceHostsOf(a)
	}
	e.changed(event.App)
	return nil
}

// SetLocalCertificates keeps an app's hosts from the ACME CA, or lets them have
// its certificates again.
func (e *Edge) SetLocalCertificates(ctx context.Context, app string, local bool, by store.User) error {
	text := "enabled certificates of the ACME CA"
	if local {
		text = "disabled certificates of the ACME CA"
	}
	_, a, err := e.find(app)
	if err != nil {
		return err
	}
	err = e.db.Update(func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		record.LocalCertificates = local
		return errors.Join(tx.PutApp(record), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "certs", Text: text}))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	e.AnnounceHostsOf(a)
	e.changed(app)
	return nil
}

// CertifiedHosts returns the hosts that have, or could have, certificates, by
// their app; the admin page's are AdminPairs'.
func CertifiedHosts(tx *store.Tx) (map[string][]string, error) {
	settings, err := tx.Settings()
	if err != nil {
		return nil, err
	}
	hosts := map[string][]string{store.AdminPairs: AdminHosts(settings.Domain)}
	apps, err := tx.Apps()
	if err != nil {
		return nil, err
	}
	for _, app := range apps {
		if hosts[app.Name], err = HostsOf(tx, app.Name); err != nil {
			return nil, err
		}
	}
	return hosts, nil
}
