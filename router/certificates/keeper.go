// Package certificates answers TLS handshakes for the router: with a
// certificate of an ACME CA where a host has one, else with one of the
// appliance's own CA, which serves from the first minute and needs nobody. It
// knows hosts, and neither routes nor apps.
//
//	handshake ─ keeper ─┬─ ACME CA ─ certmagic ─ orders, renewals
//	  (by name)         └─ local CA ─ leaves, made in the handshake
//	                            both ─ storage
//
// Whatever an order comes to, a handshake is answered by what there is.
package certificates

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

// Config says where certificates are kept and what the machine is.
type Config struct {
	Storage certmagic.Storage

	// Addresses are the machine's own: the default certificate is valid for
	// them, besides the loopback ones.
	Addresses []netip.Addr

	// HTTPPort and HTTPSPort are those of the router's listeners, which answer
	// a CA's challenges. Zero is 80 and 443.
	HTTPPort, HTTPSPort int
}

// Validate reports every value that makes no sense.
func (c Config) Validate() error {
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

// Keeper hands out a certificate for every TLS handshake: one from the
// ACME CA where there is one, else one from the local CA. It is safe for
// concurrent use. Close ends its upkeep.
type Keeper struct {
	cfg   Config
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

// New loads the local CA, or makes it. cfg has been validated.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Keeper, error) {
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
	k := &Keeper{cfg: cfg, log: log, local: local, hosts: map[string]bool{}, ordered: map[string]*order{}}
	for _, addr := range append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}, cfg.Addresses...) {
		if host := addr.Unmap().WithZone("").String(); !slices.Contains(k.defaultHosts, host) {
			k.defaultHosts = append(k.defaultHosts, host)
		}
	}
	k.life, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	k.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			if ca := k.acme.Load(); ca != nil {
				return ca.config, nil
			}
			return nil, errors.New("no ACME account is set")
		},
		Logger: zapTo(log),
	})
	return k, nil
}

// Close stops orders and renewals. The router has stopped serving by then.
func (k *Keeper) Close() {
	k.cancel()
	k.local.stores.Wait()
	k.cache.Stop()
}

// RootPEM returns the local CA's certificate, for those who want to trust it.
func (k *Keeper) RootPEM() []byte { return slices.Clone(k.local.rootPEM) }

// SetHosts says which hosts certificates are wanted for, in place of those of
// the call before. Public names go to the ACME CA when acme has an e-mail, in
// the background; until there is a certificate, and for all other hosts, the
// local CA answers. ctx bounds the call, not the orders.
func (k *Keeper) SetHosts(ctx context.Context, hosts []string, acme ACME) error {
	for _, host := range hosts {
		if !certmagic.SubjectQualifiesForCert(host) {
			return fmt.Errorf("%q cannot be in a certificate", host)
		}
	}
	k.set.Lock()
	defer k.set.Unlock()
	if err := k.setACME(acme); err != nil {
		return err
	}
	wanted := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		wanted[host] = true
	}
	k.mu.Lock()
	before := k.hosts
	k.hosts = wanted
	k.mu.Unlock()
	for host := range before {
		if !wanted[host] {
			k.cancelOrder(host)
			k.local.forget(ctx, host)
		}
	}
	ca := k.acme.Load()
	if ca == nil {
		return nil
	}
	for host := range wanted {
		if public(host) {
			k.order(ctx, ca, host)
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

// TLSConfig returns the configuration of the TLS listeners. knows tells whether
// a host is served here; others get the certificate that names none.
func (k *Keeper) TLSConfig(knows func(host string) bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2: forward secret and authenticated; 1.3 has no others
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1", acmez.ACMETLS1Protocol},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return k.certificate(hello, knows)
		},
	}
}

func (k *Keeper) certificate(hello *tls.ClientHelloInfo, knows func(host string) bool) (*tls.Certificate, error) {
	if slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		if ca := k.acme.Load(); ca != nil {
			return ca.config.GetCertificate(hello)
		}
		return nil, errors.New("an ACME challenge, and no ACME account is set")
	}
	ctx := context.WithoutCancel(hello.Context()) // a certificate once made is stored, whoever hangs up
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if host == "" || !knows(host) {
		return k.local.certificate(ctx, defaultName, k.defaultHosts...)
	}
	if cert := k.fromACME(host); cert != nil {
		return &cert.Certificate, nil
	}
	return k.local.certificate(ctx, host, host)
}

// State is what is known of a host's certificate.
type State struct {
	Host     string
	Issuer   string    // name of the CA of the certificate that is served; empty before the first handshake
	Local    bool      // it is, or will be, of the local CA
	NotAfter time.Time // zero before the first handshake

	Pending     bool      // the ACME CA has been asked and has not delivered yet
	LastError   string    // why it did not, last time; empty after a success
	LastErrorAt time.Time // zero without an error
}

// State returns what is known of a host's certificate.
func (k *Keeper) State(host string) State {
	s := State{Host: host, Local: true}
	k.mu.Lock()
	if o := k.ordered[host]; o != nil {
		s.Pending, s.LastError, s.LastErrorAt = true, o.lastError, o.lastErrorAt
	}
	k.mu.Unlock()
	if cert := k.fromACME(host); cert != nil {
		s.Pending, s.Local = false, false
		s.Issuer, s.NotAfter = cert.Leaf.Issuer.CommonName, cert.Leaf.NotAfter
	} else if leaf := k.local.peek(host); leaf != nil {
		s.Issuer, s.NotAfter = leaf.Issuer.CommonName, leaf.NotAfter
	}
	return s
}

// AnswerChallenge answers an HTTP-01 challenge if it is one of ours.
func (k *Keeper) AnswerChallenge(w http.ResponseWriter, req *http.Request) bool {
	if k == nil {
		return false
	}
	ca := k.acme.Load()
	return ca != nil && ca.issuer.HandleHTTPChallenge(w, req)
}
