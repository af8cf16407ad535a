package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Domain is a host name, or a path of one, that leads to an app.
type Domain struct {
	Host      string    `json:"host"`               // lower case, ASCII (punycode), no port; *.example.com is each host one label under it
	Path      string    `json:"path,omitempty"`     // "/blog": this path and what is under it; "" is all of the host
	Strip     bool      `json:"strip,omitempty"`    // the app sees its paths without Path
	Redirect  string    `json:"redirect,omitempty"` // the host that requests are sent to, in place of the app
	App       string    `json:"app"`
	CreatedAt time.Time `json:"created_at"`
}

// Address identifies a domain: no two have the same.
func (d Domain) Address() string { return d.Host + d.Path }

// Wildcard tells whether the domain is of many hosts.
func (d Domain) Wildcard() bool { return strings.HasPrefix(d.Host, "*.") }

// Settings are the appliance's own.
type Settings struct {
	// Domain is the global domain: an app answers at APP.DOMAIN, the admin
	// page at berth.DOMAIN and at DOMAIN itself.
	Domain string `json:"domain"`
	// Email is the contact of the ACME account; empty means that certificates
	// come from the appliance's own local CA.
	Email string `json:"email,omitempty"`
	// ACME is the directory address of the CA; empty is Let's Encrypt.
	ACME string `json:"acme,omitempty"`
	// ACMERoots is a PEM bundle that is trusted for the directory, for a CA of one's own.
	ACMERoots string `json:"acme_roots,omitempty"`
	// ACMEKeyID is who we are to a CA that knows its customers; the key is a secret.
	ACMEKeyID string `json:"acme_key_id,omitempty"`
	// ACMEProfile is the kind of certificates that is asked for; empty is the CA's choice.
	ACMEProfile string `json:"acme_profile,omitempty"`
	// ACMEAddresses has the machine's public addresses certified too.
	ACMEAddresses bool `json:"acme_addresses,omitempty"`

	// MetricsToken is the SHA-256 of the token that lets scrapers in; empty lets
	// nobody in.
	MetricsToken string `json:"metrics_token,omitempty"`

	// Fallback is the CA that is asked when the first does not deliver.
	Fallback FallbackCA `json:"fallback,omitzero"`

	// DNSProvider is where records are put that prove names; empty is nowhere.
	DNSProvider string `json:"dns_provider,omitempty"`
	// DNSResolvers are DNS servers for these records, instead of the system's.
	DNSResolvers []string `json:"dns_resolvers,omitempty"`

	// Router holds what router:set --global has set, by the property's name.
	Router map[string]string `json:"router,omitempty"`

	// Network holds what network:set --global has set, by the property's name.
	Network map[string]string `json:"network,omitempty"`

	// Secrets are the credentials that go with the above, by the setting's name.
	// They are kept encrypted, beside the record.
	Secrets map[string]string `json:"-"`
}

// FallbackCA is the second CA.
type FallbackCA struct {
	Server string `json:"server,omitempty"` // empty is none
	Roots  string `json:"roots,omitempty"`
	KeyID  string `json:"key_id,omitempty"`
}

// Secrets that are no DNS provider's.
const (
	SecretMACKey         = "eab-hmac-key"
	SecretFallbackMACKey = "fallback-eab-hmac-key"
)

const secretsPlace = "settings-secrets"

// storedDomain is a domain as it lies in the file: of an id, not of a name.
type storedDomain struct {
	Domain
	Of int `json:"app"` // takes the place of Domain.App
}

func (s storedDomain) of(app string) Domain {
	s.Domain.App = app
	return s.Domain
}

// Domain returns the domain of that address; found is false when no app has it.
func (tx *Tx) Domain(address string) (d Domain, found bool, err error) {
	stored, found, err := get[storedDomain](tx.bucket("domains"), []byte(address))
	if err != nil || !found {
		return d, found, err
	}
	app, err := tx.nameOf(stored.Of)
	return stored.of(app), true, err
}

// Domains returns the domains of an app, by address; "" is of every app.
func (tx *Tx) Domains(app string) (domains []Domain, err error) {
	if app == "" {
		stored, err := all[storedDomain](tx.bucket("domains"))
		names := tx.names()
		for _, s := range stored {
			domains = append(domains, s.of(names[s.Of]))
		}
		return domains, err
	}
	b := tx.of("domainsof", app)
	if b == nil {
		return nil, nil
	}
	err = b.ForEach(func(address, _ []byte) error {
		d, found, err := tx.Domain(string(address))
		if found {
			domains = append(domains, d)
		}
		return err
	})
	return domains, err
}

// DomainsAt returns what leads to apps at a host: the host itself, and paths of it.
func (tx *Tx) DomainsAt(host string) (domains []Domain, err error) {
	c := tx.bucket("domains").Cursor()
	for _, prefix := range []string{host, host + "/"} {
		for address, raw := c.Seek([]byte(prefix)); strings.HasPrefix(string(address), prefix); address, raw = c.Next() {
			if prefix == host && string(address) != host {
				break // "host-2" sorts between the host and its paths
			}
			var stored storedDomain
			if err := json.Unmarshal(raw, &stored); err != nil {
				return nil, fmt.Errorf("read record %q: %w", address, err)
			}
			app, err := tx.nameOf(stored.Of)
			if err != nil {
				return nil, err
			}
			domains = append(domains, stored.of(app))
		}
	}
	return domains, nil
}

// indexDomain notes that a domain is its app's, so that the domains of one app
// cost the same however many the others have.
func (tx *Tx) indexDomain(d Domain) error {
	b, err := tx.makeOf("domainsof", d.App)
	if err != nil {
		return err
	}
	return b.Put([]byte(d.Address()), []byte{})
}

// DomainTaken returns the fault (E104) of an address that leads elsewhere.
func DomainTaken(address, elsewhere string) *fault.Error {
	return fault.New(fault.Conflict, code.DomainTaken, "%s belongs to %s", address, elsewhere)
}

// PutDomain stores a domain, or returns a fault (E104) when another app has it.
func (tx *Tx) PutDomain(d Domain) error {
	old, found, err := tx.Domain(d.Address())
	if err != nil {
		return err
	}
	if found && old.App != d.App {
		return DomainTaken(d.Address(), fmt.Sprintf("the app %q", old.App)).
			Hint("to free it: berth domains:remove %s %s", old.App, d.Address())
	}
	if err := tx.indexDomain(d); err != nil {
		return err
	}
	uid, err := tx.uid(d.App)
	if err != nil {
		return err
	}
	return put(tx.bucket("domains"), []byte(d.Address()), storedDomain{d, uid})
}

// DeleteDomain removes a domain.
func (tx *Tx) DeleteDomain(address string) error {
	d, found, err := tx.Domain(address)
	if err != nil || !found {
		return err
	}
	if b := tx.of("domainsof", d.App); b != nil {
		if err := b.Delete([]byte(address)); err != nil {
			return err
		}
	}
	return tx.bucket("domains").Delete([]byte(address))
}

// Settings returns the appliance's settings.
func (tx *Tx) Settings() (Settings, error) {
	settings, _, err := get[Settings](tx.bucket("meta"), []byte("settings"))
	if err != nil {
		return settings, err
	}
	sealed := tx.bucket("meta").Get([]byte(secretsPlace))
	if sealed == nil {
		return settings, nil
	}
	plain, err := tx.seal.open(secretsPlace, sealed)
	if err != nil {
		return settings, err
	}
	if err := json.Unmarshal(plain, &settings.Secrets); err != nil {
		return settings, fmt.Errorf("read the settings' secrets: %w", err)
	}
	return settings, nil
}

// PutSettings stores the appliance's settings, their secrets encrypted.
func (tx *Tx) PutSettings(s Settings) error {
	if len(s.Secrets) == 0 {
		return errors.Join(tx.bucket("meta").Delete([]byte(secretsPlace)), put(tx.bucket("meta"), []byte("settings"), s))
	}
	plain, err := json.Marshal(s.Secrets)
	if err != nil {
		return err
	}
	if err := tx.bucket("meta").Put([]byte(secretsPlace), tx.seal.seal(secretsPlace, plain)); err != nil {
		return err
	}
	return put(tx.bucket("meta"), []byte("settings"), s)
}
