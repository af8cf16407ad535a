package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
)

// defaultName is what the default certificate is kept under; no host ends in a dot.
const defaultName = "default."

// CertificatesConfig says where certificates are kept and what the machine is.
type CertificatesConfig struct {
	Storage certmagic.Storage

	// Addresses are the machine's own: the default certificate is valid for
	// them, besides the loopback ones.
	Addresses []netip.Addr

	// HTTPPort and HTTPSPort are those of the router's listeners, which answer
	// a CA's challenges. Zero is 80 and 443.
	HTTPPort, HTTPSPort int
}

// Validate reports every value that makes no sense.
func (c CertificatesConfig) Validate() error {
	var errs []error
	if c.Storage == nil {
		errs = append(errs, errors.New("certificates need a storage"))
	}
	for _, port := range []int{c.HTTPPort, c.HTTPSPort} {
		if port < 0 || port > 65535 {
			errs = append(errs, fmt.Errorf("%d is not a port", port))
		}
	}
	for _, addr := range c.Addresses {
		if !addr.IsValid() {
			errs = append(errs, errors.New("one of the addresses is empty"))
		}
	}
	return errors.Join(errs...)
}

// Certificates hands out a certificate for every TLS handshake: one from the
// ACME CA where there is one, else one from the local CA. It is safe for
// concurrent use. Close ends its upkeep.
type Certificates struct {
	cfg   CertificatesConfig
	log   *slog.Logger
	local *localCA
	cache *certmagic.Cache // certificates of the ACME CA

	defaultHosts []string // of the certificate that names no host

	life   context.Context // until Close
	cancel context.CancelFunc

	acme atomic.Pointer[acmeCA] // nil while no e-mail is set

	set     sync.Mutex // one SetHosts at a time
	mu      sync.Mutex // guards what follows
	hosts   map[string]bool
	ordered map[string]*order // by host, those that the ACME CA is asked for
}

// NewCertificates loads the local CA, or makes it. cfg has been validated.
func NewCertificates(ctx context.Context, cfg CertificatesConfig, log *slog.Logger) (*Certificates, error) {
	if cfg.HTTPPort == 0 {
		cfg.HTTPPort = 80
	}
	if cfg.HTTPSPort == 0 {
		cfg.HTTPSPort = 443
	}
	local, err := newLocalCA(ctx, cfg.Storage, log)
	if err != nil {
		return nil, err
	}
	c := &Certificates{cfg: cfg, log: log, local: local, hosts: map[string]bool{}, ordered: map[string]*order{}}
	for _, addr := range append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}, cfg.Addresses...) {
		if host := addr.Unmap().WithZone("").String(); !slices.Contains(c.defaultHosts, host) {
			c.defaultHosts = append(c.defaultHosts, host)
		}
	}
	c.life, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			if ca := c.acme.Load(); ca != nil {
				return ca.config, nil
			}
			return nil, errors.New("no ACME account is set")
		},
		Logger: zapTo(log),
	})
	return c, nil
}

// Close stops orders and renewals. The router has stopped serving by then.
func (c *Certificates) Close() {
	c.cancel()
	c.local.stores.Wait()
	c.cache.Stop()
}

// RootPEM returns the local CA's certificate, for those who want to trust it.
func (c *Certificates) RootPEM() []byte { return slices.Clone(c.local.rootPEM) }

// SetHosts says which hosts certificates are wanted for, in place of those of
// the call before. Public names go to the ACME CA when acme has an e-mail, in
// the background; until there is a certificate, and for all other hosts, the
// local CA answers. ctx bounds the call, not the orders.
func (c *Certificates) SetHosts(ctx context.Context, hosts []string, acme ACMEConfig) error {
	for _, host := range hosts {
		if err := checkHost(strings.TrimPrefix(host, "*.")); err != nil {
			return err
		}
	}
	c.set.Lock()
	defer c.set.Unlock()
	if err := c.setACME(acme); err != nil {
		return err
	}
	wanted := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		wanted[host] = true
	}
	c.mu.Lock()
	before := c.hosts
	c.hosts = wanted
	c.mu.Unlock()
	for host := range before {
		if !wanted[host] {
			c.cancelOrder(host)
			c.local.forget(ctx, host)
		}
	}
	ca := c.acme.Load()
	if ca == nil {
		return nil
	}
	for host := range wanted {
		if public(host) && !strings.HasPrefix(host, "*.") { // a wildcard takes a challenge by DNS
			c.order(ctx, ca, host)
		}
	}
	return nil
}

// public tells whether a CA of the public could vouch for a host. Addresses
// cannot be had everywhere; RFC 6761, 6762, 8375 and ICANN keep the rest private.
func public(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return false
	}
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "localhost", "local", "internal", "test", "example", "invalid", "onion", "alt",
		"lan", "home", "corp", "mail", "intranet", "private", "localdomain":
		return false
	}
	return !strings.HasSuffix(host, ".home.arpa") && certmagic.SubjectQualifiesForPublicCert(host)
}

// tlsConfig returns the configuration of the TLS listeners. certified returns the
// name in a host's certificate, if it is served here; others get the
// certificate that names none.
func (c *Certificates) tlsConfig(certified func(host string) (name string, ok bool)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2: forward secret and authenticated; 1.3 has no others
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1", acmez.ACMETLS1Protocol},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.certificate(hello, certified)
		},
	}
}

func (c *Certificates) certificate(hello *tls.ClientHelloInfo, certified func(host string) (name string, ok bool)) (*tls.Certificate, error) {
	if slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		if ca := c.acme.Load(); ca != nil {
			return ca.config.GetCertificate(hello)
		}
		return nil, errors.New("an ACME challenge, and no ACME account is set")
	}
	ctx := context.WithoutCancel(hello.Context()) // a certificate once made is stored, whoever hangs up
	host := canonicalHost(hello.ServerName)
	name, ok := certified(host)
	if host == "" || !ok {
		return c.local.certificate(ctx, defaultName, c.defaultHosts...)
	}
	if cert := c.fromACME(host); cert != nil {
		return &cert.Certificate, nil
	}
	return c.local.certificate(ctx, name, name)
}

// CertificateState is what is known of a host's certificate.
type CertificateState struct {
	Host     string
	Issuer   string    // name of the CA of the certificate that is served; empty before the first handshake
	Local    bool      // it is, or will be, of the local CA
	NotAfter time.Time // zero before the first handshake

	Pending     bool      // the ACME CA has been asked and has not delivered yet
	LastError   string    // why it did not, last time; empty after a success
	LastErrorAt time.Time // zero without an error
}

// State returns what is known of a host's certificate.
func (c *Certificates) State(host string) CertificateState {
	s := CertificateState{Host: host, Local: true}
	c.mu.Lock()
	if o := c.ordered[host]; o != nil {
		s.Pending, s.LastError, s.LastErrorAt = true, o.lastError, o.lastErrorAt
	}
	c.mu.Unlock()
	if cert := c.fromACME(host); cert != nil {
		s.Pending, s.Local = false, false
		s.Issuer, s.NotAfter = cert.Leaf.Issuer.CommonName, cert.Leaf.NotAfter
	} else if leaf := c.local.peek(host); leaf != nil {
		s.Issuer, s.NotAfter = leaf.Issuer.CommonName, leaf.NotAfter
	}
	return s
}

// answerChallenge answers an HTTP-01 challenge if it is one of ours.
func (c *Certificates) answerChallenge(w http.ResponseWriter, req *http.Request) bool {
	if c == nil {
		return false
	}
	ca := c.acme.Load()
	return ca != nil && ca.issuer.HandleHTTPChallenge(w, req)
}
