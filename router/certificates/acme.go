package certificates

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/berthd/berth/router/certificates/dns"
)

// addressProfile is what Let's Encrypt calls the only kind of certificate that
// it gives for an address; it lives for six days.
const addressProfile = "shortlived"

// ACME says how names that the public can reach are certified.
type ACME struct {
	Email     string // contact of the accounts; empty is no ACME at all
	CAs       []CA   // asked one after the other until one delivers; none is Let's Encrypt
	DNS       DNS    // proves names by records, wildcards among them; zero is not at all
	Addresses bool   // the machine's public addresses are to have certificates too
}

// CA is one ACME CA and who we are to it.
type CA struct {
	Directory string // address of its directory; empty is Let's Encrypt
	Roots     string // PEM of CAs trusted for the directory besides the system's
	Profile   string // of the certificates, as the directory names them; empty is the CA's choice

	KeyID, MACKey string // external account binding, for CAs that know their customers
}

// DNS says where records are put that prove a name.
type DNS struct {
	Provider  string            // as package dns calls it; empty is none
	Settings  map[string]string // its credentials
	Resolvers []string          // asked for zones and records in place of the system's; host or host:port
}

// authority is an ACME put to use: for each kind of subject the issuers that
// are asked, in order. Renewals go the same way.
type authority struct {
	ACME
	names, wildcards, addresses *certmagic.Config // nil for a kind that cannot be had
	challenges                  *certmagic.ACMEIssuer
}

// Validate returns what keeps an ACME from being put to use.
func (a ACME) Validate() error {
	for _, ca := range a.CAs {
		if _, err := ca.roots(); err != nil {
			return err
		}
		if (ca.KeyID == "") != (ca.MACKey == "") {
			return errors.New("an external account needs a key ID and a MAC key")
		}
	}
	if a.DNS.Provider == "" {
		return nil
	}
	_, err := dns.New(a.DNS.Provider, a.DNS.Settings)
	return err
}

func (ca CA) roots() (*x509.CertPool, error) {
	if ca.Roots == "" {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("load the system's CAs: %w", err)
	}
	if !roots.AppendCertsFromPEM([]byte(ca.Roots)) {
		return nil, errors.New("the CAs for the ACME directory hold no certificate in PEM")
	}
	return roots, nil
}

func (a ACME) equal(b ACME) bool { return reflect.DeepEqual(a, b) }

// setACME puts another CA or account in place; what was ordered of the old one
// is ordered anew.
func (k *Keeper) setACME(acme ACME) error {
	if acme.Email == "" {
		acme = ACME{}
	}
	var current ACME
	if au := k.acme.Load(); au != nil {
		current = au.ACME
	}
	if acme.equal(current) {
		return nil
	}
	var au *authority
	if acme.Email != "" {
		var err error
		if au, err = k.newAuthority(acme); err != nil {
			return err
		}
	}
	k.mu.Lock()
	ordered := make([]string, 0, len(k.ordered))
	for subject := range k.ordered {
		ordered = append(ordered, subject)
	}
	k.mu.Unlock()
	for _, subject := range ordered {
		k.cancelOrder(subject)
	}
	k.acme.Store(au)
	return nil
}

func (k *Keeper) newAuthority(a ACME) (*authority, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	au := &authority{ACME: a, names: k.newConfig(), addresses: k.newConfig()}
	var solver *certmagic.DNS01Solver
	if a.DNS.Provider != "" {
		provider, err := dns.New(a.DNS.Provider, a.DNS.Settings)
		if err != nil {
			return nil, err
		}
		au.wildcards = k.newConfig()
		solver = &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
			DNSProvider: provider, Resolvers: a.DNS.Resolvers, Logger: zapTo(k.log),
		}}
	}
	cas := a.CAs
	if len(cas) == 0 {
		cas = []CA{{}}
	}
	for _, ca := range cas {
		roots, err := ca.roots()
		if err != nil {
			return nil, err
		}
		account := certmagic.ACMEIssuer{
			CA:             ca.Directory,
			Email:          a.Email,
			Agreed:         true,
			Profile:        ca.Profile,
			TrustedRoots:   roots,
			AltHTTPPort:    k.cfg.HTTPPort,
			AltTLSALPNPort: k.cfg.HTTPSPort,
			// Challenges are answered by the router's own listeners. Should one of
			// them be missing, certmagic's stand-in stays off the network.
			ListenHost: "127.0.0.1",
			Logger:     zapTo(k.log),
		}
		if account.CA == "" {
			account.CA = certmagic.LetsEncryptProductionCA
		}
		if ca.KeyID != "" {
			account.ExternalAccount = &acme.EAB{KeyID: ca.KeyID, MACKey: ca.MACKey}
		}
		ask := func(config *certmagic.Config, account certmagic.ACMEIssuer) *certmagic.ACMEIssuer {
			issuer := certmagic.NewACMEIssuer(config, account)
			config.Issuers = append(config.Issuers, issuer)
			return issuer
		}
		if solver != nil {
			// Records come first: a zone that is not the provider's is found
			// out before the CA has been bothered, and the name is proved as
			// if there were no provider.
			byRecord := account
			byRecord.DNS01Solver = solver
			ask(au.wildcards, byRecord)
			ask(au.names, byRecord)
		}
		au.challenges = ask(au.names, account)
		byAddress := account
		if byAddress.Profile == "" && isLetsEncrypt(byAddress.CA) {
			byAddress.Profile = addressProfile
		}
		ask(au.addresses, byAddress)
	}
	return au, nil
}

// newConfig returns a configuration that asks nobody yet: certmagic's default
// would be Let's Encrypt, whoever the operator chose.
func (k *Keeper) newConfig() *certmagic.Config {
	config := certmagic.New(k.cache, certmagic.Config{
		Storage: k.cfg.Storage,
		Logger:  zapTo(k.log),
		OnEvent: k.event,
		// certmagic waits for a responder without end, unless it is told of a
		// proxy: then for 30 seconds.
		OCSP: certmagic.OCSPConfig{HTTPProxy: http.ProxyFromEnvironment},
	})
	config.Issuers = nil
	return config
}

// Directory returns the address of a directory that people know by a name.
func Directory(name string) (address string, ok bool) {
	switch name {
	case "letsencrypt", "production", "default":
		return certmagic.LetsEncryptProductionCA, true
	case "staging":
		return certmagic.LetsEncryptStagingCA, true
	case "zerossl":
		return certmagic.ZeroSSLProductionCA, true
	}
	return "", false
}

func isLetsEncrypt(directory string) bool {
	return strings.Contains(directory, ".api.letsencrypt.org/")
}

// config returns how a subject is certified, nil when it cannot be.
func (au *authority) config(subject string) *certmagic.Config {
	switch {
	case strings.HasPrefix(subject, "*."):
		return au.wildcards
	case isAddress(subject):
		return au.addresses
	}
	return au.names
}

// issuerKeys are the places in the storage where certificates of a subject may be.
func (au *authority) issuerKeys(config *certmagic.Config) []string {
	var keys []string
	for _, issuer := range config.Issuers {
		if key := issuer.IssuerKey(); len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
	}
	return keys
}

func isAddress(subject string) bool {
	_, err := netip.ParseAddr(subject)
	return err == nil
}

// Public tells whether a CA of the public could vouch for a host. RFC 6761,
// 6762, 8375 and ICANN keep some names private.
func Public(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return publicAddress(addr)
	}
	if !strings.Contains(strings.TrimPrefix(host, "*."), ".") {
		return false
	}
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "localhost", "local", "internal", "test", "example", "invalid", "onion", "alt",
		"lan", "home", "corp", "mail", "intranet", "private", "localdomain":
		return false
	}
	return !strings.HasSuffix(host, ".home.arpa") && certmagic.SubjectQualifiesForPublicCert(host)
}

// publicAddress tells whether an address can be reached from everywhere: not
// one for private use, for a carrier's NAT or for documentation.
func publicAddress(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, reserved := range []string{"100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "2001:db8::/32"} {
		if netip.MustParsePrefix(reserved).Contains(addr) {
			return false
		}
	}
	return true
}
