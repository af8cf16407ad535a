package edge

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/router/certificates/dns"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// CertificateProperties are what can be set of how certificates come about. They
// are all apps': a CA counts accounts and orders by the machine's address, so that
// an app with an account of its own could spend what all of them have, and the
// address of a CA is one that the machine itself calls.
var CertificateProperties = property.List{
	Noun: "letsencrypt", Has: "letsencrypt has", Code: code.LetsencryptInvalid,
	Note:    "Roots and secrets are read from the file VALUE, a secret when it is @FILE, both from standard input when it is -.",
	Foreign: foreignCertificateProperty,
	Properties: []property.Property{
		{Name: "email", Scope: property.Global, Check: emailAddress,
			Meaning: "contact of the ACME account; if set, certificates come from Let's Encrypt, else from the appliance's own CA"},
		{Name: "server", Scope: property.Global, Check: directory, Values: []string{"letsencrypt", "staging", "zerossl"},
			Meaning: "another CA's ACME directory: an address, letsencrypt, staging or zerossl"},
		{Name: "roots", Scope: property.Global, File: true, Check: bundle,
			Meaning: "FILE of PEM certificates trusted for that server"},
		{Name: "profile", Scope: property.Global, Check: word,
			Meaning: "kind of certificates, as the CA names it"},
		{Name: "eab-kid", Scope: property.Global, Check: word,
			Meaning: "external account binding, for a CA that requires it"},
		{Name: store.SecretMACKey, Scope: property.Global, Secret: true, Check: secret,
			Meaning: "the key that goes with it"},
		{Name: "fallback-server", Scope: property.Global, Check: directory,
			Meaning: "a second CA, used when the first fails"},
		{Name: "fallback-roots", Scope: property.Global, File: true, Check: bundle,
			Meaning: "as roots, for the second CA"},
		{Name: "fallback-eab-kid", Scope: property.Global, Check: word,
			Meaning: "as eab-kid, for the second CA"},
		{Name: store.SecretFallbackMACKey, Scope: property.Global, Secret: true, Check: secret,
			Meaning: "the key that goes with it"},
		{Name: "ip-addresses", Usual: "off", Scope: property.Global, Values: property.OnOff, Check: onOrTrue,
			Meaning: "on: also get certificates for the machine's public addresses"},
		{Name: "dns-provider", Scope: property.Global, Values: dns.Names(), Check: dnsProvider,
			Meaning: strings.Join(dns.Names(), ", ") + ": validates names by DNS records, including wildcards"},
		{Name: dnsSetting, Rest: "NAME", Scope: property.Global, Family: dnsSettingNamed,
			Meaning: "a setting of the provider, for example CLOUDFLARE_DNS_API_TOKEN"},
		{Name: "dns-resolvers", Scope: property.Global, Words: true, Check: resolvers,
			Meaning: "DNS servers for these records, instead of the system's"},
	},
	Kept: certificateKeeper{},
}

// dnsSetting begins a property that is a setting of the DNS provider, as in
// Dokku's plugin.
const dnsSetting = "dns-provider-"

func dnsSettingNamed(setting string) (property.Property, error) {
	if _, known := dns.Canonical(setting); !known {
		return property.Property{}, fault.New(fault.Usage, code.LetsencryptInvalid, "no DNS provider has a setting %.60q", setting).
			Hint("each has its own: %s", settingsOfAll())
	}
	return property.Property{Secret: true, Check: secret}, nil
}

func settingsOfAll() string {
	var all []string
	for _, provider := range dns.Names() {
		settings, _ := dns.Settings(provider)
		var names []string
		for _, s := range settings {
			names = append(names, s.Name)
		}
		all = append(all, provider+" has "+strings.Join(names, ", "))
	}
	return strings.Join(all, "; ")
}

func foreignCertificateProperty(name string) error {
	switch {
	case name == "graceperiod":
		return fault.New(fault.Usage, code.LetsencryptInvalid, "there is no grace period to set: a certificate is renewed when its CA says so, or when a third of its lifetime is left")
	case strings.HasPrefix(name, "lego-"):
		return fault.New(fault.Usage, code.LetsencryptInvalid, "berth does not use lego, so it takes no arguments for it").
			Hint("use the properties: email, server, dns-provider and others; berth help letsencrypt:set lists them")
	}
	return nil
}

// certificateKeeper keeps the values in the settings.
type certificateKeeper struct{}

// Values implements property.Keeper.
func (certificateKeeper) Values(tx *store.Tx, app string) (map[string]string, error) {
	values := map[string]string{}
	if app != "" {
		return values, nil
	}
	s, err := tx.Settings()
	if err != nil {
		return nil, err
	}
	for name, field := range certificateFields(&s) {
		values[name] = *field
	}
	if s.ACMEAddresses {
		values["ip-addresses"] = "on"
	}
	values["dns-resolvers"] = strings.Join(s.DNSResolvers, ",")
	for name, value := range s.Secrets {
		if name != store.SecretMACKey && name != store.SecretFallbackMACKey {
			name = dnsSetting + name
		}
		values[name] = value
	}
	maps.DeleteFunc(values, func(_, value string) bool { return value == "" })
	return values, nil
}

// certificateFields are where the settings have what is plain text.
func certificateFields(s *store.Settings) map[string]*string {
	return map[string]*string{
		"email": &s.Email, "server": &s.ACME, "roots": &s.ACMERoots, "profile": &s.ACMEProfile, "eab-kid": &s.ACMEKeyID,
		"fallback-server": &s.Fallback.Server, "fallback-roots": &s.Fallback.Roots, "fallback-eab-kid": &s.Fallback.KeyID,
		"dns-provider": &s.DNSProvider,
	}
}

// Keep implements property.Keeper.
func (certificateKeeper) Keep(tx *store.Tx, _, name, value string) error {
	s, err := tx.Settings()
	if err != nil {
		return err
	}
	setting, isDNS := strings.CutPrefix(name, dnsSetting)
	field := certificateFields(&s)[name]
	switch {
	case field != nil:
		*field = value
	case name == "ip-addresses":
		s.ACMEAddresses = value == "on"
	case name == "dns-resolvers":
		s.DNSResolvers = nil
		if value != "" {
			s.DNSResolvers = strings.Split(value, ",")
		}
	case isDNS:
		canonical, _ := dns.Canonical(setting)
		setSecret(&s, canonical, value)
	default:
		setSecret(&s, name, value)
	}
	return tx.PutSettings(s)
}

// NoEmail returns the fault (E155) of certificates that no CA can be asked for.
func NoEmail() *fault.Error {
	return fault.New(fault.Conflict, code.LetsencryptInvalid, "no e-mail address is set, and a CA needs one").
		Hint("berth letsencrypt:set --global email YOU@EXAMPLE.COM")
}

func setSecret(s *store.Settings, name, value string) {
	secrets := map[string]string{}
	maps.Copy(secrets, s.Secrets)
	if secrets[name] = value; value == "" {
		delete(secrets, name)
	}
	s.Secrets = secrets
}

// SetCertificates sets a property of how certificates come about; an empty value
// takes it back.
func (e *Edge) SetCertificates(_ context.Context, app, name, value string, by store.User) error {
	change, err := CertificateProperties.Check(app, name, value)
	if err != nil {
		return err
	}
	text := "set " + name // events are for more eyes than the values
	if change.Value == "" {
		text = "unset " + name
	}
	err = e.db.Update(func(tx *store.Tx) error {
		return errors.Join(change.Keep(tx), tx.AddEvent(store.Event{By: by.Name, Kind: "settings", Text: text}))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	e.AnnounceHosts()
	e.changed("")
	return nil
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
			Hint("or use the names letsencrypt, staging or zerossl")
	}
	return value, nil
}

func bundle(value string) (string, error) {
	value = strings.TrimRight(value, "\r\n")
	if !holdsCertificates(value) {
		return "", errors.New("it holds no certificates as PEM")
	}
	return value, nil
}

func word(value string) (string, error) {
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(value) > 500 {
		return "", fault.New(fault.Usage, code.LetsencryptInvalid, "the value must be a single word")
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

func secret(value string) (string, error) {
	const most = 64 << 10
	if len(value) > most {
		return "", fmt.Errorf("it has %d bytes, and may have %d", len(value), most)
	}
	return value, nil
}

func onOrTrue(value string) (string, error) {
	switch value {
	case "true":
		value = "on"
	case "false":
		value = "off"
	}
	if value == "off" {
		return "", nil // as usual
	}
	return value, oneOf(value, property.OnOff)
}

func dnsProvider(name string) (string, error) {
	canonical, ok := dns.Name(name)
	if !ok {
		return "", fault.New(fault.Usage, code.LetsencryptInvalid, "there is no DNS provider %.60q", name).Hint("the DNS providers are %s", strings.Join(dns.Names(), ", "))
	}
	return canonical, nil
}

func resolvers(value string) (string, error) {
	list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	for _, resolver := range list {
		host := resolver
		if h, _, err := net.SplitHostPort(resolver); err == nil {
			host = h
		}
		if host == "" || strings.ContainsAny(resolver, "/@") {
			return "", fault.New(fault.Usage, code.LetsencryptInvalid, "%.80q is not the address of a DNS resolver", resolver)
		}
	}
	return strings.Join(slices.Compact(list), ","), nil
}
