package verbs

import (
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

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/router/certificates/dns"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Keeper is what the verbs ask of *certificates.Keeper, whose documentation is
// the contract.
type Keeper interface {
	Retry(ctx context.Context, hosts []string)
	Revoke(ctx context.Context, host string) (revoked int, err error)
	Cleanup(ctx context.Context) (deleted []string, err error)
}

// LetsEncryptRoom is what the verbs of letsencrypt ask for; *edge.Edge documents it.
type LetsEncryptRoom interface {
	SetSettings(ctx context.Context, change func(*store.Settings) error, by store.User) (store.Settings, error)
	SetLocalCertificates(ctx context.Context, app string, local bool, by store.User) error
}

type letsencrypt struct {
	records
	LetsEncryptRoom
	certs  certs
	keeper Keeper
}

func (n letsencrypt) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "letsencrypt:set", Role: admins,
			Short: "say how certificates come about",
			Long: "email   contact of the ACME account; with it certificates come from Let's\n" +
				"        Encrypt, without it from the appliance's own CA\n" +
				"server  another CA's ACME directory: an address, letsencrypt, staging or zerossl\n" +
				"roots   file of PEM certificates trusted for that server\n" +
				"profile           kind of certificates, as the CA names it\n" +
				"eab-kid, eab-hmac-key      external account, for a CA that knows its customers\n" +
				"fallback-server, fallback-roots, fallback-eab-kid, fallback-eab-hmac-key\n" +
				"                  likewise of a second CA, asked when the first does not deliver\n" +
				"ip-addresses      on: the machine's public addresses are certified too\n" +
				"dns-provider      cloudflare, route53, digitalocean, hetzner, gandi or rfc2136:\n" +
				"                  names are proved by records there, wildcards among them\n" +
				"dns-provider-NAME a setting of the provider, CLOUDFLARE_DNS_API_TOKEN say\n" +
				"dns-resolvers     asked for those records in place of the system's\n" +
				"An empty VALUE takes a property back. roots and secrets are read from the file\n" +
				"VALUE when it is @FILE, from standard input when it is -.",
			Example: "letsencrypt:set --global email ops@example.com\nletsencrypt:set --global dns-provider-DO_AUTH_TOKEN - <token",
		}, n.set),
		look(Verb{
			Name: "letsencrypt:report", Role: admins,
			Short:   "show where certificates come from",
			Example: "letsencrypt:report",
		}, n.report),
		look(Verb{
			Name: "letsencrypt:list", Role: reads,
			Short:   "show the CA's certificates and errors",
			Example: "letsencrypt:list",
			Aliases: []string{"letsencrypt:ls"},
		}, n.list),
		act(Verb{
			Name: "letsencrypt:enable", Role: deploys,
			Short:   "ask the CA for an app's certificates now",
			Long:    "It is asked by itself when a domain is added; this asks again at once after a\nfailure, undoes letsencrypt:disable, and waits for the answer.",
			Example: "letsencrypt:enable shop",
			Done:    "{app} is certified by the CA",
		}, n.enable),
		act(Verb{
			Name: "letsencrypt:disable", Role: deploys,
			Short:   "keep an app's hosts from the CA",
			Long:    "They are served with certificates of their own, or of the appliance's CA.",
			Example: "letsencrypt:disable shop",
			Done:    "{app} is certified by the appliance's own CA, or by its own certificates",
		}, n.disable),
		look(Verb{
			Name: "letsencrypt:active", Role: reads,
			Short:   "tell whether the CA certifies an app",
			Long:    "It prints true or false; the exit code is 0 for true and 1 for false.",
			Example: "letsencrypt:active shop",
		}, n.active),
		act(Verb{
			Name: "letsencrypt:revoke", Role: deploys,
			Short:   "declare an app's certificates void",
			Long:    "New ones with new keys are ordered, unless letsencrypt:disable was said before.",
			Example: "letsencrypt:revoke shop",
		}, n.revoke),
		act(Verb{
			Name: "letsencrypt:cleanup", Role: admins,
			Short:   "forget certificates of former hosts",
			Example: "letsencrypt:cleanup",
		}, n.cleanup),
	}
}

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

func (n letsencrypt) report(context.Context, Call, NoArgs) (LetsEncrypt, error) {
	settings, err := n.settings()
	return letsEncryptOf(settings), err
}

func letsEncryptOf(s store.Settings) LetsEncrypt {
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
	if _, err := edge.ACME(s); err != nil {
		now.Incomplete = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return now
}

func (n letsencrypt) set(ctx context.Context, c Call, args SetArgs) (LetsEncrypt, error) {
	settings, err := n.SetSettings(ctx, func(s *store.Settings) error { return setProperty(s, args.Property, args.Value) }, c.User)
	return letsEncryptOf(settings), err
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
				return fault.New(fault.Usage, code.LetsencryptInvalid, "ip-addresses is on or off")
			}
			return nil
		}},
		{"dns-provider", text(func(s *store.Settings) *string { return &s.DNSProvider }, func(name string) (string, error) {
			canonical, ok := dns.Name(name)
			if !ok {
				return "", fault.New(fault.Usage, code.LetsencryptInvalid, "there is no DNS provider %.60q", name).Hint("there is %s", strings.Join(dns.Names(), ", "))
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
					return fault.New(fault.Usage, code.LetsencryptInvalid, "%.80q is not the address of a DNS resolver", resolver)
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
			return fault.New(fault.Usage, code.LetsencryptInvalid, "no DNS provider has a setting %.60q", setting).Hint("%s", settingsHint(s.DNSProvider))
		}
		setSecret(s, canonical, value)
		return nil
	}
	switch {
	case name == "graceperiod":
		return fault.New(fault.Usage, code.LetsencryptInvalid, "there is no grace period to set: a certificate is renewed when its CA says so, or when a third of its life is left")
	case strings.HasPrefix(name, "lego-"):
		return fault.New(fault.Usage, code.LetsencryptInvalid, "there is no lego here that could take arguments").Hint("its settings have properties of their own: %s", strings.Join(names, ", "))
	}
	return fault.New(fault.Usage, code.LetsencryptInvalid, "letsencrypt has no property %.60q", name).
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
		return "", fault.New(fault.Usage, code.LetsencryptInvalid, "%.80q is not an e-mail address", value)
	}
	return value, nil
}

func directory(value string) (string, error) {
	if known, ok := certificates.Directory(value); ok {
		return known, nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", fault.New(fault.Usage, code.LetsencryptInvalid, "%.80q is not the https address of an ACME directory", value).
			Hint("letsencrypt, staging and zerossl are known by name")
	}
	return value, nil
}

func bundle(value string) (string, error) {
	if !holdsCertificates(value) {
		return "", fault.New(fault.Usage, code.LetsencryptInvalid, "the value of roots holds no certificates as PEM")
	}
	return value, nil
}

func word(value string) (string, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(value) > 500 {
		return "", fault.New(fault.Usage, code.LetsencryptInvalid, "this value is no single word")
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

// enable lets the ACME CA certify an app's hosts, which it does by
// itself unless somebody said otherwise, asks it now for what is missing, and
// waits for its answer.
func (n letsencrypt) enable(ctx context.Context, c Call, args AppArgs) ([]Certificate, error) {
	settings, err := n.settings()
	if err != nil {
		return nil, err
	}
	if settings.Email == "" {
		return nil, fault.New(fault.Conflict, code.LetsencryptInvalid, "no e-mail address is set, and a CA wants one").
			Hint("berth letsencrypt:set --global email YOU@EXAMPLE.COM")
	}
	began := time.Now()
	if err := n.SetLocalCertificates(ctx, args.App, false, c.User); err != nil {
		return nil, err
	}
	rows, err := n.certs.of(args.App)
	if err != nil {
		return nil, err
	}
	var waiting []string
	for _, row := range rows {
		if !certificates.Public(row.Host) {
			fmt.Fprintf(c.Out, "%s is not public: the appliance's own CA certifies it\n", row.Host)
		} else if row.Pending {
			waiting = append(waiting, row.Host)
		}
	}
	if n.keeper != nil && len(waiting) > 0 {
		fmt.Fprintf(c.Out, "asking for %s\n", strings.Join(waiting, ", "))
		n.keeper.Retry(ctx, waiting)
		if err := n.await(ctx, c, waiting, began); err != nil {
			return nil, err
		}
	}
	return n.certs.of(args.App)
}

// await waits until each host has its certificate or an answer from the CA.
func (n letsencrypt) await(ctx context.Context, c Call, hosts []string, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, enablePatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	failed := []string{}
	for _, host := range hosts {
		for state := n.certs.state(host); state.Pending; state = n.certs.state(host) {
			if state.LastErrorAt.After(began) {
				fmt.Fprintf(c.Out, "%s: %s\n", host, state.LastError)
				failed = append(failed, host)
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fault.New(fault.Timeout, code.RequestTimeout, "the CA has not answered for %s yet", host).
					Hint("it goes on in the background; berth letsencrypt:list shows it")
			}
		}
	}
	if len(failed) > 0 {
		return fault.New(fault.Failed, code.CARefused, "the CA gave no certificate for %s", strings.Join(failed, ", ")).
			Hint("what is served now goes on being served, and berth asks again by itself").
			Hint("the name has to lead to this machine, and port 80 or 443 has to be open to the world")
	}
	return nil
}

func (n letsencrypt) disable(ctx context.Context, c Call, args AppArgs) ([]Certificate, error) {
	if err := n.SetLocalCertificates(ctx, args.App, true, c.User); err != nil {
		return nil, err
	}
	return n.certs.of(args.App)
}

// list is of the hosts that an ACME CA certifies, or has been asked to.
func (n letsencrypt) list(_ context.Context, c Call, args DomainsReportArgs) ([]Certificate, error) {
	rows, err := n.certs.visible(c.User, args.App)
	return list(slices.DeleteFunc(rows, func(row Certificate) bool {
		return row.Source != "acme" && !row.Pending && row.LastError == ""
	}), err)
}

// Active tells whether an ACME CA certifies every public host of an app.
type Active struct {
	Active bool `json:"active"`
}

func (n letsencrypt) active(_ context.Context, _ Call, args AppArgs) (active Active, err error) {
	rows, err := n.certs.of(args.App)
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

// revoke declares an app's certificates void and has new ones made.
func (n letsencrypt) revoke(ctx context.Context, c Call, args AppArgs) (revoked Count, err error) {
	rows, err := n.certs.of(args.App)
	if err != nil || n.keeper == nil {
		return revoked, err
	}
	for _, row := range rows {
		if err := n.maySpeakFor(c.User, args.App, row.Host); err != nil {
			fmt.Fprintf(c.Out, "%s is left as it is: other apps answer there too\n", row.Host)
			continue
		}
		n, err := n.keeper.Revoke(ctx, row.Host)
		if n > 0 {
			revoked.Count += n
			revoked.Names = append(revoked.Names, row.Host)
		}
		if err != nil {
			return revoked, fault.New(fault.Failed, code.CARefused, "the CA did not revoke the certificate of %s: %w", row.Host, err)
		}
	}
	if revoked.Count == 0 { // a CA gave none
		return revoked, nil
	}
	return revoked, n.db.Update(func(tx *store.Tx) error {
		return event(tx, c.User, args.App, "certs", "revoked the certificates of %s", strings.Join(revoked.Names, ", "))
	})
}

// CleanupArgs may name an app, as Dokku's do; what is forgotten is no app's.
type CleanupArgs struct {
	NoArgs
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (n letsencrypt) cleanup(ctx context.Context, _ Call, _ CleanupArgs) (deleted Count, err error) {
	if n.keeper == nil {
		return deleted, nil
	}
	deleted.Names, err = n.keeper.Cleanup(ctx)
	deleted.Count = len(deleted.Names)
	return deleted, err
}
