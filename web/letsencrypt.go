package web

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/router/certificates/dns"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// enablePatience is how long letsencrypt:enable waits for the CA's answer. A
// challenge takes seconds; one by DNS waits for the record to be seen.
const enablePatience = 90 * time.Second

// dnsSetting begins a property that is a setting of the DNS provider, as in
// Dokku's plugin.
const dnsSetting = "dns-provider-"

// SetArgs give a property its value; an empty value takes it back.
type SetArgs struct {
	NoArgs
	Property string `json:"property"`
	Value    string `json:"value"`
}

// LetsEncrypt is how certificates come about. It holds no secret.
type LetsEncrypt struct {
	Email     string `json:"email"`             // empty: the appliance's own CA
	Server    string `json:"server"`            // ACME directory; empty is Let's Encrypt
	Roots     bool   `json:"roots"`             // a CA bundle of one's own is trusted for it
	Profile   string `json:"profile,omitempty"` // the kind of certificates
	KeyID     string `json:"eab_kid,omitempty"`
	Addresses bool   `json:"ip_addresses,omitempty"` // the machine's addresses are certified too

	Fallback      string `json:"fallback_server,omitempty"`
	FallbackKeyID string `json:"fallback_eab_kid,omitempty"`

	DNSProvider  string   `json:"dns_provider,omitempty"`
	DNSSettings  []string `json:"dns_settings,omitempty"` // the names of those that are set
	DNSResolvers []string `json:"dns_resolvers,omitempty"`

	Incomplete string `json:"incomplete,omitempty"` // what is missing, and not used until then
}

func (a *API) letsencryptReport(context.Context, call, NoArgs) (LetsEncrypt, error) {
	settings, err := a.settings()
	return letsencrypt(settings), err
}

func letsencrypt(s store.Settings) LetsEncrypt {
	now := LetsEncrypt{
		Email: s.Email, Server: s.ACME, Roots: s.ACMERoots != "", Profile: s.ACMEProfile, KeyID: s.ACMEKeyID, Addresses: s.ACMEAddresses,
		Fallback: s.Fallback.Server, FallbackKeyID: s.Fallback.KeyID,
		DNSProvider: s.DNSProvider, DNSResolvers: s.DNSResolvers,
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		if _, ok := dns.Canonical(name); ok {
			now.DNSSettings = append(now.DNSSettings, name)
		}
	}
	if _, err := deploy.ACME(s); err != nil {
		now.Incomplete = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return now
}

func (a *API) letsencryptSet(ctx context.Context, c call, args SetArgs) (LetsEncrypt, error) {
	settings, err := a.deployer.SetSettings(ctx, func(s *store.Settings) error { return setProperty(s, args.Property, args.Value) }, c.user)
	return letsencrypt(settings), err
}

// property is one that letsencrypt:set knows.
type property struct {
	name string
	set  func(s *store.Settings, value string) error
}

func properties() []property {
	text := func(field func(*store.Settings) *string, check func(string) (string, error)) func(*store.Settings, string) error {
		return func(s *store.Settings, value string) (err error) {
			if value != "" && check != nil {
				if value, err = check(value); err != nil {
					return err
				}
			}
			*field(s) = value
			return nil
		}
	}
	secret := func(name string) func(*store.Settings, string) error {
		return func(s *store.Settings, value string) error { setSecret(s, name, value); return nil }
	}
	return []property{
		{"email", text(func(s *store.Settings) *string { return &s.Email }, emailAddress)},
		{"server", text(func(s *store.Settings) *string { return &s.ACME }, directory)},
		{"roots", text(func(s *store.Settings) *string { return &s.ACMERoots }, bundle)},
		{"profile", text(func(s *store.Settings) *string { return &s.ACMEProfile }, word)},
		{"eab-kid", text(func(s *store.Settings) *string { return &s.ACMEKeyID }, word)},
		{store.SecretMACKey, secret(store.SecretMACKey)},
		{"fallback-server", text(func(s *store.Settings) *string { return &s.Fallback.Server }, directory)},
		{"fallback-roots", text(func(s *store.Settings) *string { return &s.Fallback.Roots }, bundle)},
		{"fallback-eab-kid", text(func(s *store.Settings) *string { return &s.Fallback.KeyID }, word)},
		{store.SecretFallbackMACKey, secret(store.SecretFallbackMACKey)},
		{"ip-addresses", func(s *store.Settings, value string) error {
			switch value {
			case "on", "true":
				s.ACMEAddresses = true
			case "off", "false", "":
				s.ACMEAddresses = false
			default:
				return fault.New(fault.Usage, "E155", "ip-addresses is on or off")
			}
			return nil
		}},
		{"dns-provider", text(func(s *store.Settings) *string { return &s.DNSProvider }, func(name string) (string, error) {
			canonical, ok := dns.Name(name)
			if !ok {
				return "", fault.New(fault.Usage, "E155", "there is no DNS provider %.60q", name).Hint("there is %s", strings.Join(dns.Names(), ", "))
			}
			return canonical, nil
		})},
		{"dns-resolvers", func(s *store.Settings, value string) error {
			s.DNSResolvers = nil
			for resolver := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == ' ' }) {
				host := resolver
				if h, _, err := net.SplitHostPort(resolver); err == nil {
					host = h
				}
				if host == "" || strings.ContainsAny(resolver, "/@") {
					return fault.New(fault.Usage, "E155", "%.80q is not the address of a DNS resolver", resolver)
				}
				s.DNSResolvers = append(s.DNSResolvers, resolver)
			}
			return nil
		}},
	}
}

// setProperty never puts a value into an error unless it is no secret.
func setProperty(s *store.Settings, name, value string) error {
	names := []string{}
	for _, p := range properties() {
		if p.name == name {
			return p.set(s, value)
		}
		names = append(names, p.name)
	}
	if setting, ok := strings.CutPrefix(name, dnsSetting); ok {
		canonical, known := dns.Canonical(setting)
		if !known {
			return fault.New(fault.Usage, "E155", "no DNS provider has a setting %.60q", setting).Hint("%s", settingsHint(s.DNSProvider))
		}
		setSecret(s, canonical, value)
		return nil
	}
	switch {
	case name == "graceperiod":
		return fault.New(fault.Usage, "E155", "there is no grace period to set: a certificate is renewed when its CA says so, or when a third of its life is left")
	case strings.HasPrefix(name, "lego-"):
		return fault.New(fault.Usage, "E155", "there is no lego here that could take arguments").Hint("its settings have properties of their own: %s", strings.Join(names, ", "))
	}
	return fault.New(fault.Usage, "E155", "letsencrypt has no property %.60q", name).
		Hint("it has %s, and %sNAME for the settings of a DNS provider", strings.Join(names, ", "), dnsSetting)
}

func settingsHint(provider string) string {
	settings, ok := dns.Settings(provider)
	if !ok {
		return "dns-provider chooses one of " + strings.Join(dns.Names(), ", ")
	}
	var names []string
	for _, s := range settings {
		names = append(names, s.Name)
	}
	return provider + " has " + strings.Join(names, ", ")
}

func setSecret(s *store.Settings, name, value string) {
	secrets := map[string]string{}
	maps.Copy(secrets, s.Secrets)
	if secrets[name] = value; value == "" {
		delete(secrets, name)
	}
	s.Secrets = secrets
}

func emailAddress(value string) (string, error) {
	address, err := mail.ParseAddress(value)
	if err != nil || address.Address != value {
		return "", fault.New(fault.Usage, "E155", "%.80q is not an e-mail address", value)
	}
	return value, nil
}

func directory(value string) (string, error) {
	if known, ok := certificates.Directory(value); ok {
		return known, nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", fault.New(fault.Usage, "E155", "%.80q is not the https address of an ACME directory", value).
			Hint("letsencrypt, staging and zerossl are known by name")
	}
	return value, nil
}

func bundle(value string) (string, error) {
	if !holdsCertificates(value) {
		return "", fault.New(fault.Usage, "E155", "the value of roots holds no certificates as PEM")
	}
	return value, nil
}

func word(value string) (string, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(value) > 500 {
		return "", fault.New(fault.Usage, "E155", "this value is no single word")
	}
	return value, nil
}

func holdsCertificates(bundle string) bool {
	rest, found := []byte(bundle), false
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return false
		}
		found = true
	}
}

// letsencryptEnable lets the ACME CA certify an app's hosts, which it does by
// itself unless somebody said otherwise, asks it now for what is missing, and
// waits for its answer.
func (a *API) letsencryptEnable(ctx context.Context, c call, args AppArgs) ([]Certificate, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	if settings.Email == "" {
		return nil, fault.New(fault.Conflict, "E155", "no e-mail address is set, and a CA wants one").
			Hint("berth letsencrypt:set --global email YOU@EXAMPLE.COM")
	}
	began := time.Now()
	if err := a.deployer.SetLocalCertificates(ctx, args.App, false, c.user); err != nil {
		return nil, err
	}
	rows, err := a.certificatesOf(args.App)
	if err != nil {
		return nil, err
	}
	var waiting []string
	for _, row := range rows {
		if !certificates.Public(row.Host) {
			fmt.Fprintf(c.out, "%s is not public: the appliance's own CA certifies it\n", row.Host)
		} else if row.Pending {
			waiting = append(waiting, row.Host)
		}
	}
	if a.cfg.Keeper != nil && len(waiting) > 0 {
		fmt.Fprintf(c.out, "asking for %s\n", strings.Join(waiting, ", "))
		a.cfg.Keeper.Retry(ctx, waiting)
		if err := a.await(ctx, c, waiting, began); err != nil {
			return nil, err
		}
	}
	return a.certificatesOf(args.App)
}

// await waits until each host has its certificate or an answer from the CA.
func (a *API) await(ctx context.Context, c call, hosts []string, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, enablePatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	failed := []string{}
	for _, host := range hosts {
		for state := a.cfg.Certificate(host); state.Pending; state = a.cfg.Certificate(host) {
			if state.LastErrorAt.After(began) {
				fmt.Fprintf(c.out, "%s: %s\n", host, state.LastError)
				failed = append(failed, host)
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fault.New(fault.Timeout, "E144", "the CA has not answered for %s yet", host).
					Hint("it goes on in the background; berth letsencrypt:list shows it")
			}
		}
	}
	if len(failed) > 0 {
		return fault.New(fault.Failed, "E180", "the CA gave no certificate for %s", strings.Join(failed, ", ")).
			Hint("what is served now goes on being served, and berth asks again by itself").
			Hint("the name has to lead to this machine, and port 80 or 443 has to be open to the world")
	}
	return nil
}

func (a *API) letsencryptDisable(ctx context.Context, c call, args AppArgs) ([]Certificate, error) {
	if err := a.deployer.SetLocalCertificates(ctx, args.App, true, c.user); err != nil {
		return nil, err
	}
	return a.certificatesOf(args.App)
}

// letsencryptList is of the hosts that an ACME CA certifies, or has been asked to.
func (a *API) letsencryptList(_ context.Context, c call, args DomainsReportArgs) ([]Certificate, error) {
	rows, err := a.visibleCertificates(c.user, args.App)
	return list(slices.DeleteFunc(rows, func(row Certificate) bool {
		return row.Source != "acme" && !row.Pending && row.LastError == ""
	}), err)
}

// Active tells whether an ACME CA certifies every public host of an app.
type Active struct {
	Active bool `json:"active"`
}

func (a *API) letsencryptActive(_ context.Context, _ call, args AppArgs) (active Active, err error) {
	rows, err := a.certificatesOf(args.App)
	for _, row := range rows {
		if certificates.Public(row.Host) {
			if row.Source != "acme" {
				return Active{}, err
			}
			active.Active = true
		}
	}
	return active, err
}

// Count is how many there were.
type Count struct {
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"`
}

// letsencryptRevoke declares an app's certificates void and has new ones made.
func (a *API) letsencryptRevoke(ctx context.Context, c call, args AppArgs) (revoked Count, err error) {
	rows, err := a.certificatesOf(args.App)
	if err != nil || a.cfg.Keeper == nil {
		return revoked, err
	}
	for _, row := range rows {
		if err := a.maySpeakFor(c.user, args.App, row.Host); err != nil {
			fmt.Fprintf(c.out, "%s is left as it is: other apps answer there too\n", row.Host)
			continue
		}
		n, err := a.cfg.Keeper.Revoke(ctx, row.Host)
		if n > 0 {
			revoked.Count += n
			revoked.Names = append(revoked.Names, row.Host)
		}
		if err != nil {
			return revoked, fault.New(fault.Failed, "E180", "the CA did not revoke the certificate of %s: %w", row.Host, err)
		}
	}
	return revoked, a.db.Update(func(tx *store.Tx) error {
		return event(tx, c.user, args.App, "certs", "revoked the certificates of %s", strings.Join(revoked.Names, ", "))
	})
}

// maySpeakFor returns nil when the user may deploy each app whose the
// certificate of a host is besides the one named.
func (a *API) maySpeakFor(user store.User, app, host string) error {
	return a.db.View(func(tx *store.Tx) error {
		others, err := deploy.Sharers(tx, app, host)
		for _, other := range others {
			err = cmp.Or(err, user.May(store.RoleDeploy, other))
		}
		return err
	})
}

func (a *API) letsencryptCleanup(ctx context.Context, _ call, _ NoArgs) (deleted Count, err error) {
	if a.cfg.Keeper == nil {
		return deleted, nil
	}
	deleted.Names, err = a.cfg.Keeper.Cleanup(ctx)
	deleted.Count = len(deleted.Names)
	return deleted, err
}
